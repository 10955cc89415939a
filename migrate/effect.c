/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/effect.h"

#include "base/num.h"

struct args {
    uint32_t argc;
    const struct bytes *argv;
};

static bool here(const struct effect_state *s) { return s->selected == s->chosen; }

static bool is(struct args a, uint32_t i, const char *word)
{
    return i < a.argc && bytes_is_nocase(a.argv[i], word);
}

static bool read_db(struct args a, uint32_t i, int64_t *db)
{
    return i < a.argc && num_parse_i64(a.argv[i], db) && *db >= 0 && *db <= EFFECT_DB_MAX;
}

static enum effect bad(struct effect_out *out, const char *why)
{
    out->why = why;
    return EFFECT_BAD;
}

static enum effect resync(struct effect_out *out, const char *why)
{
    out->why = why;
    return EFFECT_RESYNC;
}

static enum effect elsewhere(struct effect_out *out)
{
    out->other = true;
    return EFFECT_NONE;
}

static enum effect pass(const struct effect_state *s, struct effect_out *out)
{
    return here(s) ? EFFECT_PASS : elsewhere(out);
}

static enum effect nothing(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)a, (void)out;
    return EFFECT_NONE;
}

static enum effect anywhere(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)a, (void)out;
    return EFFECT_PASS;
}

/* What goes at its time comes as HDEL. */
static enum effect field_ttl(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)a;
    if (!here(s) || !s->drop_field_ttl)
        return pass(s, out);
    out->dropped = true;
    return EFFECT_NONE;
}

/* One source's order of that must not take what others have written since theirs. */
static enum effect flush(struct effect_state *s, struct args a, struct effect_out *out)
{
    if (!here(s) && bytes_is_nocase(a.argv[0], "flushdb"))
        return elsewhere(out);
    return s->shared ? resync(out, "one of several sources was emptied") : EFFECT_PASS;
}

static enum effect begin(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)a, (void)out;
    return EFFECT_BEGIN;
}

static enum effect end(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)a, (void)out;
    return EFFECT_END;
}

static enum effect replconf(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)out;
    return is(a, 1, "getack") ? EFFECT_ASK : EFFECT_NONE;
}

static enum effect select_db(struct effect_state *s, struct args a, struct effect_out *out)
{
    return read_db(a, 1, &s->selected) ? EFFECT_NONE : bad(out, "SELECT of no database");
}

static enum effect swapdb(struct effect_state *s, struct args a, struct effect_out *out)
{
    int64_t one, other;
    if (!read_db(a, 1, &one) || !read_db(a, 2, &other))
        return bad(out, "SWAPDB of no databases");
    if (one == other || (one != s->chosen && other != s->chosen))
        return elsewhere(out);
    return resync(out, "SWAPDB put another database in place of the one that is followed");
}

/* A key that was moved is gone here; what came from elsewhere the stream does not tell. */
static enum effect move(struct effect_state *s, struct args a, struct effect_out *out)
{
    int64_t db;
    if (!read_db(a, 2, &db))
        return bad(out, "MOVE to no database");
    if (here(s)) {
        out->room[0] = bytes_str("DEL");
        out->room[1] = a.argv[1];
        out->argv = out->room;
        out->argc = 2;
        return EFFECT_PASS;
    }
    if (db != s->chosen)
        return elsewhere(out);
    return resync(out, "MOVE brought a key from another database");
}

/* COPY source destination [DB n] [REPLACE] */
static enum effect copy(struct effect_state *s, struct args a, struct effect_out *out)
{
    int64_t db = s->selected;
    bool replace = false;
    if (a.argc < 3)
        return bad(out, "COPY without keys");
    for (uint32_t i = 3; i < a.argc; i++) {
        if (is(a, i, "replace"))
            replace = true;
        else if (!is(a, i, "db") || !read_db(a, ++i, &db))
            return bad(out, "COPY of unknown form");
    }
    if (db != s->chosen)
        return elsewhere(out);
    if (!here(s))
        return resync(out, "COPY brought a key from another database");
    for (uint32_t i = 0; i < 3; i++)
        out->room[i] = a.argv[i];
    out->room[3] = bytes_str("REPLACE");
    out->argv = out->room;
    out->argc = replace ? 4 : 3;
    return EFFECT_PASS;
}

/* LOAD is run once more after a restart: it must not find itself. */
static enum effect function(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s;
    if (is(a, 1, "load") && a.argc == 3) {
        out->room[0] = a.argv[0];
        out->room[1] = a.argv[1];
        out->room[2] = bytes_str("REPLACE");
        out->room[3] = a.argv[2];
        out->argv = out->room;
        out->argc = 4;
    } else if (is(a, 1, "restore") && a.argc == 3) {
        out->room[0] = a.argv[0];
        out->room[1] = a.argv[1];
        out->room[2] = a.argv[2];
        out->room[3] = bytes_str("REPLACE");
        out->argv = out->room;
        out->argc = 4;
    }
    return EFFECT_APART;
}

/* Scripts that are known too many do no harm, and old sources send EVALSHA. */
static enum effect script(struct effect_state *s, struct args a, struct effect_out *out)
{
    (void)s, (void)out;
    return is(a, 1, "load") ? EFFECT_APART : EFFECT_NONE;
}

static const struct {
    const char *name;
    enum effect (*run)(struct effect_state *s, struct args a, struct effect_out *out);
} special[] = {
    {"select", select_db},     {"multi", begin},        {"exec", end},
    {"ping", nothing},         {"replconf", replconf},  {"flushall", flush},
    {"flushdb", flush},        {"publish", anywhere},   {"spublish", anywhere},
    {"swapdb", swapdb},        {"move", move},          {"copy", copy},
    {"function", function},    {"script", script},      {"acl", nothing},
    {"config", nothing},       {"discard", nothing},    {"quit", nothing},
    {"wait", nothing},         {"cluster", nothing},    {"failover", nothing},
    {"hexpire", field_ttl},    {"hpexpire", field_ttl}, {"hexpireat", field_ttl},
    {"hpexpireat", field_ttl}, {"hpersist", field_ttl}, {"replicaof", nothing},
    {"slaveof", nothing},      {"debug", nothing},      {"eval_ro", nothing},
};

enum effect effect_of(struct effect_state *s, uint32_t argc, const struct bytes *argv,
                      struct effect_out *out)
{
    struct args a = {.argc = argc, .argv = argv};
    out->argc = argc;
    out->argv = argv;
    out->why = NULL;
    out->other = out->dropped = false;
    for (unsigned i = 0; i < sizeof special / sizeof special[0]; i++)
        if (bytes_is_nocase(argv[0], special[i].name))
            return special[i].run(s, a, out);
    return pass(s, out);
}
