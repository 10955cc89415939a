/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/stream.h"

#include "crdt/multi.h"

/* Entries and metadata of streams. */

#define CLASS_ENTRY 0x80u

static bool below_name(const void *item, const void *arg)
{
    return bytes_cmp(cell_name(item), *(const struct bytes *)arg) < 0;
}

static size_t rank_of(const struct coll *c, struct bytes name)
{
    return coll_partition(c, below_name, &name);
}

/* Of the first entry of that region or a later one. */
static size_t region_rank(const struct coll *c, unsigned region)
{
    uint8_t first[1] = {(uint8_t)(CLASS_ENTRY + region)};
    return rank_of(c, bytes_of(first, 1));
}

static unsigned entry_region(const struct cell *e) { return cell_name(e).p[0] - CLASS_ENTRY; }

static void read_entry(const struct cell *e, struct stream_entry *out)
{
    struct stream_name name;
    struct shown s;
    stream_name_read(cell_name(e), &name);
    cell_show(e, &s);
    out->id = name.id;
    out->region = name.region;
    out->fields = s.text;
}

size_t stream_len(const struct cell *key)
{
    const struct coll *c = key_coll(key, TYPE_STREAM);
    return c == NULL ? 0 : coll_count(c) - region_rank(c, 0);
}

/* ------------------------------------------------------------ iterating */

/* The rank in a region's run at which the ID stands, or (after) the first one behind it. */
static size_t id_rank(const struct coll *c, unsigned region, struct stream_id id, bool after)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX + 1];
    struct bytes name = stream_entry_name(room, (uint8_t)region, id);
    if (after)
        room[name.n++] = 0; /* behind the name itself, before all others */
    return rank_of(c, name);
}

/* What is asked for: IDs from `from` to `to`; of news, those above what the group has had. */
struct ask {
    struct stream_id from, to;
    const struct stream_group *news;
};

static void find_runs(struct stream_iter *it, const struct coll *c, const struct ask *ask)
{
    size_t count = coll_count(c), first = region_rank(c, 0);
    if (first == count)
        return;
    unsigned last = entry_region(coll_by_rank(c, count - 1));
    while (first < count) {
        unsigned region = entry_region(coll_by_rank(c, first));
        size_t end = region == last ? count : region_rank(c, region + 1);
        struct stream_run r = {.first = first, .end = end};
        struct stream_id from = ask->news != NULL ? ask->news->delivered[region] : ask->from;
        if (!stream_id_is_zero(from))
            r.first = id_rank(c, region, from, ask->news != NULL);
        if (stream_id_cmp(ask->to, STREAM_ID_MAX) != 0)
            r.end = id_rank(c, region, ask->to, true);
        r.at = it->reverse ? r.end : r.first;
        if (r.first < r.end) {
            it->run[it->n++] = r;
            it->left += r.end - r.first;
        }
        first = end;
    }
}

/* Reads the run's next entry into its head; false: there is none. */
static bool run_read(struct stream_iter *it, struct stream_run *r)
{
    if (it->reverse ? r->at == r->first : r->at == r->end)
        return false;
    const struct cell *e;
    r->at -= it->reverse;
    if (it->n > 1)
        e = coll_by_rank(key_coll(it->key, TYPE_STREAM), r->at);
    else
        e = it->reverse ? order_prev(&it->only) : order_next(&it->only);
    r->at += !it->reverse;
    read_entry(e, &r->head);
    return true;
}

static void start(struct stream_iter *it, const struct cell *key, const struct ask *ask,
                  bool reverse)
{
    const struct coll *c = key_coll(key, TYPE_STREAM);
    it->key = key;
    it->reverse = reverse;
    it->n = 0;
    it->left = 0;
    if (c == NULL)
        return;
    find_runs(it, c, ask);
    if (it->n == 1)
        order_iter(&it->only, key, TYPE_STREAM, it->run[0].at - reverse);
    else
        for (unsigned i = 0; i < it->n; i++)
            run_read(it, &it->run[i]);
}

void stream_range(struct stream_iter *it, const struct cell *key, struct stream_id from,
                  struct stream_id to, bool reverse)
{
    start(it, key, &(struct ask){.from = from, .to = to}, reverse);
}

void stream_news(struct stream_iter *it, const struct cell *key, const struct stream_group *g)
{
    start(it, key, &(struct ask){.to = STREAM_ID_MAX, .news = g}, false);
}

/* By (ID, region); runs ascend by region. */
static bool comes_first(const struct stream_iter *it, const struct stream_run *a,
                        const struct stream_run *b)
{
    int order = stream_id_cmp(a->head.id, b->head.id);
    return it->reverse ? order >= 0 : order < 0;
}

bool stream_next(struct stream_iter *it, struct stream_entry *out)
{
    if (it->left == 0)
        return false;
    it->left--;
    if (it->n == 1) {
        run_read(it, &it->run[0]);
        *out = it->run[0].head;
        return true;
    }
    struct stream_run *best = &it->run[0];
    for (unsigned i = 1; i < it->n; i++)
        if (comes_first(it, &it->run[i], best))
            best = &it->run[i];
    *out = best->head;
    if (run_read(it, best))
        return true;
    it->n--;
    memmove(best, best + 1, (size_t)(&it->run[it->n] - best) * sizeof *best);
    if (it->n == 1) { /* its head is read already: step back to it */
        struct stream_run *r = &it->run[0];
        r->at = it->reverse ? r->at + 1 : r->at - 1;
        order_iter(&it->only, it->key, TYPE_STREAM, r->at - it->reverse);
    }
    return true;
}

bool stream_edge(const struct cell *key, bool last, struct stream_entry *out)
{
    struct stream_iter it;
    stream_range(&it, key, (struct stream_id){0}, STREAM_ID_MAX, last);
    return stream_next(&it, out);
}

bool stream_entry_find(const struct cell *key, struct stream_id id, uint8_t region,
                       struct stream_entry *out)
{
    uint8_t room[STREAM_ENTRY_NAME_MAX];
    const struct cell *e = coll_find(key, TYPE_STREAM, stream_entry_name(room, region, id));
    if (e != NULL)
        read_entry(e, out);
    return e != NULL;
}

unsigned stream_count_id(const struct cell *key, struct stream_id id, uint64_t *regions)
{
    struct stream_iter it;
    struct stream_entry e;
    unsigned n = 0;
    if (regions != NULL)
        *regions = 0;
    stream_range(&it, key, id, id, false);
    while (stream_next(&it, &e)) {
        n++;
        if (regions != NULL)
            *regions |= UINT64_C(1) << e.region;
    }
    return n;
}

bool stream_entry_at(const struct cell *key, size_t index, struct stream_entry *out)
{
    struct stream_iter it;
    stream_range(&it, key, (struct stream_id){0}, STREAM_ID_MAX, false);
    if (index >= it.left)
        return false;
    if (it.n == 1) {
        read_entry(coll_by_rank(key_coll(key, TYPE_STREAM), it.run[0].at + index), out);
        return true;
    }
    while (stream_next(&it, out) && index-- > 0)
        continue;
    return true;
}

/* ------------------------------------------------------------ metadata */

static struct stream_id later(struct stream_id a, struct stream_id b)
{
    return stream_id_cmp(a, b) > 0 ? a : b;
}

/* The next metadata element; false when they are through. */
static bool meta_next(struct coll_iter *it, struct stream_name *name, struct shown *val)
{
    const struct cell *e = coll_next(it);
    if (e == NULL || !stream_name_read(cell_name(e), name) || name->kind > STREAM_GONE)
        return false;
    cell_show(e, val);
    return true;
}

struct stream_id stream_last_id(const struct cell *key, uint32_t actor, struct stream_last *own)
{
    struct coll_iter it;
    struct stream_name name;
    struct shown val;
    struct stream_id last = {0};
    *own = (struct stream_last){0};
    coll_iter(&it, key, TYPE_STREAM);
    while (meta_next(&it, &name, &val) && name.kind == STREAM_LAST) {
        struct stream_last l = stream_last_read(val.text);
        last = later(last, l.id);
        if (name.actor == actor)
            *own = l;
    }
    return last;
}

/* The regions that have entries, a bit for each; raises by[] to the last entry of each: XSETID may
 * have removed what the region itself said. */
static uint64_t entry_regions(const struct cell *key, struct stream_id by[REGION_MAX + 1])
{
    struct stream_iter it;
    uint64_t regions = 0;
    stream_range(&it, key, (struct stream_id){0}, STREAM_ID_MAX, true);
    if (it.n == 1)
        run_read(&it, &it.run[0]);
    for (unsigned i = 0; i < it.n; i++) {
        const struct stream_entry *last = &it.run[i].head;
        by[last->region] = later(by[last->region], last->id);
        regions |= UINT64_C(1) << last->region;
    }
    return regions;
}

void stream_info(const struct cell *key, struct stream_info *out)
{
    struct coll_iter it;
    struct stream_name name;
    struct shown val;
    struct stream_entry first;
    uint64_t regions = 0;
    *out = (struct stream_info){.len = stream_len(key)};
    coll_iter(&it, key, TYPE_STREAM);
    while (meta_next(&it, &name, &val)) {
        unsigned region = actor_region(name.actor);
        if (name.kind == STREAM_GONE) {
            out->gone = later(out->gone, stream_gone_read(val.text));
            continue;
        }
        struct stream_last last = stream_last_read(val.text);
        out->by[region] = later(out->by[region], last.id);
        out->last = later(out->last, last.id);
        out->added += last.added;
        regions |= UINT64_C(1) << region;
    }
    if (stream_edge(key, false, &first))
        out->first = first.id;
    regions |= entry_regions(key, out->by);
    out->regions = (unsigned)__builtin_popcountll(regions);
}

unsigned stream_actors(const struct cell *key, enum stream_kind kind,
                       uint16_t out[STAMP_ACTOR_MAX + 1])
{
    struct coll_iter it;
    struct stream_name name;
    struct shown val;
    unsigned n = 0;
    coll_iter(&it, key, TYPE_STREAM);
    while (meta_next(&it, &name, &val))
        if (name.kind == kind)
            out[n++] = name.actor;
    return n;
}

/* ------------------------------------------------------------ counters */

/* Deleted entries may lie at `from` or behind it. */
static bool has_tombstones(const struct stream_info *info, struct stream_id from)
{
    return info->len > 0 && !stream_id_is_zero(info->gone) &&
           stream_id_cmp(info->first, info->gone) <= 0 && stream_id_cmp(from, info->gone) <= 0;
}

/* How many entries were ever added up to `id`; -1: it cannot be told. */
static int64_t distance(const struct stream_info *info, struct stream_id id)
{
    int to_last = stream_id_cmp(id, info->last), to_first = stream_id_cmp(id, info->first);
    if (info->added == 0)
        return 0;
    if ((info->len == 0 && to_last < 0) || to_last == 0)
        return (int64_t)info->added;
    bool whole = stream_id_is_zero(info->gone) || stream_id_cmp(info->gone, info->first) < 0;
    if (to_last > 0 || to_first > 0 || !whole)
        return -1;
    return (int64_t)(info->added - info->len) + (to_first == 0);
}

int64_t stream_read_on(const struct stream_info *info, int64_t read, struct stream_id id)
{
    if (read != -1 && !has_tombstones(info, id))
        return read + 1;
    return info->added == 0 ? read : distance(info, id);
}

bool stream_progress(const struct cell *key, const struct stream_info *info,
                     const struct stream_group *g, int64_t *read, int64_t *lag)
{
    *read = g->read;
    *lag = 0;
    if (info->regions > 1) {
        struct stream_iter it;
        stream_news(&it, key, g);
        *lag = (int64_t)it.left;
        *read = info->added > it.left ? (int64_t)(info->added - it.left) : 0;
        return true;
    }
    if (info->added == 0)
        return true;
    bool counted = g->read != -1 && !has_tombstones(info, g->last);
    int64_t known = counted ? g->read : distance(info, g->last);
    *lag = (int64_t)info->added - known;
    return counted || known != -1;
}
