/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/route.h"

#include "base/mem.h"
#include "proxy/tracking.h"

#include <assert.h>

/* The shard of a command that has no keys: one that is here, so that no message is needed. */
static uint32_t any_shard(const struct front *f)
{
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].local != NULL)
            return i;
    return 0;
}

static uint32_t shard_of_key(const struct front *f, struct bytes key)
{
    return f->shards_count == 1 ? 0 : front_shard_of(f, hash_slot(key));
}

enum route_result route_find(struct front *f, const struct command *command, uint32_t argc,
                             const struct bytes *argv, uint32_t *shard)
{
    if (f->shards_count == 1) {
        *shard = 0;
        return ROUTE_ONE;
    }
    if (command->where == AT_EACH)
        return ROUTE_EACH;
    uint32_t *at = front_indexes(f, argc);
    unsigned n = command_keys(command, argc, argv, at, argc);
    if (n == 0) {
        *shard = any_shard(f);
        return ROUTE_ONE;
    }
    *shard = shard_of_key(f, argv[at[0]]);
    for (unsigned i = 1; i < n; i++)
        if (shard_of_key(f, argv[at[i]]) != *shard)
            return command->where == AT_SPLIT ? ROUTE_SPLIT : ROUTE_CROSS;
    return ROUTE_ONE;
}

static struct job job_of(const struct ask *a, enum job_kind kind, uint32_t shard, uint32_t argc,
                         const struct bytes *argv)
{
    return (struct job){.kind = kind,
                        .db_uid = a->front->db_uid,
                        .shard = shard,
                        .resp = a->session->resp,
                        .session = a->session->id,
                        .track = session_tracks(a->session),
                        .user =
                            a->session->unrestricted ? bytes_of(NULL, 0) : a->session->user->name,
                        .command = a->command,
                        .argc = argc,
                        .argv = argv};
}

void route_shard(struct ask *a, enum job_kind kind, uint32_t shard, uint32_t argc,
                 const struct bytes *argv)
{
    struct front *f = a->front;
    struct job job = job_of(a, kind, shard, argc, argv);
    if (kind == JOB_COMMAND && (a->command->flags & CMD_BLOCKING)) {
        blocked_run(a, &job);
        return;
    }
    if (f->shards[shard].local != NULL) {
        front_run(f, a->port, &job, a->reply.out, a->now);
        if (job.later)
            scripting_wait(a, shard);
        return;
    }
    uint32_t worker = f->shards[shard].worker;
    bool alone = kind == JOB_EXEC || (a->command->flags & CMD_SCRIPT); /* it may come later */
    struct answer *answer = alone ? NULL : session_shared(a->session, worker);
    if (answer == NULL) {
        answer = answer_new(f->courier, 1);
        answer->worker = alone ? ANSWER_NOBODY : worker;
        session_wait(a->session, answer);
    }
    session_part(a->session, answer, courier_send(f->courier, a->port, worker, &job, answer, 0));
}

/* Parts that ran here are whole at once; when all are, the answer need not wait. */
static void answer_ready(struct ask *a, struct answer *answer)
{
    if (answer->missing > 0 || a->session->head != answer)
        return;
    session_answers(a->session, a->port);
}

/* Runs one part of a scattered command: into the answer's part, now or later. */
static void run_part(struct ask *a, struct answer *answer, uint32_t part, struct job *job)
{
    struct front *f = a->front;
    const struct front_shard *to = &f->shards[job->shard];
    if (to->local == NULL) {
        session_part(a->session, answer,
                     courier_send(f->courier, a->port, to->worker, job, answer, part));
        return;
    }
    front_run(f, a->port, job, answer->parts ? &answer->parts[part] : &answer->out, a->now);
    answer->missing--;
}

static void route_each(struct ask *a)
{
    struct front *f = a->front;
    struct answer *answer = answer_new(f->courier, f->shards_count);
    answer->finish = merge_of(a->command->merge);
    answer->aux = rng_next(&f->rng);
    session_wait(a->session, answer);
    for (uint32_t i = 0; i < f->shards_count; i++) {
        struct job job = job_of(a, JOB_COMMAND, i, a->argc, a->argv);
        run_part(a, answer, i, &job);
    }
    answer_ready(a, answer);
}

/* SCAN visits the shards one after the other: its cursor names the partition where it goes on. */
static void route_scan(struct ask *a)
{
    struct front *f = a->front;
    uint64_t cursor = 0;
    for (size_t i = 0; i < a->argv[1].n && i < 20; i++) {
        uint8_t digit = (uint8_t)(a->argv[1].p[i] - '0');
        cursor = digit < 10 ? cursor * 10 + digit : 0;
    }
    uint64_t partition = cursor >> SCAN_PARTITION_SHIFT;
    uint32_t shard = 0;
    while (shard + 1 < f->shards_count && partition >= f->shards[shard + 1].first_partition)
        shard++;
    struct answer *answer = answer_new(f->courier, 1);
    answer->finish = merge_of(MERGE_SCAN);
    answer->shard = shard;
    session_wait(a->session, answer);
    struct job job = job_of(a, JOB_COMMAND, shard, a->argc, a->argv);
    run_part(a, answer, 0, &job);
    answer_ready(a, answer);
}

/*
 * MGET, MSET, DEL ...: groups of key_step arguments, each group to its key's shard. Every shard
 * gets the command's name with its own groups, in their order; order[] remembers which shard's
 * reply holds which key's element.
 */
static void route_split(struct ask *a)
{
    struct front *f = a->front;
    const struct command *c = a->command;
    uint32_t step = (uint32_t)c->key_step, from = (uint32_t)c->first_key;
    uint32_t groups = (a->argc - from) / step;
    if (from + groups * step != a->argc) {
        reply_wrong_arguments(a, c->name);
        return;
    }
    struct answer *answer = answer_new(f->courier, f->shards_count);
    answer->finish = merge_of(c->merge);
    answer->order = mem_alloc(groups * sizeof answer->order[0]);
    answer->order_count = groups;
    for (uint32_t g = 0; g < groups; g++)
        answer->order[g] = shard_of_key(f, a->argv[from + g * step]);
    session_wait(a->session, answer);
    struct bytes *argv = mem_alloc(a->argc * sizeof argv[0]);
    for (uint32_t i = 0; i < f->shards_count; i++) {
        uint32_t argc = from;
        memcpy(argv, a->argv, from * sizeof argv[0]);
        for (uint32_t g = 0; g < groups; g++)
            for (uint32_t k = 0; answer->order[g] == i && k < step; k++)
                argv[argc++] = a->argv[from + g * step + k];
        struct job job = job_of(a, JOB_COMMAND, i, argc, argv);
        if (argc > from)
            run_part(a, answer, i, &job);
        else
            answer->missing--;
    }
    mem_free(argv);
    answer_ready(a, answer);
}

void route_note_writes(struct ask *a)
{
    const struct command *c = a->command;
    if (c->flags & CMD_READONLY)
        return;
    if (c->where == AT_EACH) {
        a->session->wrote = UINT64_MAX;
        return;
    }
    uint32_t *at = front_indexes(a->front, a->argc);
    unsigned n = command_keys(c, a->argc, a->argv, at, a->argc);
    for (unsigned i = 0; i < n; i++)
        a->session->wrote |= UINT64_C(1) << (hash_slot(a->argv[at[i]]) >> SLOT_GROUP_BITS);
}

void route_run(struct ask *a)
{
    uint32_t shard = 0;
    route_note_writes(a);
    switch (route_find(a->front, a->command, a->argc, a->argv, &shard)) {
    case ROUTE_ONE:
        route_shard(a, JOB_COMMAND, shard, a->argc, a->argv);
        break;
    case ROUTE_CROSS:
        reply_error(&a->reply, CROSSSLOT);
        break;
    case ROUTE_SPLIT:
        route_split(a);
        break;
    case ROUTE_EACH:
        if (a->command->merge == MERGE_SCAN)
            route_scan(a);
        else
            route_each(a);
        break;
    }
}

void route_workers(struct ask *a, enum job_kind kind, uint32_t argc, const struct bytes *argv,
                   answer_finish *finish, uint64_t aux)
{
    struct front *f = a->front;
    uint32_t workers = courier_workers(f->courier), self = courier_self(f->courier);
    if (a->in_exec && workers > 1) {
        reply_error(&a->reply, "ERR Command not allowed inside a transaction");
        return;
    }
    struct job job = job_of(a, kind, 0, argc, argv);
    struct answer *answer = answer_new(f->courier, workers);
    if (answer->parts == NULL)
        answer->parts = mem_zalloc(sizeof answer->parts[0]);
    answer->finish = finish;
    answer->aux = aux;
    answer->now = a->now;
    if (workers == 1) { /* nobody to wait for; within EXEC the reply has its place */
        front_run(f, a->port, &job, &answer->parts[0], a->now);
        finish(f, answer, &a->reply);
        answer_free(f->courier, answer);
        return;
    }
    session_wait(a->session, answer);
    for (uint32_t i = 0; i < workers; i++) {
        if (i != self) {
            courier_send(f->courier, a->port, i, &job, answer, i);
            continue;
        }
        front_run(f, a->port, &job, &answer->parts[i], a->now);
        answer->missing--;
    }
    answer_ready(a, answer);
}
