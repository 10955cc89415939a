/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MIGRATE_ASKER_H
#define MERIDIAN_MIGRATE_ASKER_H

#include "base/port.h"
#include "base/resp_reply.h"

/*
 * A client's connection to a server of the family (RESP2) on which one round at a time is under
 * way: some requests sent together, then all their replies. A part of a machine; the machine hands
 * it the events that name its owner.
 *
 *   CLOSED -- asker_open --> DIALLING -- connected --> IDLE <-- asker_ask / last reply --> ASKING
 *     ^------------- failed dial, lost, asker_close ---------------------------------------+
 */
enum asker_state { ASKER_CLOSED, ASKER_DIALLING, ASKER_IDLE, ASKER_ASKING };

#define ASKER_REPLY_MAX (64u << 20)

struct asker_where {
    const char *host; /* kept while it is open */
    uint16_t port;
    uint32_t tls;                /* the port's; 0: clear text */
    struct bytes user, password; /* kept; empty password: no AUTH */
};

struct asker;
struct asker_hooks {
    void *arg;
    void (*open)(void *arg); /* connected, and authenticated where there is a password */
    /* Reply i of the round. After the last one the asker is idle again. */
    void (*reply)(void *arg, unsigned i, const struct resp_reply *r);
    /* `refused`: the server did not take the credentials, text is what it said. */
    void (*lost)(void *arg, const char *text, bool refused);
};

struct asker {
    struct conn_owner owner; /* first: the port hands the connection's events to it */
    struct moment *clock;    /* kept: gets the time of each event */
    struct asker_where where;
    struct asker_hooks hooks;
    enum asker_state state;
    conn_id conn;
    bool greeting;     /* AUTH is under way */
    uint64_t since_us; /* DIALLING, ASKING: when it began, or something last came */
    struct buf in;     /* owned */
    unsigned wanted, got;
};

void asker_init(struct asker *a, const struct asker_where *where, struct moment *clock,
                struct asker_hooks hooks);
void asker_open(struct asker *a, struct port *port);
/* IDLE only. Sends the requests, to which `replies` > 0 will come. */
void asker_ask(struct asker *a, struct port *port, struct bytes requests, unsigned replies);
/* How long it has waited for an answer without hearing anything; 0: it waits for none. */
uint64_t asker_silent_us(const struct asker *a, struct moment now);
/* To be called now and then: a server that has been silent for so long is given up (lost). */
void asker_tick(struct asker *a, struct port *port, uint64_t silence_us);
/* "for 20 s", in steps, so that it does not change all the time. */
void asker_put_silence(uint64_t silent_us, char *out, size_t size);
/* No hook is called. */
void asker_close(struct asker *a, struct port *port);
void asker_deinit(struct asker *a, struct port *port);
/* AUTH with user (empty: none) and password. */
void asker_put_auth(struct buf *out, struct bytes user, struct bytes password);
/* Why a connection was lost, for people. */
void asker_explain(const struct event *closed, char *out, size_t size);
/* The value of a line "name:value" of INFO's text; false: there is none. */
bool asker_info(struct bytes info, const char *name, char *out, size_t size);
/* A request of words separated by blanks. */
void asker_put_words(struct buf *out, const char *words);

#endif
