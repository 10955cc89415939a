/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/warm.h"

#include "base/mem.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* The suite touches real memory and waits for a real thread, as far as 20 s. */
#define WAITS 20000

struct user {
    struct warm *warm;
    void *kept[24];
    bool ok;
};

static void *use(void *arg)
{
    struct user *u = arg;
    warm_here(u->warm);
    for (unsigned i = 0; i < 24; i++) {
        unsigned char *p = mem_alloc(1u << 20);
        memset(p, (int)i + 1, 1u << 20);
        u->kept[i] = p;
    }
    unsigned char *zero = mem_zalloc(1u << 20); /* from what has been touched ahead */
    for (size_t i = 0; i < 1u << 20; i++)
        u->ok = (i == 0 || u->ok) && zero[i] == 0;
    mem_free(zero);
    return NULL;
}

#ifdef MERIDIAN_JEMALLOC
static bool becomes_warm(struct warm *w, unsigned i)
{
    for (unsigned n = 0; n < WAITS; n++) {
        if (warm_ahead(w, i) >= 4u << 20)
            return true;
        usleep(1000);
    }
    return false;
}

Test(warm, memory_ahead_of_each_thread_is_touched_and_still_zero)
{
    struct warm *w = warm_start();
    cr_assert_not_null(w);
    struct user users[2] = {{.warm = w}, {.warm = w}};
    for (unsigned i = 0; i < 2; i++) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, use, &users[i]), 0);
        pthread_join(thread, NULL);
        cr_expect(users[i].ok);
        cr_expect(becomes_warm(w, i));
    }
    cr_expect_eq(warm_ahead(w, 2), 0);
    warm_stop(w);
    for (unsigned i = 0; i < 2; i++) /* what was allocated outlives it, and is nobody else's */
        for (unsigned j = 0; j < 24; j++) {
            unsigned char *p = users[i].kept[j];
            cr_expect(p[0] == j + 1 && p[(1u << 20) - 1] == j + 1);
            mem_free(p);
        }
}
#endif

Test(warm, a_process_without_it_runs_the_same)
{
    struct user u = {.warm = NULL};
    use(&u);
    cr_expect(u.ok);
    cr_expect_eq(warm_ahead(NULL, 0), 0);
    for (unsigned j = 0; j < 24; j++)
        mem_free(u.kept[j]);
    warm_stop(NULL);
}
