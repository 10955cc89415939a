/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/hash.h"
#include "base/mem.h"
#include "storage/archive.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/*
 * Two segments on a disk, read back for a peer in pieces of any size, as they are or (SEALED) made
 * of the input's records with the checksums they need. With SHRINKS they end earlier than the
 * folder's listing said. Input: a byte of flags, two of sizes of pieces, two for the length of the
 * first segment; with SHRINKS one for each segment; then their bytes. A record of a sealed one: its
 * kind, two bytes of length, the payload.
 */
#define PARTITIONS 4u
#define FIRST 1u
#define LAST 2u
#define TICKET 7u
enum { SEALED = 1, SHRINKS = 2 };

static const struct file_header identity = {.kind = FILE_KIND_SEGMENT,
                                            .db_uid = 7,
                                            .shard = 3,
                                            .partitions = PARTITIONS,
                                            .count = PARTITIONS + 1,
                                            .policy = SYNC_SECOND};

struct disk {
    struct port port;           /* first: whose requests these are */
    struct buf files[LAST + 1]; /* by number */
    uint64_t listed[LAST + 1];  /* their sizes, as of the listing */
    struct file_req *asked;     /* owned; NULL: nothing */
};

/* ------------------------------------------------------------ the disk */

static void seal(struct buf *out, uint64_t number, uint64_t before_end, struct bytes in)
{
    struct file_header h = identity;
    h.number = number;
    h.before = number - 1;
    h.before_end = before_end;
    header_put(out, &h);
    while (in.n >= 3) {
        unsigned what = 1 + fuzz_byte(&in) % (RECORD_KIND_MAX - 1);
        size_t len = fuzz_byte(&in);
        len = len << 8 | fuzz_byte(&in);
        size_t at = record_begin(out, (enum record_kind)what);
        buf_put_bytes(out, fuzz_take(&in, len));
        record_end(out, at, number, at);
    }
}

static void on_file(struct port *port, struct file_req *taken)
{
    struct disk *d = (struct disk *)(void *)port;
    must(d->asked == NULL);
    d->asked = taken;
}

static void on_log(struct port *port, char level, const char *line)
{
    (void)port;
    must(level == 'E' && line[0] != 0);
}

static const struct port_ops ops = {.file = on_file, .log = on_log};

static void list(const struct disk *d, struct buf *out)
{
    char name[FILE_NAME_MAX];
    for (uint64_t n = FIRST; n <= LAST; n++) {
        file_name(name, FILE_KIND_SEGMENT, n);
        buf_put(out, &d->listed[n], sizeof d->listed[n]);
        buf_put(out, name, strlen(name) + 1);
    }
}

static void read_at(const struct disk *d, struct file_req *r)
{
    enum file_kind kind;
    uint64_t n = 0;
    must(file_name_read(strrchr(r->path, '/') + 1, &kind, &n) && n >= FIRST && n <= LAST);
    struct bytes all = buf_bytes(&d->files[n]);
    must(r->offset + r->size_max <= d->listed[n] || r->offset == 0);
    if (r->offset >= all.n)
        return;
    size_t rest = all.n - r->offset;
    buf_put(&r->data, all.p + r->offset, rest < r->size_max ? rest : r->size_max);
}

/* Whether something was asked for. */
static bool answer(struct disk *d, struct archive *a)
{
    struct file_req *r = d->asked;
    if (r == NULL)
        return false;
    d->asked = NULL;
    if (r->op == FILE_LIST)
        list(d, &r->data);
    else
        read_at(d, r);
    archive_answer(a, &d->port, r);
    return true;
}

/* ------------------------------------------------------------ who reads */

struct reader {
    struct archive_place place;
    unsigned frames;
    uint64_t sum; /* of the frames, in their order */
    unsigned done;
    bool good;
};

static void add_frame(struct reader *r, const struct frame *f)
{
    struct buf text = {0};
    frame_put(&text, f);
    r->sum = hash_64(buf_bytes(&text), r->sum);
    r->frames++;
    buf_deinit(&text);
}

static void on_frame(void *arg, struct port *port, uint64_t ticket, const struct frame *f)
{
    (void)port;
    must(ticket == TICKET);
    add_frame(arg, f);
}

static void on_done(void *arg, struct port *port, uint64_t ticket, struct archive_place next,
                    bool good, struct moment now)
{
    struct reader *r = arg;
    (void)port, (void)now;
    must(ticket == TICKET);
    r->place = next;
    r->good = good;
    r->done++;
}

static bool any(void *arg, uint32_t partition, const struct context *begin)
{
    (void)arg;
    must(partition <= PARTITIONS && context_le(begin, begin));
    return true;
}

/* All from there on, in reads of so many bytes, taken so many frames at a time. */
static struct reader read_from(struct disk *d, struct archive *a, uint64_t segment, size_t bytes,
                               unsigned frames)
{
    struct reader r = {.place = {.segment = segment}, .good = true};
    const struct moment now = {.wall_ms = 1, .mono_us = 1};
    archive_set_readers(a,
                        &(struct archive_readers){.arg = &r, .frame = on_frame, .done = on_done});
    archive_keep(a, TICKET, segment);
    while (r.good && archive_read(a, &d->port, TICKET, r.place, bytes) == ARCHIVE_ASKED) {
        uint64_t left = archive_left(a, r.place);
        unsigned done = r.done, had = r.frames;
        while (r.done == done && answer(d, a))
            while (archive_take(a, &d->port, TICKET, frames, now)) {
                must(r.done == done && r.frames == had + frames);
                had = r.frames;
            }
        must(r.done == done + 1);
        must(r.good ? archive_left(a, r.place) < left : archive_left(a, r.place) <= left);
    }
    archive_keep(a, TICKET, 0);
    return r;
}

/* What there is to read from there on, without pieces; true: to the end of all. */
static bool look(const struct disk *d, uint64_t segment, struct reader *out)
{
    struct context room = {0};
    bool whole = true;
    for (; whole && segment <= LAST; segment++) {
        struct file_header h;
        struct record record = {.size = 0};
        const char *why;
        uint64_t need;
        struct frame f;
        struct bytes in = buf_bytes(&d->files[segment]);
        out->place = (struct archive_place){.segment = segment};
        whole = header_read(in, &h, &why) == HEADER_OK;
        record.size = whole ? h.size : 0;
        while (whole && (out->place.offset += record.size) < d->listed[segment]) {
            in = bytes_of(in.p + record.size, in.n - record.size);
            whole = record_read(in, segment, out->place.offset, &record, &need) == RECORD_OK;
            if (!whole || record.kind != RECORD_FRAME)
                continue;
            whole = frame_read(record.payload, &room, &f) && f.partition <= PARTITIONS;
            if (whole)
                add_frame(out, &f);
        }
    }
    context_deinit(&room);
    return whole;
}

static void same(const struct reader *a, const struct reader *b)
{
    must(a->good == b->good && a->frames == b->frames && a->sum == b->sum);
    must(a->place.segment == b->place.segment && a->place.offset == b->place.offset);
}

/* ------------------------------------------------------------ the target */

static void put_files(struct disk *d, uint8_t flags, struct bytes in)
{
    size_t first = fuzz_byte(&in);
    uint8_t shorter[LAST + 1] = {0};
    first = first << 8 | fuzz_byte(&in);
    for (uint64_t n = FIRST; (flags & SHRINKS) && n <= LAST; n++)
        shorter[n] = fuzz_byte(&in);
    for (uint64_t n = FIRST; n <= LAST; n++) {
        struct buf *b = &d->files[n];
        struct bytes part = fuzz_take(&in, n == FIRST ? first : in.n);
        if (flags & SEALED)
            seal(b, n, n == FIRST ? 0 : d->listed[FIRST], part);
        else
            buf_put_bytes(b, part);
        d->listed[n] = buf_len(b);
        b->tail -= shorter[n] < buf_len(b) ? shorter[n] : buf_len(b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk d = {.port = {.ops = &ops, .neighbours = 1}};
    struct bytes in = bytes_of(data, size);
    uint8_t flags = fuzz_byte(&in);
    size_t bytes = FORMAT_HEADER + 4 * fuzz_byte(&in);
    unsigned frames = 1 + fuzz_byte(&in) % 4;
    put_files(&d, flags, in);
    struct archive *a =
        archive_new(&(struct archive_opts){.folder = "/fuzz", .id = identity, .owner = &d});
    archive_start(a, &d.port, LAST);
    while (answer(&d, a))
        must(archive_requests(a) <= 1);
    must(archive_ready(a) && archive_requests(a) == 0);
    struct archive_stats stats;
    archive_stats(a, &stats);
    for (uint32_t p = 0; p <= PARTITIONS; p++) {
        uint64_t found = archive_find(a, p, any, NULL);
        must(found <= LAST && (found == 0) == (stats.segments == 0));
    }
    if (stats.segments > 0) {
        struct reader whole = {.good = true};
        whole.good = look(&d, stats.oldest, &whole);
        struct reader one = read_from(&d, a, stats.oldest, 1u << 20, 1u << 20);
        struct reader other = read_from(&d, a, stats.oldest, bytes, frames);
        same(&one, &whole);
        same(&other, &whole);
    }
    archive_free(a);
    for (uint64_t n = FIRST; n <= LAST; n++)
        buf_deinit(&d.files[n]);
    return 0;
}
