/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_DATASET_H
#define MERIDIAN_PROXY_DATASET_H

#include "base/buf.h"

/*
 * Whether all shards of the database have been brought back from disk. Each worker opens its own
 * and tells the others; whoever comes later asks or tells, for a message to a front that does not
 * exist yet is lost. Until all are open clients are refused (-LOADING), for a command may need a
 * shard of any worker, and who may do what is not known either: the users are in a shard.
 */
struct front;
struct port;
struct ask;
struct job;

struct dataset {
    uint32_t missing; /* workers with shards that are not open; 0: commands run */
    bool *open;       /* owned; by worker; NULL: nothing was ever opened */
    char error[512];  /* a shard that cannot be opened, what to do; "" none */
};

#define LOADING_TEXT "LOADING Meridian is loading the dataset in memory"

/* All workers with shards have to open them, this one too if it has any. Once the front can be
 * found. */
void dataset_begin(struct front *f, struct port *port);
/* This worker's shards are open; or one cannot be opened. */
void dataset_opened(struct front *f, struct port *port);
void dataset_failed(struct front *f, struct port *port, const char *error);
void dataset_deinit(struct front *f);
/* JOB_OPEN. */
void dataset_job(struct front *f, struct port *port, const struct job *job);
/* While something is missing: true when the command is refused, and the error was replied. */
bool dataset_refuses(struct ask *a);

#endif
