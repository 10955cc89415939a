/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/world_private.h"

#include <string.h>

/*
 * A host's files. What processes see is `data`; what is on the disk is `synced` with `writes` still
 * on their way to it. The model is the one that crash consistency is tested with (Pillai et al.,
 * OSDI 2014): unsynced writes reach the disk in any selection, each whole, in part or not at all.
 */
#define SECTOR 512u

static struct file **find(struct host *h, const char *path)
{
    struct file **f = &h->files;
    while (*f != NULL && strcmp((*f)->path, path) != 0)
        f = &(*f)->next;
    return f;
}

static struct file *make(struct host *h, const char *path)
{
    struct file **at = find(h, path);
    if (*at == NULL) {
        *at = mem_zalloc(sizeof **at);
        (*at)->path = mem_strdup(path);
    }
    return *at;
}

static void drop(struct file **f)
{
    struct file *gone = *f;
    *f = gone->next;
    mem_free(gone->path);
    mem_free(gone->writes);
    buf_deinit(&gone->data);
    buf_deinit(&gone->synced);
    mem_free(gone);
}

static void set(struct buf *to, struct bytes s)
{
    buf_clear(to);
    buf_put_bytes(to, s);
}

/* Writes into a file's bytes; what lies between its end and the offset is zeros. */
static void overlay(struct buf *to, uint64_t offset, struct bytes s)
{
    while (buf_len(to) < offset)
        buf_put_u8(to, 0);
    size_t over = buf_len(to) - offset < s.n ? buf_len(to) - offset : s.n;
    if (over > 0)
        memcpy(to->p + to->head + offset, s.p, over);
    buf_put_bytes(to, bytes_of(s.p + over, s.n - over));
}

static void cut(struct buf *b, uint64_t n)
{
    if (buf_len(b) > n)
        b->tail = b->head + n;
}

static void shorten(struct file *f, uint64_t n)
{
    cut(&f->data, n);
    f->stale_to = f->stale_to < n ? f->stale_to : n;
}

/* Its bytes; its name is its folder's, and lasts when that is synced. */
static void synced(struct file *f)
{
    struct buf before = {0};
    buf_put_bytes(&before, buf_bytes(&f->synced));
    set(&f->synced, buf_bytes(&f->data));
    for (uint64_t i = f->stale_from; i < f->stale_to; i++)
        f->synced.p[f->synced.head + i] = i < buf_len(&before) ? before.p[before.head + i] : 0;
    buf_deinit(&before);
    f->writes_n = 0;
}

/* What could not be written is called clean: by who keeps it in memory, and by who drops it. */
static void unwritten(struct world *w, struct file *f)
{
    uint64_t from = UINT64_MAX, fate = rng_below(&w->rng, 3);
    for (size_t i = 0; i < f->writes_n; i++)
        from = f->writes[i].offset < from ? f->writes[i].offset : from;
    if (fate == 0 || from >= buf_len(&f->data))
        return; /* it may be yet */
    f->writes_n = 0;
    if (fate == 1) {
        shorten(f, from);
        return;
    }
    f->stale_from = f->stale_from < f->stale_to && f->stale_from < from ? f->stale_from : from;
    f->stale_to = buf_len(&f->data);
}

static void note_write(struct file *f, uint64_t offset, size_t n)
{
    if (f->writes_n == f->writes_cap) {
        f->writes_cap = f->writes_cap ? 2 * f->writes_cap : 8;
        f->writes = mem_realloc(f->writes, f->writes_cap * sizeof *f->writes);
    }
    f->writes[f->writes_n++] = (struct unsynced){.offset = offset, .n = n};
}

static uint64_t used_bytes(const struct host *h)
{
    uint64_t sum = 0;
    for (const struct file *f = h->files; f != NULL; f = f->next)
        sum += buf_len(&f->data);
    return sum;
}

static bool full(const struct host *h, size_t more)
{
    return h->disk.bytes_max > 0 && used_bytes(h) + more > h->disk.bytes_max;
}

static bool fails(struct world *w, uint32_t per_64k)
{
    return per_64k > 0 && rng_below(&w->rng, 65536) < per_64k;
}

/* ------------------------------------------------------------ requests */

static enum err read_whole(const struct file *f, struct file_req *r)
{
    if (f == NULL)
        return ERR_NOT_FOUND;
    if (buf_len(&f->data) > r->size_max)
        return ERR_TOO_BIG;
    buf_put_bytes(&r->data, buf_bytes(&f->data));
    return ERR_OK;
}

static enum err read_at(const struct file *f, struct file_req *r)
{
    if (f == NULL)
        return ERR_NOT_FOUND;
    struct bytes all = buf_bytes(&f->data);
    if (r->offset < all.n) {
        size_t n = all.n - (size_t)r->offset;
        buf_put_bytes(&r->data, bytes_of(all.p + r->offset, n < r->size_max ? n : r->size_max));
    }
    return ERR_OK;
}

static enum err replace(struct world *w, struct host *h, const struct file_req *r)
{
    const struct file *old = *find(h, r->path);
    if (full(h, buf_len(&r->data) - (old != NULL ? buf_len(&old->data) : 0)))
        return ERR_NO_SPACE;
    struct file *f = make(h, r->path);
    shorten(f, 0);
    set(&f->data, buf_bytes(&r->data));
    synced(f);
    f->named = true;
    return fails(w, h->disk.fail_replace_per_64k) ? ERR_IO : ERR_OK;
}

static enum err sync_file(struct world *w, const struct host *h, struct file *f, bool name)
{
    if (!fails(w, h->disk.fail_sync_per_64k)) {
        synced(f);
        f->named |= name;
        return ERR_OK;
    }
    unwritten(w, f);
    return ERR_IO;
}

static enum err append(struct world *w, struct host *h, const struct file_req *r)
{
    struct file *f = *find(h, r->path);
    struct bytes s = buf_bytes(&r->data);
    if (f == NULL && r->offset > 0)
        return ERR_NOT_FOUND;
    if (f != NULL && buf_len(&f->data) < r->offset)
        return ERR_BAD_BYTES;
    if (f == NULL)
        f = make(h, r->path);
    shorten(f, r->offset);
    enum err err = full(h, s.n)                            ? ERR_NO_SPACE
                   : fails(w, h->disk.fail_append_per_64k) ? ERR_IO
                                                           : ERR_OK;
    if (err != ERR_OK)
        s.n = (size_t)rng_below(&w->rng, s.n + 1);
    if (err == ERR_NO_SPACE)
        while (s.n > 0 && full(h, s.n))
            s.n /= 2;
    buf_put_bytes(&f->data, s);
    note_write(f, r->offset, s.n);
    return err == ERR_OK && r->sync ? sync_file(w, h, f, r->offset == 0) : err;
}

static enum err cut_file(struct file *f, const struct file_req *r)
{
    if (f == NULL)
        return ERR_NOT_FOUND;
    shorten(f, r->offset);
    synced(f);
    return ERR_OK;
}

/* In its place, so whatever is on the disk already stays there when it fails. */
static enum err sync_again(struct world *w, const struct host *h, struct file *f, uint64_t from)
{
    if (fails(w, h->disk.fail_sync_per_64k))
        return ERR_IO;
    f->stale_to = f->stale_to < from ? f->stale_to : from;
    synced(f);
    f->named = true;
    return ERR_OK;
}

static enum err rename_file(struct host *h, const struct file_req *r)
{
    struct file **f = find(h, r->path), **old = find(h, r->to);
    if (*f == NULL)
        return ERR_NOT_FOUND;
    if (*old != NULL && old != f)
        drop(old);
    struct file *moved = *find(h, r->path);
    mem_free(moved->path);
    moved->path = mem_strdup(r->to);
    moved->named = true;
    return ERR_OK;
}

/* The file's name when it lies in the folder; NULL: elsewhere. */
static const char *name_in(const struct file *f, const char *folder)
{
    size_t n = strlen(folder);
    if (strncmp(f->path, folder, n) != 0 || f->path[n] != '/' || strchr(f->path + n + 1, '/'))
        return NULL;
    return f->path + n + 1;
}

static void list(const struct host *h, struct file_req *r)
{
    for (const char *last = "";;) {
        const struct file *next = NULL;
        for (const struct file *f = h->files; f != NULL; f = f->next) {
            const char *name = name_in(f, r->path);
            if (name != NULL && strcmp(name, last) > 0 &&
                (next == NULL || strcmp(name, name_in(next, r->path)) < 0))
                next = f;
        }
        if (next == NULL)
            return;
        last = name_in(next, r->path);
        uint64_t size = buf_len(&next->data);
        buf_put(&r->data, &size, sizeof size);
        buf_put(&r->data, last, strlen(last) + 1);
    }
}

/* The name of the folder in `folder` that the file lies below; its length, 0: none. */
static size_t folder_in(const struct file *f, const char *folder, const char **name)
{
    size_t n = strlen(folder);
    if (strncmp(f->path, folder, n) != 0 || f->path[n] != '/')
        return 0;
    *name = f->path + n + 1;
    const char *end = strchr(*name, '/');
    return end != NULL ? (size_t)(end - *name) : 0;
}

static void list_folders(const struct host *h, struct file_req *r)
{
    struct bytes last = bytes_of(NULL, 0);
    for (;;) {
        struct bytes next = bytes_of(NULL, 0);
        for (const struct file *f = h->files; f != NULL; f = f->next) {
            const char *name = "";
            struct bytes one = bytes_of(name, folder_in(f, r->path, &name));
            one.p = (const uint8_t *)name;
            if (one.n > 0 && bytes_cmp(one, last) > 0 && (next.n == 0 || bytes_cmp(one, next) < 0))
                next = one;
        }
        if (next.n == 0)
            return;
        buf_put_bytes(&r->data, next);
        buf_put_u8(&r->data, 0);
        last = next;
    }
}

static enum err run(struct world *w, struct host *h, struct file_req *r)
{
    struct file **f = find(h, r->path);
    if ((r->op == FILE_READ || r->op == FILE_READ_AT || r->op == FILE_LIST ||
         r->op == FILE_FOLDERS) &&
        fails(w, h->disk.fail_read_per_64k))
        return ERR_IO;
    switch (r->op) {
    case FILE_READ:
        return read_whole(*f, r);
    case FILE_READ_AT:
        return read_at(*f, r);
    case FILE_WRITE:
        return replace(w, h, r);
    case FILE_APPEND:
        return append(w, h, r);
    case FILE_SYNC:
        if (*f != NULL && r->again)
            return sync_again(w, h, *f, r->offset);
        return *f != NULL ? sync_file(w, h, *f, true) : ERR_NOT_FOUND;
    case FILE_CUT:
        return cut_file(*f, r);
    case FILE_RENAME:
        return rename_file(h, r);
    case FILE_LIST:
        list(h, r);
        return ERR_OK;
    case FILE_FOLDERS:
        list_folders(h, r);
        return ERR_OK;
    case FILE_REMOVE:
        if (*f == NULL)
            return ERR_NOT_FOUND;
        drop(f);
        return ERR_OK;
    case FILE_MKDIR:
        return ERR_OK;
    }
    return ERR_IO;
}

void files_run(struct node *n, struct file_req *r)
{
    r->err = run(n->world, &n->world->hosts[n->host], r);
}

uint64_t files_travel_us(struct node *n, const struct file_req *r)
{
    const struct world_disk *d = &n->world->hosts[n->host].disk;
    uint64_t us = (d->latency_us ? d->latency_us : 100) + rng_below(&n->world->rng, 2000);
    if (r->op == FILE_SYNC || (r->op == FILE_APPEND && r->sync))
        us += d->sync_us ? d->sync_us : 1000;
    return us;
}

void files_interrupted(struct node *n, struct file_req *r)
{
    struct world *w = n->world;
    uint64_t what = rng_below(&w->rng, 3);
    if (r->op == FILE_READ || r->op == FILE_READ_AT || r->op == FILE_LIST ||
        r->op == FILE_FOLDERS || what == 0)
        return;
    if (what == 1 && r->op == FILE_APPEND) {
        r->data.tail = r->data.head + (size_t)rng_below(&w->rng, buf_len(&r->data) + 1);
        r->sync = false;
    }
    files_run(n, r);
}

/* ------------------------------------------------------------ faults */

/* What comes of one unsynced write: nothing, all, or a beginning of whole sectors. */
static void settle_write(struct world *w, struct file *f, const struct unsynced *u)
{
    struct bytes all = buf_bytes(&f->data);
    uint64_t fate = rng_below(&w->rng, 3);
    if (fate == 0 || u->offset >= all.n)
        return;
    size_t n = u->n < all.n - u->offset ? u->n : (size_t)(all.n - u->offset);
    if (fate == 1)
        n = (size_t)rng_below(&w->rng, n / SECTOR + 1) * SECTOR;
    overlay(&f->synced, u->offset, bytes_of(all.p + u->offset, n));
}

void files_power_loss(struct world *w, struct host *h)
{
    for (struct file **at = &h->files; *at != NULL;) {
        struct file *f = *at;
        for (size_t i = 0; i < f->writes_n; i++)
            settle_write(w, f, &f->writes[i]);
        f->writes_n = 0;
        f->stale_to = 0;
        set(&f->data, buf_bytes(&f->synced));
        if (!f->named && rng_below(&w->rng, 2) == 0) {
            drop(at);
        } else {
            f->named = true;
            at = &f->next;
        }
    }
}

void world_disk(struct world *w, uint32_t host, struct world_disk disk)
{
    w->hosts[host].disk = disk;
}

void world_power_loss(struct world *w, uint32_t host)
{
    world_kill(w, host, true);
    files_power_loss(w, &w->hosts[host]);
}

bool world_disk_rot(struct world *w, uint32_t host, const char *suffix, uint64_t from)
{
    size_t n = strlen(suffix);
    for (struct file *f = w->hosts[host].files; f != NULL; f = f->next) {
        size_t path = strlen(f->path), len = buf_len(&f->data);
        if (path < n || strcmp(f->path + path - n, suffix) != 0 || len <= from)
            continue;
        uint64_t bit = from * 8 + rng_below(&w->rng, (len - from) * 8);
        f->data.p[f->data.head + bit / 8] ^= (uint8_t)(1u << bit % 8);
        f->stale_to = 0;
        synced(f);
        return true;
    }
    return false;
}

bool world_file(const struct world *w, uint32_t host, const char *path, struct bytes *out)
{
    for (const struct file *f = w->hosts[host].files; f != NULL; f = f->next) {
        if (strcmp(f->path, path) != 0)
            continue;
        *out = buf_bytes(&f->data);
        return true;
    }
    return false;
}

void world_file_put(struct world *w, uint32_t host, const char *path, struct bytes content)
{
    struct file *f = make(&w->hosts[host], path);
    shorten(f, 0);
    set(&f->data, content);
    synced(f);
    f->named = true;
}

void world_files_wipe(struct world *w, uint32_t host, const char *prefix)
{
    for (struct file **at = &w->hosts[host].files; *at != NULL;) {
        if (strncmp((*at)->path, prefix, strlen(prefix)) == 0)
            drop(at);
        else
            at = &(*at)->next;
    }
}

void world_files(const struct world *w, uint32_t host,
                 void (*visit)(void *arg, const char *path, struct bytes content), void *arg)
{
    for (const struct file *f = w->hosts[host].files; f != NULL; f = f->next)
        visit(arg, f->path, buf_bytes(&f->data));
}

void files_free(struct host *h)
{
    while (h->files != NULL)
        drop(&h->files);
}
