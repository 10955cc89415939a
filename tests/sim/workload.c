/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * Clients: each sends one request (or transaction), waits for its reply, thinks, goes on. A
 * connection that dies leaves the outcome of its request open.
 */
#define GIVE_UP_US 4000000u

static void client_event(struct vconn *conn, enum vconn_event what, struct buf *in, void *arg)
{
    struct client *c = arg;
    (void)conn;
    if (what == VCONN_CLOSED) {
        c->conn = NULL;
        c->waiting = false;
        queue_lost(c);
        return;
    }
    struct resp_reply r;
    size_t used;
    while (what == VCONN_DATA && c->waiting &&
           resp_reply_read(buf_bytes(in), &r, &used) == RESP_REPLY_OK) {
        if (--c->replies_wanted == 0) {
            c->waiting = false;
            c->run->acked += r.type != '-';
            if (c->on_reply != NULL)
                c->on_reply(c, &r);
        }
        resp_reply_deinit(&r);
        buf_consume(in, used);
    }
}

static void send_words(struct client *c, unsigned n, const char *const *words)
{
    struct bytes argv[16];
    for (unsigned i = 0; i < n; i++)
        argv[i] = bytes_str(words[i]);
    struct buf out = {0};
    resp_request_put(&out, n, argv);
    vconn_send(c->conn, buf_bytes(&out));
    buf_deinit(&out);
    c->replies_wanted++;
    c->waiting = true;
    c->sent_us = world_now_us(c->run->world);
    c->run->commands++;
}

/* Blank-separated words; none of ours hold blanks. */
static void send_line(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void send_line(struct client *c, const char *fmt, ...)
{
    char line[7040];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    const char *words[16] = {0};
    unsigned n = 0;
    for (char *p = line; *p != 0 && n < 16;) {
        words[n++] = p;
        while (*p != 0 && *p != ' ')
            p++;
        if (*p == ' ')
            *p++ = 0;
    }
    world_note(c->run->world, "client %u.%u: %s %s %s", c->region, c->number, words[0],
               n > 1 ? words[1] : "", n > 2 ? words[2] : "");
    send_words(c, n, words);
}

/* ---------------------------------------------------------------- checked structures */

static void ledger_reply(struct client *c, const struct resp_reply *r)
{
    struct ledger_entry *e = &c->run->ledger[c->subject];
    if (r->type != ':' || e->fate != FATE_ASKED)
        return;
    e->fate = FATE_ACKED;
    e->life = c->run->disks[c->region].lives;
    e->acked_us = world_now_us(c->run->world);
    e->kept = disk_acks(c->run, c->region) &&
              c->sent_us > c->run->disks[c->region].policy_us + DISK_POLICY_US;
}

static void send_ledger(struct client *c)
{
    struct run *r = c->run;
    if (r->ledger_n == LEDGER_MAX)
        return;
    c->subject = r->ledger_n++;
    r->ledger[c->subject] = (struct ledger_entry){.region = c->region};
    c->on_reply = ledger_reply;
    send_line(c, "SADD " LEDGER_KEY " m%" PRId64, (unsigned)c->subject % LEDGER_KEYS, c->subject);
}

static void chain_add_reply(struct client *c, const struct resp_reply *r)
{
    (void)c,
        (void)r; /* present or not: what is visible must have its causes, asked or acknowledged */
}

static void chain_read_reply(struct client *c, const struct resp_reply *r)
{
    struct run *run = c->run;
    if (run->chain_n == CHAIN_MAX || r->type != '*' || c->conn == NULL)
        return;
    struct chain_entry *e = &run->chain[run->chain_n];
    *e = (struct chain_entry){0};
    for (size_t i = 0; i < r->n; i++) {
        int64_t k;
        if (num_parse_i64(r->items[i].text, &k) && k >= 0 && k < CHAIN_MAX)
            e->deps[k / 8] |= (uint8_t)(1u << k % 8);
    }
    c->on_reply = chain_add_reply;
    send_line(c, "SADD " CHAIN_KEY " %u", run->chain_n++);
}

static void send_chain(struct client *c)
{
    c->on_reply = chain_read_reply;
    send_line(c, "SMEMBERS " CHAIN_KEY);
}

/* No blanks: a line is split there. */
static void send_pair(struct client *c)
{
    c->on_reply = NULL;
    send_line(c,
              "EVAL redis.call('INCR',KEYS[1])return(redis.call('HSET',KEYS[2],ARGV[1],'v')) "
              "2 " PAIR_COUNT " " PAIR_FIELDS " %u",
              c->run->pair_n++);
}

static void count_reply(struct client *c, const struct resp_reply *r)
{
    struct counter *k = &c->run->counters[c->number % 2 ? 0 : c->region];
    k->flying -= c->subject;
    if (r->type == ':')
        k->low += c->subject;
    else
        k->high -= c->subject; /* refused: it did not happen */
}

static void send_count(struct client *c)
{
    unsigned which = c->number % 2 ? 0 : c->region; /* the shared one, or the region's own */
    c->subject = 1 + (int64_t)rng_below(&c->run->rng, 9);
    c->run->counters[which].high += c->subject;
    c->run->counters[which].flying += c->subject;
    c->on_reply = count_reply;
    send_line(c, "INCRBY counter%u %" PRId64, which, c->subject);
}

static void send_queue(struct client *c)
{
    struct run *r = c->run;
    if (rng_below(&r->rng, 2) == 0) {
        queue_pop(c);
        send_line(c, "%s " QUEUE_KEY " 0.%03u", rng_below(&r->rng, 2) ? "BLPOP" : "BRPOP",
                  c->region, 1 + (unsigned)rng_below(&r->rng, 999));
    } else if (r->queues[c->region].n < QUEUE_MAX) {
        unsigned i = queue_push(c);
        send_line(c, "%s " QUEUE_KEY " %u", rng_below(&r->rng, 2) ? "LPUSH" : "RPUSH", c->region,
                  i);
    }
}

/* ---------------------------------------------------------------- anything goes */

static const char *const free_commands[] = {
    "SET %k %v",
    "SET %k %n",
    "SET %k %v PX %t",
    "GETSET %k %v",
    "APPEND %k %v",
    "INCRBY %k %n",
    "INCRBYFLOAT %k 0.5",
    "DEL %k",
    "DEL %k",
    "EXPIRE %k 1",
    "PEXPIRE %k %t",
    "PERSIST %k",
    "HSET %k %m %v",
    "HINCRBY %k %m %n",
    "HDEL %k %m",
    "HSETNX %k %m %v",
    "SADD %k %m",
    "SREM %k %m",
    "SPOP %k",
    "SADD %k %m %m",
    "ZADD %k %n %m",
    "ZINCRBY %k %n %m",
    "ZREM %k %m",
    "ZPOPMIN %k",
    "LPUSH %k %v",
    "RPUSH %k %v %v",
    "LPOP %k",
    "RPOP %k",
    "LSET %k 0 %v",
    "LINSERT %k BEFORE %v %v",
    "LREM %k 1 %v",
    "LTRIM %k 0 3",
    "PFADD %k %m",
    "PFADD %k %v",
    "RENAME %k %k",
    "COPY %k %k REPLACE",
    "GETDEL %k",
    "SETRANGE %k 2 %v",
    "SETRANGE %k %o %v%m%v",
    "SET %k %v%v%m%m%v%v%m%m%v%v%m%m",
    "APPEND %k %v%m%v",
    "SETBIT %k %o 1",
    "SETBIT %k %o 0",
    "BITFIELD %k INCRBY u7 %o 3",
    "BITOP XOR %k %k %k",
    "LMOVE %k %k LEFT RIGHT",
    "SUNIONSTORE %k %k %k",
    "ZUNIONSTORE %k 2 %k %k",
    "BLPOP %k %k 0.1",
    "BRPOP %k 0.01",
    "BLMOVE %k %k RIGHT LEFT 0.2",
    "BZPOPMIN %k %k 0.1",
    "BLMPOP 0.05 1 %k LEFT COUNT 2",
    "ACL SETUSER %m +get ~%k",
    "ACL SETUSER %m resetkeys -get +@hash ~%v",
    "ACL DELUSER %m",
    "XADD %k * f %v",
    "XADD %k * f %v g %m",
    "XADD %k MAXLEN 3 * f %v",
    "XADD %k 7-%o f %v",
    "XADD %k 7-* f %v",
    "XDEL %k 7-%o",
    "XTRIM %k MAXLEN 2",
    "XTRIM %k MINID 7-%o",
    "XGROUP CREATE %k %m 0 MKSTREAM",
    "XGROUP CREATE %k %m $",
    "XGROUP SETID %k %m 0",
    "XGROUP DESTROY %k %m",
    "XGROUP DELCONSUMER %k %m %v",
    "XREADGROUP GROUP %m %v COUNT 2 STREAMS %k >",
    "XREADGROUP GROUP %m %v BLOCK 50 STREAMS %k >",
    "XREADGROUP GROUP %m %v NOACK STREAMS %k >",
    "XREADGROUP GROUP %m %v COUNT 3 STREAMS %k 0",
    "XREAD BLOCK 20 STREAMS %k $",
    "XAUTOCLAIM %k %m %v 0 0 COUNT 2",
    "XCLAIM %k %m %v 0 7-%o FORCE",
    "XACK %k %m 7-%o",
    "XSETID %k 8-%o",
    "GEOADD %k %n %n %m",
    "GEOSEARCHSTORE %k %k FROMLONLAT 3 3 BYRADIUS 2000 km COUNT 2",
    "SORT %k ALPHA STORE %k",
    "SORT %k BY nosort LIMIT 0 5 GET %k GET # STORE %k",
    "DEBUG RELOAD",
    "EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 %k %n",
    "EVAL redis.call('HINCRBY',KEYS[1],'w',ARGV[1])return(redis.call('EXPIRE',KEYS[1],9)) 1 %k %n",
    "EVAL redis.call('DEL',KEYS[1])return(redis.call('RPUSH',KEYS[1],ARGV[1],'x')) 1 %k %v",
    "EVAL return(redis.call('RESTORE',KEYS[2],0,redis.call('DUMP',KEYS[1]),'REPLACE')) 2 %k %k",
    "EVAL return(redis.call('RESTORE',KEYS[2],%t,redis.call('DUMP',KEYS[1]))) 2 %k %k",
    /* A library's first line may hold a tab where others have a blank. */
    "FUNCTION LOAD REPLACE "
    "#!lua\tname=%m\nredis.register_function('%v',function(k)return(redis.call('INCR',k[1]))end)",
    "FUNCTION LOAD "
    "#!lua\tname=%m\nredis.register_function('%v',function(k)return(redis.call('DEL',k[1]))end)",
    "FUNCTION DELETE %m",
    "FUNCTION FLUSH",
    "FCALL %v 1 %k",
    "SCRIPT LOAD return(%n)",
    "SCRIPT FLUSH",
    "SET %k %v GET KEEPTTL",
    "GETEX %k PX %t",
    "SETNX %k %n",
    "MSET %k %v %k %v",
    "MSETNX %k %v %k %v",
    "DECRBY %k %n",
    "BITFIELD %k SET u8 %o 200 OVERFLOW SAT INCRBY i5 #%o 9",
    "HSET %k %m %n w %v x %n",
    "HINCRBYFLOAT %k %m 1.5",
    "SMOVE %k %k %m",
    "SPOP %k 2",
    "SINTERSTORE %k %k %k",
    "SDIFFSTORE %k %k %k",
    "ZADD %k GT %n %m",
    "ZADD %k NX INCR %n %m",
    "ZPOPMAX %k 2",
    "ZREMRANGEBYRANK %k 1 2",
    "ZREMRANGEBYSCORE %k 3 9",
    "ZRANGESTORE %k %k 0 2",
    "ZINTERSTORE %k 2 %k %k WEIGHTS 2 3",
    "ZDIFFSTORE %k 2 %k %k",
    "ZMPOP 1 %k MIN COUNT 2",
    "LPUSHX %k %v",
    "LMPOP 1 %k RIGHT COUNT 3",
    "RPOPLPUSH %k %k",
    "LINSERT %k AFTER %v %m",
    "PFMERGE %k %k %k",
    "EXPIRE %k 2 GT",
    "PEXPIRE %k %t NX",
    "RENAMENX %k %k",
    "UNLINK %k %k",
    "COPY %k %k",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING OFF",
    "FLUSHALL",
};
#define FREE_COMMANDS (sizeof free_commands / sizeof *free_commands)

/* Large collections: a long member makes one of a hash, set or sorted set, long elements of a list
 * or stream. */
#define PAD_MEMBER 70u
#define PAD_ELEMENT 3000u

static size_t pad(char *out, size_t room, size_t n)
{
    if (room < n + 100)
        return 0;
    memset(out, 'z', n);
    return n;
}

static bool is_long(const struct run *r, const char *form)
{
    return r->seed % 3 == 0 && (strncmp(form, "LPUSH", 5) == 0 || strncmp(form, "RPUSH", 5) == 0 ||
                                strncmp(form, "XADD", 4) == 0);
}

static void put_free(struct run *r, char *out, size_t size, const char *form)
{
    size_t n = 0;
    bool pads = is_long(r, form);
    for (; *form != 0 && n + 16 < size; form++) {
        if (*form != '%') {
            out[n++] = *form;
            continue;
        }
        switch (*++form) {
        case 'k':
            n += (size_t)snprintf(out + n, size - n, "{%u}k",
                                  (unsigned)rng_below(&r->rng, r->plan.keys));
            break;
        case 'v':
            out[n++] = (char)('p' + rng_below(&r->rng, 4));
            if (pads && out[n - 1] != 'p')
                n += pad(out + n, size - n, PAD_ELEMENT);
            break;
        case 'm':
            out[n++] = (char)('w' + rng_below(&r->rng, 4));
            if (r->seed % 3 == 0 && out[n - 1] == 'z')
                n += pad(out + n, size - n, PAD_MEMBER);
            break;
        case 'o': /* an offset */
            n += (size_t)snprintf(out + n, size - n, "%u", (unsigned)rng_below(&r->rng, 90));
            break;
        case 'n':
            n += (size_t)snprintf(out + n, size - n, "%d", (int)rng_below(&r->rng, 40) - 10);
            break;
        default: /* t: milliseconds */
            n += (size_t)snprintf(out + n, size - n, "%u", 1 + (unsigned)rng_below(&r->rng, 3000));
            break;
        }
    }
    out[n] = 0;
}

static const char *draw_command(struct run *r)
{
    for (;;) {
        size_t i = rng_below(&r->rng, FREE_COMMANDS);
        if (i == FREE_COMMANDS - 1 && (!r->plan.flush || rng_below(&r->rng, 5) != 0))
            continue; /* FLUSHALL would empty the checked structures */
        if (r->plan.kinds >> (i % 32) & 1)
            return free_commands[i];
    }
}

static void send_free(struct client *c)
{
    char line[7000];
    c->on_reply = NULL;
    bool multi = rng_below(&c->run->rng, 12) == 0;
    if (multi)
        send_line(c, "MULTI");
    for (unsigned n = multi ? 1 + (unsigned)rng_below(&c->run->rng, 3) : 1; n > 0; n--) {
        put_free(c->run, line, sizeof line, draw_command(c->run));
        if (line[0] == 'F' && multi)
            continue;
        send_line(c, "%s", line);
    }
    if (multi)
        send_line(c, "EXEC");
}

static void send_something(struct client *c)
{
    c->replies_wanted = 0;
    switch (c->run->plan.flush ? 7 : rng_below(&c->run->rng, 9)) {
    case 0:
        send_ledger(c);
        break;
    case 1:
        send_chain(c);
        break;
    case 2:
        send_count(c);
        break;
    case 3:
        send_queue(c);
        break;
    case 4:
        send_pair(c);
        break;
    default:
        send_free(c);
        break;
    }
}

/* ---------------------------------------------------------------- turns */

static void client_tick(struct client *c)
{
    struct run *r = c->run;
    uint64_t now = world_now_us(r->world);
    if (c->conn != NULL && c->waiting && now > c->sent_us + GIVE_UP_US) {
        vconn_close(c->conn);
        c->conn = NULL;
        c->waiting = false;
        queue_lost(c);
    }
    if (r->calm || c->waiting || now < c->next_us || !deploy_running(r->deploy, c->region) ||
        !(deploy_members_now(r->deploy) >> c->region & 1))
        return;
    c->next_us = now + rng_below(&r->rng, 2 * r->plan.think_us + 1);
    if (c->conn == NULL) {
        char name[8];
        snprintf(name, sizeof name, "r%u", c->region);
        c->conn = driver_dial(r->driver, name, DEPLOY_PORT, client_event, c);
        return;
    }
    send_something(c);
}

void workload_tick(struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++)
        for (unsigned i = 0; i < r->plan.clients; i++)
            client_tick(&r->clients[g][i]);
}

bool workload_idle(const struct run *r)
{
    for (unsigned g = 1; g <= r->plan.regions; g++)
        for (unsigned i = 0; i < r->plan.clients; i++)
            if (r->clients[g][i].waiting)
                return false;
    return true;
}

void workload_forget(struct run *r, unsigned region)
{
    for (unsigned i = 0; i < r->plan.clients; i++) {
        struct client *c = &r->clients[region][i];
        if (c->conn != NULL)
            vconn_close(c->conn);
        c->conn = NULL;
        c->waiting = false;
        queue_lost(c);
    }
}
