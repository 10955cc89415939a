/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/lab/backend.h"

#include <stdio.h>

bool lab_settings(const struct scenario *s, struct db_config *out, char *why)
{
    *out = (struct db_config){0};
    for (size_t i = 0; i < s->settings_n; i += 2) {
        struct bytes name = s->settings[i], value = s->settings[i + 1];
        if (!bytes_is(name, "xadd_id_uniqueness")) {
            snprintf(why, WHY_MAX, "unknown setting '%.*s'", (int)(name.n < 60 ? name.n : 60),
                     (const char *)name.p);
            return false;
        }
        int n = (int)(value.n < sizeof out->xadd_id_uniqueness ? value.n : 0);
        snprintf(out->xadd_id_uniqueness, sizeof out->xadd_id_uniqueness, "%.*s", n,
                 (const char *)value.p);
        if (n == 0 || db_config_xadd_ids(out) < 0) {
            snprintf(why, WHY_MAX,
                     "setting xadd_id_uniqueness: strict, semi-strict or liberal is expected");
            return false;
        }
    }
    return true;
}
