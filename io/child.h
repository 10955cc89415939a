/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_CHILD_H
#define MERIDIAN_IO_CHILD_H

#include "io/loop.h"

/* Starts argv[0] in a session of its own, so that the terminal's signals and our end don't reach
 * it; output goes where ours goes. Returns its pid or -1; EV_CHILD when it ends. */
int child_spawn(struct loop *l, const char *const *argv, uint32_t tag);
void child_kill(struct loop *l, int pid, int signal);
void child_forget(uv_process_t *p); /* it goes on; nobody hears of its end */

#endif
