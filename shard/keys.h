/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SHARD_KEYS_H
#define MERIDIAN_SHARD_KEYS_H

#include "shard/glob.h"
#include "shard/shard.h"

/*
 * What command functions (shard/cmd_*.c) use: finding keys, and the one way to change them. A
 * command computes what it does from what it reads, then expresses the effect in operations through
 * key_op(). Nothing else touches values.
 */
struct key {
    struct bytes name;
    uint32_t partition;
    uint64_t hash;
    struct cell *cell; /* what is shown; NULL: absent or past its deadline. Moves with every key_op
                          on this key */
    struct cell *held; /* what the keyspace holds: `cell`, or a key that shows nothing (only a
                          deadline is left) */
    bool elem_new;     /* the last key_op was on an element that was not there */
};

/* Finds argv[i] for reading: counts hits and misses, hides what has expired. */
void key_read(struct call *c, struct bytes name, struct key *out);
/* Likewise, but that does not count as a use of the key (OBJECT IDLETIME). */
void key_peek(struct call *c, struct bytes name, struct key *out);
/* When and how often the key was used (shard/evict.h); it must be there. */
uint32_t call_access(const struct key *k);
void call_set_access(const struct key *k, uint32_t access);
/* Finds for writing: what has expired is first removed by an operation of its own. */
void key_write(struct call *c, struct bytes name, struct key *out);
/* True when absent or of that type; otherwise replies WRONGTYPE and returns false. */
bool key_is(struct call *c, const struct key *k, enum type type);
/* Stamps, applies and logs one operation on the key: sets op->key, stamp and FRESH; picks
 * EXTEND/ABSORB for increments; keeps digest, expiry index, watchers, statistics; updates k->cell.
 */
void key_op(struct call *c, struct key *k, struct op *op);
/* Short forms. */
void key_set(struct call *c, struct key *k, struct bytes val, bool keep_ttl);
void key_del(struct call *c, struct key *k);
/* Does a deadline that a command sets delete the key at once? */
bool call_is_past(const struct call *c, int64_t at_ms);
void key_expire(struct call *c, struct key *k, int64_t at_ms);
void key_elem(struct call *c, struct key *k, enum op_kind kind, struct bytes elem,
              struct bytes val);
void key_elem_real(struct call *c, struct key *k, enum op_kind kind, struct bytes elem,
                   long double real);
/* Gives `from` the name of `to`, which is replaced: RENAME. Costs the same whatever its size where
 * no other region and no log has to be told; else it is rewritten (key_copy) and removed. */
void key_move(struct call *c, struct key *from, struct key *to);
/* Rewrites all of `from` (visible type only, with deadline) under `to`, which is replaced: RENAME,
 * COPY. */
void key_copy(struct call *c, const struct key *from, struct key *to);
/* For LINS: appends a new position between two neighbours (list ends: empty) of key k for the next
 * operation's stamp. False: too deep (position_between): answer an error. */
bool key_position(struct call *c, const struct key *k, struct bytes left, struct bytes right,
                  struct buf *out);
/* PUBLISH, SPUBLISH: how many heard the message here; 0 where nobody can (shard_opts.publish). */
uint64_t call_publish(struct call *c, struct bytes channel, struct bytes text, bool sharded);
struct rng *call_rng(struct call *c);
/* The other regions (bit r) that are not known to have seen the stamp. */
uint64_t call_lacking(const struct call *c, uint32_t partition, stamp_t stamp);
bool call_is_shared(const struct call *c); /* other regions hold this database too */
uint32_t call_region(const struct call *c);
uint32_t call_actor(const struct call *c);
enum xadd_ids call_xadd_ids(const struct call *c); /* never XADD_IDS_DEFAULT */
struct buf *call_room(struct call *c); /* scratch, empty; its bytes last until the next call */
const struct shard_looks *call_looks(const struct call *c);
size_t call_stream_node(const struct call *c); /* stream-node-max-entries; never 0 */
bool call_owns_all(const struct call *c);      /* the database has one shard: every key is here */
/* Cursors of SCAN, HSCAN ...: table_scan's, below 2^53, so that clients which keep numbers as
 * doubles return them unharmed. cursor_arg replies "ERR invalid cursor" and returns false when it
 * is no number. */
bool cursor_arg(struct call *c, struct bytes arg, uint64_t *cursor);
void cursor_reply(struct call *c, uint64_t cursor); /* as a bulk string */
/* Argument parsing with Redis' errors; false when an error was replied. */
bool arg_i64(struct call *c, struct bytes arg, int64_t *out);
bool arg_double(struct call *c, struct bytes arg, double *out);

/* The tables that command.c joins; each ends with a row whose name is NULL. */
extern const struct command cmd_bits_table[];
extern const struct command cmd_blocking_table[];
extern const struct command cmd_client_table[], cmd_acl_table[];
extern const struct command cmd_crdt_table[];
extern const struct command cmd_expire_table[];
extern const struct command cmd_generic_table[];
extern const struct command cmd_debug_table[], cmd_dump_table[], cmd_object_table[],
    cmd_geo_table[];
extern const struct command cmd_hash_table[];
extern const struct command cmd_hll_table[];
extern const struct command cmd_inspect_table[];
extern const struct command cmd_keyspace_table[];
extern const struct command cmd_list_table[];
extern const struct command cmd_pubsub_table[];
extern const struct command cmd_script_table[];
extern const struct command cmd_server_table[];
extern const struct command cmd_session_table[];
extern const struct command cmd_set_table[];
extern const struct command cmd_sort_table[];
extern const struct command cmd_stream_table[];
extern const struct command cmd_string_table[];
extern const struct command cmd_zset_table[];

#endif
