/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "migrate/uri.h"

#include "base/num.h"

#include <stdio.h>

#define PORT_USUAL 6379u
#define DB_MAX 1000000

static bool bad(const char **why, const char *text)
{
    *why = text;
    return false;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies with %xx resolved; false: it does not fit or holds a 0 byte. */
static bool decode(const char *from, size_t n, char *out, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = from[i];
        if (c == '%' && i + 2 < n && digit(from[i + 1]) >= 0 && digit(from[i + 2]) >= 0) {
            c = (char)(digit(from[i + 1]) * 16 + digit(from[i + 2]));
            i += 2;
        }
        if (c == 0 || at + 1 >= size)
            return false;
        out[at++] = c;
    }
    out[at] = 0;
    return true;
}

static bool read_number(const char *from, size_t n, int64_t least, int64_t most, int64_t *out)
{
    return num_parse_i64(bytes_of(from, n), out) && *out >= least && *out <= most;
}

static bool is_host(const char *s)
{
    return *s != 0 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                ".:-_%") == strlen(s);
}

/* host, host:port, [host], [host]:port */
static bool read_place(const char *from, size_t n, struct redis_uri *out, const char **why)
{
    const char *host = from, *end = from + n, *colon;
    size_t host_n = n;
    int64_t port = PORT_USUAL;
    if (n > 0 && *from == '[') {
        const char *close = memchr(from, ']', n);
        if (close == NULL)
            return bad(why, "a '[' is not closed");
        host = from + 1;
        host_n = (size_t)(close - host);
        colon = close + 1 < end ? close + 1 : NULL;
        if (colon != NULL && *colon != ':')
            return bad(why, "a port is expected behind ']'");
    } else {
        colon = memchr(from, ':', n);
        if (colon != NULL)
            host_n = (size_t)(colon - from);
    }
    if (colon != NULL && !read_number(colon + 1, (size_t)(end - colon - 1), 1, 65535, &port))
        return bad(why, "the port is no number from 1 to 65535 (IPv6 addresses stand in [])");
    if (!decode(host, host_n, out->host, sizeof out->host) || !is_host(out->host))
        return bad(why, "the host is neither a name nor an address");
    out->port = (uint16_t)port;
    return true;
}

/* user:password, :password, user */
static bool read_secrets(const char *from, size_t n, struct redis_uri *out, const char **why)
{
    const char *colon = memchr(from, ':', n);
    size_t user = colon != NULL ? (size_t)(colon - from) : n;
    if (!decode(from, user, out->user, sizeof out->user) ||
        (colon != NULL && !decode(colon + 1, n - user - 1, out->password, sizeof out->password)))
        return bad(why, "user or password is too long");
    return true;
}

static bool read_options(const char *text, struct redis_uri *out, const char **why)
{
    while (*text == '?' || *text == '&') {
        size_t n = strcspn(++text, "&");
        if (bytes_is(bytes_of(text, n), "drop-field-ttl"))
            out->drop_field_ttl = true;
        else if (bytes_is(bytes_of(text, n), "skip-failed"))
            out->skip_failed = true;
        else if (bytes_is(bytes_of(text, n), "insecure"))
            out->insecure = true;
        else
            return bad(why, "behind '?' only drop-field-ttl, skip-failed and insecure are known (a "
                            "'?' of a password is written %3F)");
        text += n;
    }
    return *text == 0 || bad(why, "nothing is expected behind '#' (write it %23)");
}

bool redis_uri_read(const char *text, struct redis_uri *out, const char **why)
{
    *out = (struct redis_uri){0};
    if (strncmp(text, "rediss://", 9) == 0) {
        out->tls = true;
        text += 9;
    } else if (strncmp(text, "redis://", 8) == 0) {
        text += 8;
    } else if (strstr(text, "://") != NULL) {
        return bad(why, "redis:// or rediss:// is expected");
    }
    const char *end = text + strcspn(text, "?#"), *at = NULL, *slash = NULL;
    for (const char *p = text; p < end; p++)
        if (*p == '@')
            at = p;
    if (at != NULL && !read_secrets(text, (size_t)(at - text), out, why))
        return false;
    const char *place = at != NULL ? at + 1 : text;
    slash = memchr(place, '/', (size_t)(end - place));
    if (slash != NULL && slash + 1 < end &&
        !read_number(slash + 1, (size_t)(end - slash - 1), 0, DB_MAX, &out->db))
        return bad(why, "behind the '/' the number of a database is expected");
    if (!read_options(end, out, why))
        return false;
    if (out->insecure && !out->tls)
        return bad(why, "insecure is for rediss://: redis:// has no certificates");
    return read_place(place, (size_t)((slash != NULL ? slash : end) - place), out, why);
}

void redis_uri_show(const struct redis_uri *u, char *out, size_t size)
{
    bool v6 = strchr(u->host, ':') != NULL;
    char options[64] = "";
    snprintf(options, sizeof options, "%s%s%s", u->drop_field_ttl ? "&drop-field-ttl" : "",
             u->skip_failed ? "&skip-failed" : "", u->insecure ? "&insecure" : "");
    if (options[0] != 0)
        options[0] = '?';
    snprintf(out, size, "%s://%s%s%s%s%s:%u/%lld%s", u->tls ? "rediss" : "redis", u->user,
             u->user[0] ? "@" : "", v6 ? "[" : "", u->host, v6 ? "]" : "", u->port,
             (long long)u->db, options);
}
