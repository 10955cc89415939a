/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_MIGRATE_TARGET_H
#define MERIDIAN_CLI_MIGRATE_TARGET_H

#include "cli/args.h"
#include "io/io.h"
#include "io/log.h"
#include "migrate/sink.h"

/* The database that `meridian import` and `export` speak to: its flags, and what becomes of them.
 */
struct target {
    const char *address; /* host:port */
    const char *user, *password, *password_file;
    const char *cacert, *cert, *key, *sni;
    bool tls, insecure;
    /* made by target_check */
    char host[256];
    uint16_t port;
    struct buf secret, ca_pem, cert_pem, key_pem; /* owned */
};

#define TARGET_FLAGS 9u
/* Appends the flags' TARGET_FLAGS rows; `name` is that of the address ("to"). */
void target_flags(struct target *t, const char *name, struct arg *rows);
/* Reads the command line of a command that takes one file besides its flags. -1: *file is it; else
 * the exit status: help was printed, or what is wrong, with `question` where there is no file. */
int target_file(struct args *a, int argc, char **argv, const char *question, const char **file);
/* Looks at them all and reads the files; false: prints why, after "meridian `command`: ". */
bool target_check(struct target *t, const char *name, const char *command);
/* The TLS settings in that port (0 none); false: prints why. */
bool target_tls(const struct target *t, struct port *port, const char *command, uint32_t *tls);
void target_deinit(struct target *t);

int cmd_follow(int argc, char **argv); /* `import --replica-of` */

/* How far an import or export is, for people (stderr) and for who watches it (a file). */
struct report {
    const char *status_file; /* NULL: none */
    bool quiet;
    bool terminal; /* stderr is one: the line is written over */
    bool line;     /* one stands there */
};
void report_init(struct report *r);
/* The line of progress; `text` without a newline. */
void report_line(struct report *r, const char *text);
void report_end_line(struct report *r); /* before anything else is printed */
/* Writes the JSON text beside and renames it over the status file; failures are ignored: the next
 * one may work, and the import is not about it. */
void report_status(const struct report *r, const char *json);
/* "12,345,678" */
const char *report_number(char out[32], uint64_t n);

#endif
