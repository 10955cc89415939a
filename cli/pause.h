/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_PAUSE_H
#define MERIDIAN_CLI_PAUSE_H

#include <stdint.h>
#include <time.h>

/* Sleeps; a signal may end it early. */
static inline void pause_ms(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

#endif
