/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "syncer/wire.h"
#include "tests/unit/regions.h"

#include <criterion/criterion.h>

/* A feeder made by hand in the place of region 2: it welcomes, proves itself, and says anything. */
struct feeder {
    struct regions *g;
    struct buf says; /* after the welcome */
    struct buf in;   /* of the newest connection */
    conn_id conn;
    unsigned dials;
    const char *secret;
    const char *instead; /* of a welcome, or NULL */
    bool stale;
};

static void welcome(struct feeder *f, struct port *port, const struct wire_hello *h)
{
    struct wire_hello w = {.protocol = SYNCER_PROTOCOL,
                           .version = 1,
                           .region = 2,
                           .actor = 2,
                           .stale = f->stale,
                           .first = h->first,
                           .count = h->count};
    wire_prove(w.proof, f->secret, 'F', h, &w);
    struct buf *out = port->ops->out(port, f->conn);
    if (f->instead != NULL)
        buf_put_str(out, f->instead);
    else
        wire_put_welcome(out, &w);
    buf_put_bytes(out, buf_bytes(&f->says));
}

static void feeder_step(void *self, struct port *port, const struct event *ev)
{
    struct feeder *f = self;
    struct wire_hello h;
    size_t used;
    switch (ev->kind) {
    case EV_START:
        port->ops->listen(port, &(struct listen_opts){.host = "0.0.0.0", .port = 7000});
        break;
    case EV_OPEN:
        f->conn = ev->conn;
        f->dials++;
        buf_clear(&f->in);
        break;
    case EV_DATA:
        if (ev->conn != f->conn)
            break;
        buf_put_bytes(&f->in, ev->data);
        if (wire_get_hello(buf_bytes(&f->in), &h, &used) == HANDSHAKE_OK) {
            welcome(f, port, &h);
            buf_clear(&f->in);
            buf_put_str(&f->in, "-"); /* answered */
        }
        break;
    default:
        break;
    }
}

static uint64_t feeder_deadline(void *self)
{
    (void)self;
    return UINT64_MAX;
}

static void feeder_init(struct feeder *f)
{
    *f = (struct feeder){.secret = "secret"};
    f->g = regions_new(&(struct regions_opts){.n = 2, .seed = 1, .off = 1u << 2});
    world_machine(f->g->world, f->g->at[2].host, 1,
                  (struct machine){f, feeder_step, feeder_deadline}, NULL);
}

static void feeder_deinit(struct feeder *f)
{
    regions_free(f->g);
    buf_deinit(&f->says);
    buf_deinit(&f->in);
}

static void say(struct feeder *f, uint8_t kind, const void *p, size_t n)
{
    wire_put(&f->says, kind, bytes_of(p, n));
}

static void expect_error(struct feeder *f, enum link_state state, const char *words)
{
    regions_run(f->g, 300);
    struct link_stats stats = regions_stats(f->g, 1, 2);
    cr_assert_eq(stats.state, state, "%s: %s", link_state_name(stats.state), stats.error);
    cr_assert_not_null(strstr(stats.error, words), "%s", stats.error);
    cr_assert_str_eq(regions_do(f->g, 1, "SET k v"), "+OK\r\n");
}

Test(pull, a_feeder_without_the_secret_is_not_believed)
{
    struct feeder f;
    feeder_init(&f);
    f.secret = "guessed";
    expect_error(&f, LINK_REFUSED, "could not prove");
    feeder_deinit(&f);
}

Test(pull, whoever_speaks_something_else_is_named_so)
{
    struct feeder f;
    feeder_init(&f);
    f.instead = "-ERR unknown command\r\n-ERR unknown command\r\n-ERR unknown command\r\n";
    expect_error(&f, LINK_DOWN, "does not speak the link protocol");
    feeder_deinit(&f);
}

Test(pull, a_malformed_frame_ends_the_link_with_a_clear_error)
{
    struct feeder f;
    feeder_init(&f);
    say(&f, WIRE_FRAME | WIRE_ACTOR, "\1\2\3\4", 4);
    regions_run(f.g, 300);
    cr_assert_not_null(strstr(regions_stats(f.g, 1, 2).error, "malformed frame"));
    cr_assert_gt(f.dials, 1u); /* it tries again, ever more slowly */
    cr_assert_lt(f.dials, 12u);
    feeder_deinit(&f);
}

Test(pull, operations_that_cannot_be_put_the_link_in_quarantine)
{
    struct feeder f;
    struct wire_coder coder;
    feeder_init(&f);
    int64_t wall = world_wall_ms(f.g->world, f.g->at[1].host);
    stamp_t s = stamp_make((uint64_t)(wall - STAMP_EPOCH_MS), 0, 2);
    struct frame frame = {.ops_count = 1,
                          .prev = stamp_make(0, 0, 2),
                          .first = s,
                          .last = s,
                          .wall_ms = wall,
                          .ops = bytes_str("\x93\x01\x7f\xc4\x01k")};
    wire_coder_init(&coder, 0, 8);
    wire_put_frame(&f.says, &coder, &frame);
    wire_coder_deinit(&coder);
    expect_error(&f, LINK_QUARANTINED, "malformed operation");
    feeder_deinit(&f);
}

Test(pull, a_message_beyond_the_limit_is_not_waited_for)
{
    struct feeder f;
    feeder_init(&f);
    buf_put(&f.says, "\xff\xff\xff\xff\x0f", 5);
    regions_run(f.g, 300);
    cr_assert_not_null(strstr(regions_stats(f.g, 1, 2).error, "malformed message"));
    feeder_deinit(&f);
}

Test(pull, slices_without_a_transfer_and_bad_batches_are_refused)
{
    static const struct {
        uint8_t kind;
        const char *bytes;
        size_t n;
    } said[] = {
        {WIRE_SLICE, "abc", 3},      {WIRE_JOIN, "\1", 1},       {WIRE_BATCH, "\5abcde", 6},
        {WIRE_CLAIM, "\1\x91\1", 3}, {WIRE_NEWS, "\1\x91\1", 3}, {WIRE_TRANSFER, "\7", 1},
        {WIRE_MARK, "\xc1", 1},      {WIRE_SUBSCRIBE, "\1", 1},  {WIRE_CLAIM, "\x40\x90", 2},
    };
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++) {
        struct feeder f;
        feeder_init(&f);
        say(&f, said[i].kind, said[i].bytes, said[i].n);
        regions_run(f.g, 100);
        cr_assert_not_null(strstr(regions_stats(f.g, 1, 2).error, "malformed"), "case %u", i);
        cr_assert(f.g->at[1].alive);
        feeder_deinit(&f);
    }
}

Test(pull, a_feeder_that_falls_silent_is_dialled_again)
{
    struct feeder f;
    feeder_init(&f);
    regions_run(f.g, 9000);
    cr_assert_eq(f.dials, 1u);
    regions_run(f.g, 4000);
    cr_assert_gt(f.dials, 1u);
    feeder_deinit(&f);
}

Test(pull, random_bytes_do_no_harm)
{
    struct rng rng;
    rng_init(&rng, 3);
    for (unsigned i = 0; i < 300; i++) {
        struct feeder f;
        uint8_t bytes[200];
        feeder_init(&f);
        for (unsigned j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)(rng_below(&rng, 2) ? rng_below(&rng, 32) : rng_next(&rng));
        buf_put(&f.says, bytes, sizeof bytes);
        regions_run(f.g, 60);
        cr_assert_str_eq(regions_do(f.g, 1, "SET k v"), "+OK\r\n");
        feeder_deinit(&f);
    }
}

/* How often the partition was asked for as a whole, on the newest connection. */
static unsigned asked_whole(const struct feeder *f, uint64_t partition)
{
    struct bytes all = buf_bytes(&f->in), body;
    unsigned n = 0;
    uint8_t kind;
    for (size_t at = 1, used;
         wire_get(bytes_of(all.p + at, all.n - at), &kind, &body, &used) == WIRE_OK; at += used) {
        struct mp m = mp_read(body);
        struct context c = {0};
        while (kind == WIRE_SUBSCRIBE && !m.bad && m.p < m.end) {
            uint64_t which = mp_uint(&m);
            bool whole = mp_bool(&m);
            wire_get_digest(&m);
            cr_assert(context_decode(&m, &c));
            n += which == partition && whole;
        }
        context_deinit(&c);
    }
    return n;
}

/* It can't be the donor, since it catches up itself; and when it has caught up, nobody may wait for
 * an answer without having asked. As long as all are catching up, the lowest region, which this
 * is, goes first; but not with less than they have. */
Test(pull, a_stale_region_that_recalls_more_is_asked_for_what_it_has)
{
    for (unsigned later = 0; later < 2; later++) {
        struct feeder f;
        struct buf recall = {0};
        struct context had = {0};
        uint8_t mark = 0;
        feeder_init(&f);
        f.stale = true;
        context_raise(&had, stamp_make(5, 0, 2));
        mp_put_uint(&recall, 3);
        context_encode(&recall, &had);
        say(&f, WIRE_RECALL, recall.p, buf_len(&recall));
        if (later == 0) /* within one beat: nobody looks while it is stale */
            say(&f, WIRE_MARK, &mark, 1);
        regions_run(f.g, 300);
        cr_assert_eq(asked_whole(&f, 3), 1u, "asked %u times", asked_whole(&f, 3));
        cr_assert_eq(asked_whole(&f, 4), 0u);
        cr_assert(!syncer_caught_up(f.g->at[1].syncers[0]));
        buf_deinit(&recall);
        context_deinit(&had);
        feeder_deinit(&f);
    }
}
