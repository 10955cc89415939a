/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_SCRIPTING_H
#define MERIDIAN_PROXY_SCRIPTING_H

#include "proxy/courier.h"
#include "script/engine.h"

/*
 * Scripts of one database on one worker: what they are (script/scripts.h, fed by the catalog), an
 * engine for each shard that is here, and what to do when one runs for too long.
 *
 *   EVAL -> front_run -> shard_execute -> engine: reply at once, or job.later
 *   later: scripting_wait (a session here) or scripting_wait_for (a job of another worker)
 *   turn after turn: scripting_run -> engine_resume, 10 ms each -> the reply goes to who waits
 *
 * While a shard is busy its commands answer BUSY; when all shards of the database are, everything
 * does but what Redis allows then (SCRIPT KILL ...).
 */
struct ask;
struct front;

/* On a shard that is here. */
struct scripting_shard {
    struct engine *engine;
    struct answer *answer;   /* of a session here that waits; NULL none */
    uint32_t worker, ticket; /* of a job of another worker that waits; NO_LATE_TICKET none */
    struct late_exec *exec;  /* a transaction that has stopped in the middle; NULL none */
};
#define NO_LATE_TICKET UINT32_MAX

struct scripting {
    struct scripts *scripts;
    struct scripting_shard *shards; /* owned; by the database's numbers of shards */
    uint8_t *busy;                  /* owned; by number: what keeps it busy, BUSY_* */
    uint32_t busy_count;            /* of them; on whatever worker */
    uint32_t stopped;               /* engines here that want scripting_run ... */
    uint64_t resume_us;             /* ... from this moment on */
    struct port *port;              /* of the last step */
};
enum { BUSY_NOT, BUSY_SCRIPT, BUSY_FUNCTION };

/* Once shards are known. */
void scripting_init(struct front *f, uint64_t seed);
/* What has stopped is abandoned; who waits for it elsewhere gets an error. Before the shards go. */
void scripting_deinit(struct front *f, struct port *port);

/* JOB_EXEC on that shard: replies, or sets job->later. */
void scripting_exec(struct front *f, struct job *job, struct reply *r, struct moment now);
/* The reply of what runs on that shard comes later: the session that asked waits, and runs nothing
 * meanwhile. */
void scripting_wait(struct ask *a, uint32_t shard);
/* The same, for a job of another worker; courier.c. */
void scripting_wait_for(struct front *f, uint32_t shard, uint32_t worker, uint32_t ticket);
/* When scripting_run wants to be called (mono_us), UINT64_MAX: never. */
static inline uint64_t scripting_deadline(const struct scripting *g)
{
    return g->stopped > 0 ? g->resume_us : UINT64_MAX;
}
/* Goes on with what has stopped. */
void scripting_run(struct front *f, struct port *port, struct moment now);

/* Why a command that a session answers is refused now: all shards are busy. NULL: it is not. */
const char *scripting_refusal(const struct front *f, const struct command *command);

/* JOB_SCRIPTS: asks or tells the scripts of this worker; JOB_BUSY: a shard elsewhere is busy. */
void scripting_job(struct front *f, struct port *port, const struct job *job, struct reply *r);

/* Listeners of the catalog. */
void scripting_library(struct front *f, struct port *port, struct bytes name,
                       const struct bytes *value);
void scripting_body(struct front *f, struct port *port, struct bytes name,
                    const struct bytes *value);

struct scripting_figures {
    uint64_t scripts, scripts_bytes, functions, libraries, engine_bytes;
};
void scripting_figures(const struct front *f, struct scripting_figures *out);

#endif
