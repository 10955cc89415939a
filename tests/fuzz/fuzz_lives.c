/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"
#include "tests/fuzz/fuzz.h"
#include "worker/lives.h"

/*
 * The file `lives` of a shard's folder, in all its forms. Input: a byte (1: the sum is made right,
 * so that the contents are tried), a byte for the process that reads, then the file.
 */
enum { SEALED = 1 };

static void seal(struct buf *b)
{
    size_t n = buf_len(b);
    if (n < sizeof(uint64_t))
        return;
    uint8_t *p = b->p + b->head;
    uint64_t sum = hash_64(bytes_of(p, n - sizeof sum), 0);
    memcpy(p + n - sizeof sum, &sum, sizeof sum);
}

/* Whichever byte is another one, it says nothing. */
static void covered(struct buf *b, uint32_t process)
{
    struct life_note n;
    for (size_t i = 0; i < buf_len(b); i++) {
        b->p[b->head + i] ^= (uint8_t)(1u << i % 8);
        must(!life_note_get(buf_bytes(b), process, &n));
        must(!life_note_get(bytes_of(b->p + b->head, i), process, &n));
        b->p[b->head + i] ^= (uint8_t)(1u << i % 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    uint8_t flags = fuzz_byte(&in);
    uint32_t process = fuzz_byte(&in);
    struct buf file = {0}, again = {0};
    struct life_note one, two;
    buf_put_bytes(&file, in);
    if (flags & SEALED)
        seal(&file);
    if (life_note_get(buf_bytes(&file), process, &one)) {
        covered(&file, process);
        life_note_put(&again, &one);
        must(life_note_get(buf_bytes(&again), process, &two) && life_note_eq(&one, &two));
        covered(&again, process);
    }
    buf_deinit(&file);
    buf_deinit(&again);
    return 0;
}
