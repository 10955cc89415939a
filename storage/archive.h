/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_STORAGE_ARCHIVE_H
#define MERIDIAN_STORAGE_ARCHIVE_H

#include "base/port.h"
#include "shard/log.h"
#include "storage/format.h"

/*
 * Reads frames back from a shard's segments, of this life and of earlier ones, for whoever was away
 * for longer than the log's memory reaches. It knows what the log before each segment covers, so a
 * reader begins where it must and not at the oldest. Only what is durable is read (with SYNC_NONE:
 * written), and what somebody reads is not removed.
 */
struct archive_place {
    uint64_t segment; /* 0: none */
    uint64_t offset;
};

/* Who is told; called within archive_take only. Everything but `arg` may be NULL. */
struct archive_readers {
    void *arg;
    /* A frame of what was asked for under `ticket`; in the log's order. Borrowed. */
    void (*frame)(void *arg, struct port *port, uint64_t ticket, const struct frame *f);
    /* That was all; `next` is behind it. Not `good`: it can't be read, nor what comes behind it. */
    void (*done)(void *arg, struct port *port, uint64_t ticket, struct archive_place next,
                 bool good, struct moment now);
    /* Somebody is not known to have all that `seen` covers of the partition: for what is removed.
     */
    bool (*lacks)(void *arg, uint32_t partition, const struct context *seen);
};

struct archive_opts {
    const char *folder;    /* copied */
    struct file_header id; /* db_uid, shard, partitions, first, count */
    void *owner;           /* of its requests */
};

struct archive;

struct archive *archive_new(const struct archive_opts *o);
void archive_free(struct archive *a); /* requests under way are answered to nobody */
void archive_set_readers(struct archive *a, const struct archive_readers *readers);
/* Looks at what earlier lives left behind, segment `last` (0: nothing) and those before it. */
void archive_start(struct archive *a, struct port *port, uint64_t last);
/* file_req.tag's low bits are STORAGE_ARCHIVE. Taken. */
void archive_answer(struct archive *a, struct port *port, struct file_req *taken);
unsigned archive_requests(const struct archive *a); /* under way */
/* As journal_opts.began. */
void archive_begin(struct archive *a, uint64_t number, uint64_t before_end,
                   const struct context *begin);
/* The newest segment may be read up to here (journal_place). */
void archive_limit(struct archive *a, uint64_t number, uint64_t offset);

/* All segments are known: before that nothing is found and nothing may be removed. */
bool archive_ready(const struct archive *a);
/* The newest segment from which on a reader gets all that it lacks of the partition: `reaches` says
 * whether it has what came before. 0: none reaches back so far. Of segments of version 1 nothing is
 * known: the oldest is tried, and the frames say whether they follow on what the reader has. */
uint64_t archive_find(const struct archive *a, uint32_t partition,
                      bool (*reaches)(void *arg, uint32_t partition, const struct context *begin),
                      void *arg);

enum archive_asked {
    ARCHIVE_ASKED, /* what comes is had by archive_take */
    ARCHIVE_END,   /* there is nothing behind `from` now */
    ARCHIVE_GONE,  /* there is no such segment (any more) */
};
/* Asks for the frames in about `bytes` from there on: a frame is never cut. One at a time for a
 * ticket, which must keep something (archive_keep). */
enum archive_asked archive_read(struct archive *a, struct port *port, uint64_t ticket,
                                struct archive_place from, size_t bytes);
/* Hands out up to `frames` of the frames that were asked for and have been read, to
 * archive_readers.frame; when there are no more, tells `done`. True: there are more. */
bool archive_take(struct archive *a, struct port *port, uint64_t ticket, unsigned frames,
                  struct moment now);
/* Bytes from there to the end. */
uint64_t archive_left(const struct archive *a, struct archive_place from);
/* The segments from this one on stay, for this ticket; 0: it has ended, and gets nothing more. */
void archive_keep(struct archive *a, uint64_t ticket, uint64_t segment);

/* The first segment that must stay, of those below `snapshot` (from which on recovery needs all):
 * one that somebody reads, or whose operations somebody lacks unless all segments together then
 * take more than `retention` bytes. */
uint64_t archive_floor(const struct archive *a, uint64_t snapshot, uint64_t retention);
/* Segments below this one are removed. */
void archive_forget(struct archive *a, uint64_t floor);

struct archive_stats {
    uint64_t segments, bytes, oldest; /* what is kept; number of the oldest */
    uint64_t bytes_read, frames_read, failures;
    uint64_t missed; /* reads of a segment that was to stay for the reader and is gone */
    unsigned readers;
};
void archive_stats(const struct archive *a, struct archive_stats *out);

#endif
