/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/log/log.h"

#include "base/mem.h"
#include "crdt/value.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_SHOWN 64u /* bytes of a key or value */

struct dump {
    const struct log_filter *filter;
    const struct log_file *file;
    uint64_t offset;
    uint32_t partition;
    stamp_t said; /* first stamp of the frame whose line stands, once one of its operations shows */
    const struct frame *frame;
    bool headed;    /* that line stands */
    struct buf cut; /* a key's state that goes on in the next record */
};

static void put_text(struct bytes s)
{
    putchar('"');
    for (size_t i = 0; i < s.n && i < TEXT_SHOWN; i++) {
        uint8_t c = s.p[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c >= ' ' && c < 0x7f)
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    putchar('"');
    if (s.n > TEXT_SHOWN)
        printf("... (%zu bytes)", s.n);
}

/* "1.0": region and life. */
static void put_actor(uint32_t actor) { printf("%" PRIu32 ".%" PRIu32, actor & 63u, actor >> 6); }

static void put_stamp(stamp_t s)
{
    char at[LOG_TIME_MAX];
    if (stamp_is_zero(s))
        printf("none");
    else
        printf("%s/%" PRIu32, log_time(at, stamp_wall_ms(s)), stamp_seq(s));
}

static bool wanted_key(const struct log_filter *w, struct bytes key)
{
    return w->key == NULL || bytes_is(key, w->key);
}

static bool wanted_time(const struct log_filter *w, stamp_t s)
{
    int64_t ms = stamp_wall_ms(s);
    return ms >= w->from_ms && ms <= w->to_ms;
}

static bool wants_everything(const struct log_filter *w)
{
    return w->key == NULL && w->partition == UINT64_MAX && w->from_ms == INT64_MIN &&
           w->to_ms == INT64_MAX;
}

static void put_frame_line(struct dump *d)
{
    const struct frame *f = d->frame;
    if (d->headed)
        return;
    d->headed = true;
    printf("%10" PRIu64 "  frame  partition %" PRIu32 "  actor ", d->offset, f->partition);
    put_actor(stamp_actor(f->last));
    printf("  %" PRIu32 " operations%s  after ", f->ops_count,
           f->flags & FRAME_ATOMIC ? "  one transaction" : "");
    put_stamp(f->prev);
    for (uint32_t i = 0; i < f->deps_count; i++) {
        printf(i == 0 ? ", has seen " : " ");
        put_actor(stamp_actor(f->deps[i]));
        putchar('@');
        put_stamp(f->deps[i]);
    }
    puts("");
}

static void put_value(const struct op *op)
{
    switch (op->kind) {
    case OP_INCR:
    case OP_HINCR:
        printf("  %" PRId64, op->num);
        break;
    case OP_EXPIRE: {
        char at[LOG_TIME_MAX];
        printf("  %s", op->num == DEADLINE_NEVER ? "never" : log_time(at, op->num));
        break;
    }
    case OP_INCRF:
    case OP_HINCRF:
    case OP_ZADD:
    case OP_ZINCR:
        printf("  %.17Lg", op->real);
        break;
    default:
        if (op->val.n > 0) {
            printf("  ");
            put_text(op->val);
        }
        break;
    }
}

static void put_op(void *arg, const struct op *op)
{
    struct dump *d = arg;
    if ((op->kind != OP_FLUSH && !wanted_key(d->filter, op->key)) ||
        !wanted_time(d->filter, op->stamp))
        return;
    put_frame_line(d);
    printf("            ");
    put_stamp(op->stamp);
    printf("  %-6s ", op_kind_name(op->kind));
    if (op->kind != OP_FLUSH)
        put_text(op->key);
    if (op->elem.n > 0) {
        printf("  ");
        put_text(op->elem);
    }
    put_value(op);
    puts("");
}

static void put_key(void *arg, const struct cell *key)
{
    const struct dump *d = arg;
    char at[LOG_TIME_MAX];
    if (!wanted_key(d->filter, cell_name(key)))
        return;
    int64_t deadline = value_deadline(key);
    printf("            key ");
    put_text(cell_name(key));
    printf("  %s", type_name(value_type(key)));
    if (deadline != DEADLINE_NEVER)
        printf("  until %s", log_time(at, deadline));
    puts("");
}

static void put_context(const struct context *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        printf("%s", i == 0 ? "  up to " : " ");
        put_actor(stamp_actor(c->at[i]));
        putchar('@');
        put_stamp(c->at[i]);
    }
    puts("");
}

static void put_state(struct dump *d, const struct record *r)
{
    struct context theirs = {0};
    struct bytes rest;
    buf_clear(&d->cut);
    if (context_read(r->payload, &d->partition, &theirs, &rest) &&
        (d->filter->partition == UINT64_MAX || d->filter->partition == d->partition)) {
        printf("%10" PRIu64 "  %s  partition %" PRIu32, d->offset,
               r->kind == RECORD_STATE ? "joined state" : "partition", d->partition);
        put_context(&theirs);
        inspect_keys(rest, put_key, d);
    }
    context_deinit(&theirs);
}

static void put_frame(struct dump *d, const struct record *r)
{
    struct frame f;
    struct context deps = {0};
    if (frame_read(r->payload, &deps, &f) &&
        (d->filter->partition == UINT64_MAX || d->filter->partition == f.partition)) {
        d->frame = &f;
        d->headed = false;
        inspect_ops(&f, put_op, d);
        d->frame = NULL;
    }
    context_deinit(&deps);
}

static void put_begin(struct bytes payload)
{
    struct context c = {0};
    uint32_t partition;
    puts("");
    while (payload.n > 0 && context_read(payload, &partition, &c, &payload)) {
        printf("            partition %" PRIu32, partition);
        put_context(&c);
    }
    context_deinit(&c);
}

static void put_other(const struct dump *d, const struct record *r)
{
    static const char *const names[RECORD_KIND_MAX] = {[RECORD_SYNCED] = "durable before offset",
                                                       [RECORD_CLOSED] = "orderly end",
                                                       [RECORD_WHOLE] = "whole, records:",
                                                       [RECORD_POLICY] = "policy from here on:",
                                                       [RECORD_BEGIN] =
                                                           "begins; the log before it covers:"};
    static const char *const policies[] = {"always", "every second", "none"};
    uint64_t n = 0;
    if (!wants_everything(d->filter))
        return;
    printf("%10" PRIu64 "  %s", d->offset, names[r->kind] != NULL ? names[r->kind] : "a record");
    if (r->kind == RECORD_POLICY && r->payload.n == 1 && r->payload.p[0] <= SYNC_NONE)
        printf(" %s", policies[r->payload.p[0]]);
    if (r->kind == RECORD_BEGIN) {
        put_begin(r->payload);
        return;
    }
    if (r->payload.n == sizeof n) {
        memcpy(&n, r->payload.p, sizeof n);
        printf(" %" PRIu64, n);
    }
    puts("");
}

static void put_record(void *arg, const struct record *r, uint64_t offset)
{
    struct dump *d = arg;
    d->offset = offset;
    if (r->kind == RECORD_FRAME)
        put_frame(d, r);
    else if (r->kind == RECORD_STATE || r->kind == RECORD_PARTITION)
        put_state(d, r);
    else if (r->kind != RECORD_KEYS)
        put_other(d, r);
    else if (d->filter->partition == UINT64_MAX || d->filter->partition == d->partition)
        (void)inspect_piece(&d->cut, r->payload, put_key, d);
}

static bool dump_file(const struct log_folder *f, struct log_file *file,
                      const struct log_filter *filter)
{
    struct dump d = {.filter = filter, .file = file};
    struct inspect_opts o = {.content = file->content,
                             .kind = file->kind,
                             .number = file->number,
                             .last = file == &f->files[f->n - 1],
                             .visit = put_record,
                             .arg = &d};
    bool ok = true;
    printf("%s/%s\n", f->path, file->name);
    do {
        inspect(&o, &file->seen);
        if (file->seen.state == INSPECT_TORN)
            printf("%10" PRIu64 "  torn end, %" PRIu64 " bytes\n", file->seen.end,
                   file->content.n - file->seen.end);
        else if (file->seen.state != INSPECT_WHOLE)
            printf("%10" PRIu64 "  DAMAGED: %s\n", file->seen.end, file->seen.what);
        ok &= file->seen.state == INSPECT_WHOLE || file->seen.state == INSPECT_TORN;
        o.from = file->seen.resumes;
    } while (file->seen.headed && file->seen.state == INSPECT_DAMAGED && o.from != 0);
    buf_deinit(&d.cut);
    return ok;
}

static bool dump_folder(void *arg, const char *path)
{
    struct log_folder f;
    bool ok = log_folder_load(&f, path);
    for (size_t i = 0; ok && i < f.n; i++)
        ok &= dump_file(&f, &f.files[i], arg);
    log_folder_unload(&f);
    return ok;
}

/* One file of a folder. */
static int dump_one(const char *path, const struct log_filter *filter)
{
    char folder[PATH_MAX];
    struct log_folder f;
    const char *slash = strrchr(path, '/');
    int n = slash == NULL ? snprintf(folder, sizeof folder, ".")
                          : snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    if (n >= (int)sizeof folder || !log_folder_load(&f, n == 0 ? "/" : folder))
        return 1;
    bool ok = false, found = false;
    for (size_t i = 0; i < f.n && !found; i++) {
        found = strcmp(f.files[i].name, slash != NULL ? slash + 1 : path) == 0;
        if (found)
            ok = dump_file(&f, &f.files[i], filter);
    }
    if (!found)
        fprintf(stderr, "meridian log: %s: its name is not that of a segment or a snapshot\n",
                path);
    log_folder_unload(&f);
    return !ok;
}

int log_dump(const char *path, const struct log_filter *filter)
{
    struct stat st;
    struct log_filter copy = *filter;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        return dump_one(path, filter);
    return log_folders_each(path, dump_folder, &copy) != 0;
}
