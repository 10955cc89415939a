/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* The flags of durability and memory, which `ctl db` and `ctl crdb` share. */
#include "cli/ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "3600:1,60:10000" as snapshot_policy; "" gives []. NULL: not of that form. */
static json_t *rules_parse(const char *text)
{
    json_t *list = json_array();
    for (const char *p = text; *p != 0;) {
        char *end;
        long long secs = strtoll(p, &end, 10), writes = 0;
        bool ok = end != p && *end == ':';
        if (ok) {
            p = end + 1;
            writes = strtoll(p, &end, 10);
            ok = end != p && (*end == 0 || (*end == ',' && end[1] != 0));
        }
        if (!ok) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(
            list, json_pack("{s:I, s:I}", "secs", (json_int_t)secs, "writes", (json_int_t)writes));
        p = *end == ',' ? end + 1 : end;
    }
    return list;
}

static bool put_size(json_t *o, const char *name, const char *flag, const char *text)
{
    json_int_t bytes;
    if (text == NULL)
        return true;
    if (strcmp(text, "auto") == 0)
        bytes = 0;
    else if (!size_parse(text, &bytes)) {
        fprintf(stderr, "--%s: a size like 256mb, or auto, is expected, not '%s'\n", flag, text);
        return false;
    }
    json_object_set_new(o, name, json_integer(bytes));
    return true;
}

static void put_text(json_t *o, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(o, name, json_string(text));
}

bool keep_body(const struct keep_flags *f, json_t *o)
{
    put_text(o, "data_persistence", f->persistence);
    put_text(o, "aof_policy", f->policy);
    put_text(o, "eviction_policy", f->eviction);
    if (f->rules != NULL) {
        json_t *rules = rules_parse(f->rules);
        if (rules == NULL) {
            fprintf(stderr, "--snapshot-policy: SECS:WRITES,... as 3600:1,60:10000 is expected\n");
            return false;
        }
        json_object_set_new(o, "snapshot_policy", rules);
    }
    if (f->oom != UINT64_MAX)
        json_object_set_new(o, "replication_oom_threshold_percent",
                            json_integer((json_int_t)f->oom));
    return put_size(o, "max_aof_file_size", "max-aof-file-size", f->log_size) &&
           put_size(o, "log_retention", "log-retention", f->retention);
}
