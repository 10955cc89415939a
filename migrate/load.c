/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/load.h"

#include "base/mem.h"
#include "base/num.h"
#include "migrate/load_parts.h"
#include "rdb/expiring.h"

#include <stdio.h>

#define PLAIN_KEPT (1u << 20)
#define DBS_MAX 64u                    /* told apart when a file is only read */
#define RESTORE_BYTES_MAX (500u << 20) /* below what servers take as one argument (512 MiB) */

struct migrate_load {
    struct migrate_load_opts opts;
    struct migrate_load_stats stats;
    struct rdb_file file;
    struct load_parts parts;
    struct buf payload, plain;
    bool skipping; /* the key whose parts come is not taken */
    uint64_t size; /* keys in the present database, as the file says */
    struct {
        uint64_t db, keys;
    } dbs[DBS_MAX];
    unsigned ndbs;
    char why[512];
};

const char *migrate_kind_name(unsigned kind)
{
    static const char *const names[] = {[RDB_STRING] = "string",
                                        [RDB_LIST] = "list",
                                        [RDB_SET] = "set",
                                        [RDB_ZSET] = "sorted set",
                                        [RDB_HASH] = "hash",
                                        [RDB_STREAM] = "stream",
                                        [LOAD_FUNCTION] = "function library",
                                        [LOAD_MODULE] = "module's value",
                                        [LOAD_STEP] = "step"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "other";
}

struct migrate_load *migrate_load_new(const struct migrate_load_opts *o)
{
    struct migrate_load *l = mem_zalloc(sizeof *l);
    l->opts = *o;
    l->stats.db = o->db;
    rdb_file_init(&l->file, &o->limits);
    return l;
}

void migrate_load_free(struct migrate_load *l)
{
    if (l == NULL)
        return;
    rdb_file_deinit(&l->file);
    load_parts_deinit(&l->parts);
    buf_deinit(&l->payload);
    buf_deinit(&l->plain);
    mem_free(l);
}

void migrate_load_push(struct migrate_load *l, struct bytes data) { rdb_file_push(&l->file, data); }

const char *migrate_load_why(const struct migrate_load *l)
{
    return l->why[0] != 0 ? l->why : rdb_file_why(&l->file);
}

const char *migrate_load_cut(struct migrate_load *l) { return rdb_file_cut(&l->file); }

struct bytes migrate_load_rest(const struct migrate_load *l) { return rdb_file_rest(&l->file); }

uint64_t migrate_load_offset(const struct migrate_load *l) { return rdb_file_offset(&l->file); }

const struct migrate_load_stats *migrate_load_stats(const struct migrate_load *l)
{
    return &l->stats;
}

/* ------------------------------------------------------------ which keys */

/* A file that is only read is read to its end, so that the error can name all databases. */
static void count_db(struct migrate_load *l, uint64_t db)
{
    unsigned i = 0;
    while (i < l->ndbs && l->dbs[i].db != db)
        i++;
    if (i == l->ndbs && l->ndbs < DBS_MAX)
        l->dbs[l->ndbs++].db = db;
    if (i < l->ndbs)
        l->dbs[i].keys++;
}

static bool several_dbs(struct migrate_load *l)
{
    int n = snprintf(l->why, sizeof l->why, "there are keys in several databases:");
    for (unsigned i = 0; i < l->ndbs && n < 300; i++)
        n +=
            snprintf(l->why + n, sizeof l->why - (size_t)n, "%s %llu (%llu keys)", i > 0 ? "," : "",
                     (unsigned long long)l->dbs[i].db, (unsigned long long)l->dbs[i].keys);
    snprintf(l->why + n, sizeof l->why - (size_t)n,
             ": choose one with --from-db, and import each into a database of its own");
    return false;
}

/* Is it taken? *ok is false where that cannot be said. */
static bool is_ours(struct migrate_load *l, uint64_t db, bool *ok)
{
    if (l->opts.db == MIGRATE_DB_ANY && l->opts.dry) {
        count_db(l, db);
        l->stats.db = l->dbs[0].db;
        return true;
    }
    if (l->stats.db == MIGRATE_DB_ANY) {
        l->stats.db = db;
        l->stats.expected = l->size;
    }
    if (l->stats.db == db)
        return true;
    l->stats.other_dbs++;
    if (l->opts.db != MIGRATE_DB_ANY || l->opts.keep_others)
        return false;
    l->dbs[0].db = l->stats.db;
    l->dbs[0].keys = l->stats.keys;
    l->dbs[1].db = db;
    l->dbs[1].keys = 1;
    l->ndbs = 2;
    *ok = several_dbs(l);
    return false;
}

static void take_size(struct migrate_load *l, const struct rdb_record *r)
{
    l->size = r->n;
    if (l->file.db == l->stats.db)
        l->stats.expected = r->n;
}

/* ------------------------------------------------------------ commands */

static void put_restore(struct migrate_load *l, const struct rdb_record *r, uint8_t kind)
{
    char ttl[NUM_TEXT_MAX], number[NUM_TEXT_MAX];
    int64_t deadline = r->last && r->deadline >= 0 ? r->deadline : 0;
    buf_clear(&l->payload);
    rdb_record_payload(r, &l->payload);
    struct bytes argv[8] = {bytes_str("RESTORE"),
                            r->name,
                            bytes_of(ttl, num_format_i64(ttl, deadline)),
                            buf_bytes(&l->payload),
                            bytes_str("REPLACE"),
                            bytes_str("ABSTTL")};
    size_t n = 6;
    if (r->idle >= 0 || r->freq >= 0) {
        bool idle = r->idle >= 0;
        argv[n++] = bytes_str(idle ? "IDLETIME" : "FREQ");
        argv[n++] = bytes_of(number, num_format_i64(number, idle ? r->idle : r->freq));
    }
    load_parts_put(&l->parts, &(struct migrate_command){.argc = n, .argv = argv, .kind = kind}, 1);
}

/* The expiry comes last, so that the key does not vanish before it is whole. */
static void finish_parts(struct migrate_load *l, const struct rdb_record *r, uint8_t type)
{
    char at[NUM_TEXT_MAX];
    struct bytes argv[] = {bytes_str(r->deadline >= 0 ? "PEXPIREAT" : "EXISTS"), r->name,
                           bytes_of(at, num_format_i64(at, r->deadline))};
    load_parts_put(
        &l->parts,
        &(struct migrate_command){.argc = r->deadline >= 0 ? 3 : 2, .argv = argv, .kind = type}, 1);
}

static void put_value(struct migrate_load *l, struct migrate_sink *s, const struct rdb_record *r,
                      enum rdb_type type)
{
    struct load_parts *p = &l->parts;
    bool whole = r->first && r->last;
    bool fits = r->body.n < RESTORE_BYTES_MAX;
    if (whole && fits) {
        put_restore(l, r, (uint8_t)type);
        return;
    }
    if (r->first && type != RDB_STREAM && fits) {
        put_restore(l, r, LOAD_STEP);
        load_parts_begin(p, type == RDB_LIST ? load_parts_count(r, &l->payload) : 0);
    } else if (!load_parts_give(p, r)) {
        migrate_sink_note(s, (uint8_t)type, r->name, "the value is malformed at byte %llu",
                          (unsigned long long)r->at);
        l->skipping = true;
        return;
    }
    if (r->last)
        finish_parts(l, r, (uint8_t)type);
}

/* A hash whose fields expire: refused, or as a plain one. */
static void put_expiring(struct migrate_load *l, struct migrate_sink *s, const struct rdb_record *r,
                         struct moment now)
{
    struct rdb_record plain = *r;
    struct rdb_expiring told;
    if (!l->opts.drop_field_ttl) {
        migrate_sink_note(s, RDB_HASH, r->name,
                          "a hash whose fields expire (HEXPIRE), which is not supported: "
                          "--drop-field-ttl takes such hashes without their fields' deadlines");
        return;
    }
    buf_clear(&l->plain);
    if (rdb_expiring_plain(r->code, r->body, (int64_t)now.wall_ms, &l->plain, &told) != RDB_OK) {
        migrate_sink_note(s, RDB_HASH, r->name, "the value is malformed at byte %llu",
                          (unsigned long long)r->at);
        return;
    }
    l->stats.fields += told.lost;
    l->stats.fields_of += told.lost > 0;
    l->stats.expired += told.fields == 0;
    plain.code = RDB_CODE_HASH;
    plain.body = buf_bytes(&l->plain);
    if (told.fields > 0)
        put_value(l, s, &plain, RDB_HASH);
    buf_reuse(&l->plain, PLAIN_KEPT);
}

/* ------------------------------------------------------------ records */

static void take_value(struct migrate_load *l, struct migrate_sink *s, const struct rdb_record *r,
                       struct moment now)
{
    enum rdb_type type;
    bool known = rdb_code_type(r->code, &type);
    if (r->first) {
        l->stats.keys++;
        l->stats.types[known ? type : RDB_HASH]++;
        l->skipping = r->deadline >= 0 && r->deadline <= now.wall_ms;
        l->stats.expired += l->skipping;
    }
    if (l->skipping || l->opts.dry)
        return;
    if (known)
        put_value(l, s, r, type);
    else
        put_expiring(l, s, r, now);
}

static bool take_key(struct migrate_load *l, struct migrate_sink *s, const struct rdb_record *r,
                     struct moment now)
{
    bool ok = true;
    if (r->kind == RDB_RECORD_KEY && !r->first) {
        take_value(l, s, r, now);
        return true;
    }
    if (!is_ours(l, r->db, &ok)) {
        l->skipping = true;
        return ok;
    }
    if (r->kind == RDB_RECORD_KEY) {
        take_value(l, s, r, now);
        return true;
    }
    l->stats.keys++;
    l->stats.modules++;
    l->stats.types[LOAD_MODULE]++;
    if (!l->opts.dry)
        migrate_sink_note(s, LOAD_MODULE, r->name, "a value of module %s, which cannot be imported",
                          r->module);
    return true;
}

static void take_function(struct migrate_load *l, const struct rdb_record *r)
{
    l->stats.functions++;
    if (l->opts.dry || l->opts.no_functions)
        return;
    struct bytes argv[] = {bytes_str("FUNCTION"), bytes_str("LOAD"), bytes_str("REPLACE"), r->body};
    migrate_sink_put(l->parts.sink, l->parts.port,
                     &(struct migrate_command){
                         .argc = 4, .argv = argv, .again = MIGRATE_AGAIN, .kind = LOAD_FUNCTION});
}

static bool take(struct migrate_load *l, struct migrate_sink *s, const struct rdb_record *r,
                 struct moment now)
{
    switch (r->kind) {
    case RDB_RECORD_KEY:
    case RDB_RECORD_MODULE_KEY:
        return take_key(l, s, r, now);
    case RDB_RECORD_FUNCTION:
        take_function(l, r);
        break;
    case RDB_RECORD_SIZE:
        take_size(l, r);
        break;
    case RDB_RECORD_AUX:
    case RDB_RECORD_DB:
    case RDB_RECORD_MODULE_AUX:
        break;
    }
    return true;
}

enum load_result migrate_load_run(struct migrate_load *l, struct migrate_sink *s, struct port *port,
                                  struct moment now)
{
    struct rdb_record r;
    l->parts.sink = s;
    l->parts.port = port;
    if (l->why[0] != 0)
        return LOAD_BAD;
    for (;;) {
        if (!l->opts.dry && !migrate_sink_has_room(s))
            return LOAD_FULL;
        switch (rdb_file_next(&l->file, &r)) {
        case RDB_FILE_MORE:
            return LOAD_MORE;
        case RDB_FILE_BAD:
            return LOAD_BAD;
        case RDB_FILE_END:
            if (l->opts.db == MIGRATE_DB_ANY && l->ndbs > 1 && !several_dbs(l))
                return LOAD_BAD;
            return LOAD_END;
        case RDB_FILE_RECORD:
            if (!take(l, s, &r, now))
                return LOAD_BAD;
            break;
        }
    }
}
