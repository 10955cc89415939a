/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/sim/run.h"

#include "base/mem.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* sim --first SEED --seeds N [--verbose] [--twice]: runs simulations; stops at the first finding
 * and prints its seed. */
struct args {
    uint64_t first, seeds;
    bool verbose, twice, quiet, follow, memories;
    enum weather weather;
    const char *save;
};

static int usage(void)
{
    fprintf(stderr,
            "usage: sim [--first SEED] [--seeds N] [--verbose] [--twice] [--quiet] [--follow] "
            "[--memories] [--limited] [--large] [--save FOLDER]\n"
            "  --twice    runs each seed twice and compares the histories' hashes\n"
            "  --follow   only what follows live sources, in each seed (else in a quarter)\n"
            "  --memories only regions that lose their memories often, in each seed (else in a "
            "quarter)\n"
            "  --limited  memory has a limit in each seed: all policies of eviction and of disks\n"
            "  --large    collections of hundreds of elements in each seed, regions reborn\n"
            "  --save     what is on the regions' disks after a finding, for `meridian log`: "
            "FOLDER/r1/...\n");
    return 2;
}

static bool parse(int argc, char **argv, struct args *a)
{
    *a = (struct args){.first = 1, .seeds = 100};
    for (int i = 1; i < argc; i++) {
        uint64_t *n = strcmp(argv[i], "--first") == 0   ? &a->first
                      : strcmp(argv[i], "--seeds") == 0 ? &a->seeds
                                                        : NULL;
        if (n != NULL) {
            char *end = NULL;
            *n = i + 1 < argc ? strtoull(argv[++i], &end, 10) : 0;
            if (end == NULL || *end != 0)
                return false;
        } else if (strcmp(argv[i], "--save") == 0 && i + 1 < argc) {
            a->save = argv[++i];
        } else if (strcmp(argv[i], "--verbose") == 0) {
            a->verbose = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            a->twice = true;
        } else if (strcmp(argv[i], "--follow") == 0) {
            a->follow = true;
        } else if (strcmp(argv[i], "--memories") == 0) {
            a->memories = true;
        } else if (strcmp(argv[i], "--limited") == 0) {
            a->weather = WEATHER_LIMITED;
        } else if (strcmp(argv[i], "--large") == 0) {
            a->weather = WEATHER_LARGE;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            a->quiet = true;
        } else {
            return false;
        }
    }
    return true;
}

static bool run(const struct args *a, uint64_t seed, bool verbose, struct buf *report)
{
    bool all = !a->follow && !a->memories, drawn = all && a->weather == WEATHER_DRAWN;
    bool memories = a->memories || (drawn && memories_drawn(seed));
    bool follow = a->follow || (drawn && follow_drawn(seed));
    return (!all || run_seed(seed, a->weather, verbose, a->save, report)) &&
           (!memories || memories_seed(seed, verbose, report)) &&
           (!follow || follow_seed(seed, verbose, report));
}

static bool same_again(const struct args *a, uint64_t seed, struct bytes first)
{
    struct buf again = {0};
    run(a, seed, false, &again);
    bool same = bytes_eq(buf_bytes(&again), first);
    buf_deinit(&again);
    return same;
}

static const char *replay_flags = "";

static void say_failed(uint64_t seed)
{
    printf("\nseed %" PRIu64 " failed: make replay SEED=%" PRIu64 "%s\n", seed, seed, replay_flags);
    fflush(stdout);
}

/* A crash is a finding, too: whoever reads of it wants the seed. Printing in a handler
 * is no safe thing in general; nothing else is lost by it here. */
static volatile uint64_t running;

static void crashed(int number)
{
    signal(number, SIG_DFL);
    say_failed(running);
    raise(number);
}

/* A sanitizer's own handler says more. */
static void watch_for(int number)
{
    void (*other)(int) = signal(number, crashed);
    if (other != SIG_DFL)
        signal(number, other);
}

int main(int argc, char **argv)
{
    struct args a;
    if (!parse(argc, argv, &a))
        return usage();
    replay_flags = a.follow                       ? " FLAGS=--follow"
                   : a.weather == WEATHER_LIMITED ? " FLAGS=--limited"
                   : a.weather == WEATHER_LARGE   ? " FLAGS=--large"
                                                  : "";
    watch_for(SIGABRT);
    watch_for(SIGSEGV);
    for (uint64_t seed = a.first; seed < a.first + a.seeds; seed++) {
        running = seed;
        struct buf report = {0};
        bool ok = run(&a, seed, a.verbose, &report);
        if (ok && a.twice && !same_again(&a, seed, buf_bytes(&report))) {
            buf_putf(&report, "FINDING: seed %" PRIu64 " gives another history when run again\n",
                     seed);
            ok = false;
        }
        if (ok && mem_drift() != 0) {
            buf_putf(&report, "FINDING: shards' accounts of memory are off by %" PRIu64 " bytes\n",
                     mem_drift());
            ok = false;
        }
        if (!ok || a.verbose || !a.quiet)
            fwrite(buf_bytes(&report).p, 1, buf_len(&report), stdout);
        fflush(stdout);
        buf_deinit(&report);
        if (!ok) {
            say_failed(seed);
            return 1;
        }
    }
    printf("%" PRIu64 " simulations, no finding\n", a.seeds);
    return 0;
}
