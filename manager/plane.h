/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_PLANE_H
#define MERIDIAN_MANAGER_PLANE_H

#include "base/port.h"
#include "manager/control_wire.h"
#include "manager/refusal.h"

/*
 * The manager's end of the control channel, and the life of the data plane's process:
 *
 *   DOWN -- dial --> DIALLING -- open --> GREETING -- welcome --> READY
 *    ^                  | refused, and it is not running: spawn       |
 *    +------------------+---------------- closed, child ended --------+   (waits, longer each time)
 *
 * A plane that is running already (the manager was restarted) is thereby adopted.
 */
enum plane_state { PLANE_DOWN, PLANE_DIALLING, PLANE_GREETING, PLANE_READY };

struct manager;
struct plane;

/* Answer to one request; `why` is NULL when the plane agreed, `body` borrowed. Also called when the
 * channel breaks. */
typedef void plane_reply_fn(void *arg, const struct refusal *why, struct bytes body);

struct plane_hooks {
    /* The plane is there; `uids` are the databases it has. Their configuration is to be sent now.
     */
    void (*ready)(struct manager *m, const uint32_t *uids, uint32_t count);
};

struct plane *plane_new(struct manager *m, const char *control, const char *token,
                        const char *const *argv, struct plane_hooks hooks);
void plane_cut(struct plane *p); /* answers what is open: there will be no answer */
void plane_free(struct plane *p);
void plane_start(struct plane *p);
void plane_child_ended(struct plane *p, int status);
void plane_tick(struct plane *p); /* at its deadline and more often */
uint64_t plane_deadline(const struct plane *p);
bool plane_is_ready(const struct plane *p);
/* Can it keep databases on disk? True also while it is not there: it answers for itself later. */
bool plane_keeps(const struct plane *p);
/* Asks; when the plane is not there, answers at once with a refusal. */
void plane_ask(struct plane *p, enum control_kind kind, struct bytes body, plane_reply_fn *fn,
               void *arg);
/* The newest statistics, and when they were taken (0: none yet). */
const struct plane_stats *plane_stats(const struct plane *p, uint64_t *taken_us);
/* Calls `fn` when the statistics are no older than `age_us` (at once when they are), or are not to
 * be had. */
void plane_refresh(struct plane *p, uint64_t age_us, struct done done);
/* The same with statistics that are asked for now. */
void plane_look(struct plane *p, struct done done);
/* Orderly end: the plane is told to stop. plane_is_gone() tells when it has, or the time for it is
 * over. */
void plane_stop(struct plane *p);
bool plane_is_gone(struct plane *p);

#endif
