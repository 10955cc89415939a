/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "worker/lives.h"

#include "base/hash.h"

#define NOTE_BYTES 48u
#define OLD_NOTE_BYTES 24u

void life_note_put(struct buf *out, const struct life_note *n)
{
    uint64_t flags = (uint64_t)n->complete | (uint64_t)n->split << 1 | (uint64_t)n->lacks << 2;
    const uint64_t fields[] = {n->process, n->life, n->settled, flags};
    size_t at = buf_len(out);
    buf_put(out, flags > 1 ? "MERLIFE3" : "MERLIFE2", 8);
    buf_put(out, fields, sizeof fields);
    struct bytes all = buf_bytes(out);
    uint64_t sum = hash_64(bytes_of(all.p + at, all.n - at), 0);
    buf_put(out, &sum, sizeof sum);
}

static bool sum_is_right(struct bytes in)
{
    uint64_t sum;
    memcpy(&sum, in.p + in.n - sizeof sum, sizeof sum);
    return sum == hash_64(bytes_of(in.p, in.n - sizeof sum), 0);
}

static bool begins(struct bytes in, const char *magic) { return memcmp(in.p, magic, 8) == 0; }

bool life_note_get(struct bytes in, uint32_t process, struct life_note *out)
{
    uint64_t fields[4];
    bool old = in.n == OLD_NOTE_BYTES && begins(in, "MERLIVES");
    bool good = in.n == NOTE_BYTES && (begins(in, "MERLIFE2") || begins(in, "MERLIFE3"));
    if ((!old && !good) || !sum_is_right(in))
        return false;
    memcpy(fields, in.p + 8, old ? sizeof fields[0] : sizeof fields);
    if (old) /* each process was a life */
        *out = (struct life_note){.life = process > 0 ? process - 1 : 0,
                                  .settled = (uint32_t)fields[0]};
    else
        *out = (struct life_note){.process = (uint32_t)fields[0],
                                  .life = (uint32_t)fields[1],
                                  .settled = (uint32_t)fields[2],
                                  .complete = fields[3] & 1,
                                  .split = fields[3] >> 1 & 1,
                                  .lacks = fields[3] >> 2 & 1};
    return true;
}
