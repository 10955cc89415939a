/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/err.h"

static const char *const names[] = {
#define X(name, text) #name,
    ERR_LIST(X)
#undef X
};
static const char *const texts[] = {
#define X(name, text) text,
    ERR_LIST(X)
#undef X
};

const char *err_name(enum err e) { return (unsigned)e < ERR_COUNT ? names[e] : "UNKNOWN"; }

const char *err_text(enum err e) { return (unsigned)e < ERR_COUNT ? texts[e] : "unknown error"; }
