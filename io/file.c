/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/file.h"

#include "base/mem.h"
#include "io/uverr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_BYTES ((size_t)256 << 10)
#define FILE_SHORT 1 /* beside the errors, which are negative */

static int read_all(struct file_req *r)
{
    int rc = 0, fd = open(r->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0)
        rc = -errno;
    else if (S_ISDIR(st.st_mode))
        rc = -EISDIR;
    else if (st.st_size > 0 && (uint64_t)st.st_size > r->size_max)
        rc = -EFBIG;
    else if (st.st_size > 0)
        buf_grow(&r->data, (size_t)st.st_size + 1); /* one more to see the end without growing */
    while (rc == 0) {
        uint8_t *p = buf_reserve(&r->data, 4096);
        ssize_t n = read(fd, p, r->data.cap - r->data.tail);
        if (n == 0)
            break;
        if (n > 0)
            buf_added(&r->data, (size_t)n);
        else if (errno != EINTR)
            rc = -errno;
        if (buf_len(&r->data) > r->size_max)
            rc = -EFBIG;
    }
    close(fd);
    return rc;
}

static int write_at(int fd, struct bytes s, off_t at)
{
    while (s.n > 0) {
        ssize_t n = pwrite(fd, s.p, s.n, at);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            s = bytes_of(s.p + n, s.n - (size_t)n);
            at += n;
        }
    }
    return 0;
}

static int write_synced(int fd, struct bytes s)
{
    int rc = write_at(fd, s, 0);
    return rc == 0 && fsync(fd) != 0 ? -errno : rc;
}

/* A rename lasts only when its folder is synced. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = mem_strdup(slash ? path : ".");
    if (slash != NULL)
        folder[slash == path ? 1 : slash - path] = 0;
    int rc = 0, fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    mem_free(folder);
    return rc;
}

static int write_all(const struct file_req *r)
{
    size_t n = strlen(r->path);
    char *beside = mem_alloc(n + 5);
    memcpy(beside, r->path, n);
    memcpy(beside + n, ".new", 5);
    int rc = 0, fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, r->mode);
    if (fd < 0) {
        rc = -errno;
    } else {
        if (fchmod(fd, r->mode) != 0) /* an old file beside has another mode */
            rc = -errno;
        if (rc == 0)
            rc = write_synced(fd, buf_bytes(&r->data));
        if (close(fd) != 0 && rc == 0)
            rc = -errno;
        if (rc == 0 && rename(beside, r->path) != 0)
            rc = -errno;
        if (rc != 0)
            unlink(beside);
    }
    if (rc == 0)
        rc = sync_folder(r->path);
    mem_free(beside);
    return rc;
}

/* ------------------------------------------------------------ files that grow */

static int append_to(int fd, const struct file_req *r)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if ((uint64_t)st.st_size < r->offset)
        return FILE_SHORT;
    if ((uint64_t)st.st_size > r->offset && ftruncate(fd, (off_t)r->offset) != 0)
        return -errno;
    int rc = write_at(fd, buf_bytes(&r->data), (off_t)r->offset);
    if (rc == 0 && r->sync && fdatasync(fd) != 0)
        rc = -errno;
    return rc;
}

static int append(const struct file_req *r)
{
    int fd = open(r->path, O_WRONLY | O_CLOEXEC | (r->offset == 0 ? O_CREAT : 0), r->mode);
    if (fd < 0)
        return -errno;
    int rc = append_to(fd, r);
    if (close(fd) != 0 && rc == 0)
        rc = -errno;
    return rc == 0 && r->sync && r->offset == 0 ? sync_folder(r->path) : rc;
}

/* The system calls bytes that it could not write clean: they are on their way again when they have
 * been written again. */
static int write_again(int fd, uint64_t from)
{
    uint8_t *p = mem_alloc(AGAIN_BYTES);
    int rc = 0;
    for (ssize_t n = 1; rc == 0 && n != 0; from += n > 0 ? (uint64_t)n : 0) {
        n = pread(fd, p, AGAIN_BYTES, (off_t)from);
        if (n > 0)
            rc = write_at(fd, bytes_of(p, (size_t)n), (off_t)from);
        else if (n < 0 && errno != EINTR)
            rc = -errno;
    }
    mem_free(p);
    return rc;
}

static int sync_file(const struct file_req *r)
{
    int rc = 0, fd = open(r->path, (r->again ? O_RDWR : O_WRONLY) | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (r->again)
        rc = write_again(fd, r->offset);
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    close(fd);
    return rc == 0 ? sync_folder(r->path) : rc;
}

static int read_at(struct file_req *r)
{
    int rc = 0, fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    uint8_t *p = buf_reserve(&r->data, r->size_max);
    size_t got = 0;
    while (rc == 0 && got < r->size_max) {
        ssize_t n = pread(fd, p + got, r->size_max - got, (off_t)(r->offset + got));
        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
        else if (errno != EINTR)
            rc = -errno;
    }
    buf_added(&r->data, got);
    close(fd);
    return rc;
}

static int cut(const struct file_req *r)
{
    int rc = 0, fd = open(r->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)r->offset) != 0 || fsync(fd) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* One that is there already may not be durable either: whoever made it may have died since. */
static int make_folder(const struct file_req *r)
{
    int made = mkdir(r->path, r->mode) == 0 ? 0 : -errno;
    int synced = made == 0 || made == -EEXIST ? sync_folder(r->path) : 0;
    return made == 0 ? synced : made;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_entry(struct buf *out, int folder, const char *name)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    uint64_t size = (uint64_t)st.st_size;
    buf_put(out, &size, sizeof size);
    buf_put(out, name, strlen(name) + 1);
}

static void put_folder(struct buf *out, int folder, const char *name)
{
    struct stat st;
    if (name[0] != '.' && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode))
        buf_put(out, name, strlen(name) + 1);
}

static int list(struct file_req *r)
{
    DIR *dir = opendir(r->path);
    char **names = NULL;
    size_t n = 0, cap = 0;
    if (dir == NULL)
        return -errno;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            names = mem_realloc(names, cap * sizeof *names);
        }
        names[n++] = mem_strdup(e->d_name);
    }
    if (n > 0)
        qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (r->op == FILE_LIST)
            put_entry(&r->data, dirfd(dir), names[i]);
        else
            put_folder(&r->data, dirfd(dir), names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    closedir(dir);
    return 0;
}

void file_run(struct file_req *r)
{
    int rc = -EINVAL;
    switch (r->op) {
    case FILE_APPEND:
        rc = append(r);
        break;
    case FILE_SYNC:
        rc = sync_file(r);
        break;
    case FILE_READ_AT:
        rc = read_at(r);
        break;
    case FILE_CUT:
        rc = cut(r);
        break;
    case FILE_RENAME:
        rc = rename(r->path, r->to) == 0 ? sync_folder(r->to) : -errno;
        break;
    case FILE_LIST:
    case FILE_FOLDERS:
        rc = list(r);
        break;
    case FILE_READ:
        rc = read_all(r);
        break;
    case FILE_WRITE:
        rc = write_all(r);
        break;
    case FILE_REMOVE:
        rc = remove(r->path) == 0 ? 0 : -errno;
        break;
    case FILE_MKDIR:
        rc = make_folder(r);
        break;
    }
    r->err = rc == FILE_SHORT ? ERR_BAD_BYTES : uverr(rc);
}

struct job {
    uv_work_t work;
    struct loop *loop;
    struct file_req *req;
};

static void on_work(uv_work_t *w)
{
    struct job *j = w->data;
    file_run(j->req);
}

static void on_done(uv_work_t *w, int status)
{
    struct job *j = w->data;
    if (status == UV_ECANCELED)
        j->req->err = ERR_STOPPED;
    if (j->loop->dead) {
        file_req_free(j->req);
    } else {
        struct event ev = {.kind = EV_FILE, .err = j->req->err, .tag = j->req->tag, .file = j->req};
        loop_step(j->loop, &ev);
    }
    mem_free(j);
}

void file_start(struct loop *l, struct file_req *taken)
{
    if (l->dead) {
        file_req_free(taken);
        return;
    }
    struct job *j = mem_zalloc(sizeof *j);
    j->work.data = j;
    j->loop = l;
    j->req = taken;
    uv_queue_work(&l->uv, &j->work, on_work, on_done);
}
