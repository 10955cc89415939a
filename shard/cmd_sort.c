/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "shard/args.h"
#include "shard/cmd_list.h"
#include "shard/events.h"
#include "shard/names.h"
#include "shard/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* SORT and SORT_RO: https://redis.io/docs/latest/commands/sort/. The list that STORE makes is
 * written anew, like any other list. */

struct sort {
    bool descending, alpha, unsorted, read_only;
    int64_t start, count; /* LIMIT; count < 0: all */
    struct bytes by;      /* pattern with an asterisk; p NULL: by the element itself */
    const struct bytes *store;
    struct buf gets;   /* argument numbers (uint32_t) of GET's patterns */
    struct buf name;   /* of the key that a pattern makes */
    struct buf copies; /* owned texts that are nowhere else (pointers) */
};

struct sort_item {
    struct bytes text;
    struct bytes weight; /* ALPHA */
    bool weighed;        /* has a weight at all */
    double score;
    size_t order;
};

/* ------------------------------------------------------------ arguments */

#define DENIED(option)                                                                             \
    "ERR " option " option of SORT denied in Cluster mode. Give a pattern without other keys, or " \
    "use a database with one shard."

/* A pattern names keys that may live anywhere: only a shard that has all of them can follow it. */
static bool pattern_allowed(struct call *c, const char *denied)
{
    bool all = call_owns_all(c);
    if (!all)
        reply_error(c->reply, denied);
    return all;
}

static bool by_arg(struct call *c, struct sort *s, struct bytes pattern)
{
    if (pattern.n == 0 || memchr(pattern.p, '*', pattern.n) == NULL) {
        s->unsorted = true; /* every element weighs the same */
        return true;
    }
    s->by = pattern;
    return pattern_allowed(c, DENIED("BY"));
}

static bool get_arg(struct call *c, struct sort *s, uint32_t i)
{
    buf_put(&s->gets, &i, sizeof i);
    return bytes_is(c->argv[i], "#") || pattern_allowed(c, DENIED("GET"));
}

/* Reads the option at *i and moves *i to its last argument; false when an error was replied. */
static bool option(struct call *c, struct sort *s, uint32_t *i)
{
    struct bytes arg = c->argv[*i];
    uint32_t rest = c->argc - *i - 1;
    if (bytes_is_nocase(arg, "asc") || bytes_is_nocase(arg, "desc")) {
        s->descending = (arg.p[0] | 0x20) == 'd';
    } else if (bytes_is_nocase(arg, "alpha")) {
        s->alpha = true;
    } else if (rest >= 2 && bytes_is_nocase(arg, "limit")) {
        *i += 2;
        return arg_i64(c, c->argv[*i - 1], &s->start) && arg_i64(c, c->argv[*i], &s->count);
    } else if (rest >= 1 && !s->read_only && bytes_is_nocase(arg, "store")) {
        s->store = &c->argv[++*i];
    } else if (rest >= 1 && bytes_is_nocase(arg, "by")) {
        return by_arg(c, s, c->argv[++*i]);
    } else if (rest >= 1 && bytes_is_nocase(arg, "get")) {
        return get_arg(c, s, ++*i);
    } else {
        reply_error(c->reply, ERR_SYNTAX);
        return false;
    }
    return true;
}

static bool parse(struct call *c, struct sort *s)
{
    for (uint32_t i = 2; i < c->argc; i++)
        if (!option(c, s, &i))
            return false;
    return true;
}

/* ------------------------------------------------------------ values */

/* The text for as long as the command runs: a number that adds up from several parts is nowhere but
 * in `shown`, and so what is `made`; everything else stays where it is in its cell. */
static struct bytes keep(struct sort *s, const struct shown *shown, bool made)
{
    const uint8_t *room = (const uint8_t *)shown->room;
    if (!made && (shown->text.p < room || shown->text.p >= room + sizeof shown->room))
        return shown->text;
    void *copy = mem_dup(shown->text.p, shown->text.n);
    buf_put(&s->copies, &copy, sizeof copy);
    return bytes_of(copy, shown->text.n);
}

/* The name that a pattern makes of an element; *field gets what stands behind "->", p NULL:
 * nothing. False: there is no asterisk. */
static bool expand(struct sort *s, struct bytes pattern, struct bytes elem, struct bytes *field)
{
    const uint8_t *star = pattern.n == 0 ? NULL : memchr(pattern.p, '*', pattern.n);
    if (star == NULL)
        return false;
    struct bytes tail = bytes_of(star + 1, (size_t)(pattern.p + pattern.n - star - 1));
    const uint8_t *arrow = tail.n == 0 ? NULL : memmem(tail.p, tail.n, "->", 2);
    *field = bytes_of(NULL, 0);
    if (arrow != NULL && arrow + 2 < tail.p + tail.n) {
        *field = bytes_of(arrow + 2, (size_t)(tail.p + tail.n - arrow - 2));
        tail.n = (size_t)(arrow - tail.p);
    }
    buf_clear(&s->name);
    buf_put(&s->name, pattern.p, (size_t)(star - pattern.p));
    buf_put_bytes(&s->name, elem);
    buf_put_bytes(&s->name, tail);
    return true;
}

/* What a pattern stands for; false: nothing. */
static bool follow(struct call *c, struct sort *s, struct bytes pattern, struct bytes elem,
                   struct bytes *out)
{
    struct bytes field;
    struct shown shown;
    struct key k;
    bool made = false;
    *out = elem;
    if (bytes_is(pattern, "#"))
        return true;
    if (!expand(s, pattern, elem, &field))
        return false;
    key_read(c, buf_bytes(&s->name), &k);
    if (field.p != NULL) {
        const struct cell *e =
            value_type(k.cell) == TYPE_HASH ? coll_find(k.cell, TYPE_HASH, field) : NULL;
        if (e == NULL)
            return false;
        cell_show(e, &shown);
    } else {
        enum type type = value_type(k.cell);
        made = type == TYPE_HLL; /* as the string that Redis would hold */
        if ((!made && type != TYPE_STRING) || !text_show(c, &k, &shown))
            return false;
    }
    *out = keep(s, &shown, made);
    return true;
}

/* As Redis: strtod takes all of it; nothing at all is 0. */
static bool score_of(struct bytes text, double *out)
{
    char room[NUM_TEXT_MAX + 1];
    char *end;
    if (text.n > NUM_TEXT_MAX)
        return false;
    if (text.n > 0)
        memcpy(room, text.p, text.n);
    room[text.n] = 0;
    errno = 0;
    *out = strtod(room, &end);
    return *end == 0 && errno != ERANGE && !isnan(*out);
}

/* Weighs all elements; false when an error was replied. */
static bool weigh(struct call *c, struct sort *s, struct sort_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sort_item *it = &items[i];
        it->weight = it->text;
        it->weighed = s->by.p == NULL || follow(c, s, s->by, it->text, &it->weight);
        if (s->alpha && s->store == NULL) /* Redis compares by strcoll here, which ends at a NUL */
            it->weight.n =
                it->weight.n == 0 ? 0 : strnlen((const char *)it->weight.p, it->weight.n);
        if (it->weighed && !s->alpha && !score_of(it->weight, &it->score)) {
            reply_error(c->reply, "ERR One or more scores can't be converted into double");
            return false;
        }
    }
    return true;
}

/* ------------------------------------------------------------ sorting */

/* Elements of equal weight: by their text where they were sorted by number, else as they came. */
static int by_number(const void *a, const void *b)
{
    const struct sort_item *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return bytes_cmp(x->text, y->text);
}

static int by_text(const void *a, const void *b)
{
    const struct sort_item *x = a, *y = b;
    if (x->weighed != y->weighed)
        return x->weighed ? 1 : -1;
    return x->weighed ? bytes_cmp(x->weight, y->weight) : 0;
}

static int in_order(const struct sort_item *x, const struct sort_item *y, int cmp)
{
    return cmp != 0 ? cmp : x->order < y->order ? -1 : x->order > y->order;
}

static int number_up(const void *a, const void *b) { return in_order(a, b, by_number(a, b)); }

static int number_down(const void *a, const void *b) { return in_order(a, b, by_number(b, a)); }

static int text_up(const void *a, const void *b) { return in_order(a, b, by_text(a, b)); }

static int text_down(const void *a, const void *b) { return in_order(a, b, by_text(b, a)); }

static void sort_items(const struct sort *s, struct sort_item *items, size_t n)
{
    int (*cmp)(const void *, const void *) = s->alpha        ? s->descending ? text_down : text_up
                                             : s->descending ? number_down
                                                             : number_up;
    if (n > 1)
        qsort(items, n, sizeof *items, cmp);
}

/* ------------------------------------------------------------ elements */

static void load_one(struct sort *s, const struct cell *e, enum type type, struct sort_item *out,
                     size_t order)
{
    struct shown shown;
    *out = (struct sort_item){.order = order};
    if (type != TYPE_LIST) {
        out->text = cell_name(e);
        return;
    }
    cell_show(e, &shown);
    out->text = keep(s, &shown, false);
}

/* Elements in the key's own order (backwards for DESC): all, or `want` from rank `first` on. */
static void load_ordered(struct sort *s, const struct key *k, enum type type, struct span want,
                         bool backwards, struct sort_item *out)
{
    struct order_iter it;
    size_t len = coll_len(k->cell, type);
    if (want.count == 0)
        return;
    order_iter(&it, k->cell, type, backwards ? len - 1 - want.first : want.first);
    for (size_t i = 0; i < want.count; i++)
        load_one(s, backwards ? order_prev(&it) : order_next(&it), type, &out[i], i);
}

static void load_any(struct sort *s, const struct key *k, enum type type, struct sort_item *out)
{
    struct coll_iter it;
    size_t i = 0;
    coll_iter(&it, k->cell, type);
    for (const struct cell *e; (e = coll_next(&it)) != NULL; i++)
        load_one(s, e, type, &out[i], i);
}

/* LIMIT, within `len` elements. */
static struct span limit(const struct sort *s, size_t len)
{
    size_t start = s->start < 0 ? 0 : (uint64_t)s->start > len ? len : (size_t)s->start;
    size_t left = len - start;
    return (struct span){start,
                         s->count < 0 || (uint64_t)s->count > left ? left : (size_t)s->count};
}

/* Fills `items` and returns where in them the answer is. False: an error was replied. */
static bool collect(struct call *c, struct sort *s, const struct key *k, struct sort_item *items,
                    struct span *answer)
{
    enum type type = value_type(k->cell);
    size_t len = coll_len(k->cell, type);
    *answer = limit(s, len);
    if (len == 0)
        return true;
    if (s->unsorted && type != TYPE_SET) {
        load_ordered(s, k, type, *answer, s->descending, items);
        answer->first = 0;
        return true;
    }
    if (s->unsorted &&
        (s->store != NULL || c->in_script)) { /* what is stored does not hang on a table's order */
        s->unsorted = false;
        s->alpha = true;
        s->by.p = NULL;
    }
    if (type == TYPE_SET)
        load_any(s, k, type, items);
    else
        load_ordered(s, k, type, (struct span){0, len}, false, items);
    if (s->unsorted)
        return true;
    if (!weigh(c, s, items, len))
        return false;
    sort_items(s, items, len);
    return true;
}

/* ------------------------------------------------------------ answering */

static struct bytes get_pattern(const struct call *c, const struct sort *s, size_t i)
{
    uint32_t at;
    memcpy(&at, s->gets.p + i * sizeof at, sizeof at);
    return c->argv[at];
}

static void answer(struct call *c, struct sort *s, const struct sort_item *items, size_t n)
{
    size_t gets = buf_len(&s->gets) / sizeof(uint32_t);
    reply_array(c->reply, gets > 0 ? n * gets : n);
    for (size_t i = 0; i < n; i++) {
        if (gets == 0)
            reply_bulk(c->reply, items[i].text);
        for (size_t g = 0; g < gets; g++) {
            struct bytes value;
            if (follow(c, s, get_pattern(c, s, g), items[i].text, &value))
                reply_bulk(c->reply, value);
            else
                reply_nil(c->reply);
        }
    }
}

/* All is copied before anything changes: the destination may be what was sorted. */
static void store(struct call *c, struct sort *s, const struct sort_item *items, size_t n)
{
    struct names out = {0};
    struct bytes value;
    struct key k;
    size_t gets = buf_len(&s->gets) / sizeof(uint32_t);
    for (size_t i = 0; i < n; i++) {
        if (gets == 0)
            names_add(&out, items[i].text);
        for (size_t g = 0; g < gets; g++) {
            bool there = follow(c, s, get_pattern(c, s, g), items[i].text, &value);
            names_add(&out, there ? value : bytes_of(NULL, 0));
        }
    }
    int64_t stored = (int64_t)out.n;
    key_write(c, *s->store, &k);
    bool was_there = k.cell != NULL;
    if (was_there)
        key_del(c, &k);
    while (names_take(&out, &value))
        list_push(c, &k, LIST_TAIL, value); /* at the end there is always room */
    if (stored > 0)
        key_event(c, EVENT_LIST, "sortstore", *s->store);
    else if (was_there)
        key_event(c, EVENT_GENERIC, "del", *s->store);
    names_deinit(&out);
    reply_int(c->reply, stored);
}

static void sort_free(struct sort *s)
{
    for (size_t i = 0; i < buf_len(&s->copies) / sizeof(void *); i++) {
        void *copy;
        memcpy(&copy, s->copies.p + i * sizeof copy, sizeof copy);
        mem_free(copy);
    }
    buf_deinit(&s->gets);
    buf_deinit(&s->name);
    buf_deinit(&s->copies);
}

static void sort_run(struct call *c, struct sort *s)
{
    struct key k;
    struct span span;
    if (!parse(c, s))
        return;
    key_read(c, c->argv[1], &k);
    enum type type = value_type(k.cell);
    if (k.cell != NULL && type != TYPE_SET && type != TYPE_LIST && type != TYPE_ZSET) {
        reply_error(c->reply, WRONGTYPE);
        return;
    }
    size_t len = coll_len(k.cell, type);
    struct sort_item *items = len == 0 ? NULL : mem_alloc(len * sizeof *items);
    if (!collect(c, s, &k, items, &span))
        span.count = 0;
    else if (s->store != NULL)
        store(c, s, items + span.first, span.count);
    else
        answer(c, s, items + span.first, span.count);
    mem_free(items);
}

static void sort(struct call *c)
{
    struct sort s = {.count = -1};
    sort_run(c, &s);
    sort_free(&s);
}

static void sort_ro(struct call *c)
{
    struct sort s = {.count = -1, .read_only = true};
    sort_run(c, &s);
    sort_free(&s);
}

/* The source, and the last STORE's key. */
static unsigned sort_keys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    unsigned n = 0;
    uint32_t target = 0;
    if (argc < 2 || max == 0)
        return 0;
    at[n++] = 1;
    for (uint32_t i = 2; i + 1 < argc; i++) {
        if (bytes_is_nocase(argv[i], "limit"))
            i += 2;
        else if (bytes_is_nocase(argv[i], "get") || bytes_is_nocase(argv[i], "by"))
            i++;
        else if (bytes_is_nocase(argv[i], "store"))
            target = ++i;
    }
    if (target > 0 && n < max)
        at[n++] = target;
    return n;
}

const struct command cmd_sort_table[] = {
    {"sort", -2, CMD_WRITE | CMD_DENYOOM, 1, 1, 1, AT_SHARD, MERGE_NONE, sort, sort_keys, "generic",
     "1.0.0", "O(N*log(N)) with N the number of elements",
     "Sorts a list, set or sorted set, by its elements or by other keys",
     "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA] "
     "[STORE destination]"},
    {"sort_ro", -2, CMD_READONLY, 1, 1, 1, AT_SHARD, MERGE_NONE, sort_ro, NULL, "generic", "7.0.0",
     "O(N*log(N)) with N the number of elements",
     "Sorts a list, set or sorted set, by its elements or by other keys",
     "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA]"},
    {.name = NULL},
};
