/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "base/mem.h"
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Prints docs/commands.md: every row of the command table, with what docs/commands.txt says of how
 * it merges and what differs from Redis. Fails when a command that writes has no rule, or a line
 * names no command: the page and the code then say different things.
 */
#define LINES_MAX 1024u

struct line {
    char *names; /* with commas */
    char *rule, *differs;
    bool used;
};

static struct line lines[LINES_MAX];
static unsigned lines_n;
static unsigned faults;

static char *trim(char *s)
{
    while (*s == ' ')
        s++;
    for (size_t n = strlen(s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\n'); n--)
        s[n - 1] = 0;
    return s;
}

/* names; rule; what differs */
static void read_lines(const char *path)
{
    static char room[LINES_MAX][1024];
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    while (lines_n < LINES_MAX && fgets(room[lines_n], sizeof room[0], f) != NULL) {
        char *s = room[lines_n];
        if (s[0] == '#' || s[0] == '\n')
            continue;
        char *rule = strchr(s, ';'), *differs = rule ? strchr(rule + 1, ';') : NULL;
        if (differs == NULL) {
            fprintf(stderr, "%s: three columns behind semicolons: %s", path, s);
            faults++;
            continue;
        }
        *rule = *differs = 0;
        lines[lines_n++] =
            (struct line){.names = trim(s), .rule = trim(rule + 1), .differs = trim(differs + 1)};
    }
    fclose(f);
}

/* Whether the list "a, b, c" has the name. */
static bool lists(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = names; (at = strstr(at, name)) != NULL; at += n)
        if ((at == names || at[-1] == ' ' || at[-1] == ',') && (at[n] == 0 || at[n] == ','))
            return true;
    return false;
}

/* Texts of all lines that name it, one after the other. */
static void collect(const char *name, char *rule, char *differs, size_t size)
{
    rule[0] = differs[0] = 0;
    for (unsigned i = 0; i < lines_n; i++) {
        if (!lists(lines[i].names, name))
            continue;
        lines[i].used = true;
        size_t r = strlen(rule), d = strlen(differs);
        if (lines[i].rule[0] != 0)
            snprintf(rule + r, size - r, "%s%s", r ? "; " : "", lines[i].rule);
        if (lines[i].differs[0] != 0)
            snprintf(differs + d, size - d, "%s%s", d ? "; " : "", lines[i].differs);
    }
}

static void print_row(const struct command *c)
{
    char rule[1024], differs[1024], name[128];
    collect(c->name, rule, differs, sizeof rule);
    if ((c->flags & CMD_WRITE) && rule[0] == 0) {
        fprintf(stderr, "docs/commands.txt has no merge rule for %s\n", c->name);
        faults++;
    }
    snprintf(name, sizeof name, "%s", c->name);
    for (char *p = name; *p != 0; p++)
        *p = *p == '|' ? ' ' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    printf("| %s | %s | %s | %s | %s |\n", name, c->since ? c->since : "", c->summary, rule,
           differs);
}

/* Our own commands stand together, whatever group they name for COMMAND DOCS. */
static bool is_printed(const struct command *c, const char *group)
{
    const char *mine = strncmp(c->name, "crdt.", 5) == 0 ? "crdt" : c->group ? c->group : "other";
    return strcmp(mine, group) == 0 && !(c->flags & CMD_CONTAINER);
}

static const char head[] =
    "<!-- Made by `make docs` from the command table and docs/commands.txt: change those. -->\n"
    "# Commands\n\n"
    "Every command that Meridian knows, since which version of Redis it is there, how concurrent "
    "calls in several regions "
    "merge (`-`: it changes no data), and what differs from Redis 7.0.\n"
    "[conflict-resolution.md](conflict-resolution.md) explains the rules:\n\n"
    "* **later wins**: of two concurrent assignments the later one is shown; one that had seen the "
    "other replaces it\n"
    "* **adds up**: all increments count\n"
    "* **unites**: what was added anywhere stays\n"
    "* **removes what it saw**: data that was written elsewhere meanwhile stays\n"
    "* **effect**: computed where it is called; what it did travels, as the rules above\n\n"
    "With several shards in one database, the keys of one command must be on one shard (hash tags "
    "`{...}` keep them together), but for "
    "DEL, EXISTS, MGET, MSET, TOUCH and UNLINK, which are split.\n";

int main(int argc, char **argv)
{
    static const char *const groups[] = {
        "string",       "bitmap",      "hash",   "list",    "set",    "sorted-set",
        "geo",          "hyperloglog", "stream", "generic", "pubsub", "scripting",
        "transactions", "connection",  "server", "crdt",
    };
    unsigned n, printed = 0;
    const struct command *const *all = command_all(&n);
    read_lines(argc > 1 ? argv[1] : "docs/commands.txt");
    fputs(head, stdout);
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        printf("\n## %s\n\n| command | since | what it does | merges | differs from Redis "
               "|\n|---|---|---|---|---|\n",
               groups[g]);
        for (unsigned i = 0; i < n; i++) {
            if (!is_printed(all[i], groups[g]))
                continue;
            print_row(all[i]);
            printed++;
        }
    }
    for (unsigned i = 0; i < n; i++)
        printed += (all[i]->flags & CMD_CONTAINER) != 0;
    if (printed != n) {
        for (unsigned i = 0; i < n; i++) {
            bool known = (all[i]->flags & CMD_CONTAINER) != 0;
            for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
                known |= is_printed(all[i], groups[g]);
            if (!known)
                fprintf(stderr, "%s is of group '%s', which has no place\n", all[i]->name,
                        all[i]->group);
        }
        faults++;
    }
    for (unsigned i = 0; i < lines_n; i++)
        if (!lines[i].used) {
            fprintf(stderr, "docs/commands.txt names no command: %s\n", lines[i].names);
            faults++;
        }
    return faults > 0;
}
