/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_REPLY_H
#define MERIDIAN_SHARD_REPLY_H

#include "base/buf.h"

/* Writes RESP2 or RESP3 into a buffer.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#define REPLY_MAX ((size_t)1 << 30) /* of a command that was waiting; a string of 512 MB fits */

struct reply {
    struct buf *out; /* kept */
    uint8_t resp;    /* 2 or 3 */
    uint32_t errors; /* errors replied so far, until somebody took note */
    size_t error_at; /* where the last of them stands, behind out's head */
    size_t max;      /* `out` grows no longer: texts beyond are left out; 0: there is no limit */
    bool over;       /* one was left out: see reply_limit */
};

/* Where texts were left out, an error takes the place of all that was written since `at` (bytes in
 * r->out when it began), and true is the result: what a client gets is whole or an error. */
bool reply_limit(struct reply *r, size_t at);
/* Is there room for a text of n bytes? If not, the reply will be an error. For whoever writes texts
 * into r->out itself. */
static inline bool reply_fits(struct reply *r, size_t n)
{
    if (__builtin_expect(r->max - 1 >= buf_len(r->out) + n, 1)) /* 0 - 1 is endless */
        return true;
    r->over = true;
    return false;
}

void reply_ok(struct reply *r);
void reply_simple(struct reply *r, const char *text);
/* `text` with its code: "ERR no such key"; CR and LF become blanks. */
void reply_error(struct reply *r, const char *text);
void reply_errorf(struct reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reply_int(struct reply *r, int64_t v);
void reply_bulk(struct reply *r, struct bytes s);
void reply_bulk_str(struct reply *r, const char *s);
void reply_bulk_i64(struct reply *r, int64_t v);
void reply_verbatim(struct reply *r, struct bytes s); /* txt: in RESP3, bulk in RESP2 */
void reply_double(struct reply *r, double v);         /* , in RESP3, bulk in RESP2 */
void reply_real(struct reply *r, long double v);      /* likewise, by INCRBYFLOAT's text */
void reply_bool(struct reply *r, bool v);             /* # in RESP3, 0/1 in RESP2 */
void reply_nil(struct reply *r);                      /* _ or $-1 */
void reply_nil_array(struct reply *r);                /* _ or *-1 */
void reply_array(struct reply *r, size_t n);
void reply_map(struct reply *r, size_t pairs); /* % or flat array */
/* Heads of what stands behind `at` (bytes in r->out when it began): for replies whose length shows
 * only at their end. */
void reply_array_at(struct reply *r, size_t at, size_t n);
void reply_map_at(struct reply *r, size_t at, size_t pairs);
static inline size_t reply_mark(const struct reply *r) { return buf_len(r->out); }
void reply_set(struct reply *r, size_t n); /* ~ or array */
void reply_lines(struct reply *r, const char *const *lines,
                 size_t n);                 /* HELP: an array of simple strings */
void reply_push(struct reply *r, size_t n); /* > or array */

#define WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERR_SYNTAX "ERR syntax error"
#define ERR_NOT_INT "ERR value is not an integer or out of range"
#define ERR_NOT_FLOAT "ERR value is not a valid float"
#define ERR_NO_KEY "ERR no such key"

#endif
