/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/fence.h"

#include "base/num.h"

#include <stdio.h>

void fence_init(struct fence *f, const char *what, bool all)
{
    *f = (struct fence){.all = all, .own = -1};
    snprintf(f->name, sizeof f->name, FENCE_PREFIX "%s", what);
    for (char *p = f->name; *p != 0; p++)
        if (*p <= ' ' || *p > '~')
            *p = '_'; /* no name of a client has those */
}

void fence_deinit(struct fence *f) { buf_deinit(&f->kills); }

void fence_begin(struct fence *f, struct asker *a, struct port *port)
{
    const struct bytes name[] = {bytes_str("CLIENT"), bytes_str("SETNAME"), bytes_str(f->name)};
    struct buf b = {0};
    f->killing = false;
    f->own = -1;
    f->refused[0] = 0;
    f->n = 0;
    buf_clear(&f->kills);
    resp_request_put(&b, 3, name);
    asker_put_words(&b, "CLIENT ID");
    asker_put_words(&b, "CLIENT LIST");
    asker_ask(a, port, buf_bytes(&b), 3);
    buf_deinit(&b);
}

/* The value of " name=value" in one client's line. */
static struct bytes field(struct bytes line, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n <= line.n; i++) {
        if ((i > 0 && line.p[i - 1] != ' ') || memcmp(line.p + i, name, n) != 0)
            continue;
        const uint8_t *from = line.p + i + n, *end = line.p + line.n;
        const uint8_t *blank = memchr(from, ' ', (size_t)(end - from));
        return bytes_of(from, (size_t)((blank != NULL ? blank : end) - from));
    }
    return bytes_of(NULL, 0);
}

static bool is_other(const struct fence *f, struct bytes line, int64_t *id)
{
    struct bytes name = field(line, "name=");
    bool ours = f->all ? name.n >= sizeof FENCE_PREFIX - 1 &&
                             memcmp(name.p, FENCE_PREFIX, sizeof FENCE_PREFIX - 1) == 0
                       : bytes_is(name, f->name);
    return ours && num_parse_i64(field(line, "id="), id) && *id != f->own;
}

static void look(struct fence *f, struct bytes list)
{
    const uint8_t *p = list.p, *end = list.n > 0 ? list.p + list.n : list.p;
    char words[64];
    int64_t id;
    while (p < end) {
        const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));
        if (is_other(f, bytes_of(p, (size_t)((eol != NULL ? eol : end) - p)), &id)) {
            snprintf(words, sizeof words, "CLIENT KILL ID %lld", (long long)id);
            asker_put_words(&f->kills, words);
            f->n++;
        }
        p = eol != NULL ? eol + 1 : end;
    }
}

bool fence_reply(struct fence *f, struct asker *a, struct port *port, unsigned i,
                 const struct resp_reply *r)
{
    if (r->type == '-')
        snprintf(f->refused, sizeof f->refused, "%.*s", r->text.n < 150 ? (int)r->text.n : 150,
                 (const char *)r->text.p);
    else if (!f->killing && i == 1 && r->type == ':')
        (void)num_parse_i64(r->text, &f->own);
    else if (!f->killing && i == 2 && f->own >= 0)
        look(f, r->text);
    if (a->state != ASKER_IDLE)
        return false;
    if (f->killing || f->n == 0)
        return true;
    f->killing = true;
    asker_ask(a, port, buf_bytes(&f->kills), f->n);
    return false;
}
