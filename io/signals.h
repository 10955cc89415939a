/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_SIGNALS_H
#define MERIDIAN_IO_SIGNALS_H

#include "io/loop.h"

/* The process's signals, as events of one loop. SIGHUP also reopens the log; a second SIGTERM or
 * SIGINT exits at once. */
struct signals *signals_start(struct loop *l, bool ignore_hup);
void signals_stop(struct signals *s);

#endif
