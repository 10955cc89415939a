/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_CMD_LIST_H
#define MERIDIAN_SHARD_CMD_LIST_H

#include "shard/keys.h"

/* What the files of list commands share; the table of all stands in cmd_list.c. */

enum list_end { LIST_HEAD, LIST_TAIL };

/* "LEFT" or "RIGHT", ignoring case; false when it is neither (nothing is replied). */
bool list_end_arg(struct bytes arg, enum list_end *out);
bool list_read(struct call *c, struct key *k);  /* argv[1]; false: WRONGTYPE was replied */
bool list_write(struct call *c, struct key *k); /* likewise */
/* Inserts between the elements of ranks `rank - 1` and `rank`; false when an error was replied. */
bool list_insert(struct call *c, struct key *k, size_t rank, struct bytes value);
bool list_push(struct call *c, struct key *k, enum list_end end, struct bytes value);
/* Removes the element at an end and replies it. The list is not empty. */
void list_pop(struct call *c, struct key *k, enum list_end end);
static inline const char *list_pop_event(enum list_end end)
{
    return end == LIST_HEAD ? "lpop" : "rpop";
}
static inline const char *list_push_event(enum list_end end)
{
    return end == LIST_HEAD ? "lpush" : "rpush";
}
/* Removes `count` elements from rank `first` on. */
void list_remove(struct call *c, struct key *k, size_t first, size_t count);
void list_reply(struct reply *r, const struct cell *elem);
/* Moves an element from the list argv[1] to argv[2] and replies it. False: nothing is there,
 * nothing was replied. */
bool list_move(struct call *c, enum list_end from, enum list_end to);

/* LMPOP's and BLMPOP's arguments from numkeys on. */
struct list_mpop {
    const struct bytes *keys;
    uint32_t count;
    enum list_end end;
    int64_t max; /* elements */
};
/* Reads them from argv[at] on; false: an error was replied. */
bool list_mpop_args(struct call *c, uint32_t at, struct list_mpop *out);
/* Pops from the first list that is not empty. False: there is none, nothing was replied. */
bool list_mpop(struct call *c, const struct list_mpop *from);

/* cmd_list_search.c: what walks a list by value */
void linsert(struct call *c);
void lrem(struct call *c);
void lpos(struct call *c);
/* cmd_list_move.c: what takes from one end */
void lpop(struct call *c);
void rpop(struct call *c);
void lmove(struct call *c);
void rpoplpush(struct call *c);
void lmpop(struct call *c);

#endif
