/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_PEER_CLIENT_H
#define MERIDIAN_MANAGER_PEER_CLIENT_H

#include "base/port.h"
#include "manager/refusal.h"

#include <jansson.h>

/*
 * Requests to other clusters' REST: HTTP/1.1, a connection each, JSON both ways. Never more than
 * PEER_CALLS_MAX at once.
 */
#define PEER_CALLS_MAX 256u
#define PEER_TIMEOUT_US 10000000u
#define PEER_ANSWER_MAX (4u << 20)

struct manager;
struct peer_client;

struct peer_url {
    bool tls;
    char host[256];
    uint16_t port;
};
/* "https://host[:9443][/]" or "http://..."; IPv6 in brackets. False: not such a thing. */
bool peer_url_parse(const char *url, struct peer_url *out);

struct peer_call {
    struct peer_url url;
    const char *method, *path;
    const char *username, *password;
    const json_t *body;  /* NULL: none */
    uint32_t timeout_ms; /* 0: PEER_TIMEOUT_US */
};

/* The answer: HTTP status and body (NULL unless JSON; borrowed); or status 0 and what went wrong.
 */
typedef void peer_reply_fn(void *arg, int status, json_t *body, const char *error);

struct peer_client *peer_client_new(struct manager *m);
void peer_client_cut(
    struct peer_client *p); /* answers what is open, and all to come, with status 0 */
void peer_client_free(struct peer_client *p);
/* False: the TLS settings are unusable; *why tells. */
bool peer_client_start(struct peer_client *p, const struct tls_opts *tls, struct refusal *why);
void peer_client_call(struct peer_client *p, const struct peer_call *call, peer_reply_fn *fn,
                      void *arg);
void peer_client_tick(struct peer_client *p);

#endif
