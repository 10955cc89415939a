/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "sim/deploy.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Regions whose databases are on disk, life after life: deployments in the virtual world. */

struct talk {
    struct vconn *conn; /* NULL: closed */
    struct buf got, text;
};

struct lives {
    struct world *world;
    struct driver *driver;
    struct deploy *deploy;
    struct talk talk[4];
    unsigned regions;
    struct buf log;
};

static const char *const names[] = {"", "oslo", "rome", "cairo"};

static void on_log(void *arg, const char *host, char level, const char *line)
{
    struct lives *l = arg;
    buf_putf(&l->log, "%s %c %s\n", host, level, line);
}

static void run(struct lives *l, unsigned ms)
{
    world_flush(l->world);
    world_run(l->world, world_now_us(l->world) + 1000ull * ms);
}

static struct lives *lives_new(unsigned regions, enum persistence p)
{
    struct lives *l = mem_zalloc(sizeof *l);
    l->regions = regions;
    l->world = world_new(&(struct world_opts){
        .seed = 7, .latency_us = 500, .jitter_us = 100, .log = on_log, .arg = l});
    l->driver = driver_new(l->world, "outside");
    struct deploy_opts o = {.regions = regions, .partitions = 8, .seed = 3};
    for (unsigned r = 1; r <= regions; r++) {
        o.names[r] = names[r];
        o.workers[r] = 1 + r % 2;
        o.shards[r] = 1 + r;
        o.persistence[r] = (uint32_t)p;
    }
    l->deploy = deploy_new(l->world, l->driver, &o);
    for (unsigned r = 1; r <= regions; r++)
        deploy_start(l->deploy, r);
    run(l, 2000);
    return l;
}

static void hang_up(struct lives *l, unsigned r)
{
    if (l->talk[r].conn != NULL)
        vconn_close(l->talk[r].conn);
    l->talk[r].conn = NULL;
}

static void lives_free(struct lives *l)
{
    for (unsigned r = 1; r <= l->regions; r++) {
        hang_up(l, r);
        buf_deinit(&l->talk[r].got);
        buf_deinit(&l->talk[r].text);
    }
    deploy_free(l->deploy);
    world_free(l->world);
    buf_deinit(&l->log);
    mem_free(l);
}

static void on_talk(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    struct talk *t = arg;
    (void)v;
    if (in != NULL && buf_len(in) > 0) {
        buf_put_bytes(&t->got, buf_bytes(in));
        buf_consume(in, buf_len(in));
    }
    if (what == VCONN_CLOSED)
        t->conn = NULL;
}

static const char *ask(struct lives *l, unsigned r, const char *text, unsigned ms)
{
    struct talk *t = &l->talk[r];
    if (t->conn == NULL) {
        t->conn = driver_dial(l->driver, names[r], DEPLOY_PORT, on_talk, t);
        run(l, 5);
    }
    buf_clear(&t->got);
    if (t->conn != NULL)
        vconn_send(t->conn, bytes_str(text));
    run(l, ms);
    buf_clear(&t->text);
    buf_put_bytes(&t->text, buf_bytes(&t->got));
    buf_put_u8(&t->text, 0);
    return (const char *)t->text.p;
}

static bool agree(struct lives *l, unsigned ms)
{
    for (unsigned i = 0; i < ms / 50; i++) {
        if (deploy_converged(l->deploy) && deploy_settled(l->deploy))
            return true;
        run(l, 50);
    }
    return false;
}

static void die(struct lives *l, unsigned r, bool power)
{
    hang_up(l, r);
    if (power)
        deploy_power_loss(l->deploy, r);
    else
        deploy_crash(l->deploy, r, false);
    run(l, 20);
}

Test(lives, what_was_acknowledged_survives_power_losses_of_two_regions)
{
    struct lives *l = lives_new(2, PERSIST_ALWAYS);
    char text[64], want[64];
    unsigned acked[3] = {0}, n[3] = {0}, next[3] = {0}; /* whose reply is the next to come */
    bool is_acked[3][400] = {{false}};
    for (unsigned round = 0; round < 200; round++) {
        unsigned r = 1 + round % 2;
        snprintf(text, sizeof text, "set r%u:%u v\r\n", r, n[r]);
        const char *got = ask(l, r, text, round % 7);
        n[r]++;
        for (; strncmp(got, "+OK\r\n", 5) == 0; got += 5) { /* may be earlier ones' */
            cr_assert_lt(next[r], n[r]);
            is_acked[r][next[r]++] = true;
            acked[r]++;
        }
        if (round % 20 != 19)
            continue;
        die(l, r, true);
        next[r] = n[r]; /* nobody will know */
        deploy_start(l->deploy, r);
        run(l, 300);
    }
    cr_assert(agree(l, 20000), "%s", deploy_error(l->deploy));
    for (unsigned r = 1; r <= 2; r++)
        for (unsigned i = 0; i < n[r]; i++) {
            snprintf(text, sizeof text, "get r%u:%u\r\n", r, i);
            snprintf(want, sizeof want, "$1\r\nv\r\n");
            if (is_acked[r][i])
                cr_expect_str_eq(ask(l, 3 - r, text, 10), want, "%s %s", text,
                                 l->talk[3 - r].text.p);
        }
    cr_expect_gt(acked[1] + acked[2], 60);
    lives_free(l);
}

/* Numbers of actors come round after sixteen lives. */
static void many_lives(unsigned regions, enum persistence p, unsigned wait_ms, bool power)
{
    struct lives *l = lives_new(regions, p);
    char text[64];
    unsigned refused = 0;
    for (unsigned life = 0; life < 50; life++) {
        for (unsigned i = 0; i < 5; i++) {
            snprintf(text, sizeof text, "set l%u:%u v\r\nincr n\r\n", life, i);
            refused += strncmp(ask(l, 1, text, 20), "+OK", 3) != 0;
            if (regions > 1)
                ask(l, 2, "incr n\r\n", 5);
        }
        run(l, wait_ms / 2);
        die(l, 1, power && life % 2);
        deploy_start(l->deploy, 1);
        run(l, wait_ms);
    }
    cr_expect(agree(l, 60000), "%u regions do not agree: %.*s", regions,
              (int)(buf_len(&l->log) < 3000 ? buf_len(&l->log) : 3000),
              (const char *)l->log.p + l->log.tail -
                  (buf_len(&l->log) < 3000 ? buf_len(&l->log) : 3000));
    snprintf(text, sizeof text, "%s", ask(l, 1, "get n\r\n", 50));
    if (regions > 1)
        cr_expect_str_eq(ask(l, 2, "get n\r\n", 50), text);
    if (p == PERSIST_ALWAYS && !power)
        cr_expect_eq(refused, 0, "%u of 250 writes refused", refused);
    cr_expect_str_eq(ask(l, 1, "get l0:0\r\nget l31:4\r\nget l49:4\r\n", 50),
                     "$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n", "%u refused", refused);
    lives_free(l);
}

Test(lives, many_of_one_region_with_every_write_synced)
{
    for (unsigned n = 1; n <= 3; n++)
        many_lives(n, PERSIST_ALWAYS, 1000, true);
}

Test(lives, many_of_one_region_at_short_intervals) { many_lives(3, PERSIST_ALWAYS, 150, false); }

Test(lives, many_of_one_region_with_a_sync_a_second) { many_lives(2, PERSIST_SECOND, 1000, true); }

Test(lives, a_number_that_may_not_be_free_waits_for_the_peers)
{
    struct lives *l = lives_new(2, PERSIST_SECOND);
    cr_expect_str_eq(ask(l, 1, "set a 1\r\n", 3600), "+OK\r\n");
    die(l, 1, false);
    die(l, 2, false); /* nobody can tell region 1 what became of its first life */
    for (unsigned life = 1; life < 20; life++) {
        deploy_start(l->deploy, 1);
        run(l, 1500);
        const char *got = ask(l, 1, "incr n\r\n", 50);
        if (life < 16)
            cr_expect_eq(got[0], ':', "life %u: %s", life, got);
        else
            cr_expect_eq(strncmp(got, "-STALE", 6), 0, "life %u: %s", life, got);
        if (life < 19)
            die(l, 1, false);
    }
    deploy_start(l->deploy, 2);
    cr_expect(agree(l, 20000));
    cr_expect_str_eq(ask(l, 1, "incr n\r\nget a\r\n", 50), ":16\r\n$1\r\n1\r\n");
    lives_free(l);
}

/* The file that says "nothing has left that the log lacks" may be there although its writing
 * failed: what then leaves, and is lost, must make a new life. */
Test(lives, a_note_whose_writing_failed_may_be_on_disk)
{
    struct lives *l = lives_new(2, PERSIST_SECOND);
    uint32_t host = deploy_host(l->deploy, 1);
    world_disk(l->world, host, (struct world_disk){.fail_replace_per_64k = 65536});
    deploy_persist(l->deploy, 1, PERSIST_ALWAYS);
    run(l, 1200);
    deploy_persist(l->deploy, 1, PERSIST_SECOND);
    run(l, 300);
    world_disk(l->world, host, (struct world_disk){.fail_append_per_64k = 65536});
    run(l, 1500);
    cr_expect_str_eq(ask(l, 1, "set x lost\r\n", 20), "+OK\r\n");
    die(l, 1, true);
    world_disk(l->world, host, (struct world_disk){0});
    cr_expect_str_eq(ask(l, 2, "get x\r\n", 2000), "$4\r\nlost\r\n");
    die(l, 2, false);
    deploy_start(l->deploy, 1);
    run(l, 1500);
    cr_expect_str_eq(ask(l, 1, "get x\r\nset x mine\r\n", 50), "$-1\r\n+OK\r\n");
    deploy_start(l->deploy, 2);
    cr_expect(agree(l, 20000), "%s", deploy_error(l->deploy));
    cr_expect_str_eq(ask(l, 1, "get x\r\n", 50), "$4\r\nmine\r\n");
    cr_expect_str_eq(ask(l, 2, "get x\r\n", 50), "$4\r\nmine\r\n");
    lives_free(l);
}

/* Whoever restarts forgets what it knew of the others' old lives: a region that takes a number
 * again must be let in although nobody remembers that the number's last life is over. */
Test(lives, many_of_all_regions_at_random)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct lives *l = lives_new(3, seed % 2 ? PERSIST_SECOND : PERSIST_ALWAYS);
        struct rng rng;
        rng_init(&rng, seed);
        for (unsigned death = 0; death < 100; death++) {
            unsigned r = 1 + (unsigned)rng_below(&rng, 3);
            ask(l, r, "incr n\r\n", 10);
            ask(l, 1 + r % 3, "incr n\r\n", 10);
            run(l, (unsigned)rng_below(&rng, rng_below(&rng, 4) == 0 ? 3000 : 800));
            die(l, r, rng_below(&rng, 2) == 0);
            run(l, (unsigned)rng_below(&rng, 300));
            deploy_start(l->deploy, r);
        }
        size_t tail = buf_len(&l->log) < 3000 ? buf_len(&l->log) : 3000;
        cr_assert(agree(l, 60000), "seed %llu: %.*s", (unsigned long long)seed, (int)tail,
                  (const char *)buf_bytes(&l->log).p + buf_len(&l->log) - tail);
        cr_assert_str_eq(ask(l, 1, "set done 1\r\n", 500), "+OK\r\n");
        cr_assert_str_eq(ask(l, 3, "get done\r\n", 500), "$1\r\n1\r\n");
        lives_free(l);
    }
}

/* Nothing has left the process that the disk does not have: it goes on as who it was. */
static void one_life(enum persistence p, bool orderly, bool want)
{
    struct lives *l = lives_new(2, p);
    char text[64];
    cr_expect_str_eq(ask(l, 1, "incr n\r\n", 50), ":1\r\n");
    run(l, 2000);
    die(l, 2, true); /* alone, whoever needs to be told something is not told it */
    for (unsigned i = 0; i < 40; i++) {
        if (orderly) {
            hang_up(l, 1);
            deploy_stop(l->deploy, 1);
            run(l, 100);
            cr_assert(deploy_stopped(l->deploy, 1));
        }
        die(l, 1, i % 2);
        deploy_start(l->deploy, 1);
        run(l, 150);
        snprintf(text, sizeof text, ":%u\r\n", i + 2);
        if (want)
            cr_expect_str_eq(ask(l, 1, "incr n\r\n", 20), text, "life %u: %s", i,
                             l->talk[1].text.p);
    }
    bool same = strstr(ask(l, 1, "info crdt\r\n", 20), "crdt_incarnation:0\r\n") != NULL;
    cr_expect_eq(same, want);
    deploy_start(l->deploy, 2);
    cr_expect(agree(l, 20000));
    if (want)
        cr_expect_str_eq(ask(l, 2, "get n\r\n", 20), "$2\r\n41\r\n");
    lives_free(l);
}

Test(lives, a_region_that_syncs_every_write_goes_on_as_who_it_was)
{
    one_life(PERSIST_ALWAYS, false, true);
}

Test(lives, so_does_one_that_came_to_an_orderly_end) { one_life(PERSIST_SECOND, true, true); }

Test(lives, one_that_may_have_lost_something_begins_anew)
{
    one_life(PERSIST_SECOND, false, false);
}

/* A process that died before its folder had heard of it: the next one begins a new life, whose
 * number nobody can have had while the same life went on, except that life itself. */
Test(lives, a_number_that_no_life_had_is_free)
{
    struct lives *l = lives_new(2, PERSIST_ALWAYS);
    char text[64];
    cr_expect_str_eq(ask(l, 1, "incr n\r\n", 2000), ":1\r\n");
    die(l, 2, true);
    uint32_t life = 0;
    for (unsigned process = 1; process <= 38; process++) {
        bool skipped = process == 22 || process == 38;
        die(l, 1, false);
        cr_assert_eq(deploy_incarnation(l->deploy, 1), process);
        if (process == 21 || process == 37)
            continue;
        life = skipped ? process : life;
        deploy_start(l->deploy, 1);
        run(l, 1500);
        const char *got = ask(l, 1, "incr n\r\n", 50);
        if (process == 38)
            cr_expect_eq(strncmp(got, "-STALE", 6), 0, "its number is that of life 22: %s", got);
        else
            cr_expect_eq(got[0], ':', "process %u: %s", process, got);
        snprintf(text, sizeof text, "crdt_incarnation:%u\r\n", life);
        cr_expect(strstr(ask(l, 1, "info crdt\r\n", 20), text) != NULL, "process %u", process);
    }
    deploy_start(l->deploy, 2);
    cr_expect(agree(l, 20000), "%s", deploy_error(l->deploy));
    cr_expect_str_eq(ask(l, 1, "incr n\r\n", 50), ":37\r\n");
    cr_expect_str_eq(ask(l, 2, "get n\r\n", 50), "$2\r\n37\r\n");
    lives_free(l);
}

/* What the folder says of the policy before is believed only where peers got what was synced. */
Test(lives, a_policy_that_changes_is_believed_once_the_folder_says_so)
{
    struct lives *l = lives_new(2, PERSIST_SECOND);
    cr_expect_str_eq(ask(l, 1, "incr n\r\n", 50), ":1\r\n");
    deploy_persist(l->deploy, 1, PERSIST_ALWAYS);
    run(l, 3000);
    die(l, 1, true);
    deploy_start(l->deploy, 1);
    run(l, 300);
    cr_expect(strstr(ask(l, 1, "info crdt\r\n", 20), "crdt_incarnation:0\r\n") != NULL);
    deploy_persist(l->deploy, 1, PERSIST_SECOND);
    cr_expect_str_eq(ask(l, 1, "incr n\r\n", 500), ":2\r\n");
    die(l, 1, true); /* the last write has reached region 2, and was not synced */
    deploy_start(l->deploy, 1);
    run(l, 300);
    cr_expect(strstr(ask(l, 1, "info crdt\r\n", 20), "crdt_incarnation:2\r\n") != NULL);
    cr_expect(agree(l, 20000));
    cr_expect_str_eq(ask(l, 1, "get n\r\n", 20), "$1\r\n2\r\n");
    lives_free(l);
}

Test(lives, a_region_that_is_away_is_named_with_what_it_costs)
{
    struct lives *l = lives_new(3, PERSIST_ALWAYS);
    ask(l, 1, "sadd s a b c d e f\r\n", 50);
    cr_assert(agree(l, 20000));
    die(l, 2, false);
    for (unsigned i = 0; i < 3; i++) { /* what one region alone adds up is one sum */
        ask(l, 1, "incr n\r\n", 300);
        ask(l, 3, "incr n\r\n", 300);
    }
    const char *info = ask(l, 1, "info crdt\r\n", 50);
    cr_expect(strstr(info, "crdt_gc_laggard_region:2\r\ncrdt_gc_laggard_name:rome\r\n") != NULL,
              "%s", info);
    cr_expect(strstr(info, "crdt_gc_laggard_partitions:0\r\n") == NULL, "%s", info);
    cr_expect(strstr(info, "crdt_gc_held_bytes:0\r\n") == NULL, "%s", info);
    cr_expect(strstr(info, "crdt_unsettled:0\r\n") == NULL, "%s", info);
    deploy_start(l->deploy, 2);
    cr_assert(agree(l, 20000));
    info = ask(l, 1, "info crdt\r\n", 50);
    cr_expect(strstr(info, "crdt_gc_laggard_region:0\r\ncrdt_gc_laggard_name:\r\n"
                           "crdt_gc_laggard_partitions:0\r\n") != NULL,
              "%s", info);
    cr_expect(strstr(info, "crdt_unsettled:0\r\n") != NULL, "%s", info);
    lives_free(l);
}

/* ------------------------------------------------------------ what earlier lives wrote */

static const char *earlier(struct lives *l, unsigned r, const char *field, char *out, size_t size)
{
    const char *at = strstr(ask(l, r, "info crdt\r\n", 20), field);
    snprintf(out, size, "%.*s", at != NULL ? (int)strcspn(at, "\r") : 0, at != NULL ? at : "");
    return out;
}

/* Whoever empties a region and fills it again must know of what may come on top. */
Test(lives, a_region_that_has_not_told_of_an_earlier_life_is_named_and_what_it_brings_shows)
{
    char seen[64], later[64], text[64];
    struct lives *l = lives_new(3, PERSIST_SECOND);
    ask(l, 1, "set a 1\r\n", 3600);
    cr_assert(agree(l, 20000));
    cr_expect_str_eq(earlier(l, 1, "crdt_earlier_lives_open:", text, sizeof text),
                     "crdt_earlier_lives_open:0");
    ask(l, 1, "incr a\r\n", 100); /* has reached the others, and was not synced */
    hang_up(l, 3);
    deploy_crash(l->deploy, 3, false);
    hang_up(l, 2);
    deploy_crash(l->deploy, 2, false);
    die(l, 1, true);
    deploy_start(l->deploy, 1);
    run(l, 500);
    earlier(l, 1, "crdt_earlier_lives_seen:", seen, sizeof seen);
    cr_expect_str_eq(ask(l, 1, "get a\r\n", 20), "$1\r\n1\r\n");
    cr_expect_str_neq(earlier(l, 1, "crdt_earlier_lives_open:", text, sizeof text),
                      "crdt_earlier_lives_open:0");
    deploy_start(l->deploy, 2);
    run(l, 6000);
    cr_expect_str_eq(ask(l, 1, "get a\r\n", 20), "$1\r\n2\r\n");
    cr_expect_str_neq(earlier(l, 1, "crdt_earlier_lives_seen:", later, sizeof later), seen);
    cr_expect_str_neq(earlier(l, 1, "crdt_earlier_lives_open:", text, sizeof text),
                      "crdt_earlier_lives_open:0");
    cr_expect_str_eq(earlier(l, 1, "crdt_earlier_lives_waits_name:", text, sizeof text),
                     "crdt_earlier_lives_waits_name:cairo");
    deploy_start(l->deploy, 3);
    cr_assert(agree(l, 20000));
    run(l, 3000);
    cr_expect_str_eq(earlier(l, 1, "crdt_earlier_lives_open:", text, sizeof text),
                     "crdt_earlier_lives_open:0");
    cr_expect_str_eq(earlier(l, 1, "crdt_earlier_lives_seen:", seen, sizeof seen), later);
    lives_free(l);
}

/* ------------------------------------------------------------ older copies */

struct copy {
    struct buf files; /* path, 0, u64 size, content */
    uint32_t incarnation;
};

static void copy_file(void *arg, const char *path, struct bytes content)
{
    struct copy *c = arg;
    uint64_t n = content.n;
    buf_put(&c->files, path, strlen(path) + 1);
    buf_put(&c->files, &n, sizeof n);
    buf_put_bytes(&c->files, content);
}

static void stop(struct lives *l, unsigned r)
{
    hang_up(l, r);
    deploy_stop(l->deploy, r);
    for (unsigned i = 0; i < 100 && !deploy_stopped(l->deploy, r); i++)
        run(l, 20);
    cr_assert(deploy_stopped(l->deploy, r));
    die(l, r, false);
}

/* After an orderly end. */
static struct copy take_copy(struct lives *l, unsigned r)
{
    struct copy c = {.incarnation = deploy_incarnation(l->deploy, r)};
    world_files(l->world, deploy_host(l->deploy, r), copy_file, &c);
    return c;
}

static void put_copy_back(struct lives *l, unsigned r, struct copy *c)
{
    uint32_t host = deploy_host(l->deploy, r);
    world_files_wipe(l->world, host, "data/");
    while (buf_len(&c->files) > 0) {
        const char *path = (const char *)c->files.p + c->files.head;
        uint64_t n;
        memcpy(&n, path + strlen(path) + 1, sizeof n);
        const uint8_t *content = (const uint8_t *)path + strlen(path) + 1 + sizeof n;
        world_file_put(l->world, host, path, bytes_of(content, n));
        buf_consume(&c->files, strlen(path) + 1 + sizeof n + n);
    }
    buf_deinit(&c->files);
    deploy_put_back(l->deploy, r, c->incarnation);
}

/* Of whose region 2 there is a copy, after an orderly end. It runs again. */
static struct lives *copied(enum persistence p, struct copy *c)
{
    struct lives *l = lives_new(3, p);
    cr_expect_str_eq(ask(l, 2, "set k early\r\n", 50), "+OK\r\n");
    cr_expect_str_eq(ask(l, 2, "incrby n 5\r\n", 50), ":5\r\n");
    cr_assert(agree(l, 20000));
    stop(l, 2);
    *c = take_copy(l, 2);
    deploy_start(l->deploy, 2);
    run(l, 500);
    return l;
}

/* Region 2 goes on after it was copied, everybody knows of that and has been restarted since; then
 * the copy is put back. */
static struct lives *an_older_copy(enum persistence p)
{
    struct copy c;
    struct lives *l = copied(p, &c);
    cr_expect_str_eq(ask(l, 2, "set k late\r\n", 50), "+OK\r\n");
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 50), ":6\r\n");
    cr_assert(agree(l, 20000));
    stop(l, 2);
    for (unsigned r = 1; r <= 3; r += 2) {
        stop(l, r);
        deploy_start(l->deploy, r);
    }
    run(l, 500);
    put_copy_back(l, 2, &c);
    return l;
}

static void expect_late(struct lives *l, const char *n)
{
    for (unsigned r = 1; r <= 3; r++) {
        cr_expect_str_eq(ask(l, r, "get k\r\n", 20), "$4\r\nlate\r\n", "%u", r);
        cr_expect_str_eq(ask(l, r, "get n\r\n", 20), n, "%u", r);
    }
}

static void found_out_at_once(enum persistence p)
{
    struct lives *l = an_older_copy(p);
    deploy_start(l->deploy, 2);
    run(l, 3000);
    cr_expect(strstr(ask(l, 2, "info crdt\r\n", 20), "crdt_incarnation:1\r\n") != NULL, "%s",
              l->talk[2].text.p);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    cr_assert(agree(l, 20000), "%.*s", (int)buf_len(&l->log), (const char *)l->log.p);
    expect_late(l, "$1\r\n7\r\n");
    lives_free(l);
}

Test(lives, an_older_copy_is_found_out_by_peers_that_were_restarted)
{
    found_out_at_once(PERSIST_ALWAYS);
    found_out_at_once(PERSIST_SECOND);
}

/* Region 2 was killed so often after it was copied, and went on each time as another life. */
static struct lives *a_copy_of_an_ended_life(unsigned deaths)
{
    struct copy c;
    struct lives *l = copied(PERSIST_SECOND, &c);
    cr_expect_str_eq(ask(l, 2, "set k late\r\n", 3600), "+OK\r\n");
    for (unsigned i = 0; i < deaths; i++) {
        die(l, 2, i % 2);
        deploy_start(l->deploy, 2);
        run(l, 2000);
    }
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":6\r\n");
    cr_assert(agree(l, 20000));
    stop(l, 2);
    put_copy_back(l, 2, &c);
    return l;
}

/* Region 2 from the others. */
static void apart(struct lives *l, bool cut)
{
    uint32_t host = deploy_host(l->deploy, 2);
    for (unsigned r = 1; r <= 3; r += 2) {
        struct world_link link = {.cut = cut, .latency_us = 500};
        world_link(l->world, host, deploy_host(l->deploy, r), link);
        world_link(l->world, deploy_host(l->deploy, r), host, link);
    }
}

static void goes_on_after(unsigned deaths, bool again)
{
    struct lives *l = a_copy_of_an_ended_life(deaths);
    char text[64];
    deploy_start(l->deploy, 2);
    run(l, 20);
    const char *said = ask(l, 2, "incr n\r\n", 5); /* nothing is taken before it has caught up */
    cr_expect_neq(said[0], ':', "%s", said);
    run(l, 5000);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    unsigned life = deaths + 2 + (deaths == 14); /* not with the number that it had */
    snprintf(text, sizeof text, "crdt_incarnation:%u\r\n", life);
    cr_expect(strstr(ask(l, 2, "info crdt\r\n", 20), text) != NULL, "%u: %s", deaths,
              l->talk[2].text.p);
    cr_assert(agree(l, 20000), "%.*s", (int)buf_len(&l->log), (const char *)l->log.p);
    expect_late(l, "$1\r\n7\r\n");
    for (unsigned i = 0; again && i < 2; i++) { /* its own numbers lag behind, and do not matter */
        run(l, 3600);
        die(l, 2, i == 0);
        deploy_start(l->deploy, 2);
        run(l, 3000);
        snprintf(text, sizeof text, ":%u\r\n", 8 + i);
        cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), text);
        cr_assert(agree(l, 20000));
    }
    lives_free(l);
}

Test(lives, a_copy_whose_life_has_ended_since_goes_on_as_a_later_one)
{
    goes_on_after(1, false);
    goes_on_after(5, true);
    goes_on_after(14, false);
    goes_on_after(20, false);
}

Test(lives, a_copy_whose_life_has_ended_since_and_that_has_written_alone_stops)
{
    struct lives *l = a_copy_of_an_ended_life(3);
    apart(l, true);
    deploy_start(l->deploy, 2);
    run(l, 3000);
    cr_expect_str_eq(ask(l, 2, "set other copy\r\n", 100), "+OK\r\n");
    apart(l, false);
    run(l, 10000);
    const char *said = ask(l, 2, "set other again\r\n", 100);
    cr_expect(strncmp(said, "-MISCONF", 8) == 0 && strstr(said, "older copy"), "%s", said);
    cr_expect_str_eq(ask(l, 2, "get other\r\n", 100), "$4\r\ncopy\r\n");
    cr_expect_str_eq(ask(l, 1, "get k\r\nget other\r\n", 20), "$4\r\nlate\r\n$-1\r\n");
    stop(l, 2); /* as recovery.md says */
    world_files_wipe(l->world, deploy_host(l->deploy, 2), "data/");
    deploy_start(l->deploy, 2);
    run(l, 5000);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    cr_assert(agree(l, 20000), "%.*s", (int)buf_len(&l->log), (const char *)l->log.p);
    expect_late(l, "$1\r\n7\r\n");
    lives_free(l);
}

/* Its manager's state is an older copy: the number that it is given has had its life. */
Test(lives, a_region_in_memory_whose_number_is_an_old_one_takes_a_later_one)
{
    struct lives *l = lives_new(3, PERSIST_OFF);
    for (unsigned i = 0; i < 5; i++) {
        ask(l, 2, "incr n\r\n", 200);
        die(l, 2, false);
        deploy_start(l->deploy, 2);
        run(l, 3000);
    }
    cr_assert(agree(l, 20000));
    die(l, 2, false);
    deploy_put_back(l->deploy, 2, 1);
    deploy_start(l->deploy, 2);
    run(l, 5000);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":6\r\n");
    cr_expect(strstr(ask(l, 2, "info crdt\r\n", 20), "crdt_incarnation:6\r\n") != NULL, "%s",
              l->talk[2].text.p);
    cr_assert(agree(l, 20000));
    cr_expect_str_eq(ask(l, 1, "get n\r\n", 20), "$1\r\n6\r\n");
    lives_free(l);
}

/* It is not known what it may do before it has caught up; nor does a death change that. */
Test(lives, an_older_copy_that_dies_while_it_catches_up_still_has_to)
{
    struct lives *l = an_older_copy(PERSIST_ALWAYS);
    deploy_start(l->deploy, 2);
    for (unsigned i = 0; i < 400 && strstr((const char *)l->log.p, "older copy") == NULL; i++) {
        run(l, 1);
        buf_put_u8(&l->log, 0);
        l->log.tail--;
    }
    cr_assert(strstr((const char *)l->log.p, "older copy") != NULL);
    run(l, 3); /* the folder has been told */
    die(l, 1, false);
    die(l, 3, false);
    die(l, 2, true);
    deploy_start(l->deploy, 2);
    run(l, 2000);
    const char *said = ask(l, 2, "incr n\r\n", 100);
    cr_expect(strncmp(said, "-STALE", 6) == 0, "%s", said);
    deploy_start(l->deploy, 1);
    deploy_start(l->deploy, 3);
    cr_assert(agree(l, 20000));
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    cr_assert(agree(l, 20000));
    expect_late(l, "$1\r\n7\r\n");
    lives_free(l);
}

/* Its lives file would say that it has not; damaged it may have said so. */
static void unreadable(bool cut)
{
    struct lives *l = lives_new(3, PERSIST_ALWAYS);
    cr_expect_str_eq(ask(l, 2, "incrby n 5\r\n", 50), ":5\r\n");
    cr_assert(agree(l, 20000));
    for (unsigned r = 1; r <= 3; r++)
        stop(l, r);
    uint32_t host = deploy_host(l->deploy, 2);
    for (unsigned i = 0; i < 2; i++) { /* the third has the users, without whom nobody is let in */
        char path[64];
        deploy_folder(l->deploy, 2, i, path, sizeof path - 8);
        strcat(path, "/lives");
        if (cut)
            world_file_put(l->world, host, path, bytes_str("MERLIFE2"));
        else
            cr_assert(world_disk_rot(l->world, host, path, 0));
    }
    deploy_start(l->deploy, 2);
    for (unsigned life = 0; life < 2; life++) { /* a death does not change that */
        run(l, 2000);
        const char *said = ask(l, 2, "incr n\r\n", 100);
        cr_expect(strncmp(said, "-STALE", 6) == 0, "%s", said);
        cr_expect_str_eq(ask(l, 2, "get n\r\n", 100), "$1\r\n5\r\n");
        die(l, 2, life == 0);
        deploy_start(l->deploy, 2);
    }
    buf_put_u8(&l->log, 0);
    cr_expect(strstr((const char *)l->log.p, "/lives is damaged, or of a later release"));
    l->log.tail--;
    deploy_start(l->deploy, 1);
    deploy_start(l->deploy, 3);
    cr_assert(agree(l, 20000));
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":6\r\n");
    cr_assert(agree(l, 20000));
    stop(l, 1);
    stop(l, 3);
    stop(l, 2);
    deploy_start(l->deploy, 2); /* it has noted that it had caught up */
    run(l, 2000);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    lives_free(l);
}

Test(lives, a_damaged_note_counts_as_one_that_says_what_is_missing) { unreadable(false); }

Test(lives, so_does_one_that_is_cut_short) { unreadable(true); }

/* What the disk does not give is not written over. */
Test(lives, a_note_that_cannot_be_read_is_left_alone)
{
    struct lives *l = lives_new(3, PERSIST_ALWAYS);
    cr_expect_str_eq(ask(l, 2, "incrby n 5\r\n", 50), ":5\r\n");
    cr_assert(agree(l, 20000));
    stop(l, 2);
    struct bytes before, after;
    uint32_t host = deploy_host(l->deploy, 2);
    cr_assert(world_file(l->world, host, "data/db1/shard0/lives", &before));
    uint64_t sum = hash_64(before, 0);
    world_disk(l->world, host, (struct world_disk){.fail_read_per_64k = 65536});
    deploy_start(l->deploy, 2);
    run(l, 2000);
    const char *said = ask(l, 2, "get n\r\n", 100);
    cr_expect(strncmp(said, "-LOADING", 8) == 0 && strstr(said, "lives: "), "%s", said);
    die(l, 2, false);
    world_disk(l->world, host, (struct world_disk){0});
    cr_assert(world_file(l->world, host, "data/db1/shard0/lives", &after));
    cr_expect_eq(hash_64(after, 0), sum);
    deploy_start(l->deploy, 2);
    cr_assert(agree(l, 20000));
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":6\r\n");
    lives_free(l);
}

/* `again`: it is restarted before it meets anybody, so its own files know nothing else any more. */
static void split(bool again)
{
    struct lives *l = an_older_copy(PERSIST_ALWAYS);
    stop(l, 1);
    stop(l, 3);
    deploy_start(l->deploy, 2);
    run(l, 3000);
    cr_expect_str_eq(ask(l, 2, "set k copy\r\n", 100), "+OK\r\n");
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":6\r\n");
    if (again) {
        stop(l, 2);
        deploy_start(l->deploy, 2);
        run(l, 3000);
    }
    deploy_start(l->deploy, 1);
    deploy_start(l->deploy, 3);
    run(l, 5000);
    for (unsigned life = 0; life < 3; life++) { /* nothing is lost on either side, for good */
        const char *said = ask(l, 2, "set k again\r\n", 100);
        cr_expect(strncmp(said, "-MISCONF", 8) == 0 && strstr(said, "older copy"), "%s", said);
        cr_expect_str_eq(ask(l, 2, "get k\r\n", 100), "$4\r\ncopy\r\n");
        for (unsigned r = 1; r <= 3; r += 2)
            cr_expect_str_eq(ask(l, r, "get k\r\n", 20), "$4\r\nlate\r\n");
        stop(l, 1 + life);
        deploy_start(l->deploy, 1 + life);
        run(l, 3000);
    }
    stop(l, 2); /* as recovery.md says */
    world_files_wipe(l->world, deploy_host(l->deploy, 2), "data/");
    deploy_start(l->deploy, 2);
    run(l, 3000);
    cr_expect_str_eq(ask(l, 2, "incr n\r\n", 100), ":7\r\n");
    cr_assert(agree(l, 20000), "%.*s", (int)buf_len(&l->log), (const char *)l->log.p);
    expect_late(l, "$1\r\n7\r\n");
    lives_free(l);
}

Test(lives, an_older_copy_that_has_written_alone_stops) { split(false); }

Test(lives, so_does_one_that_was_restarted_before_it_met_anybody) { split(true); }
