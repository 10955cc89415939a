/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/cluster.h"

#include "base/mem.h"

#include <stdio.h>

bool name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 63 || name[0] == '-' || name[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-'))
            return false;
    }
    return true;
}

static void crdb_free(struct crdb *c)
{
    crdb_config_deinit(&c->config);
    crdb_config_deinit(&c->next);
    mem_free(c);
}

void cluster_deinit(struct cluster *c)
{
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        mem_free(c->bdbs[i]);
    for (uint32_t i = 0; i < c->crdbs_count; i++)
        crdb_free(c->crdbs[i]);
    *c = (struct cluster){0};
}

struct bdb *cluster_bdb(const struct cluster *c, uint32_t uid)
{
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        if (c->bdbs[i]->uid == uid)
            return c->bdbs[i];
    return NULL;
}

struct bdb *cluster_bdb_named(const struct cluster *c, const char *name)
{
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        if (strcmp(c->bdbs[i]->name, name) == 0)
            return c->bdbs[i];
    return NULL;
}

struct bdb *cluster_bdb_at(const struct cluster *c, uint16_t port)
{
    for (uint32_t i = 0; i < c->bdbs_count; i++)
        if (c->bdbs[i]->config.port == port)
            return c->bdbs[i];
    return NULL;
}

struct crdb *cluster_crdb(const struct cluster *c, const char *guid)
{
    for (uint32_t i = 0; i < c->crdbs_count; i++)
        if (strcmp(c->crdbs[i]->config.guid, guid) == 0)
            return c->crdbs[i];
    return NULL;
}

struct user *cluster_user(struct cluster *c, const char *name)
{
    for (uint32_t i = 0; i < c->users_count; i++)
        if (strcmp(c->users[i].name, name) == 0)
            return &c->users[i];
    return NULL;
}

struct bdb *cluster_add_bdb(struct cluster *c)
{
    if (c->bdbs_count == CLUSTER_BDBS_MAX)
        return NULL;
    struct bdb *b = mem_zalloc(sizeof *b);
    if (c->next_uid == 0)
        c->next_uid = 1;
    b->uid = c->next_uid++;
    c->bdbs[c->bdbs_count++] = b;
    return b;
}

void cluster_drop_bdb(struct cluster *c, uint32_t uid)
{
    for (uint32_t i = 0; i < c->bdbs_count; i++) {
        if (c->bdbs[i]->uid != uid)
            continue;
        mem_free(c->bdbs[i]);
        memmove(&c->bdbs[i], &c->bdbs[i + 1], (c->bdbs_count - i - 1) * sizeof(c->bdbs[0]));
        c->bdbs_count--;
        return;
    }
}

struct crdb *cluster_add_crdb(struct cluster *c)
{
    if (c->crdbs_count == CLUSTER_CRDBS_MAX)
        return NULL;
    struct crdb *r = mem_zalloc(sizeof *r);
    c->crdbs[c->crdbs_count++] = r;
    return r;
}

void cluster_drop_crdb(struct cluster *c, const char *guid)
{
    for (uint32_t i = 0; i < c->crdbs_count; i++) {
        if (strcmp(c->crdbs[i]->config.guid, guid) != 0)
            continue;
        crdb_free(c->crdbs[i]);
        memmove(&c->crdbs[i], &c->crdbs[i + 1], (c->crdbs_count - i - 1) * sizeof(c->crdbs[0]));
        c->crdbs_count--;
        return;
    }
}

void crdb_config_deinit(struct crdb_config *c)
{
    mem_free(c->instances);
    *c = (struct crdb_config){0};
}

void crdb_config_copy(struct crdb_config *to, const struct crdb_config *from)
{
    struct instance *copy = mem_dup(from->instances, from->instances_count * sizeof *copy);
    mem_free(to->instances);
    *to = *from;
    to->instances = copy;
}

struct instance *crdb_config_instance(const struct crdb_config *c, uint32_t id)
{
    for (uint32_t i = 0; i < c->instances_count; i++)
        if (c->instances[i].id == id)
            return &c->instances[i];
    return NULL;
}

struct instance *crdb_config_at(const struct crdb_config *c, const char *cluster)
{
    for (uint32_t i = 0; i < c->instances_count; i++)
        if (strcmp(c->instances[i].cluster, cluster) == 0)
            return &c->instances[i];
    return NULL;
}
