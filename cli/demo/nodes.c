/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/demo/nodes.h"

#include "cli/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void demo_nodes_describe(struct demo_node nodes[DEMO_REGIONS], const char *dir, uint16_t base_port)
{
    for (unsigned i = 0; i < DEMO_REGIONS; i++) {
        struct demo_node *n = &nodes[i];
        *n = (struct demo_node){.db_port = (uint16_t)((base_port ? base_port : 12000) + i),
                                .rest_port = (uint16_t)((base_port ? base_port + 10 : 9443) + i),
                                .discovery_port =
                                    (uint16_t)((base_port ? base_port + 20 : 8001) + i)};
        snprintf(n->name, sizeof n->name, "region%u.demo.test", i + 1);
        snprintf(n->dir, sizeof n->dir, "%s/region%u", dir, i + 1);
        n->rest = (struct https_target){.host = "127.0.0.1",
                                        .port = n->rest_port,
                                        .user = DEMO_USER,
                                        .password = DEMO_PASSWORD,
                                        .timeout_s = 20};
    }
}

static void run_node(const struct demo_node *n)
{
    char rest[8], discovery[8], log[300];
    snprintf(rest, sizeof rest, "%u", n->rest_port);
    snprintf(discovery, sizeof discovery, "%u", n->discovery_port);
    snprintf(log, sizeof log, "%s/node.log", n->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    setpgid(0, 0); /* Ctrl-C is the demo's: it ends its nodes in order */
    execl("/proc/self/exe", "meridian", "node", "--data", n->dir, "--rest-port", rest,
          "--discovery-port", discovery, "--bind", "127.0.0.1", "--advertise", "127.0.0.1",
          "--workers", "1", (char *)NULL);
    fprintf(stderr, "meridian demo: can't start a node: %s\n", strerror(errno));
    _exit(127);
}

static void show_log(const struct demo_node *n)
{
    char path[300], line[400];
    snprintf(path, sizeof path, "%s/node.log", n->dir);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        fprintf(stderr, "  %s: %s", n->name, line);
    if (f != NULL)
        fclose(f);
}

static bool is_gone(struct demo_node *n)
{
    if (n->pid == 0 || waitpid(n->pid, NULL, WNOHANG) == 0)
        return n->pid == 0;
    n->pid = 0;
    return true;
}

static bool wait_rest(struct demo_node *n)
{
    for (unsigned i = 0; i < 300; i++) {
        struct https_answer a;
        bool up = https_call(&n->rest, "GET", "/v1/bootstrap", NULL, &a);
        https_answer_deinit(&a);
        if (is_gone(n)) {
            fprintf(stderr,
                    "meridian demo: the node of %s ended at its start; is another one on these "
                    "ports (try --base-port 20000)?\n",
                    n->name);
            show_log(n);
            return false;
        }
        if (up)
            return true;
        pause_ms(100);
    }
    fprintf(stderr, "meridian demo: %s does not answer on port %u\n", n->name, n->rest_port);
    show_log(n);
    return false;
}

bool demo_nodes_start(struct demo_node nodes[DEMO_REGIONS])
{
    for (unsigned i = 0; i < DEMO_REGIONS; i++) {
        if (mkdir(nodes[i].dir, 0700) != 0 && errno != EEXIST) {
            fprintf(stderr, "meridian demo: %s: %s\n", nodes[i].dir, strerror(errno));
            return false;
        }
        nodes[i].pid = fork();
        if (nodes[i].pid == 0)
            run_node(&nodes[i]);
        if (nodes[i].pid < 0) {
            fprintf(stderr, "meridian demo: fork: %s\n", strerror(errno));
            nodes[i].pid = 0;
            return false;
        }
    }
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        if (!wait_rest(&nodes[i]))
            return false;
    return true;
}

void demo_nodes_stop(struct demo_node nodes[DEMO_REGIONS])
{
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        if (nodes[i].pid > 0)
            kill(nodes[i].pid, SIGTERM);
    for (unsigned i = 0; i < DEMO_REGIONS; i++) {
        for (unsigned k = 0; k < 100 && !is_gone(&nodes[i]); k++)
            pause_ms(100);
        if (nodes[i].pid > 0) {
            kill(nodes[i].pid, SIGKILL);
            waitpid(nodes[i].pid, NULL, 0);
            nodes[i].pid = 0;
        }
    }
}

bool demo_nodes_lost(struct demo_node nodes[DEMO_REGIONS])
{
    for (unsigned i = 0; i < DEMO_REGIONS; i++)
        if (is_gone(&nodes[i]))
            return true;
    return false;
}
