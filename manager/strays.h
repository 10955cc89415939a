/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_STRAYS_H
#define MERIDIAN_MANAGER_STRAYS_H

#include "base/port.h"

/*
 * Files of databases that this cluster does not know: of one that was deleted while the data plane
 * was away, or of a cluster whose state file is lost. Nobody touches them, people are told; and no
 * new database gets the number of one, since it would find the old one's data.
 */
#define STRAYS_MAX 256u

struct strays {
    bool listed;     /* the folder has been looked into */
    uint32_t number; /* the greatest number of a database that has files, known or not */
    uint32_t count;
    uint32_t uids[STRAYS_MAX]; /* that there were at the last look, and at the one before */
    uint32_t seen_count;
    uint32_t seen[STRAYS_MAX]; /* at the last look: a folder may just be on its way out */
    uint64_t again_us;
};

struct manager;
/* Looks into the folder; strays_listed gets the answer. False: there is none to look into. */
bool strays_look(struct manager *m);
void strays_listed(struct manager *m, const struct file_req *r);
/* When it is time to look again. */
void strays_tick(struct manager *m);

#endif
