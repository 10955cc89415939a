/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "crdt/cell.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "crdt/form.h"

Test(cell, fits_a_small_string_into_the_allocators_class)
{
    char value[64];
    memset(value, 'v', sizeof value);
    struct image im;
    image_one(&im, CELL_ONE, stamp_make(1, 2, 3), bytes_of(value, sizeof value));
    struct heading h = {.name = bytes_str("a key of 16 byte"), .low = TYPE_STRING};
    cr_assert_leq(cell_need(&h, &im), 96);
}

Test(cell, short_dots_keep_their_value)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        stamp_t base = stamp_make(1000000, 3, 5),
                dot = base + (rng_next(&rng) >> rng_below(&rng, 64));
        struct image im;
        uint8_t room[64];
        image_one(&im, CELL_ONE, dot, bytes_str("val"));
        struct heading h = {.name = bytes_str("name"), .base = base};
        const struct cell *c = (const struct cell *)room;
        size_t need = cell_need(&h, &im);
        cr_assert_eq(cell_put(room, &h, &im), room + need);
        struct view v = cell_view(c);
        cr_assert_eq(view_dot(c, &v, base), dot);
        cr_assert(bytes_is(view_rest(c, &v), "val"));
        cr_assert(bytes_is(cell_name(c), "name"));
        cr_assert_eq(cell_size(c), need);
        cr_assert(dot < base || need <= 1 + 1 + 1 + 4 + 8 + 3);
    }
}

Test(cell, lengths_of_any_size_are_read_back)
{
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = mem_zalloc(sizes[i]);
        struct image im;
        image_one(&im, CELL_ONE, 77 << 10, bytes_of(bytes, sizes[i]));
        struct heading h = {.name = bytes_of(bytes, sizes[i] / 2), .low = TYPE_STRING};
        struct cell *c = cell_new(&h, &im);
        struct shown s;
        cell_show(c, &s);
        cr_assert_eq(s.text.n, sizes[i]);
        cr_assert_eq(cell_name(c).n, sizes[i] / 2);
        cr_assert_eq(cell_show_len(c), sizes[i]);
        mem_free(c);
        mem_free(bytes);
    }
}

Test(cell, scores_are_stored_short_and_exactly)
{
    static const double scores[] = {
        0,   -0.0,  1,          -128,        128,          32767,    -32769,   65536,
        0.1, 1e300, 2147483647, 2147483648., -2147483648., INFINITY, -INFINITY};
    static const size_t sizes[] = {1, 8, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 4, 8, 8};
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        uint8_t room[8];
        struct bytes s = score_pack(scores[i], room);
        cr_assert_eq(s.n, sizes[i], "%g", scores[i]);
        double back = score_load(s);
        cr_assert(memcmp(&back, &scores[i], sizeof back) == 0, "%g", scores[i]);
    }
}

Test(cell, a_counter_grows_in_place_until_it_overflows)
{
    struct reg r;
    struct image im;
    struct segment seven = {.kind = AMOUNT_INT64, .num = INT64_MAX - 1};
    reg_init(&r, TYPE_STRING);
    reg_add(&r, stamp_make(5, 0, 1), &seven, 0);
    image_of_reg(&im, &r);
    struct cell *c = cell_new(&(struct heading){.name = bytes_str("n"), .low = TYPE_STRING}, &im);
    cr_assert_eq(cell_form(c), CELL_COUNT);
    cr_assert_not(cell_extend(c, stamp_make(6, 0, 2), 1, 0), "another actor's");
    cr_assert(cell_extend(c, stamp_make(6, 0, 1), 1, 0));
    cr_assert_not(cell_extend(c, stamp_make(7, 0, 1), 1, 0), "past the range");
    struct shown s;
    cell_show(c, &s);
    cr_assert(bytes_is(s.text, "9223372036854775807"));
    mem_free(c);
    reg_close(&r);
}
