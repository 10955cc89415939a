/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/log.h"

#include "base/mem.h"
#include "io/uverr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1400

static const char levels[] = "EWID";

static int log_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

enum err log_open(struct log *l, const char *path, char level)
{
    *l = (struct log){.fd = STDERR_FILENO, .level = level};
    if (path == NULL)
        return ERR_OK;
    l->fd = log_file(path);
    if (l->fd < 0) {
        enum err e = uverr(-errno);
        l->fd = STDERR_FILENO;
        return e;
    }
    l->path = mem_strdup(path);
    return ERR_OK;
}

void log_close(struct log *l)
{
    if (l->path != NULL)
        close(l->fd);
    mem_free(l->path);
    *l = (struct log){.fd = STDERR_FILENO, .level = l->level};
}

void log_reopen(struct log *l)
{
    if (l->path == NULL)
        return;
    int fd = log_file(l->path);
    if (fd < 0)
        return;
    /* dup3 swaps the file under the number that other threads are writing to. */
    dup3(fd, l->fd, O_CLOEXEC);
    close(fd);
}

void log_line(struct log *l, char level, const char *who, const char *text)
{
    const char *at = strchr(levels, level), *least = strchr(levels, l->level);
    if (at == NULL || least == NULL || at > least)
        return;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    struct tm tm;
    gmtime_r(&ts.tv_sec, &tm);
    char line[LOG_LINE_MAX];
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    int m = snprintf(line + n, sizeof line - n, ".%03dZ %c %s%s%s", (int)(ts.tv_nsec / 1000000),
                     level, who ? who : "", who ? " " : "", text);
    if (m < 0)
        return;
    n += (size_t)m;
    if (n > sizeof line - 1)
        n = sizeof line - 1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n++] = '\n';
    ssize_t put = write(l->fd, line, n);
    (void)put; /* a log that cannot be written has nobody to complain to */
}

char log_level_parse(const char *name)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return levels[i];
    return 0;
}
