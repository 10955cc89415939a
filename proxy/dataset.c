/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/dataset.h"

#include "base/mem.h"
#include "proxy/session.h"

#include <stdio.h>

enum said {
    SAID_OPENS, /* its shards are not open: whoever hears it answers */
    SAID_OPEN,
    SAID_FAILED, /* with the error */
};

/* What a worker tells another. */
struct word {
    uint32_t from;
    uint32_t said;
};

static void tell(struct front *f, struct port *port, uint32_t worker, enum said said)
{
    struct word word = {.from = courier_self(f->courier), .said = said};
    struct bytes argv[2] = {bytes_of(&word, sizeof word), bytes_str(f->dataset.error)};
    struct job job = {.kind = JOB_OPEN, .db_uid = f->db_uid, .argc = 2, .argv = argv};
    courier_send(f->courier, port, worker, &job, NULL, 0);
    courier_urgent(f->courier);
}

static void tell_all(struct front *f, struct port *port, enum said said)
{
    for (uint32_t i = 0; i < courier_workers(f->courier); i++)
        if (i != courier_self(f->courier))
            tell(f, port, i, said);
}

static bool has_shards(const struct front *f, uint32_t worker)
{
    for (uint32_t i = 0; i < f->shards_count; i++)
        if (f->shards[i].worker == worker)
            return true;
    return false;
}

void dataset_begin(struct front *f, struct port *port)
{
    struct dataset *l = &f->dataset;
    uint32_t workers = courier_workers(f->courier);
    l->open = mem_zalloc(workers * sizeof l->open[0]);
    for (uint32_t i = 0; i < workers; i++) {
        l->open[i] = !has_shards(f, i);
        l->missing += !l->open[i];
    }
    tell_all(f, port, SAID_OPENS);
}

static void is_open(struct front *f, uint32_t worker)
{
    struct dataset *l = &f->dataset;
    if (l->open == NULL || l->open[worker])
        return;
    l->open[worker] = true;
    if (--l->missing == 0)
        acl_known(f); /* who may run everything does so the quick way from now on */
}

void dataset_opened(struct front *f, struct port *port)
{
    is_open(f, courier_self(f->courier));
    tell_all(f, port, SAID_OPEN);
}

void dataset_failed(struct front *f, struct port *port, const char *error)
{
    snprintf(f->dataset.error, sizeof f->dataset.error, "%s", error);
    tell_all(f, port, SAID_FAILED);
}

void dataset_deinit(struct front *f) { mem_free(f->dataset.open); }

void dataset_job(struct front *f, struct port *port, const struct job *job)
{
    struct dataset *l = &f->dataset;
    struct word word;
    memcpy(&word, job->argv[0].p, sizeof word);
    if (word.said == SAID_OPEN) {
        is_open(f, word.from);
    } else if (word.said == SAID_FAILED) {
        snprintf(l->error, sizeof l->error, "%.*s", (int)job->argv[1].n,
                 (const char *)job->argv[1].p);
    } else if (l->open != NULL && l->open[courier_self(f->courier)]) {
        tell(f, port, word.from, SAID_OPEN);
    } else if (l->error[0] != 0) {
        tell(f, port, word.from, SAID_FAILED);
    }
}

bool dataset_refuses(struct ask *a)
{
    const struct dataset *l = &a->front->dataset;
    if (acl_is_harmless(a->command) && strcmp(a->command->name, "ping") != 0)
        return false;
    if (l->error[0] != 0)
        reply_errorf(&a->reply, "LOADING the database cannot be opened: %s", l->error);
    else
        reply_error(&a->reply, LOADING_TEXT);
    return true;
}
