/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/driver.h"
#include "syncer/wire.h"
#include "tests/unit/regions.h"

#include <criterion/criterion.h>

/* A puller made by hand, which may say anything to region 1. */
struct puller {
    struct regions *g;
    struct driver *driver;
    struct vconn *conn;
    struct buf got;
    bool closed;
};

static void heard(struct vconn *c, enum vconn_event what, struct buf *in, void *arg)
{
    struct puller *p = arg;
    (void)c;
    if (what == VCONN_CLOSED)
        p->closed = true;
    if (what != VCONN_DATA)
        return;
    buf_put_bytes(&p->got, buf_bytes(in));
    buf_consume(in, buf_len(in));
}

static void puller_init(struct puller *p)
{
    *p = (struct puller){0};
    p->g = regions_new(&(struct regions_opts){.n = 2, .seed = 1, .off = 1u << 2});
    p->driver = driver_new(p->g->world, "puller");
    p->conn = driver_dial(p->driver, "r1", 7000, heard, p);
}

static void puller_deinit(struct puller *p)
{
    regions_free(p->g);
    buf_deinit(&p->got);
}

static struct wire_hello hello_of_2(void)
{
    return (struct wire_hello){.guid = "guid-1",
                               .protocol = SYNCER_PROTOCOL,
                               .region = 2,
                               .actor = 2,
                               .partitions = 8,
                               .count = 8,
                               .version = 1};
}

static void greet(struct puller *p, const struct wire_hello *h)
{
    struct buf b = {0};
    wire_put_hello(&b, h);
    vconn_send(p->conn, buf_bytes(&b));
    buf_deinit(&b);
    regions_run(p->g, 50);
}

static uint8_t next_message(struct puller *p, struct bytes *body)
{
    uint8_t kind = 0;
    size_t used = 0;
    if (wire_get(buf_bytes(&p->got), &kind, body, &used) != WIRE_OK)
        return 0;
    buf_consume(&p->got, used);
    return kind;
}

static void expect_refusal(struct puller *p, enum err code, const char *words)
{
    struct bytes body;
    enum err why;
    char text[160];
    cr_assert_eq(next_message(p, &body), WIRE_REFUSE);
    cr_assert(wire_get_refuse(body, &why, text, sizeof text));
    cr_assert_eq(why, code, "%s: %s", err_name(why), text);
    cr_assert_not_null(strstr(text, words), "%s", text);
    cr_assert(p->closed);
    cr_assert(p->g->at[1].alive);
}

/* Opens the link as region 2 would; returns false when the proof was not taken. */
static void open_link(struct puller *p, const char *secret)
{
    struct wire_hello h = hello_of_2(), w;
    struct bytes body;
    uint8_t proof[WIRE_PROOF_LEN];
    struct buf b = {0}, message = {0};
    greet(p, &h);
    cr_assert_eq(next_message(p, &body), WIRE_WELCOME);
    cr_assert(wire_get_welcome(body, &w));
    wire_prove(proof, "secret", 'F', &h, &w);
    cr_assert(wire_same(proof, w.proof, sizeof proof));
    wire_prove(proof, secret, 'P', &h, &w);
    mp_put_bin(&b, bytes_of(proof, sizeof proof));
    wire_put(&message, WIRE_PROOF, buf_bytes(&b));
    vconn_send(p->conn, buf_bytes(&message));
    buf_deinit(&b);
    buf_deinit(&message);
    regions_run(p->g, 50);
}

Test(feed, another_protocol_is_refused_by_its_number)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    h.protocol = 9;
    greet(&p, &h);
    expect_refusal(&p, ERR_VERSION, "protocol 9");
    puller_deinit(&p);
}

Test(feed, an_unknown_database_is_refused)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    h.guid[0] = 'x';
    greet(&p, &h);
    expect_refusal(&p, ERR_NOT_FOUND, "xuid-1");
    puller_deinit(&p);
}

Test(feed, another_number_of_partitions_is_refused)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    h.partitions = 16;
    greet(&p, &h);
    expect_refusal(&p, ERR_CONFIG, "16 partitions");
    puller_deinit(&p);
}

Test(feed, a_region_that_is_itself_is_refused)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    h.region = h.actor = 1;
    greet(&p, &h);
    expect_refusal(&p, ERR_CONFIG, "itself");
    puller_deinit(&p);
}

Test(feed, a_region_not_known_yet_is_told_to_come_again)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    h.region = h.actor = 7;
    greet(&p, &h);
    expect_refusal(&p, ERR_BUSY, "not known here yet");
    puller_deinit(&p);
}

Test(feed, without_the_proof_nothing_is_fed)
{
    struct puller p;
    puller_init(&p);
    regions_do(p.g, 1, "SET k v");
    open_link(&p, "guessed");
    expect_refusal(&p, ERR_AUTH, "proof");
    puller_deinit(&p);
}

Test(feed, whoever_does_not_prove_itself_in_time_is_dropped)
{
    struct puller p;
    puller_init(&p);
    struct wire_hello h = hello_of_2();
    greet(&p, &h);
    for (unsigned i = 0; i < 14 && !p.closed; i++) {
        vconn_send(p.conn, bytes_of("\x30", 1)); /* a byte now and then, of a message never ended */
        regions_run(p.g, 1000);
    }
    cr_assert(p.closed);
    puller_deinit(&p);
}

Test(feed, it_tells_what_it_has_and_feeds_what_is_asked_for)
{
    struct puller p;
    struct bytes body;
    struct buf b = {0}, message = {0};
    puller_init(&p);
    regions_do(p.g, 1, "SET k v");
    uint32_t partition = slot_partition(hash_slot(bytes_str("k")), 8);
    open_link(&p, "secret");
    mp_put_uint(&b, partition);
    mp_put_bool(&b, false);
    wire_put_digest(&b, (struct hash128){0});
    context_encode(&b, &(struct context){0});
    wire_put(&message, WIRE_SUBSCRIBE, buf_bytes(&b));
    vconn_send(p.conn, buf_bytes(&message));
    regions_run(p.g, 60);
    cr_assert_eq(next_message(&p, &body), WIRE_CLAIM);
    uint8_t kind = next_message(&p, &body);
    cr_assert_geq(kind, WIRE_FRAME);
    struct wire_coder coder;
    struct frame f;
    wire_coder_init(&coder, 0, 8);
    cr_assert(wire_get_frame(&coder, kind, body, &f));
    cr_assert_eq(f.partition, partition);
    cr_assert_eq(f.ops_count, 1u);
    cr_assert_eq(next_message(&p, &body), WIRE_MARK);
    cr_assert_eq(body.p[0], WIRE_MARK_ALL);
    wire_coder_deinit(&coder);
    buf_deinit(&b);
    buf_deinit(&message);
    puller_deinit(&p);
}

static void ask_whole(struct puller *p, uint32_t partition, const struct context *from)
{
    struct buf b = {0}, message = {0};
    mp_put_uint(&b, partition);
    mp_put_bool(&b, true);
    wire_put_digest(&b, (struct hash128){0});
    context_encode(&b, from);
    wire_put(&message, WIRE_SUBSCRIBE, buf_bytes(&b));
    vconn_send(p->conn, buf_bytes(&message));
    buf_deinit(&b);
    buf_deinit(&message);
}

/* Region 1 has lost its memory, and who asks it may have lost it, too: what is here may be too
 * little, so it must be known as what it is. */
Test(feed, who_catches_up_itself_says_so_before_it_says_what_it_has)
{
    struct puller p;
    struct bytes body;
    bool stale = true;
    unsigned targets = 0;
    puller_init(&p);
    regions_free(p.g);
    p.g = regions_new(&(struct regions_opts){.n = 2, .seed = 2, .off = 1u << 1 | 1u << 2});
    p.g->at[1].config.sole = true;
    regions_start(p.g, 1, false);
    p.driver = driver_new(p.g->world, "puller");
    p.conn = driver_dial(p.driver, "r1", 7000, heard, &p);
    open_link(&p, "secret");
    uint32_t partition = slot_partition(hash_slot(bytes_str("k")), 8);
    regions_run(p.g, 2000);
    cr_assert(syncer_caught_up(p.g->at[1].syncers[0]));
    for (uint8_t kind; (kind = next_message(&p, &body)) != 0;)
        if (kind == WIRE_MARK)
            stale = body.p[0] & WIRE_MARK_STALE;
    /* its greeting said that it was well; now it finds out that it is an older copy */
    struct context beyond = {0};
    context_raise(&beyond, stamp_make(5, 0, 1));
    ask_whole(&p, partition, &beyond);
    regions_run(p.g, 2);
    for (uint8_t kind; (kind = next_message(&p, &body)) != 0;) {
        if (kind == WIRE_MARK)
            stale = body.p[0] & WIRE_MARK_STALE;
        if (kind == WIRE_TARGET) {
            targets++;
            cr_assert(stale, "it must not be taken for a donor");
        }
    }
    cr_assert(!syncer_caught_up(p.g->at[1].syncers[0]));
    cr_assert_eq(targets, 1u);
    context_deinit(&beyond);
    puller_deinit(&p);
}

Test(feed, garbage_ends_the_link_and_nothing_else)
{
    struct rng rng;
    rng_init(&rng, 1);
    static const char *const said[] = {
        "\x01\x7f",                        /* an unknown kind */
        "\x04\x02\x01\xc3\xc0",            /* SUBSCRIBE cut short */
        "\x03\x04\x63\x01",                /* RELAY for a partition that is not served */
        "\x02\x03\x7f",                    /* ACK of more than was sent */
        "\xff\xff\xff\xff\x7f",            /* a message beyond the limit */
        "\x09\x02\x00\xc2\xc4\x03xyz\x90", /* a digest of three bytes */
        "\x00",                            /* an empty message */
    };
    static const size_t lengths[] = {2, 5, 4, 3, 5, 10, 1};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct puller p;
        puller_init(&p);
        open_link(&p, "secret");
        vconn_send(p.conn, bytes_of(said[i], lengths[i]));
        regions_run(p.g, 100);
        cr_assert(p.closed, "case %u", i);
        cr_assert_str_eq(regions_do(p.g, 1, "SET k v"), "+OK\r\n");
        puller_deinit(&p);
    }
    for (unsigned i = 0; i < 200; i++) {
        struct puller p;
        uint8_t bytes[64];
        puller_init(&p);
        open_link(&p, "secret");
        for (unsigned j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)(rng_below(&rng, 3) ? rng_below(&rng, 8) : rng_next(&rng));
        vconn_send(p.conn, bytes_of(bytes, sizeof bytes));
        regions_run(p.g, 100);
        cr_assert_str_eq(regions_do(p.g, 1, "SET k v"), "+OK\r\n");
        puller_deinit(&p);
    }
}
