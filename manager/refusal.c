/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/refusal.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(struct refusal *why, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    why->status = status;
    snprintf(why->code, sizeof why->code, "%s", code);
    va_start(ap, fmt);
    vsnprintf(why->message, sizeof why->message, fmt, ap);
    va_end(ap);
    text_plain(why->message);
    return false;
}

void text_plain(char *s)
{
    for (; *s; s++)
        if (*s < 0x20 || *s > 0x7e)
            *s = '?';
}
