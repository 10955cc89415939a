/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "io/io.h"
#include "io/log.h"
#include "sim/world.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Files that grow, behind both doors: the same requests, the same answers. */
struct ask {
    enum file_op op;
    const char *name, *to, *content; /* content: what is written, or must come */
    uint64_t offset;
    enum err err;
};

static const struct ask growing[] = {
    {FILE_MKDIR, "", NULL, "", 0, ERR_OK},
    {FILE_APPEND, "/b", NULL, "early", 5, ERR_NOT_FOUND},
    {FILE_APPEND, "/b", NULL, "01234", 0, ERR_OK},
    {FILE_APPEND, "/b", NULL, "56789", 5, ERR_OK},
    {FILE_APPEND, "/b", NULL, "gap", 11, ERR_BAD_BYTES},
    {FILE_READ_AT, "/b", NULL, "3456789", 3, ERR_OK},
    {FILE_READ_AT, "/b", NULL, "", 10, ERR_OK},
    {FILE_APPEND, "/b", NULL, "again", 5, ERR_OK}, /* what stood behind goes */
    {FILE_READ_AT, "/b", NULL, "01234again", 0, ERR_OK},
    {FILE_SYNC, "/b", NULL, "", 0, ERR_OK},
    {FILE_SYNC, "/none", NULL, "", 0, ERR_NOT_FOUND},
    {FILE_CUT, "/b", NULL, "", 7, ERR_OK},
    {FILE_READ_AT, "/b", NULL, "01234ag", 0, ERR_OK},
    {FILE_WRITE, "/a", NULL, "x", 0, ERR_OK},
    {FILE_LIST, "", NULL, "1 a,7 b,", 0, ERR_OK},
    {FILE_RENAME, "/b", "/a", "", 0, ERR_OK},
    {FILE_LIST, "", NULL, "7 a,", 0, ERR_OK},
    {FILE_REMOVE, "/a", NULL, "", 0, ERR_OK},
    {FILE_LIST, "", NULL, "", 0, ERR_OK},
};
#define GROWING (sizeof growing / sizeof growing[0])

struct user {
    char folder[128];
    unsigned done;
};

/* A listing as text. */
static void listing(struct bytes s, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    while (s.n > 0) {
        uint64_t n;
        memcpy(&n, s.p, sizeof n);
        const char *name = (const char *)s.p + sizeof n;
        at += (size_t)snprintf(out + at, size - at, "%" PRIu64 " %s,", n, name);
        size_t used = sizeof n + strlen(name) + 1;
        s = bytes_of(s.p + used, s.n - used);
    }
}

static void expect(unsigned i, const struct event *ev)
{
    const struct ask *a = &growing[i];
    struct bytes data = buf_bytes(&ev->file->data);
    char seen[256];
    cr_assert_eq(ev->file->err, a->err, "%u: %s", i, err_text(ev->file->err));
    if (a->op == FILE_LIST) {
        listing(data, seen, sizeof seen);
        cr_assert_str_eq(seen, a->content, "%u", i);
    } else if (a->op == FILE_READ_AT) {
        cr_assert(bytes_is(data, a->content), "%u: %.*s", i, (int)data.n, (const char *)data.p);
    }
}

static void user_step(void *self, struct port *p, const struct event *ev)
{
    struct user *u = self;
    char path[256];
    if (ev->kind == EV_FILE) {
        expect(u->done++, ev);
        file_req_free(ev->file);
    } else if (ev->kind != EV_START) {
        return;
    }
    if (u->done == GROWING) {
        p->ops->stop(p);
        return;
    }
    const struct ask *a = &growing[u->done];
    snprintf(path, sizeof path, "%s%s", u->folder, a->name);
    struct file_req *r = file_req_new(a->op, path);
    if (a->to != NULL) {
        snprintf(path, sizeof path, "%s%s", u->folder, a->to);
        r->to = mem_strdup(path);
    }
    if (a->op == FILE_APPEND || a->op == FILE_WRITE)
        buf_put_str(&r->data, a->content);
    r->offset = a->offset;
    r->size_max = 100;
    r->sync = u->done % 2 == 0;
    r->again = u->done % 2 != 0; /* which changes nothing */
    p->ops->file(p, r);
}

static uint64_t no_deadline(void *self)
{
    (void)self;
    return UINT64_MAX;
}

Test(files, grow_on_the_disk, .timeout = 20)
{
    struct user u = {.done = 0};
    struct log log;
    snprintf(u.folder, sizeof u.folder, "/tmp/meridian-test-files-%d", (int)getpid());
    log_open(&log, "/dev/null", 'E');
    io_process_init();
    struct io *io = io_new(&(struct io_opts){.count = 1, .log = &log});
    struct machine m = {.self = &u, .step = user_step, .deadline = no_deadline};
    io_run(io, &m);
    io_free(io);
    log_close(&log);
    cr_assert_eq(u.done, GROWING);
    cr_assert_eq(rmdir(u.folder), 0);
}

static void nothing(void *self, struct port *p)
{
    (void)self;
    (void)p;
}

Test(files, grow_in_the_virtual_world)
{
    struct user u = {.folder = "/data"};
    struct world *w = world_new(&(struct world_opts){.seed = 1});
    uint32_t host = world_host(w, "a");
    world_machine(w, host, 1, (struct machine){&u, user_step, no_deadline}, nothing);
    world_run(w, world_now_us(w) + 1000000);
    cr_assert_eq(u.done, GROWING);
    world_free(w);
}

/* ------------------------------------------------------------ faults */

#define RECORD 700u

/* Appends records one after the other and syncs every third; remembers how far it is sure. */
struct writer {
    uint64_t written, durable, asked;
    unsigned syncs, errors;
    bool sync_next;
};

static void writer_ask(struct writer *k, struct port *p)
{
    struct file_req *r = file_req_new(FILE_APPEND, "/data/log");
    r->offset = k->written;
    r->sync = k->sync_next;
    k->asked = k->written + RECORD;
    for (uint64_t at = k->written; at < k->asked; at++)
        buf_put_u8(&r->data, (uint8_t)(at * 7 + at / RECORD));
    p->ops->file(p, r);
}

static void writer_step(void *self, struct port *p, const struct event *ev)
{
    struct writer *k = self;
    if (ev->kind == EV_FILE) {
        bool ok = ev->file->err == ERR_OK;
        k->errors += !ok;
        if (ok)
            k->written = k->asked;
        else if (ev->file->sync) /* what was not synced before is unsure, too */
            k->written = k->durable;
        if (ok && ev->file->sync)
            k->durable = k->written;
        file_req_free(ev->file);
    } else if (ev->kind != EV_START) {
        return;
    }
    k->sync_next = ++k->syncs % 3 == 0 || k->written == 0; /* the name lasts with the first one */
    writer_ask(k, p);
}

static void check_log(const struct world *w, uint32_t host, uint64_t at_least)
{
    struct bytes got;
    if (!world_file(w, host, "/data/log", &got)) {
        cr_assert_eq(at_least, 0);
        return;
    }
    cr_assert_geq(got.n, at_least);
    for (uint64_t at = 0; at < at_least; at++)
        cr_assert_eq(got.p[at], (uint8_t)(at * 7 + at / RECORD), "byte %" PRIu64, at);
}

static unsigned torn;   /* endings that were neither all nor nothing of the last writes */
static unsigned errors; /* that writers saw */

static void fail_once(uint64_t seed, bool power, struct world_disk disk)
{
    struct writer k = {.written = 0};
    struct world *w = world_new(&(struct world_opts){.seed = seed});
    uint32_t host = world_host(w, "a");
    struct bytes got;
    world_disk(w, host, disk);
    world_machine(w, host, 1, (struct machine){&k, writer_step, no_deadline}, nothing);
    world_run(w, world_now_us(w) + 5000 + seed * 997 % 50000);
    if (power)
        world_power_loss(w, host);
    else
        world_kill(w, host, false);
    check_log(w, host, power ? k.durable : disk.fail_sync_per_64k ? k.durable : k.written);
    torn += world_file(w, host, "/data/log", &got) && got.n % RECORD != 0;
    errors += k.errors;
    world_free(w);
}

Test(files, what_was_synced_survives_the_power_what_was_written_the_process)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        fail_once(seed, true, (struct world_disk){0});
        fail_once(seed, false, (struct world_disk){0});
        fail_once(seed, true, (struct world_disk){.fail_sync_per_64k = 20000});
    }
    cr_assert_gt(torn, 20);
}

Test(files, disks_fail_halfway_and_run_full)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        fail_once(seed + 100, true, (struct world_disk){.fail_append_per_64k = 30000});
        fail_once(seed + 100, true, (struct world_disk){.bytes_max = 3000});
    }
    cr_assert_gt(errors, 200);
}

Test(files, a_bit_rots)
{
    struct world *w = world_new(&(struct world_opts){.seed = 3});
    uint32_t host = world_host(w, "a");
    struct bytes got;
    struct writer k = {.written = 0};
    world_machine(w, host, 1, (struct machine){&k, writer_step, no_deadline}, nothing);
    world_run(w, world_now_us(w) + 50000);
    world_kill(w, host, false);
    cr_assert(world_disk_rot(w, host, "log", 1000));
    cr_assert_not(world_disk_rot(w, host, "none", 0));
    cr_assert(world_file(w, host, "/data/log", &got));
    unsigned wrong = 0;
    for (uint64_t at = 0; at < k.written; at++)
        wrong += got.p[at] != (uint8_t)(at * 7 + at / RECORD);
    cr_assert_leq(wrong, 1);
    cr_assert_eq(got.p[0], 0);
    world_free(w);
}
