/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_TESTS_SERVE_H
#define MERIDIAN_TESTS_SERVE_H

#include "sim/deploy.h"

/*
 * One region with workers and shards in the virtual world, and a manager and clients to talk to it:
 * for the tests of sessions and workers. Everything is real but the network and the clock.
 */
struct serve;

struct serve_opts {
    unsigned workers, shards;
    const char *password;
    uint64_t clients_max;
    size_t reply_bytes_max; /* as in struct worker_opts */
    bool split;             /* the network tears bytes anywhere */
    enum persistence persistence;
};

struct serve *serve_new(const struct serve_opts *o);
void serve_free(struct serve *s);
/* The process dies (and with `power` the computer): clients' connections end. */
void serve_kill(struct serve *s, bool power);
/* ... and is started again on the same disk, with the same database; its next life. Serves are
 * started by serve_new. */
void serve_start(struct serve *s);
void serve_keep(struct serve *s, enum persistence p); /* what serve_db says from now on */
void serve_start_empty(struct serve *s);              /* without the database */
/* What the workers have logged so far; valid until more is. */
const char *serve_log(const struct serve *s);
void serve_stop(struct serve *s); /* orderly, by CONTROL_STOP, and waits for it */
uint32_t serve_host(const struct serve *s);
/* A request of the manager; true when it was answered with ok. The answer's text is in serve_error.
 */
bool serve_control(struct serve *s, enum control_kind kind, struct bytes body);
const char *serve_error(const struct serve *s);
struct bytes serve_body(const struct serve *s);
bool serve_set(struct serve *s, const struct plane_db *db);
void serve_db(const struct serve *s, struct plane_db *db); /* the database as it was created */
void serve_run(struct serve *s, unsigned ms);
struct world *serve_world(struct serve *s);

/* A client's connection. What it has received so far stays until the next client_ask or
 * client_take. */
struct client;
struct client *client_new(struct serve *s);
void client_send(struct client *c, struct bytes s);
/* Sends inline or RESP text, waits 50 ms, returns all that came; valid until the next call. */
const char *client_ask(struct client *c, const char *text);
const char *client_take(struct client *c);
const char *client_now(struct client *c); /* what has come, without waiting */
struct serve *client_serve(const struct client *c);
void client_stall(struct client *c, bool stalled); /* reads nothing for a while */
bool client_closed(const struct client *c);
void client_close(struct client *c);
/* NUL-terminated RESP of a command of words separated by blanks. */
const char *client_command(struct client *c, const char *words);

#endif
