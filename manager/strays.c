/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/strays.h"

#include "base/num.h"
#include "manager/core.h"

#define LOOK_US 60000000u

bool strays_look(struct manager *m)
{
    if (m->opts.db_dir[0] == 0)
        return false;
    struct file_req *r = file_req_new(FILE_FOLDERS, m->opts.db_dir);
    r->tag = TAG_STRAYS;
    m->strays.again_us = m->now.mono_us + LOOK_US;
    m->port->ops->file(m->port, r);
    return true;
}

static bool among(const uint32_t *uids, uint32_t count, uint32_t uid)
{
    for (uint32_t i = 0; i < count; i++)
        if (uids[i] == uid)
            return true;
    return false;
}

/* "db7": the number; 0: another name. */
static uint32_t number_of(const char *name)
{
    int64_t n = 0;
    if (strncmp(name, "db", 2) != 0 || !num_parse_i64(bytes_str(name + 2), &n) || n <= 0 ||
        n >= UINT32_MAX)
        return 0;
    return (uint32_t)n;
}

static void tell(struct manager *m, uint32_t uid)
{
    port_log(m->port, 'W',
             "%s/db%u: files of a database that this cluster does not know (it was deleted while "
             "the data plane was away, or made by another cluster). Nothing touches them: remove "
             "the folder when nobody needs them",
             m->opts.db_dir, uid);
}

void strays_listed(struct manager *m, const struct file_req *r)
{
    struct strays *s = &m->strays, before = *s;
    struct bytes list = buf_bytes(&r->data);
    if (r->err != ERR_OK && r->err != ERR_NOT_FOUND) {
        port_log(m->port, 'W', "%s: %s", r->path, err_text(r->err));
        return;
    }
    s->listed = true;
    s->number = s->count = s->seen_count = 0;
    for (size_t at = 0; at < list.n; at += strlen((const char *)list.p + at) + 1) {
        uint32_t uid = number_of((const char *)list.p + at);
        s->number = uid > s->number ? uid : s->number;
        if (uid == 0 || (m->loaded && cluster_bdb(&m->cluster, uid) != NULL) ||
            s->seen_count == STRAYS_MAX)
            continue;
        s->seen[s->seen_count++] = uid;
        if (!m->loaded || !among(before.seen, before.seen_count, uid))
            continue;
        s->uids[s->count++] = uid;
        if (!among(before.uids, before.count, uid))
            tell(m, uid);
    }
}

void strays_tick(struct manager *m)
{
    if (m->strays.again_us != 0 && m->now.mono_us >= m->strays.again_us)
        (void)strays_look(m);
}
