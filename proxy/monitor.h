/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_MONITOR_H
#define MERIDIAN_PROXY_MONITOR_H

#include "proxy/push.h"

/*
 * MONITOR: a line for each command that clients run, on all workers, to the sessions that asked.
 * https://redis.io/docs/latest/commands/monitor/. What administers is not shown, passwords are not.
 *
 * While nobody monitors `front.monitored` is false, and nothing of this is called.
 */

/* Whether somebody monitors has changed. */
void monitor_heed(struct front *f);
/* A session runs that command now; EXEC is shown behind its commands (monitor_exec). */
void monitor_command(const struct ask *a, const struct command *c, uint32_t argc,
                     const struct bytes *argv);
/* A script has called it. */
void monitor_script(struct front *f, struct port *port, const struct call *c);
/* JOB_MONITOR: a line of another worker. */
void monitor_line(struct front *f, struct port *port, struct bytes line);

#endif
