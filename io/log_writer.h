/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_LOG_WRITER_H
#define MERIDIAN_IO_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes a log's lines in a thread of its own: the log may lie on a disk that hangs, or be a pipe
 * that nobody reads, and then only this thread waits. A line that was put is written unless the
 * process dies in the same moment, the file takes nothing (a full disk), or more than
 * LOG_QUEUE_BYTES wait; what was lost is counted, and `lost` says so when lines are written again.
 */
#define LOG_QUEUE_BYTES ((size_t)256 << 10)

struct log_writer;

/* A line that says that `n` are missing, into `line`; its length. Called in the writer's thread. */
typedef size_t log_lost_fn(uint64_t n, char *line, size_t room);

/* Opens `path` for appending; the descriptor, or -1 with errno. */
int log_writer_file(const char *path);
/* Opens `path` anew under the number `fd`; as it was if that fails. */
void log_writer_swap(int fd, const char *path);
/* Writes to `fd`, which stays the caller's; `path` is copied, NULL if it has none. NULL: no thread
 * can be started. */
struct log_writer *log_writer_new(int fd, const char *path, log_lost_fn *lost);
/* Waits a second at most for what was put. False: the thread hangs in the system, and is left there
 * with its memory and `fd`: the process is about to end. */
bool log_writer_free(struct log_writer *w);
/* Any thread; does not wait for the file. Of `n` bytes, one line with its end. */
void log_writer_put(struct log_writer *w, const char *line, size_t n);
/* Opens the file anew before what comes later is written. Does not wait. */
void log_writer_reopen(struct log_writer *w);
/* Waits until all is written that was put; false: not within `ms` milliseconds. */
bool log_writer_flush(struct log_writer *w, unsigned ms);

#endif
