/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_TASK_RUN_H
#define MERIDIAN_MANAGER_TASK_RUN_H

#include "manager/task.h"

/* How a task is carried out: asking its members phase by phase. */
void task_start(struct manager *m, struct task *t);
/* Asks whom it is time to ask; goes on to the next phase when all have answered. */
void task_advance(struct manager *m, struct task *t);

#endif
