/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/encoding.h"

#include "base/num.h"
#include "shard/text.h"

#define INT_TEXT_MAX 20u
#define EMBSTR_MAX 44u

static const char *of_string(struct call *c, const struct key *k)
{
    struct shown s;
    int64_t v;
    text_show(c, k, &s);
    if (s.text.n <= INT_TEXT_MAX && num_parse_i64(s.text, &v))
        return "int";
    return s.text.n <= EMBSTR_MAX ? "embstr" : "raw";
}

static bool all_numbers(const struct cell *key)
{
    struct coll_iter it;
    int64_t v;
    coll_iter(&it, key, TYPE_SET);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        if (!num_parse_i64(cell_name(e), &v))
            return false;
    return true;
}

/* Names, and a hash's values, are all that long at most. */
static bool all_short(const struct cell *key, enum type type, int64_t most)
{
    struct coll_iter it;
    coll_iter(&it, key, type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL;)
        if ((int64_t)cell_name(e).n > most ||
            (type == TYPE_HASH && (int64_t)cell_show_len(e) > most))
            return false;
    return true;
}

const char *encoding_name(struct call *c, const struct key *k)
{
    const struct shard_looks *l = call_looks(c);
    enum type type = value_type(k->cell);
    int64_t n = (int64_t)coll_len(k->cell, type);
    switch (type) {
    case TYPE_STRING:
        return of_string(c, k);
    case TYPE_HLL:
        return "raw";
    case TYPE_LIST:
        return "quicklist";
    case TYPE_SET:
        return n <= l->set_ints && all_numbers(k->cell) ? "intset" : "hashtable";
    case TYPE_HASH:
        return n <= l->hash_entries && all_short(k->cell, type, l->hash_value) ? "listpack"
                                                                               : "hashtable";
    case TYPE_ZSET:
        return n <= l->zset_entries && all_short(k->cell, type, l->zset_value) ? "listpack"
                                                                               : "skiplist";
    case TYPE_STREAM:
        return "stream";
    case TYPE_NONE:
    case TYPE_COUNT:
        break;
    }
    return "none";
}
