/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/migrate/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void report_init(struct report *r) { r->terminal = isatty(STDERR_FILENO) == 1; }

void report_line(struct report *r, const char *text)
{
    if (r->quiet)
        return;
    fprintf(stderr, r->terminal ? "\r%s\x1b[K" : "%s\n", text);
    r->line = r->terminal;
}

void report_end_line(struct report *r)
{
    if (r->line)
        fputs("\n", stderr);
    r->line = false;
}

void report_status(const struct report *r, const char *json)
{
    char beside[4096];
    if (r->status_file == NULL ||
        snprintf(beside, sizeof beside, "%s.new", r->status_file) >= (int)sizeof beside)
        return;
    FILE *f = fopen(beside, "we");
    if (f == NULL)
        return;
    bool ok = fputs(json, f) >= 0;
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(beside, r->status_file) != 0)
        unlink(beside);
}

const char *report_number(char out[32], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}
