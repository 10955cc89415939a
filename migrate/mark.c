/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/mark.h"

#include "base/num.h"
#include "base/resp_reply.h"

#include <stdio.h>

static const char *const states[] = {"none", "loading", "at", "beyond"};

void mark_put(struct buf *out, const struct mark *m)
{
    buf_putf(out, "1 %s %s %lld %lld %s %llu %s", states[m->state], m->source, (long long)m->db,
             (long long)m->selected, m->id[0] ? m->id : "-", (unsigned long long)m->offset,
             m->run[0] ? m->run : "-");
}

void mark_put_request(struct buf *out, const struct mark *m)
{
    struct buf text = {0};
    mark_put(&text, m);
    const struct bytes argv[] = {bytes_str(m->field != NULL ? "HSET" : "SET"), bytes_str(MARK_KEY),
                                 m->field != NULL ? bytes_str(m->field) : buf_bytes(&text),
                                 buf_bytes(&text)};
    resp_request_put(out, m->field != NULL ? 4 : 3, argv);
    buf_deinit(&text);
}

/* The next word, without blanks around it; empty at the end. */
static struct bytes word(struct bytes *text)
{
    const uint8_t *blank = text->n > 0 ? memchr(text->p, ' ', text->n) : NULL;
    struct bytes w = bytes_of(text->p, blank != NULL ? (size_t)(blank - text->p) : text->n);
    size_t used = w.n + (blank != NULL);
    *text = bytes_of(text->p + used, text->n - used);
    return w;
}

static bool keep(struct bytes w, char *out, size_t size)
{
    if (w.n == 0 || w.n >= size || memchr(w.p, 0, w.n) != NULL)
        return false;
    memcpy(out, w.p, w.n);
    out[w.n] = 0;
    return true;
}

bool mark_read(struct bytes text, struct mark *out)
{
    int64_t offset = 0;
    *out = (struct mark){0};
    if (text.n > MARK_TEXT_MAX || !bytes_is(word(&text), "1"))
        return false;
    struct bytes state = word(&text);
    for (unsigned i = MARK_LOADING; i <= MARK_BEYOND; i++)
        if (bytes_is(state, states[i]))
            out->state = (enum mark_state)i;
    return out->state != MARK_NONE && keep(word(&text), out->source, sizeof out->source) &&
           num_parse_i64(word(&text), &out->db) && num_parse_i64(word(&text), &out->selected) &&
           keep(word(&text), out->id, sizeof out->id) && num_parse_i64(word(&text), &offset) &&
           offset >= 0 && (out->offset = (uint64_t)offset, true) &&
           keep(word(&text), out->run, sizeof out->run) && text.n == 0;
}
