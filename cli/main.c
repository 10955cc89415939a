/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/cmd.h"

#include "base/version.h"

#include <stdio.h>
#include <string.h>

/*
 * Read by jemalloc when it starts. Huge pages: keys lie all over the memory, and with pages of 4
 * KiB half of the time of a read goes into address translation (measured: 20 % less CPU for
 * pipelined reads and writes of a million keys, the same resident memory). That touching one for
 * the first time takes milliseconds is io/warm.h's business. Its own threads give memory back, so
 * that no step of a worker has to.
 */
extern const char *const malloc_conf;
const char *const malloc_conf = "thp:always,background_thread:true";

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("meridian " MERIDIAN_VERSION);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"ctl", cmd_ctl, "manages clusters and databases through their REST API"},
    {"demo", cmd_demo, "three regions on this machine, and a conflict that resolves"},
    {"export", cmd_export, "writes a database into a Redis snapshot (RDB file)"},
    {"import", cmd_import, "writes a Redis snapshot (RDB file) into a database"},
    {"lab", cmd_lab, "plays conflict scenarios"},
    {"log", cmd_log, "checks, shows and repairs what shards have on disk"},
    {"node", cmd_node, "runs a node: manager, REST API, discovery, data plane"},
    {"plane", cmd_plane, "the data plane's process (started by node)"},
    {"version", cmd_version, "the version"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void usage(FILE *out)
{
    fputs(
        "usage: meridian COMMAND [flags]\n\n"
        "Meridian: a Redis-compatible database that several regions write at once.\n\ncommands:\n",
        out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].about);
    fputs("\nmeridian COMMAND --help tells a command's flags; meridian --version the version.\n",
          out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0)
        return cmd_version(argc, argv);
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "meridian: '%s' is no command. Try: meridian --help\n", name);
    return 2;
}
