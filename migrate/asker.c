/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/asker.h"

#include <assert.h>
#include <stdio.h>

#define WORDS_MAX 16u
#define KEEP_BYTES (256u << 10)

static void step(struct conn_owner *self, struct port *port, const struct event *ev);

void asker_init(struct asker *a, const struct asker_where *where, struct moment *clock,
                struct asker_hooks hooks)
{
    *a = (struct asker){.owner = {.step = step}, .clock = clock, .where = *where, .hooks = hooks};
}

void asker_open(struct asker *a, struct port *port)
{
    assert(a->state == ASKER_CLOSED);
    buf_reuse(&a->in, KEEP_BYTES);
    a->state = ASKER_DIALLING;
    a->since_us = a->clock->mono_us;
    a->conn = port->ops->dial(port, &(struct dial_opts){.host = a->where.host,
                                                        .port = a->where.port,
                                                        .tls = a->where.tls,
                                                        .owner = &a->owner});
}

void asker_close(struct asker *a, struct port *port)
{
    if (a->conn != 0)
        port->ops->close(port, a->conn, true);
    a->conn = 0;
    a->state = ASKER_CLOSED;
}

void asker_deinit(struct asker *a, struct port *port)
{
    asker_close(a, port);
    buf_deinit(&a->in);
}

void asker_ask(struct asker *a, struct port *port, struct bytes requests, unsigned replies)
{
    assert(a->state == ASKER_IDLE && replies > 0);
    struct buf *out = port->ops->out(port, a->conn);
    if (out != NULL) /* else its EV_CLOSED is on the way */
        buf_put_bytes(out, requests);
    a->state = ASKER_ASKING;
    a->since_us = a->clock->mono_us;
    a->wanted = replies;
    a->got = 0;
}

static void lost(struct asker *a, struct port *port, const char *text, bool refused)
{
    if (a->conn != 0)
        port->ops->close(port, a->conn, false);
    a->conn = 0;
    a->state = ASKER_CLOSED;
    a->hooks.lost(a->hooks.arg, text, refused);
}

uint64_t asker_silent_us(const struct asker *a, struct moment now)
{
    bool waits = a->state == ASKER_DIALLING || a->state == ASKER_ASKING;
    return waits && now.mono_us > a->since_us ? now.mono_us - a->since_us : 0;
}

void asker_tick(struct asker *a, struct port *port, uint64_t silence_us)
{
    char text[64];
    if (asker_silent_us(a, *a->clock) < silence_us)
        return;
    snprintf(text, sizeof text, "no answer for %u s", (unsigned)(silence_us / 1000000));
    lost(a, port, text, false);
}

void asker_put_silence(uint64_t silent_us, char *out, size_t size)
{
    static const unsigned steps[] = {300, 120, 60, 30, 20, 10, 5, 2, 1};
    unsigned i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && silent_us < steps[i] * UINT64_C(1000000))
        i++;
    snprintf(out, size, "for %u s", steps[i]);
}

static void opened(struct asker *a, struct port *port)
{
    a->state = ASKER_IDLE;
    a->greeting = a->where.password.n > 0;
    if (!a->greeting) {
        a->hooks.open(a->hooks.arg);
        return;
    }
    struct buf hello = {0};
    asker_put_auth(&hello, a->where.user, a->where.password);
    asker_ask(a, port, buf_bytes(&hello), 1);
    buf_deinit(&hello);
}

/* A password where none is set is refused with an error that AUTH can do without. */
static void greeted(struct asker *a, struct port *port, const struct resp_reply *r)
{
    static const char unneeded[] = "ERR AUTH <password> called without any password configured";
    a->greeting = false;
    if (r->type == '-' && !(r->text.n >= sizeof unneeded - 1 &&
                            memcmp(r->text.p, unneeded, sizeof unneeded - 1) == 0)) {
        char text[256];
        snprintf(text, sizeof text, "%.*s", r->text.n < 200 ? (int)r->text.n : 200,
                 (const char *)r->text.p);
        lost(a, port, text, true);
        return;
    }
    a->hooks.open(a->hooks.arg);
}

static void one_reply(struct asker *a, struct port *port, const struct resp_reply *r)
{
    unsigned i = a->got++;
    if (a->got == a->wanted)
        a->state = ASKER_IDLE;
    if (a->greeting)
        greeted(a, port, r);
    else
        a->hooks.reply(a->hooks.arg, i, r);
}

static void received(struct asker *a, struct port *port)
{
    conn_id conn = a->conn;
    while (a->state == ASKER_ASKING && a->conn == conn && buf_len(&a->in) > 0) {
        struct resp_reply r;
        size_t used = 0;
        enum resp_reply_result result = resp_reply_read(buf_bytes(&a->in), &r, &used);
        if (result == RESP_REPLY_MORE && buf_len(&a->in) <= ASKER_REPLY_MAX)
            return;
        if (result != RESP_REPLY_OK) {
            lost(a, port, "it does not answer as a Redis server does", false);
            return;
        }
        one_reply(a, port, &r);
        resp_reply_deinit(&r);
        if (a->conn == conn)
            buf_consume(&a->in, used);
    }
    if (a->conn == conn && a->state == ASKER_IDLE && buf_len(&a->in) > 0)
        lost(a, port, "it answers without being asked", false);
}

void asker_explain(const struct event *ev, char *out, size_t size)
{
    int n = snprintf(out, size, "%s", err_text(ev->err));
    if (ev->detail != NULL && strncmp(out, ev->detail, strlen(ev->detail)) != 0 && n >= 0 &&
        (size_t)n < size)
        snprintf(out + n, size - (size_t)n, " (%s)", ev->detail);
}

static void step(struct conn_owner *self, struct port *port, const struct event *ev)
{
    struct asker *a = (struct asker *)self;
    char text[200];
    if (ev->conn != a->conn)
        return;
    *a->clock = ev->now;
    switch (ev->kind) {
    case EV_OPEN:
        opened(a, port);
        break;
    case EV_DATA:
        a->since_us = ev->now.mono_us;
        buf_put_bytes(&a->in, ev->data);
        received(a, port);
        break;
    case EV_CLOSED:
        a->conn = 0;
        asker_explain(ev, text, sizeof text);
        lost(a, port, text, false);
        break;
    default:
        break;
    }
}

void asker_put_auth(struct buf *out, struct bytes user, struct bytes password)
{
    struct bytes argv[3] = {bytes_str("AUTH")};
    size_t argc = 1;
    if (user.n > 0)
        argv[argc++] = user;
    argv[argc++] = password;
    resp_request_put(out, argc, argv);
}

void asker_put_words(struct buf *out, const char *words)
{
    struct bytes argv[WORDS_MAX];
    size_t argc = 0;
    while (*words != 0 && argc < WORDS_MAX) {
        size_t n = strcspn(words, " ");
        argv[argc++] = bytes_of(words, n);
        words += n;
        words += strspn(words, " ");
    }
    resp_request_put(out, argc, argv);
}

bool asker_info(struct bytes info, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    const uint8_t *p = info.p, *end = info.n > 0 ? info.p + info.n : info.p;
    while (p < end) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((eol != NULL ? eol : end) - p);
        if (n > 0 && p[n - 1] == '\r')
            n--;
        if (n > length && memcmp(p, name, length) == 0 && p[length] == ':') {
            snprintf(out, size, "%.*s", (int)(n - length - 1), (const char *)p + length + 1);
            return true;
        }
        p = eol != NULL ? eol + 1 : end;
    }
    return false;
}
