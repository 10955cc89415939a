/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/token.h"

#include "base/rng.h"

#include <criterion/criterion.h>

static const char guid[] = "80e42b52-8cba-4bac-b765-19aca4dbf825";

static void expect_back(const struct token_entry *e, size_t n, uint32_t partitions)
{
    struct buf text = {0}, back = {0};
    token_put(&text, guid, partitions, e, n);
    cr_assert_null(token_get(buf_bytes(&text), guid, partitions, &back));
    cr_assert_eq(buf_len(&back), n * sizeof *e);
    for (size_t i = 0; i < n; i++) {
        struct token_entry got;
        memcpy(&got, back.p + i * sizeof got, sizeof got);
        cr_expect(got.partition == e[i].partition && got.stamp == e[i].stamp, "entry %zu", i);
    }
    buf_deinit(&text);
    buf_deinit(&back);
}

Test(token, comes_back_as_it_was)
{
    struct token_entry e[400];
    struct rng rng;
    rng_init(&rng, 7);
    expect_back(NULL, 0, 1);
    for (unsigned round = 0; round < 200; round++) {
        size_t n = rng_below(&rng, 400);
        uint32_t p = 0;
        for (size_t i = 0; i < n; i++) {
            p += (uint32_t)(rng_below(&rng, 3) == 0) * (uint32_t)rng_below(&rng, 40);
            e[i] = (struct token_entry){.stamp = stamp_make(rng_below(&rng, UINT64_C(1) << 41),
                                                            (uint32_t)rng_below(&rng, 8192),
                                                            (uint32_t)rng_below(&rng, 1024)),
                                        .partition = p};
        }
        expect_back(e, n, 16384);
    }
}

Test(token, of_elsewhere_is_refused)
{
    struct token_entry e = {.stamp = stamp_make(1000, 1, 3), .partition = 9};
    struct buf text = {0}, back = {0};
    token_put(&text, guid, 16, &e, 1);
    cr_expect_not_null(strstr(token_get(buf_bytes(&text), "other", 16, &back), "another database"));
    cr_expect_not_null(strstr(token_get(buf_bytes(&text), guid, 32, &back), "another database"));
    cr_expect_null(token_get(buf_bytes(&text), guid, 16, &back));
    buf_deinit(&text);
    buf_deinit(&back);
}

Test(token, damaged_is_refused_or_harmless)
{
    struct token_entry e[3] = {{.stamp = stamp_make(1000, 1, 3), .partition = 2},
                               {.stamp = stamp_make(1002, 1, 4), .partition = 2},
                               {.stamp = stamp_make(900, 0, 3), .partition = 15}};
    struct buf text = {0}, back = {0};
    token_put(&text, guid, 16, e, 3);
    for (size_t n = 0; n < buf_len(&text); n++) {
        buf_clear(&back);
        const char *why = token_get(bytes_of(text.p, n), guid, 16, &back);
        cr_expect(why != NULL || buf_len(&back) < sizeof e, "cut at %zu", n);
    }
    for (size_t i = 0; i < buf_len(&text); i++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t was = text.p[i];
            text.p[i] = (uint8_t)v;
            buf_clear(&back);
            if (token_get(buf_bytes(&text), guid, 16, &back) == NULL)
                for (size_t k = 0; k < buf_len(&back); k += sizeof e[0]) {
                    struct token_entry got;
                    memcpy(&got, back.p + k, sizeof got);
                    cr_expect_lt(got.partition, 16);
                }
            text.p[i] = was;
        }
    buf_deinit(&text);
    buf_deinit(&back);
}
