/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_FILE_H
#define MERIDIAN_IO_FILE_H

#include "io/loop.h"

/* Carries the request out in a thread of libuv's pool; EV_FILE follows. */
void file_start(struct loop *l, struct file_req *taken);
/* The same here and now: for the start of a process, before its loop runs. The answer is in r->err
 * and r->data. */
void file_run(struct file_req *r);

#endif
