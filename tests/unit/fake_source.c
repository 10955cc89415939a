/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/fake_source.h"

#include "base/num.h"
#include "base/resp_reply.h"
#include "rdb/rdb.h"

#include <stdio.h>

#define EOF_MARK "89ab89ab89ab89ab89ab89ab89ab89ab89ab89ab"

static void answer(void *arg, struct respond_conn *link, uint32_t argc, const struct bytes *argv);

void fake_source_init(struct fake_source *s)
{
    *s = (struct fake_source){0};
    s->respond = (struct respond){.conns = s->conns,
                                  .count = FAKE_CONNS,
                                  .size = sizeof s->conns[0],
                                  .arg = s,
                                  .answer = answer};
    snprintf(s->id, sizeof s->id, "%s", "1111111111222222222233333333334444444444");
}

void fake_source_deinit(struct fake_source *s)
{
    respond_forget(&s->respond);
    buf_deinit(&s->keys);
    buf_deinit(&s->log);
}

uint64_t fake_source_offset(const struct fake_source *s) { return FAKE_BASE + buf_len(&s->log); }

/* ------------------------------------------------------------ what it holds */

void fake_source_key(struct fake_source *s, const char *key, const char *value,
                     uint64_t deadline_ms)
{
    if (deadline_ms > 0) {
        buf_put_u8(&s->keys, 0xfc);
        rdb_put_fixed(&s->keys, deadline_ms, 8);
    }
    buf_put_u8(&s->keys, RDB_CODE_STRING);
    rdb_put_text(&s->keys, bytes_str(key));
    rdb_put_text(&s->keys, bytes_str(value));
}

void fake_source_snapshot(struct fake_source *s)
{
    buf_clear(&s->keys);
    s->snapshot_at = buf_len(&s->log);
}

static void put_snapshot(const struct fake_source *s, struct buf *out)
{
    struct buf file = {0};
    buf_put_str(&file, "REDIS0010");
    buf_put_u8(&file, 0xfe);
    rdb_put_length(&file, 0);
    buf_put_bytes(&file, buf_bytes(&s->keys));
    buf_put_u8(&file, 0xff);
    rdb_put_fixed(&file, 0, 8);
    if (s->marked)
        buf_put_str(out, "$EOF:" EOF_MARK "\r\n");
    else
        buf_putf(out, "$%zu\r\n", buf_len(&file));
    buf_put_bytes(out, buf_bytes(&file));
    if (s->marked)
        buf_put_str(out, EOF_MARK);
    buf_deinit(&file);
}

/* ------------------------------------------------------------ its stream */

static void feed(struct fake_source *s, struct fake_conn *c)
{
    struct buf *out = c->link.id != 0 ? s->port->ops->out(s->port, c->link.id) : NULL;
    size_t n = buf_len(&s->log);
    if (out == NULL || !c->replica || c->waits || s->silent || c->sent == n)
        return;
    buf_put(out, s->log.p + s->log.head + c->sent, n - c->sent);
    c->sent = n;
}

void fake_source_write_raw(struct fake_source *s, const char *text)
{
    buf_put_str(&s->log, text);
    for (unsigned i = 0; i < FAKE_CONNS; i++)
        feed(s, &s->conns[i]);
}

void fake_source_write(struct fake_source *s, const char *words)
{
    struct buf text = {0};
    struct bytes argv[16];
    size_t argc = 0;
    while (*words != 0) {
        size_t n = strcspn(words, " ");
        argv[argc++] = bytes_of(words, n);
        words += n + (words[n] == ' ');
    }
    resp_request_put(&text, argc, argv);
    buf_put_u8(&text, 0);
    fake_source_write_raw(s, (const char *)text.p);
    buf_deinit(&text);
}

/* ------------------------------------------------------------ what it is asked */

static void psync(struct fake_source *s, struct fake_conn *c, struct bytes id, struct bytes offset,
                  struct buf *out)
{
    int64_t at = -1;
    bool known = bytes_is(id, s->id) || (s->id_before[0] && bytes_is(id, s->id_before));
    if (s->refuses != NULL) {
        buf_putf(out, "%s\r\n", s->refuses);
        return;
    }
    c->replica = true;
    if (known && num_parse_i64(offset, &at) && at > (int64_t)FAKE_BASE &&
        (size_t)at - FAKE_BASE - 1 >= s->backlog_from &&
        (uint64_t)at - 1 <= fake_source_offset(s)) {
        s->partials++;
        c->sent = (size_t)at - FAKE_BASE - 1;
        buf_putf(out, "+CONTINUE %s\r\n", s->id);
        feed(s, c);
        return;
    }
    s->fulls++;
    buf_putf(out, "+FULLRESYNC %s %llu\r\n\n\n", s->id,
             (unsigned long long)(FAKE_BASE + s->snapshot_at));
    c->sent = s->snapshot_at;
    c->waits = s->marked || s->busy;
    if (s->busy)
        return;
    put_snapshot(s, out);
    feed(s, c);
}

static void replconf(struct fake_source *s, struct fake_conn *c, uint32_t argc,
                     const struct bytes *argv, struct buf *out)
{
    int64_t n;
    if (argc < 3 || !bytes_is_nocase(argv[1], "ack")) {
        buf_put_str(out, "+OK\r\n");
    } else if (num_parse_i64(argv[2], &n)) {
        s->acked = (uint64_t)n;
        c->waits = false;
        feed(s, c);
    }
}

static void info(const struct fake_source *s, struct buf *out)
{
    char text[200];
    int n = snprintf(
        text, sizeof text, "# Server\r\nredis_mode:%s\r\nloading:0\r\nmaster_repl_offset:%llu\r\n",
        s->mode != NULL ? s->mode : "standalone", (unsigned long long)fake_source_offset(s));
    buf_putf(out, "$%d\r\n%s\r\n", n, text);
}

static void answer(void *arg, struct respond_conn *link, uint32_t argc, const struct bytes *argv)
{
    struct fake_source *s = arg;
    struct fake_conn *c = (struct fake_conn *)link;
    struct buf *out = s->port->ops->out(s->port, link->id);
    if (out == NULL || s->silent)
        return;
    if (argc == 0) {
        s->newlines++;
    } else if (bytes_is_nocase(argv[0], "auth")) {
        c->authenticated = s->password != NULL && bytes_is(argv[argc - 1], s->password);
        buf_put_str(out, c->authenticated ? "+OK\r\n"
                                          : "-WRONGPASS invalid username-password pair or user is "
                                            "disabled.\r\n");
    } else if (s->password != NULL && !c->authenticated) {
        buf_put_str(out, "-NOAUTH Authentication required.\r\n");
    } else if (bytes_is_nocase(argv[0], "info")) {
        info(s, out);
    } else if (bytes_is_nocase(argv[0], "replconf")) {
        replconf(s, c, argc, argv, out);
    } else if (bytes_is_nocase(argv[0], "psync") && argc == 3) {
        psync(s, c, argv[1], argv[2], out);
    } else {
        buf_put_str(out, "-ERR unknown command\r\n");
    }
}

static void step(void *self, struct port *port, const struct event *ev)
{
    struct fake_source *s = self;
    s->port = port;
    if (ev->kind == EV_START)
        port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = 6379});
    else
        respond_event(&s->respond, port, ev);
}

static uint64_t deadline(void *self)
{
    (void)self;
    return UINT64_MAX;
}

void fake_source_start(struct fake_source *s, struct world *w, uint32_t host)
{
    respond_forget(&s->respond);
    s->port = world_machine(w, host, 1,
                            (struct machine){.self = s, .step = step, .deadline = deadline}, NULL);
}
