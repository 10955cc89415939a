/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_SYNCER_WIRE_H
#define MERIDIAN_SYNCER_WIRE_H

#include "base/hash.h"
#include "base/mp.h"
#include "crdt/context.h"
#include "shard/log.h"
#include "syncer/syncer.h"

/*
 * The link protocol. Two ends: the *puller* dialled, the *feeder* was dialled. One
 * connection carries the operations of one shard of the feeder's region to one shard of the
 * puller's, for the partitions that both own.
 *
 * Numbers: `varint` is LEB128 (7 bits a byte, low ones first, at most 10 bytes), `zigzag` a varint
 * of (v << 1) ^ (v >> 63). `u32` is big endian. Everything called msgpack follows msgpack/spec.md;
 * a context is an array of stamps (uint) in ascending order of their actors, a digest is a bin of
 * 16 bytes (big endian), texts are bin or str. Stamps are described in crdt/stamp.h; `tick(s)` is
 * s >> 10, a stamp without its actor.
 *
 * OPENING
 *   puller: 9b "MERIDIAN", u32 length, msgpack array HELLO of that length (at most 64 KiB)
 *             [protocol, guid, version, region, actor, incarnation, stale, partitions, first,
 * count, nonce, free] protocol and guid keep their places in every later protocol; readers skip
 * elements that follow the ones they know. version: of the database's configuration. first, count:
 * the partitions wanted, of which the one numbered `partitions` is the hidden one of the database's
 * settings (shard/catalog.h). nonce: bin of 16 random bytes. stale: the sender lost its memory and
 * has not caught up. free: the actor's number was another life's, of which the sender knows that it
 * is over. Region and incarnation name a life (crdt/stamp.h) that has the partitions asked for; the
 * region's 15 lives before it have ended. While the life before with its number is not known to be
 * over everywhere, either side takes nothing but news from it: a feeder sends nothing else and
 * closes when it is, a puller subscribes only then.
 *   feeder: message WELCOME, or REFUSE and the end.
 *             [protocol, version, region, actor, incarnation, stale, first, count, nonce, proof,
 * free, newest]
 *           newest: incarnation of the newest life of the puller's region that is known there. If
 *           that is later than the puller's own, which then has ended, the feeder closes behind it.
 *           first is the wanted one; count may be smaller: the puller opens another connection for
 *           the rest.
 *   puller: message PROOF, then whatever it likes.
 *
 *   proof = HMAC-SHA256(secret, role, puller's nonce, feeder's nonce, guid, 0, u32 region, u32
 *   actor) with role "F" and the feeder's numbers in WELCOME, "P" and the puller's in PROOF.
 * Nothing that a side said is acted upon before its proof.
 *
 * MESSAGES, both ways: varint length (of what follows), one byte kind, body. Bodies but those of
 * frames and slices are msgpack values one after the other; `...` repeats to the end.
 *
 * From the puller:
 *   PROOF      bin: 32 bytes
 *   SUBSCRIBE  (partition, whole: bool, digest, context)...
 *              From here on feed what `context` does not cover: the feeder region's own operations;
 *              with `whole` everybody's, as a state, unless the context covers it all. May be
 *              repeated at any time; the last one holds. Each partition is answered by a CLAIM, and
 *              before it by a TARGET if `whole`, else by a RECALL if there is something to recall.
 *   ACK        received, (partition, context)...
 *              Bytes after WELCOME that were taken so far, and what the puller has now in
 *              partitions where that changed. At least every second: also the heartbeat.
 *   RELAY      (partition, actor, from)...   feed that actor's operations after stamp `from`, too
 *   UNRELAY    (partition, actor)...
 *   HOLD       bool: true: send nothing but news and heartbeats until told otherwise
 *   VERIFY     ticket, 0, partition...             asks for digests
 *              ticket, 1, partition, cursor        for some keys from a cursor (0: the first)
 *              ticket, 2, partition, name...       for these keys
 *
 * From the feeder:
 *   WELCOME    see above
 *   REFUSE     code, text                    code: name of enum err
 *   MARK       flags                         1: stale, 2: everything there is has been sent before
 *              this. At least every second: also the heartbeat.
 *   CLAIM      (partition, context)...       what its region has seen, durably (failover_model.py)
 *   NEWS       (partition, news)...          news: see stability_encode_news
 *   RECALL     (partition, context)...
 *              What the puller's region has claimed to have, where that is more than it subscribed
 *              with.
 *   TARGET     (partition, context)...
 *              What the feeder has, durably or not, of partitions subscribed to with `whole`: who
 *              catches up has done so when it has all that.
 *   TRANSFER   partition, digest, context
 *   SLICE      bytes as transfer_next writes them
 *   JOIN       partition                     the transfer is complete
 *   LARGE      varint bytes: operations of at most so many bytes follow in PIECEs, for the next
 * FRAME that says so; those of an earlier LARGE are forgotten. Anything may come in between PIECE
 * operations BATCH      varint size, then one zstd frame: `size` bytes of whole messages PUBLISH
 * channel, text, flags (1: sharded): a client's message, at most once VERIFIED   ticket, 0,
 * (partition, digest, context)... ticket, 1, partition, context, next cursor (0: no more), (name,
 * digest)... ticket, 2, partition, context, digest...      0: absent FRAME      kind 0x80 and
 * above: the low bits are flags, the body is varint   partition - first zigzag   tick(first) -
 * tick(last of the frame before on this link; at first 0) varint   actor if ACTOR varint
 * tick(first) - tick(prev)                  if PREV varint   tick(last) - tick(first), varint ops
 * if MANY, else 0 and 1 zigzag   wall_ms - (tick(last) >> 13) - STAMP_EPOCH_MS     if WALL, else 0
 *                varint n, n x (varint actor, zigzag tick difference)       if DEPS
 *                the operations, up to the end of the message; none if AHEAD: they came in PIECEs
 *              "The frame before" means of the same partition on this link. Without ACTOR the actor
 *              is its actor; with ACTOR (which then has PREV too) deps start from nothing, else
 *              from its deps. Without PREV prev is its last. A difference of deps is to the entry's
 *              value before (0).
 */
#define WIRE_MESSAGE_MAX ((size_t)600 << 20)
#define WIRE_HELLO_MAX ((size_t)64 << 10)
#define WIRE_BATCH_MAX ((size_t)16 << 20)
#define WIRE_LARGE_MAX ((size_t)64 << 20)
#define WIRE_NONCE 16u
#define WIRE_PROOF_LEN 32u

enum wire_kind {
    WIRE_PROOF = 1,
    WIRE_SUBSCRIBE,
    WIRE_ACK,
    WIRE_RELAY,
    WIRE_UNRELAY,
    WIRE_HOLD,
    WIRE_VERIFY,
    WIRE_WELCOME = 16,
    WIRE_REFUSE,
    WIRE_MARK,
    WIRE_CLAIM,
    WIRE_NEWS,
    WIRE_TRANSFER,
    WIRE_SLICE,
    WIRE_JOIN,
    WIRE_BATCH,
    WIRE_PUBLISH,
    WIRE_VERIFIED,
    WIRE_RECALL,
    WIRE_TARGET,
    WIRE_LARGE,
    WIRE_PIECE,
    WIRE_FRAME = 0x80,
};
/* Of VERIFY and VERIFIED. */
enum { VERIFY_DIGESTS, VERIFY_KEYS, VERIFY_NAMES };
#define WIRE_MARK_STALE 1u
#define WIRE_MARK_ALL 2u

enum wire_frame_flag {
    WIRE_ACTOR = 1,
    WIRE_PREV = 2,
    WIRE_MANY = 4,
    WIRE_WALL = 8,
    WIRE_DEPS = 16,
    WIRE_ATOMIC = 32,
    WIRE_AHEAD = 64,
};

void wire_put_varint(struct buf *out, uint64_t v);

/* ------------------------------------------------------------ messages */

enum wire_result { WIRE_MORE, WIRE_OK, WIRE_BAD };

/* Takes one message off the front of `in`. body points into it; *used bytes are done with. BAD:
 * empty or longer than WIRE_MESSAGE_MAX, which is known before its bytes are here. */
enum wire_result wire_get(struct bytes in, uint8_t *kind, struct bytes *body, size_t *used);
/* Appends a whole message. */
void wire_put(struct buf *out, uint8_t kind, struct bytes body);

/* ------------------------------------------------------------ frames */

/* What both ends of a link remember of the last frame of each partition. */
struct wire_part {
    stamp_t last; /* 0: none yet */
    struct context deps;
};

struct wire_coder {
    uint64_t base; /* tick(last) of the last frame on the link */
    uint32_t first, count;
    struct wire_part *parts; /* owned */
};

void wire_coder_init(struct wire_coder *c, uint32_t first, uint32_t count);
void wire_coder_deinit(struct wire_coder *c);
/* The frame's partition must lie within the coder's. Without operations: they were sent ahead. */
void wire_put_frame(struct buf *out, struct wire_coder *c, const struct frame *f);
/* Reads kind and body of a message. f borrows ops from the body and deps from the coder, until the
 * next call; with WIRE_AHEAD it has no ops yet. False on malformed bytes; the link must then end.
 */
bool wire_get_frame(struct wire_coder *c, uint8_t kind, struct bytes body, struct frame *f);

/* The whole LARGE message; reading its body, which says at most WIRE_LARGE_MAX. */
void wire_put_large(struct buf *out, uint64_t bytes);
bool wire_get_large(struct bytes body, uint64_t *bytes);

/* The operations of a frame's message, without taking anything from it: for looking ahead. Empty
 * when malformed. */
struct bytes wire_peek_ops(uint8_t kind, struct bytes body);

/* ------------------------------------------------------------ opening */

struct wire_hello {
    char guid[64];
    uint32_t protocol, region, actor, incarnation, partitions, first, count;
    uint64_t version;
    bool stale;
    uint32_t newest; /* WELCOME only: incarnation of the newest life of the puller's region that the
                        feeder knows of */
    bool free; /* its actor's number: an earlier life that had it is over, as it has on disk */
    uint8_t nonce[WIRE_NONCE];
    uint8_t proof[WIRE_PROOF_LEN]; /* WELCOME only */
};

static inline life_t wire_life(const struct wire_hello *h)
{
    return life_make(h->region, h->incarnation);
}

/* HELLO with magic and length. */
void wire_put_hello(struct buf *out, const struct wire_hello *h);
enum handshake_result wire_get_hello(struct bytes in, struct wire_hello *h, size_t *used);
/* The whole WELCOME message. guid and partitions do not travel in it. */
void wire_put_welcome(struct buf *out, const struct wire_hello *h);
bool wire_get_welcome(struct bytes body, struct wire_hello *h);
void wire_put_refuse(struct buf *out, enum err why, const char *text);
bool wire_get_refuse(struct bytes body, enum err *why, char *text, size_t text_size);
/* The proof of the side `role` ('P' or 'F') that is `who`. */
void wire_prove(uint8_t out[WIRE_PROOF_LEN], const char *secret, char role,
                const struct wire_hello *puller, const struct wire_hello *feeder);
bool wire_same(const uint8_t *a, const uint8_t *b, size_t n); /* in constant time */

void wire_put_digest(struct buf *out, struct hash128 d);
struct hash128 wire_get_digest(struct mp *m);

#endif
