/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* Replica Of in a database's JSON: which live source it follows, and how far it is. */
#include "api/rest.h"
#include "manager/replica.h"
#include "migrate/uri.h"

#include <stdio.h>

/* ------------------------------------------------------------ what is asked for */

static bool read_sources(const json_t *list, struct replica_change *out, struct refusal *why)
{
    if (!json_is_array(list))
        return refuse(why, 400, "invalid_schema",
                      "replica_sources: a list is expected, [{\"uri\": \"redis://host:port\"}]");
    if (json_array_size(list) > GATHER_SOURCES_MAX)
        return refuse(why, 400, "invalid_schema", "replica_sources: %u sources at most",
                      GATHER_SOURCES_MAX);
    out->set_uri = true;
    for (size_t i = 0, at = 0; i < json_array_size(list); i++) {
        const json_t *uri = json_object_get(json_array_get(list, i), "uri");
        size_t n = json_is_string(uri) ? json_string_length(uri) : 0;
        const char *text = json_string_value(uri);
        if (n == 0 || at + n + 16 > sizeof out->uri)
            return refuse(why, 400, "invalid_schema",
                          "replica_sources[%zu].uri: redis[s]://[[user]:password@]host[:port]"
                          "[/database] is expected, %u bytes in all",
                          i, REPLICA_URI_MAX - 16 * GATHER_SOURCES_MAX);
        at += (size_t)snprintf(out->uri + at, sizeof out->uri - at, "%s%s%s", at > 0 ? " " : "",
                               strstr(text, "://") == NULL ? "redis://" : "", text);
    }
    return true;
}

static bool read_sync(const json_t *sync, struct replica_change *out, struct refusal *why)
{
    out->set_sync = true;
    if (!json_is_string(sync) || !replica_sync_parse(json_string_value(sync), &out->sync))
        return refuse(why, 400, "invalid_schema",
                      "replica_sync: enabled, paused or disabled is expected");
    return true;
}

bool rest_take_replica(struct call *c, struct replica_change *out, bool *found, struct refusal *why)
{
    json_t *sources = json_object_get(c->body, "replica_sources");
    json_t *sync = json_object_get(c->body, "replica_sync");
    json_t *flush = json_object_get(c->body, "replica_flush");
    *out = (struct replica_change){0};
    *found = sources != NULL || sync != NULL || flush != NULL;
    if ((sources != NULL && !read_sources(sources, out, why)) ||
        (sync != NULL && !read_sync(sync, out, why)))
        return false;
    if (flush != NULL && !json_is_boolean(flush))
        return refuse(why, 400, "invalid_schema", "replica_flush: true or false is expected");
    out->flush = json_is_true(flush);
    json_object_del(c->body, "replica_sources");
    json_object_del(c->body, "replica_sync");
    json_object_del(c->body, "replica_flush");
    return true;
}

/* ------------------------------------------------------------ how it is */

/* Redis Enterprise's words. */
static const char *source_status(const struct follow_status *s)
{
    return s->in_sync                   ? "in-sync"
           : s->state == FOLLOW_STOPPED ? "out-of-sync"
           : s->state == FOLLOW_FOLLOWING || s->state == FOLLOW_LOADING ||
                   s->state == FOLLOW_WAITING || s->state == FOLLOW_CLEARING
               ? "syncing"
               : "out-of-sync";
}

static void put_progress(const struct follow_status *s, json_t *o)
{
    json_t *more = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state",
        follow_state_name(s->state), "text", s->text, "last_error", s->error, "replication_id",
        s->replication_id, "replication_offset", (json_int_t)s->applied, "lag",
        (json_int_t)s->lag_ms, "lag_bytes", (json_int_t)s->lag_bytes, "rdb_size",
        (json_int_t)s->snapshot_bytes, "rdb_transferred", (json_int_t)s->snapshot_read, "keys",
        (json_int_t)s->keys, "commands", (json_int_t)s->commands, "passed_over",
        (json_int_t)s->passed_over, "failed", (json_int_t)s->failed, "fields_without_ttl",
        (json_int_t)s->fields, "full_syncs", (json_int_t)s->full_syncs, "partial_syncs",
        (json_int_t)s->partial_syncs);
    json_object_update(o, more);
    json_decref(more);
}

void rest_put_replica(const struct call *c, const struct bdb *b, json_t *o)
{
    struct follow_status s;
    struct redis_uri u;
    char uri[800], text[REPLICA_URI_MAX];
    const char *why, *uris = b->replica_uri,
                     *sync = replica_sync_name((enum replica_sync)b->replica);
    json_t *list = json_array();
    bool runs = replica_status(manager_replicas(c->m), b->uid, &s);
    if (runs && s.state == FOLLOW_STOPPED)
        sync = "stopped";
    for (unsigned i = 0; gather_next_uri(&uris, text, sizeof text); i++) {
        if (!redis_uri_read(text, &u, &why))
            continue;
        redis_uri_show(&u, uri, sizeof uri);
        bool known = replica_source_status(manager_replicas(c->m), b->uid, i, &s);
        json_t *source = json_pack("{s:i, s:s, s:s}", "uid", (int)i + 1, "uri", uri, "status",
                                   known ? source_status(&s) : "out-of-sync");
        if (known)
            put_progress(&s, source);
        json_array_append_new(list, source);
    }
    json_object_set_new(o, "replica_sync", json_string(sync));
    json_object_set_new(o, "replica_sources", list);
}
