/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/log.h"

#include "base/mem.h"
#include "io/log_writer.h"
#include "io/uverr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1400
#define FLUSH_MS 100

static const char levels[] = "EWID";

/* Formats a line with its end; its length, 0 if it is not to be written. */
static size_t format_line(char *line, size_t room, char level, const char *who, const char *text)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    struct tm tm;
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &tm);
    int m = snprintf(line + n, room - n, ".%03dZ %c %s%s%s", (int)(ts.tv_nsec / 1000000), level,
                     who ? who : "", who ? " " : "", text);
    if (m < 0)
        return 0;
    n += (size_t)m;
    if (n > room - 1)
        n = room - 1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    return n;
}

static size_t lines_lost(uint64_t n, char *line, size_t room)
{
    char text[100];
    snprintf(text, sizeof text,
             "%" PRIu64 " lines are missing here: the log did not take them in time", n);
    return format_line(line, room, 'W', "log", text);
}

enum err log_open(struct log *l, const char *path, char level)
{
    *l = (struct log){.fd = STDERR_FILENO, .level = level};
    if (path != NULL) {
        l->fd = log_writer_file(path);
        if (l->fd < 0) {
            enum err e = uverr(-errno);
            l->fd = STDERR_FILENO;
            return e;
        }
        l->path = mem_strdup(path);
    }
    l->writer = log_writer_new(l->fd, path, lines_lost);
    return ERR_OK;
}

void log_close(struct log *l)
{
    bool left = l->writer != NULL && !log_writer_free(l->writer);
    if (l->path != NULL && !left)
        close(l->fd);
    mem_free(l->path);
    *l = (struct log){.fd = STDERR_FILENO, .level = l->level};
}

void log_reopen(struct log *l)
{
    if (l->writer != NULL)
        log_writer_reopen(l->writer);
    else if (l->path != NULL)
        log_writer_swap(l->fd, l->path);
}

void log_line(struct log *l, char level, const char *who, const char *text)
{
    const char *at = strchr(levels, level), *least = strchr(levels, l->level);
    if (at == NULL || least == NULL || at > least)
        return;
    char line[LOG_LINE_MAX];
    size_t n = format_line(line, sizeof line, level, who, text);
    if (l->writer != NULL) {
        log_writer_put(l->writer, line, n);
        return;
    }
    ssize_t put = write(l->fd, line, n);
    (void)put; /* a log that cannot be written has nobody to complain to */
}

void log_flush(struct log *l)
{
    if (l->writer != NULL)
        log_writer_flush(l->writer, FLUSH_MS);
}

char log_level_parse(const char *name)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return levels[i];
    return 0;
}
