/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/log_writer.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define END_MS 1000
#define NS_PER_MS UINT64_C(1000000)
#define LOST_LINE_MAX 200

/* Lines wait in `put`; the thread takes all of them at once, and writes them from `taken`. */
struct log_writer {
    int fd;
    char *path; /* NULL: it has none */
    log_lost_fn *say_lost;
    uv_thread_t thread;
    uv_mutex_t lock; /* of what follows */
    uv_cond_t wanted, idle;
    char *put;
    size_t n;
    uint64_t lost;
    bool reopen, writing, ending, ended;
    char *taken; /* the thread's */
};

int log_writer_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

void log_writer_swap(int fd, const char *path)
{
    int now = log_writer_file(path);
    if (now < 0)
        return;
    dup3(now, fd, O_CLOEXEC);
    close(now);
}

/* Each line by itself: those of several processes do not mix. False: the file does not take it. */
static bool write_line(int fd, const char *line, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, line, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        line += put;
        n -= (size_t)put;
    }
    return true;
}

/* How many of them were lost. */
static uint64_t write_lines(int fd, const char *p, size_t n)
{
    uint64_t lost = 0;
    while (n > 0) {
        const char *end = memchr(p, '\n', n);
        size_t line = end != NULL ? (size_t)(end - p) + 1 : n;
        lost += !write_line(fd, p, line);
        p += line;
        n -= line;
    }
    return lost;
}

/* Without the lock, which is held again at the end. */
static void write_taken(struct log_writer *w, size_t n, uint64_t lost, bool reopen)
{
    char line[LOST_LINE_MAX];
    uv_mutex_unlock(&w->lock);
    if (reopen)
        log_writer_swap(w->fd, w->path);
    uint64_t missed = write_lines(w->fd, w->taken, n);
    if (lost > 0 && write_line(w->fd, line, w->say_lost(lost, line, sizeof line)))
        lost = 0;
    uv_mutex_lock(&w->lock);
    w->lost += lost + missed;
}

static void writer_main(void *arg)
{
    struct log_writer *w = arg;
    uv_mutex_lock(&w->lock);
    while (w->n > 0 || w->reopen || !w->ending) {
        if (w->n == 0 && !w->reopen) {
            uv_cond_wait(&w->wanted, &w->lock);
            continue;
        }
        char *full = w->put;
        size_t n = w->n;
        uint64_t lost = w->lost;
        bool reopen = w->reopen;
        w->put = w->taken;
        w->taken = full;
        w->n = 0;
        w->lost = 0;
        w->reopen = false;
        w->writing = true;
        write_taken(w, n, lost, reopen);
        w->writing = false;
        uv_cond_broadcast(&w->idle);
    }
    w->ended = true;
    uv_cond_broadcast(&w->idle);
    uv_mutex_unlock(&w->lock);
}

static void writer_release(struct log_writer *w)
{
    uv_cond_destroy(&w->wanted);
    uv_cond_destroy(&w->idle);
    uv_mutex_destroy(&w->lock);
    mem_free(w->put);
    mem_free(w->taken);
    mem_free(w->path);
    mem_free(w);
}

struct log_writer *log_writer_new(int fd, const char *path, log_lost_fn *lost)
{
    struct log_writer *w = mem_zalloc(sizeof *w);
    w->fd = fd;
    w->path = path != NULL ? mem_strdup(path) : NULL;
    w->say_lost = lost;
    w->put = mem_alloc(LOG_QUEUE_BYTES);
    w->taken = mem_alloc(LOG_QUEUE_BYTES);
    uv_mutex_init(&w->lock);
    uv_cond_init(&w->wanted);
    uv_cond_init(&w->idle);
    if (uv_thread_create(&w->thread, writer_main, w) == 0)
        return w;
    writer_release(w);
    return NULL;
}

/* Until `*done`, or `ms` have passed; the lock is held. */
static bool wait_for(struct log_writer *w, bool (*done)(const struct log_writer *w), unsigned ms)
{
    uint64_t until = uv_hrtime() + ms * NS_PER_MS;
    while (!done(w)) {
        uint64_t now = uv_hrtime();
        if (now >= until)
            return false;
        uv_cond_timedwait(&w->idle, &w->lock, until - now);
    }
    return true;
}

static bool is_idle(const struct log_writer *w) { return w->n == 0 && !w->reopen && !w->writing; }
static bool has_ended(const struct log_writer *w) { return w->ended; }

bool log_writer_free(struct log_writer *w)
{
    uv_mutex_lock(&w->lock);
    w->ending = true;
    uv_cond_signal(&w->wanted);
    bool ended = wait_for(w, has_ended, END_MS);
    uv_mutex_unlock(&w->lock);
    if (!ended)
        return false;
    uv_thread_join(&w->thread);
    writer_release(w);
    return true;
}

void log_writer_put(struct log_writer *w, const char *line, size_t n)
{
    uv_mutex_lock(&w->lock);
    if (n <= LOG_QUEUE_BYTES - w->n) {
        memcpy(w->put + w->n, line, n);
        w->n += n;
        uv_cond_signal(&w->wanted);
    } else {
        w->lost++;
    }
    uv_mutex_unlock(&w->lock);
}

void log_writer_reopen(struct log_writer *w)
{
    uv_mutex_lock(&w->lock);
    w->reopen = w->path != NULL;
    uv_cond_signal(&w->wanted);
    uv_mutex_unlock(&w->lock);
}

bool log_writer_flush(struct log_writer *w, unsigned ms)
{
    uv_mutex_lock(&w->lock);
    bool done = wait_for(w, is_idle, ms);
    uv_mutex_unlock(&w->lock);
    return done;
}
