/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/inside.h"

#include "base/mem.h"

/* Blocks in a chain: entries never move, and an empty queue costs nothing. The first block is
 * small, for there is a queue a partition. */
#define BLOCK_FIRST 512u
#define BLOCK_BYTES 8192u

struct settle_block {
    struct settle_block *next;
    size_t head, tail, cap;
    uint8_t bytes[];
};

struct entry_head {
    uint64_t hash;
    stamp_t newest;
    uint32_t key_n, elem_n;
    uint8_t type;
};

void settle_deinit(struct settle *q)
{
    while (q->first != NULL) {
        struct settle_block *next = q->first->next;
        mem_free(q->first);
        q->first = next;
    }
    *q = (struct settle){0};
}

static size_t entry_size(size_t key_n, size_t elem_n)
{
    return (sizeof(struct entry_head) + key_n + elem_n + 7) & ~(size_t)7;
}

void settle_push(struct settle *q, const struct settle_entry *e)
{
    size_t size = entry_size(e->key.n, e->elem.n);
    struct settle_block *b = q->last;
    if (b == NULL || b->cap - b->tail < size) {
        size_t cap = b == NULL ? BLOCK_FIRST : BLOCK_BYTES;
        if (cap < size)
            cap = size;
        struct settle_block *fresh = mem_alloc(sizeof *fresh + cap);
        *fresh = (struct settle_block){.cap = cap};
        q->bytes += mem_block_size(fresh);
        if (b == NULL)
            q->first = fresh;
        else
            b->next = fresh;
        q->last = b = fresh;
    }
    struct entry_head head = {.hash = e->hash,
                              .newest = e->newest,
                              .key_n = (uint32_t)e->key.n,
                              .elem_n = (uint32_t)e->elem.n,
                              .type = e->type};
    uint8_t *at = b->bytes + b->tail;
    memcpy(at, &head, sizeof head);
    if (e->key.n > 0)
        memcpy(at + sizeof head, e->key.p, e->key.n);
    if (e->elem.n > 0)
        memcpy(at + sizeof head + e->key.n, e->elem.p, e->elem.n);
    b->tail += size;
    q->n++;
}

bool settle_peek(const struct settle *q, struct settle_entry *out)
{
    if (q->n == 0)
        return false;
    const uint8_t *at = q->first->bytes + q->first->head;
    struct entry_head head;
    memcpy(&head, at, sizeof head);
    *out = (struct settle_entry){.key = bytes_of(at + sizeof head, head.key_n),
                                 .elem = bytes_of(at + sizeof head + head.key_n, head.elem_n),
                                 .hash = head.hash,
                                 .newest = head.newest,
                                 .type = head.type};
    return true;
}

void settle_pop(struct settle *q)
{
    struct settle_entry e;
    if (!settle_peek(q, &e))
        return;
    struct settle_block *b = q->first;
    b->head += entry_size(e.key.n, e.elem.n);
    q->n--;
    if (q->ahead_n > 0)
        q->ahead_n--;
    if (b->head < b->tail)
        return;
    if (q->ahead == b)
        q->ahead = NULL;
    q->first = b->next;
    if (q->first == NULL)
        q->last = NULL;
    q->bytes -= mem_block_size(b);
    mem_free(b);
}

bool settle_ahead(struct settle *q, size_t max, uint64_t *hash)
{
    struct entry_head head;
    if (q->ahead_n >= max || q->ahead_n >= q->n)
        return false;
    if (q->ahead == NULL || q->ahead_n == 0) {
        q->ahead = q->first;
        q->ahead_at = q->first->head;
        q->ahead_n = 0;
    } else if (q->ahead_at == q->ahead->tail) {
        q->ahead = q->ahead->next;
        q->ahead_at = q->ahead->head;
    }
    memcpy(&head, q->ahead->bytes + q->ahead_at, sizeof head);
    q->ahead_at += entry_size(head.key_n, head.elem_n);
    q->ahead_n++;
    *hash = head.hash;
    return true;
}
