/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/router.h"

#include <stdio.h>

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct bytes in, bool form, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        int c = in.p[i];
        if (c == '%') {
            int hi = i + 2 < in.n ? digit(in.p[i + 1]) : -1;
            int lo = i + 2 < in.n ? digit(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = hi * 16 + lo;
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c == 0 || n + 1 >= size)
            return false;
        out[n++] = (char)c;
    }
    out[n] = 0;
    return true;
}

bool query_get(struct bytes query, const char *name, char *out, size_t size)
{
    char key[64];
    while (query.n > 0) {
        const uint8_t *end = memchr(query.p, '&', query.n);
        size_t n = end != NULL ? (size_t)(end - query.p) : query.n;
        const uint8_t *eq = memchr(query.p, '=', n);
        size_t k = eq != NULL ? (size_t)(eq - query.p) : n;
        if (url_decode(bytes_of(query.p, k), true, key, sizeof key) && strcmp(key, name) == 0)
            return url_decode(eq != NULL ? bytes_of(eq + 1, n - k - 1) : bytes_of(NULL, 0), true,
                              out, size);
        n += n < query.n;
        query = bytes_of(query.p + n, query.n - n);
    }
    return false;
}

/* Takes the next segment off a path that starts behind a slash. */
static struct bytes segment(struct bytes *path)
{
    const uint8_t *slash = memchr(path->p, '/', path->n);
    size_t n = slash != NULL ? (size_t)(slash - path->p) : path->n;
    struct bytes s = bytes_of(path->p, n);
    n += n < path->n;
    *path = bytes_of(path->p + n, path->n - n);
    return s;
}

/* Does the path fit the pattern? A parameter that cannot be decoded makes *bad true. */
static bool fits(const char *pattern, struct bytes path, struct route_match *m, bool *bad)
{
    struct bytes p = bytes_str(pattern + 1);
    m->params_count = 0;
    while (p.n > 0 && path.n > 0) {
        struct bytes want = segment(&p), have = segment(&path);
        if (want.n > 0 && want.p[0] == '{') {
            if (have.n == 0)
                return false;
            if (!url_decode(have, false, m->params[m->params_count++], ROUTE_PARAM_MAX + 1))
                *bad = true;
        } else if (!bytes_eq(want, have)) {
            return false;
        }
    }
    return p.n == 0 && path.n == 0;
}

enum route_result router_find(const struct route *routes, enum http_method method,
                              struct bytes path, struct route_match *out)
{
    bool bad = false;
    unsigned seen = 0;
    struct route_match at = {0};
    const struct route *found = NULL;
    enum http_method wanted = method == METHOD_HEAD ? METHOD_GET : method;
    if (path.n == 0 || path.p[0] != '/')
        return ROUTE_BAD;
    path = bytes_of(path.p + 1, path.n - 1);
    if (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    for (const struct route *r = routes; r->pattern != NULL; r++) {
        bool undecodable = false;
        if (!fits(r->pattern, path, &at, &undecodable))
            continue;
        seen |= 1u << r->method;
        bad |= undecodable;
        if (r->method == wanted && found == NULL) {
            found = r;
            *out = at;
        }
    }
    if (found == NULL)
        *out = (struct route_match){0};
    out->route = found;
    for (unsigned i = 0; i < METHOD_OPTIONS; i++)
        if (seen & 1u << i)
            snprintf(out->allow + strlen(out->allow), sizeof out->allow - strlen(out->allow),
                     "%s%s, ", http_method_name((enum http_method)i),
                     i == METHOD_GET ? ", HEAD" : "");
    snprintf(out->allow + strlen(out->allow), sizeof out->allow - strlen(out->allow), "OPTIONS");
    if (seen == 0)
        return ROUTE_NO_PATH;
    if (bad)
        return ROUTE_BAD;
    return found != NULL ? ROUTE_FOUND : ROUTE_NO_METHOD;
}
