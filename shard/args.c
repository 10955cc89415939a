/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "shard/args.h"

bool arg_range(struct call *c, struct bytes arg, int64_t min, int64_t max, const char *message,
               int64_t *out)
{
    bool number = num_parse_i64(arg, out);
    if (number && *out >= min && *out <= max)
        return true;
    if (message != NULL)
        reply_error(c->reply, message);
    else if (!number)
        reply_error(c->reply, ERR_NOT_INT);
    else
        reply_errorf(c->reply, "ERR value is out of range, value must between %lld and %lld",
                     (long long)min, (long long)max);
    return false;
}

bool arg_positive(struct call *c, struct bytes arg, const char *message, int64_t *out)
{
    if (message == NULL)
        message = "ERR value is out of range, must be positive";
    return arg_range(c, arg, 0, INT64_MAX, message, out);
}

bool arg_random_count(struct call *c, struct bytes arg, bool pairs, int64_t *out)
{
    if (!arg_range(c, arg, -INT64_MAX, INT64_MAX, NULL, out))
        return false;
    if (pairs && (*out < -INT64_MAX / 2 || *out > INT64_MAX / 2)) {
        reply_error(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

bool arg_pop_count(struct call *c, uint32_t i, int64_t *out)
{
    if (i == c->argc)
        return true;
    if (i + 1 < c->argc && bytes_is_nocase(c->argv[i], "count")) {
        if (!arg_range(c, c->argv[i + 1], 1, INT64_MAX, "ERR count should be greater than 0", out))
            return false;
        if (i + 2 == c->argc)
            return true;
    }
    reply_error(c->reply, ERR_SYNTAX);
    return false;
}

struct span span_of(int64_t start, int64_t stop, size_t len)
{
    int64_t n = (int64_t)len;
    if (start < 0)
        start = start < -n ? 0 : start + n;
    if (stop < 0)
        stop = stop < -n ? -1 : stop + n;
    if (stop >= n)
        stop = n - 1;
    if (start > stop)
        return (struct span){0, 0};
    return (struct span){(size_t)start, (size_t)(stop - start + 1)};
}

static unsigned numkeys_from(uint32_t argc, const struct bytes *argv, uint32_t first, uint32_t *at,
                             unsigned n, unsigned max)
{
    int64_t count;
    if (first >= argc || !num_parse_i64(argv[first], &count) || count < 1 ||
        count > (int64_t)(argc - first - 1))
        return 0;
    for (int64_t i = 0; i < count && n < max; i++)
        at[n++] = first + 1 + (uint32_t)i;
    return n;
}

unsigned args_numkeys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    return numkeys_from(argc, argv, 1, at, 0, max);
}

unsigned args_numkeys_second(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    return numkeys_from(argc, argv, 2, at, 0, max);
}

unsigned args_store_numkeys(uint32_t argc, const struct bytes *argv, uint32_t *at, unsigned max)
{
    if (max == 0 || argc < 2)
        return 0;
    at[0] = 1;
    return numkeys_from(argc, argv, 2, at, 1, max);
}
