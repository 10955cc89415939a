/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "tests/unit/serve.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* BGSAVE and its like, and what INFO and CONFIG say of files. */

static struct serve *open_serve(unsigned workers, unsigned shards, enum persistence persistence)
{
    struct serve *s = serve_new(
        &(struct serve_opts){.workers = workers, .shards = shards, .persistence = persistence});
    serve_run(s, 200);
    return s;
}

/* A field of INFO persistence as a number; -99: it is not there. */
static long long figure(struct client *c, const char *name)
{
    char line[64];
    const char *text = client_ask(c, "INFO persistence\r\n");
    snprintf(line, sizeof line, "\n%s:", name);
    const char *at = strstr(text, line);
    return at != NULL ? atoll(at + strlen(line)) : -99;
}

Test(save, snapshots_every_shard_in_the_background)
{
    struct serve *s = open_serve(2, 3, PERSIST_SECOND);
    struct client *c = client_new(s);
    for (int i = 0; i < 20; i++) {
        char text[64];
        snprintf(text, sizeof text, "SET key%d value\r\n", i);
        cr_assert_str_eq(client_ask(c, text), "+OK\r\n");
    }
    cr_expect_eq(figure(c, "rdb_changes_since_last_save"), 20);
    cr_expect_eq(figure(c, "rdb_saves"), 0);
    long long before = figure(c, "rdb_last_save_time");
    serve_run(s, 2000);
    cr_expect_str_eq(client_ask(c, "BGSAVE\r\nBGSAVE SCHEDULE\r\n"),
                     "+Background saving started\r\n-ERR Background save already in progress\r\n");
    serve_run(s, 500);
    cr_expect_eq(figure(c, "rdb_saves"), 3);
    cr_expect_eq(figure(c, "rdb_bgsave_in_progress"), 0);
    cr_expect_eq(figure(c, "rdb_changes_since_last_save"), 0);
    cr_expect_eq(figure(c, "storage_shards"), 3);
    cr_expect_geq(figure(c, "rdb_last_save_time"), before + 2);
    char last[32];
    snprintf(last, sizeof last, ":%lld\r\n", figure(c, "rdb_last_save_time"));
    cr_expect_str_eq(client_ask(c, "LASTSAVE\r\n"), last);
    cr_expect_str_eq(client_ask(c, "BGREWRITEAOF\r\n"),
                     "+Background append only file rewriting started\r\n");
    serve_run(s, 500);
    cr_expect_eq(figure(c, "rdb_saves"), 6);
    cr_expect_str_eq(client_ask(c, "BGSAVE now\r\n"), "-ERR syntax error\r\n");
    serve_free(s);
}

Test(save, waits_for_all_shards_and_holds_up_nobody_else)
{
    struct serve *s = open_serve(2, 4, PERSIST_SNAPSHOT);
    struct client *c = client_new(s), *other = client_new(s);
    client_ask(c, "SET a 1\r\n");
    client_send(c, bytes_str("SAVE\r\n"));
    cr_expect_str_eq(client_ask(other, "SET b 2\r\n"), "+OK\r\n");
    serve_run(s, 500);
    cr_expect_str_eq(client_take(c), "+OK\r\n");
    cr_expect_eq(figure(other, "rdb_saves"), 4);
    cr_expect_str_eq(client_ask(c, "MULTI\r\nSAVE\r\nDISCARD\r\n"),
                     "+OK\r\n-ERR Command not allowed inside a transaction\r\n+OK\r\n");
    /* One that goes away while it waits leaves nothing behind. */
    client_send(other, bytes_str("SAVE\r\n"));
    client_close(other);
    serve_run(s, 500);
    cr_expect_str_eq(client_ask(c, "GET b\r\n"), "$1\r\n2\r\n");
    serve_free(s);
}

Test(save, is_refused_where_nothing_is_on_disk)
{
    struct serve *s = open_serve(2, 2, PERSIST_OFF);
    struct client *c = client_new(s);
    static const char *const commands[] = {"BGSAVE\r\n", "SAVE\r\n", "BGREWRITEAOF\r\n"};
    for (unsigned i = 0; i < 3; i++)
        cr_expect(strstr(client_ask(c, commands[i]), "-ERR this database is not on disk"));
    cr_expect_eq(client_ask(c, "LASTSAVE\r\n")[0], ':');
    cr_expect_eq(figure(c, "aof_enabled"), 0);
    cr_expect_eq(figure(c, "aof_current_size"), -99);
    cr_expect_str_eq(client_ask(c, "CONFIG GET appendonly\r\n"),
                     "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
    serve_free(s);
}

Test(save, snapshots_come_by_the_rules_once_there_were_enough_writes)
{
    struct serve *s = open_serve(1, 1, PERSIST_SNAPSHOT);
    struct plane_db *db = mem_zalloc(sizeof *db);
    struct client *c = client_new(s);
    serve_db(s, db);
    db->snapshot_rules_count = 2;
    db->snapshot_rules[0] = (struct snapshot_rule){.seconds = 3600, .writes = 1};
    db->snapshot_rules[1] = (struct snapshot_rule){.seconds = 10, .writes = 3};
    cr_assert(serve_set(s, db), "%s", serve_error(s));
    cr_expect_str_eq(client_ask(c, "CONFIG GET save\r\n"),
                     "*2\r\n$4\r\nsave\r\n$11\r\n3600 1 10 3\r\n");
    client_ask(c, "SET a 1\r\nSET a 2\r\n");
    serve_run(s, 20000);
    cr_expect_eq(figure(c, "rdb_saves"), 0);
    client_ask(c, "SET a 3\r\n");
    serve_run(s, 1000);
    cr_expect_eq(figure(c, "rdb_saves"), 1);
    client_ask(c, "SET a 1\r\nSET a 2\r\nSET a 3\r\n");
    serve_run(s, 5000);
    cr_expect_eq(figure(c, "rdb_saves"), 1);
    serve_run(s, 6000);
    cr_expect_eq(figure(c, "rdb_saves"), 2);
    mem_free(db);
    serve_free(s);
}

Test(save, config_shows_how_the_database_is_kept)
{
    static const struct {
        enum persistence persistence;
        const char *logged, *fsync;
    } all[] = {{PERSIST_SECOND, "yes", "everysec"},
               {PERSIST_ALWAYS, "yes", "always"},
               {PERSIST_SNAPSHOT, "yes", "no"}};
    for (unsigned i = 0; i < 3; i++) {
        char wanted[200];
        struct serve *s = open_serve(1, 1, all[i].persistence);
        struct client *c = client_new(s);
        snprintf(wanted, sizeof wanted,
                 "*4\r\n$11\r\nappendfsync\r\n$%zu\r\n%s\r\n$10\r\nappendonly\r\n$%zu\r\n%s\r\n",
                 strlen(all[i].fsync), all[i].fsync, strlen(all[i].logged), all[i].logged);
        cr_expect_str_eq(client_ask(c, "CONFIG GET appendfsync appendonly\r\n"), wanted);
        /* What it is may be written back; something else is set over REST. */
        snprintf(wanted, sizeof wanted, "CONFIG SET appendfsync %s\r\n", all[i].fsync);
        cr_expect_str_eq(client_ask(c, wanted), "+OK\r\n");
        cr_expect(strstr(client_ask(c, "CONFIG SET appendonly no\r\n"), "REST API"));
        serve_free(s);
    }
}

/* What was counted before belongs to files that are gone. */
Test(save, begins_anew_with_a_database_that_is_put_on_disk_again)
{
    struct serve *s = open_serve(2, 2, PERSIST_SECOND);
    struct plane_db *db = mem_zalloc(sizeof *db);
    struct client *c = client_new(s);
    serve_db(s, db);
    client_ask(c, "SET a 1\r\n");
    client_ask(c, "BGSAVE\r\n");
    serve_run(s, 500);
    cr_expect_eq(figure(c, "rdb_saves"), 2);
    client_send(c, bytes_str("SAVE\r\n"));
    db->persistence = PERSIST_OFF;
    cr_assert(serve_set(s, db), "%s", serve_error(s));
    serve_run(s, 500);
    const char *end = client_take(c); /* done before, or it cannot be any more */
    cr_expect(strcmp(end, "+OK\r\n") == 0 || strstr(end, "not on disk"), "%s", end);
    cr_expect(strstr(client_ask(c, "BGSAVE\r\n"), "not on disk"));
    cr_expect_eq(figure(c, "rdb_bgsave_in_progress"), 0);
    db->persistence = PERSIST_ALWAYS;
    cr_assert(serve_set(s, db), "%s", serve_error(s));
    serve_run(s, 1000);
    cr_expect_eq(figure(c, "loading"), 0);
    cr_expect_eq(figure(c, "rdb_saves"), 2); /* the first of each shard */
    cr_expect_eq(figure(c, "rdb_changes_since_last_save"), 0);
    cr_expect_str_eq(client_ask(c, "SET b 2\r\n"), "+OK\r\n");
    cr_expect_str_eq(client_ask(c, "BGSAVE\r\n"), "+Background saving started\r\n");
    serve_run(s, 500);
    cr_expect_eq(figure(c, "rdb_saves"), 4);
    mem_free(db);
    serve_free(s);
}
