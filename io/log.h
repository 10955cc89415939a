/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_LOG_H
#define MERIDIAN_IO_LOG_H

#include "base/err.h"

#include <stdbool.h>

/*
 * Lines for operators: "2026-01-31T12:00:00.123Z I text", one write(2) each, so that lines of
 * several threads and processes never mix. Levels are E(rror), W(arning), I(nfo), D(ebug); any
 * thread may call log_line, and none waits for the file (log_writer.h).
 */
struct log {
    int fd;
    char level;                /* the least important one that is written */
    char *path;                /* NULL: stderr */
    struct log_writer *writer; /* NULL: there is no thread for it, lines are written at once */
};

/* Opens `path` for appending (NULL: stderr). The log stays where it is until it is closed. */
enum err log_open(struct log *l, const char *path, char level);
/* With all lines, unless the file has taken none for a second. */
void log_close(struct log *l);
/* Opens the file anew, after it was rotated. Keeps the old one if that fails. */
void log_reopen(struct log *l);
/* `who` stands before the text; NULL nothing. Control characters become '?': a line stays a line.
 */
void log_line(struct log *l, char level, const char *who, const char *text);
/* Before the process ends at once: waits a tenth of a second at most for what was said. */
void log_flush(struct log *l);
/* "error", "warning", "info", "debug" to the level's letter; 0 if it is none. */
char log_level_parse(const char *name);

#endif
