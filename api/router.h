/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_ROUTER_H
#define MERIDIAN_API_ROUTER_H

#include "api/http.h"

/*
 * From method and path to a function: a table of patterns like "/v1/bdbs/{uid}". Segments are
 * percent-decoded after they are split, so an encoded slash is part of a name.
 */
#define ROUTE_PARAMS_MAX 3u
#define ROUTE_PARAM_MAX 128u

struct call;

struct route {
    enum http_method method;
    const char *pattern;
    void (*fn)(struct call *c);
    unsigned flags; /* enum route_flag */
};

enum route_flag {
    ROUTE_OPEN = 1,      /* needs no credentials while the node is in no cluster */
    ROUTE_BOOTSTRAP = 2, /* answers before the node is in a cluster */
};

enum route_result { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD, ROUTE_BAD };

struct route_match {
    const struct route *route;
    char params[ROUTE_PARAMS_MAX][ROUTE_PARAM_MAX + 1];
    unsigned params_count;
    char allow[64]; /* methods the path knows: "GET, HEAD, OPTIONS" */
};

/* `routes` ends with a NULL pattern. HEAD finds GET's. A trailing slash is ignored. */
enum route_result router_find(const struct route *routes, enum http_method method,
                              struct bytes path, struct route_match *out);
/* Decodes %XX (and '+' when `form`) into `out`; false: malformed, too long, or a NUL. */
bool url_decode(struct bytes in, bool form, char *out, size_t size);
/* The value of ?name=value; false: not there or malformed. */
bool query_get(struct bytes query, const char *name, char *out, size_t size);

#endif
