/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void buf_deinit(struct buf *b)
{
    struct mem_account *account = b->charged ? mem_account_now : NULL;
    account = mem_account_enter(account);
    mem_free(b->p);
    mem_account_leave(account);
    *b = (struct buf){.charged = b->charged};
}

void buf_grow(struct buf *b, size_t room)
{
    size_t len = buf_len(b);
    if (b->head > 0) {
        memmove(b->p, b->p + b->head, len);
        b->head = 0;
        b->tail = len;
    }
    if (b->cap - b->tail >= room)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap - len < room)
        cap += cap / 2 > room ? cap / 2 : room;
    struct mem_account *account = b->charged ? mem_account_now : NULL;
    account = mem_account_enter(account);
    b->p = mem_realloc(b->p, cap);
    mem_account_leave(account);
    b->cap = cap;
}

void buf_consume(struct buf *b, size_t n)
{
    b->head += n;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}

void buf_reuse(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_deinit(b);
    else
        buf_clear(b);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
        b->tail += (size_t)n;
    }
    va_end(again);
}
