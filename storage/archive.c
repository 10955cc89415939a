/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "storage/archive.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define HEAD_BYTES (64u << 10) /* enough for most BEGIN records */

struct segment {
    uint64_t number, before;
    uint64_t end;          /* of its bytes: of the newest, where it may be read to */
    struct context *begin; /* by partition, owned; NULL: not known */
};

/* A read under way, or what it brought until all of it is taken. */
struct reading {
    uint32_t id;
    uint64_t ticket;                 /* 0: of the archive itself, a segment's head */
    struct archive_place from, next; /* of what was asked for; of what is not yet taken */
    size_t bytes;
    bool here;
    bool shorter;    /* the file has become so: less came than was asked for */
    struct buf data; /* from `next` on */
};

struct keeper {
    uint64_t ticket, segment;
};

struct archive {
    char *folder; /* owned */
    struct file_header id;
    void *owner;
    struct archive_readers readers;
    struct buf segments; /* struct segment, oldest first, each the one before the next */
    struct buf found;    /* of a listing: struct segment, whose heads are to be read */
    uint64_t follows;    /* the one before the oldest known */
    struct buf readings; /* struct reading; what they hold is owned */
    struct buf keepers;  /* struct keeper */
    struct context deps; /* of the frame being read */
    uint32_t ids;
    bool lists, ready;
    struct archive_stats stats;
};

struct archive *archive_new(const struct archive_opts *o)
{
    struct archive *a = mem_zalloc(sizeof *a);
    a->folder = mem_strdup(o->folder);
    a->id = o->id;
    a->owner = o->owner;
    return a;
}

static void segment_deinit(struct segment *s, uint32_t partitions)
{
    for (uint32_t i = 0; s->begin != NULL && i < partitions; i++)
        context_deinit(&s->begin[i]);
    mem_free(s->begin);
}

static size_t count(const struct archive *a)
{
    return buf_len(&a->segments) / sizeof(struct segment);
}

static struct segment *segment_at(const struct archive *a, size_t i)
{
    return (struct segment *)(void *)(a->segments.p + a->segments.head) + i;
}

static size_t readings(const struct archive *a)
{
    return buf_len(&a->readings) / sizeof(struct reading);
}

static struct reading *reading_at(const struct archive *a, size_t i)
{
    return (struct reading *)(void *)(a->readings.p + a->readings.head) + i;
}

static size_t keepers(const struct archive *a)
{
    return buf_len(&a->keepers) / sizeof(struct keeper);
}

static struct keeper *keeper_at(const struct archive *a, size_t i)
{
    return (struct keeper *)(void *)(a->keepers.p + a->keepers.head) + i;
}

void archive_free(struct archive *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < count(a); i++)
        segment_deinit(segment_at(a, i), a->id.count);
    buf_deinit(&a->segments);
    buf_deinit(&a->found);
    for (size_t i = 0; i < readings(a); i++)
        buf_deinit(&reading_at(a, i)->data);
    buf_deinit(&a->readings);
    buf_deinit(&a->keepers);
    context_deinit(&a->deps);
    mem_free(a->folder);
    mem_free(a);
}

void archive_set_readers(struct archive *a, const struct archive_readers *readers)
{
    a->readers = *readers;
}

/* ------------------------------------------------------------ requests */

static struct file_req *request(struct archive *a, enum file_op op, const char *path)
{
    struct file_req *r = file_req_new(op, path);
    r->owner = a->owner;
    r->tag = STORAGE_ARCHIVE;
    return r;
}

static void ask_bytes(struct archive *a, struct port *port, const struct reading *ask)
{
    char name[FILE_NAME_MAX], path[1280];
    struct reading reading = *ask;
    a->ids = (a->ids + 1) & (UINT32_MAX >> STORAGE_TAG_BITS);
    a->ids += a->ids == 0;
    reading.id = a->ids;
    buf_put(&a->readings, &reading, sizeof reading);
    file_name(name, FILE_KIND_SEGMENT, ask->from.segment);
    snprintf(path, sizeof path, "%s/%s", a->folder, name);
    struct file_req *r = request(a, FILE_READ_AT, path);
    r->tag |= reading.id << STORAGE_TAG_BITS;
    r->offset = ask->from.offset;
    r->size_max = ask->bytes;
    port->ops->file(port, r);
}

static void remove_reading(struct archive *a, size_t i, struct reading *out)
{
    *out = *reading_at(a, i);
    *reading_at(a, i) = *reading_at(a, readings(a) - 1);
    a->readings.tail -= sizeof *out;
}

/* What was asked for as number `id`, or (0) what is here for the ticket. */
static bool take_reading(struct archive *a, uint32_t id, uint64_t ticket, struct reading *out)
{
    for (size_t i = 0; i < readings(a); i++) {
        const struct reading *r = reading_at(a, i);
        if (id != 0 ? r->here || r->id != id : !r->here || r->ticket != ticket)
            continue;
        remove_reading(a, i, out);
        return true;
    }
    return false;
}

unsigned archive_requests(const struct archive *a)
{
    unsigned n = a->lists;
    for (size_t i = 0; i < readings(a); i++)
        n += !reading_at(a, i)->here;
    return n;
}

/* ------------------------------------------------------------ what there is */

void archive_start(struct archive *a, struct port *port, uint64_t last)
{
    a->follows = last;
    a->lists = true;
    port->ops->file(port, request(a, FILE_LIST, a->folder));
}

/* Reads the head of the newest segment that is not known yet. */
static void next_head(struct archive *a, struct port *port, size_t bytes)
{
    size_t n = buf_len(&a->found) / sizeof(struct segment);
    struct segment s;
    if (n > 0)
        memcpy(&s, a->found.p + a->found.tail - sizeof s, sizeof s);
    if (n == 0 || s.number != a->follows) { /* what is older has no way to here */
        buf_deinit(&a->found);
        a->ready = true;
        return;
    }
    ask_bytes(a, port, &(struct reading){.from = {.segment = s.number}, .bytes = bytes});
}

static void listed(struct archive *a, struct port *port, struct bytes list)
{
    while (list.n > sizeof(uint64_t)) {
        struct segment s = {0};
        enum file_kind kind;
        const char *name = (const char *)list.p + sizeof s.end;
        size_t used = sizeof s.end + strlen(name) + 1;
        memcpy(&s.end, list.p, sizeof s.end);
        if (file_name_read(name, &kind, &s.number) && kind == FILE_KIND_SEGMENT &&
            s.number <= a->follows)
            buf_put(&a->found, &s, sizeof s);
        list = bytes_of(list.p + used, list.n - used);
    }
    next_head(a, port, HEAD_BYTES);
}

/* Takes a BEGIN record apart; NULL: malformed. */
static struct context *read_begin(const struct archive *a, struct bytes payload)
{
    struct context *begin = mem_zalloc(a->id.count * sizeof *begin);
    uint32_t partition, i = 0;
    for (; i < a->id.count; i++)
        if (!context_read(payload, &partition, &begin[i], &payload) || partition != a->id.first + i)
            break;
    if (i == a->id.count && payload.n == 0)
        return begin;
    segment_deinit(&(struct segment){.begin = begin}, a->id.count);
    return NULL;
}

static bool is_ours(const struct archive *a, const struct file_header *h, uint64_t number)
{
    return h->kind == FILE_KIND_SEGMENT && h->number == number && h->db_uid == a->id.db_uid &&
           h->shard == a->id.shard && h->partitions == a->id.partitions &&
           h->first == a->id.first && h->count == a->id.count;
}

/* The head of the last of `found`, or as much of it as was asked for. One that can't be read ends
 * the way back. */
static void headed(struct archive *a, struct port *port, struct bytes in, size_t asked)
{
    struct segment s;
    struct file_header h;
    struct record r;
    const char *why;
    uint64_t need = 0;
    memcpy(&s, a->found.p + a->found.tail - sizeof s, sizeof s);
    if (header_read(in, &h, &why) != HEADER_OK || !is_ours(a, &h, s.number)) {
        a->follows = 0;
        next_head(a, port, 0);
        return;
    }
    struct bytes rest = bytes_of(in.p + h.size, in.n - h.size);
    enum record_result got = record_read(rest, s.number, h.size, &r, &need);
    bool begins = rest.n >= 8 && rest.p[7] == RECORD_BEGIN;
    if (got == RECORD_MORE && begins && h.size + need <= s.end && h.size + need > asked) {
        next_head(a, port, h.size + (size_t)need);
        return;
    }
    if (got == RECORD_OK && r.kind == RECORD_BEGIN)
        s.begin = read_begin(a, r.payload);
    s.before = h.before;
    a->found.tail -= sizeof s;
    a->follows = s.before;
    buf_put(&a->segments, &s, sizeof s);
    struct segment *all = segment_at(a, 0);
    for (size_t i = count(a) - 1; i > 0 && all[i - 1].number > all[i].number; i--) {
        struct segment swap = all[i - 1];
        all[i - 1] = all[i];
        all[i] = swap;
    }
    next_head(a, port, HEAD_BYTES);
}

void archive_begin(struct archive *a, uint64_t number, uint64_t before_end,
                   const struct context *begin)
{
    size_t n = count(a);
    if (n > 0 && segment_at(a, n - 1)->number == number)
        return; /* written again after a failure */
    if (n > 0 && before_end != FORMAT_END_UNKNOWN)
        segment_at(a, n - 1)->end = before_end;
    struct segment s = {.number = number, .before = number - 1};
    s.begin = mem_zalloc(a->id.count * sizeof *s.begin);
    for (uint32_t i = 0; i < a->id.count; i++)
        context_copy(&s.begin[i], &begin[i]);
    buf_put(&a->segments, &s, sizeof s);
}

void archive_limit(struct archive *a, uint64_t number, uint64_t offset)
{
    size_t n = count(a);
    if (n > 0 && segment_at(a, n - 1)->number == number)
        segment_at(a, n - 1)->end = offset;
}

bool archive_ready(const struct archive *a) { return a->ready; }

/* The index of the first segment whose number is not below; count(a): none. */
static size_t index_of(const struct archive *a, uint64_t number)
{
    size_t low = 0, high = count(a);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (segment_at(a, mid)->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

uint64_t archive_find(const struct archive *a, uint32_t partition,
                      bool (*reaches)(void *arg, uint32_t partition, const struct context *begin),
                      void *arg)
{
    if (!a->ready || count(a) == 0)
        return 0;
    for (size_t i = count(a); i-- > 0;) {
        const struct segment *s = segment_at(a, i);
        if (s->begin != NULL && reaches(arg, partition, &s->begin[partition - a->id.first]))
            return s->number;
    }
    const struct segment *oldest = segment_at(a, 0);
    return oldest->begin == NULL ? oldest->number : 0;
}

/* ------------------------------------------------------------ reading */

/* Is the ticket's reader still there? */
static bool is_kept(const struct archive *a, uint64_t ticket);

enum archive_asked archive_read(struct archive *a, struct port *port, uint64_t ticket,
                                struct archive_place from, size_t bytes)
{
    size_t i = index_of(a, from.segment);
    if (!a->ready || i == count(a) || segment_at(a, i)->number != from.segment) {
        a->stats.missed += is_kept(a, ticket);
        return ARCHIVE_GONE;
    }
    while (from.offset >= segment_at(a, i)->end) {
        if (from.offset > segment_at(a, i)->end && from.offset > 0)
            return ARCHIVE_GONE; /* the disk failed, and it was written anew */
        if (++i == count(a))
            return ARCHIVE_END;
        from = (struct archive_place){.segment = segment_at(a, i)->number};
    }
    uint64_t rest = segment_at(a, i)->end - from.offset;
    ask_bytes(a, port,
              &(struct reading){
                  .ticket = ticket, .from = from, .bytes = rest < bytes ? (size_t)rest : bytes});
    return ARCHIVE_ASKED;
}

uint64_t archive_left(const struct archive *a, struct archive_place from)
{
    uint64_t bytes = 0;
    for (size_t i = index_of(a, from.segment); i < count(a); i++)
        bytes += segment_at(a, i)->end;
    return bytes > from.offset ? bytes - from.offset : 0;
}

static bool tell_frame(struct archive *a, struct port *port, uint64_t ticket, struct bytes payload)
{
    struct frame f;
    if (!frame_read(payload, &a->deps, &f) || f.partition - a->id.first >= a->id.count)
        return false;
    a->stats.frames_read++;
    if (a->readers.frame != NULL)
        a->readers.frame(a->readers.arg, port, ticket, &f);
    return true;
}

enum told { TOLD_SOME, TOLD_ALL, TOLD_BAD };

/* Hands out at most `frames` whole frames of what was read; r->next is moved behind them. *need:
 * bytes of the record that goes on behind it, 0 none. */
static enum told tell_frames(struct archive *a, struct port *port, struct reading *r,
                             unsigned frames, uint64_t *need)
{
    *need = 0;
    if (r->next.offset == 0) {
        struct file_header h;
        const char *why;
        if (header_read(buf_bytes(&r->data), &h, &why) != HEADER_OK ||
            !is_ours(a, &h, r->next.segment))
            return TOLD_BAD;
        buf_consume(&r->data, h.size);
        r->next.offset = h.size;
    }
    while (buf_len(&r->data) > 0) {
        struct record record;
        enum record_result got =
            record_read(buf_bytes(&r->data), r->next.segment, r->next.offset, &record, need);
        if (got != RECORD_OK)
            return got == RECORD_MORE ? TOLD_ALL : TOLD_BAD;
        if (frames == 0)
            break;
        if (record.kind == RECORD_FRAME && !tell_frame(a, port, r->ticket, record.payload))
            return TOLD_BAD;
        frames -= record.kind == RECORD_FRAME;
        r->next.offset += record.size;
        buf_consume(&r->data, record.size);
    }
    *need = 0;
    return buf_len(&r->data) > 0 ? TOLD_SOME : TOLD_ALL;
}

static void reading_ends(struct archive *a, struct port *port, const struct reading *r, bool good,
                         struct moment now)
{
    if (!good) {
        a->stats.failures++;
        port_log(port, 'E',
                 "log segment %016" PRIx64 " in %s can't be read at offset %" PRIu64
                 ": peers get states instead. Look with `meridian log check %s`",
                 r->next.segment, a->folder, r->next.offset, a->folder);
    }
    if (a->readers.done != NULL)
        a->readers.done(a->readers.arg, port, r->ticket, r->next, good, now);
}

bool archive_take(struct archive *a, struct port *port, uint64_t ticket, unsigned frames,
                  struct moment now)
{
    struct reading r;
    uint64_t need = 0;
    if (!take_reading(a, 0, ticket, &r))
        return false;
    enum told told = buf_len(&r.data) > 0 ? tell_frames(a, port, &r, frames, &need) : TOLD_BAD;
    if (!is_kept(a, ticket)) { /* it has seen enough */
        buf_deinit(&r.data);
        return false;
    }
    if (told == TOLD_SOME) {
        buf_put(&a->readings, &r, sizeof r);
        return true;
    }
    buf_deinit(&r.data);
    if (need > 0 && told == TOLD_ALL) { /* the last record goes on behind what was read */
        size_t i = index_of(a, r.next.segment);
        bool known = i < count(a) && segment_at(a, i)->number == r.next.segment;
        if (!known || r.shorter || segment_at(a, i)->end < r.next.offset + need) {
            told = TOLD_BAD;
        } else if (r.next.offset == r.from.offset) {
            ask_bytes(a, port,
                      &(struct reading){.ticket = ticket, .from = r.from, .bytes = (size_t)need});
            return false;
        }
    }
    reading_ends(a, port, &r, told == TOLD_ALL, now);
    return false;
}

static void have_bytes(struct archive *a, struct reading *r, struct file_req *answer)
{
    if (!is_kept(a, r->ticket))
        return;
    r->here = true;
    r->next = r->from;
    a->stats.missed += answer->err == ERR_NOT_FOUND;
    if (answer->err == ERR_OK) {
        r->data = answer->data;
        answer->data = (struct buf){0};
    }
    r->shorter = buf_len(&r->data) != r->bytes;
    a->stats.bytes_read += buf_len(&r->data);
    buf_put(&a->readings, r, sizeof *r);
}

void archive_answer(struct archive *a, struct port *port, struct file_req *taken)
{
    struct reading reading;
    if (taken->op == FILE_LIST) {
        a->lists = false;
        if (taken->err == ERR_OK)
            listed(a, port, buf_bytes(&taken->data));
        else
            a->ready = true; /* what earlier lives left is not served */
    } else if (take_reading(a, taken->tag >> STORAGE_TAG_BITS, 0, &reading)) {
        if (reading.ticket == 0)
            headed(a, port, taken->err == ERR_OK ? buf_bytes(&taken->data) : bytes_of(NULL, 0),
                   reading.bytes);
        else
            have_bytes(a, &reading, taken);
    }
    file_req_free(taken);
}

/* ------------------------------------------------------------ what stays */

void archive_keep(struct archive *a, uint64_t ticket, uint64_t segment)
{
    struct reading r;
    size_t i = 0;
    while (i < keepers(a) && keeper_at(a, i)->ticket != ticket)
        i++;
    if (segment != 0 && i < keepers(a)) {
        keeper_at(a, i)->segment = segment;
    } else if (segment != 0) {
        struct keeper k = {.ticket = ticket, .segment = segment};
        buf_put(&a->keepers, &k, sizeof k);
    } else if (i < keepers(a)) {
        *keeper_at(a, i) = *keeper_at(a, keepers(a) - 1);
        a->keepers.tail -= sizeof(struct keeper);
        if (take_reading(a, 0, ticket, &r))
            buf_deinit(&r.data);
    }
}

static bool is_kept(const struct archive *a, uint64_t ticket)
{
    for (size_t i = 0; i < keepers(a); i++)
        if (keeper_at(a, i)->ticket == ticket)
            return true;
    return false;
}

static bool is_read(const struct archive *a, uint64_t number)
{
    for (size_t i = 0; i < keepers(a); i++)
        if (keeper_at(a, i)->segment <= number)
            return true;
    return false;
}

/* Somebody is not known to have all that the log up to the end of segment i covers. */
static bool is_lacked(const struct archive *a, size_t i)
{
    const struct context *end = i + 1 < count(a) ? segment_at(a, i + 1)->begin : NULL;
    if (a->readers.lacks == NULL)
        return false;
    for (uint32_t p = 0; end != NULL && p < a->id.count; p++)
        if (a->readers.lacks(a->readers.arg, a->id.first + p, &end[p]))
            return true;
    return end == NULL;
}

uint64_t archive_floor(const struct archive *a, uint64_t snapshot, uint64_t retention)
{
    uint64_t bytes = 0;
    if (!a->ready)
        return 0;
    for (size_t i = 0; i < count(a); i++)
        bytes += segment_at(a, i)->end;
    for (size_t i = 0; i < count(a); i++) {
        const struct segment *s = segment_at(a, i);
        if (s->number >= snapshot || is_read(a, s->number) ||
            (bytes <= retention && is_lacked(a, i)))
            return s->number < snapshot ? s->number : snapshot;
        bytes -= s->end;
    }
    return snapshot;
}

void archive_forget(struct archive *a, uint64_t floor)
{
    while (count(a) > 0 && segment_at(a, 0)->number < floor) {
        segment_deinit(segment_at(a, 0), a->id.count);
        buf_consume(&a->segments, sizeof(struct segment));
    }
}

void archive_stats(const struct archive *a, struct archive_stats *out)
{
    *out = a->stats;
    out->segments = count(a);
    for (size_t i = 0; i < count(a); i++)
        out->bytes += segment_at(a, i)->end;
    out->oldest = count(a) > 0 ? segment_at(a, 0)->number : 0;
    out->readers = (unsigned)keepers(a);
}
