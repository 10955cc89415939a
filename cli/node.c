/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian node`: the manager's process. Reads settings, prepares the data folder, runs the
 * manager and its API. */
#include "api/api.h"
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/folder.h"

#include "base/mem.h"
#include "io/io.h"
#include "io/log.h"
#include "manager/manager.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define CONFIG_BYTES_MAX (1u << 20)
#define PEM_BYTES_MAX (1u << 20)
#define PLANE_ARGS_MAX 24u

struct node_flags {
    const char *config, *data, *bind, *advertise, *cert, *key, *peers_ca, *log_level, *log_file;
    uint64_t rest_port, discovery_port, port_first, port_last, workers;
    char *config_text; /* the values of the file point into it */
};

/* ---- settings ---- */

/* A name or address that can stand in a URL and before ":port"; nothing is looked up here. */
static bool is_host(const char *s)
{
    return *s != 0 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                ".:-_") == strlen(s);
}

static bool check(const struct node_flags *f, struct buf *why)
{
    struct in6_addr addr;
    if (inet_pton(AF_INET, f->bind, &addr) != 1 && inet_pton(AF_INET6, f->bind, &addr) != 1)
        buf_putf(why, "bind: '%s' is not an IPv4 or IPv6 address", f->bind);
    else if (log_level_parse(f->log_level) == 0)
        buf_putf(why, "log-level: '%s' is none of error, warning, info, debug", f->log_level);
    else if (f->port_first > f->port_last)
        buf_put_str(why, "db-port-first: is greater than db-port-last");
    else if ((f->cert == NULL) != (f->key == NULL))
        buf_put_str(why, "cert and key: give both or none");
    else if (f->advertise != NULL && !is_host(f->advertise))
        buf_putf(why, "advertise: '%s' is neither a host name nor an address", f->advertise);
    else if (f->rest_port == f->discovery_port)
        buf_put_str(why, "rest-port and discovery-port: are the same");
    if (buf_len(why) == 0)
        return true;
    buf_put_str(why, "\nTry: meridian node --help\n");
    return false;
}

/* The flags say which file; the file is read; the flags are taken once more, for they win. */
static int parse_all(struct args *a, struct node_flags *f, int argc, char **argv)
{
    int status = args_main(a, argc, argv);
    if (status >= 0)
        return status;
    struct buf why = {0}, text = {0};
    bool ok = true;
    if (f->config != NULL) {
        ok = folder_read(f->config, CONFIG_BYTES_MAX, &text, &why);
        if (!ok)
            buf_put_u8(&why, '\n');
        buf_put_u8(&text, 0);
        f->config_text = (char *)text.p;
        ok = ok && args_parse_file(a, f->config, f->config_text, &why) == ARGS_OK;
        ok = ok && args_parse(a, argc, argv, &why) == ARGS_OK;
    }
    ok = ok && check(f, &why);
    if (!ok)
        fwrite(why.p, 1, why.tail, stderr);
    buf_deinit(&why);
    return ok ? -1 : 2;
}

static int parse(struct node_flags *f, int argc, char **argv)
{
    *f = (struct node_flags){.data = "./meridian-data",
                             .bind = "0.0.0.0",
                             .log_level = "info",
                             .rest_port = 9443,
                             .discovery_port = 8001,
                             .port_first = 10000,
                             .port_last = 19999,
                             .workers = uv_available_parallelism()};
    const struct arg table[] = {
        {"config", "FILE", "settings: lines \"name value\", names as here; flags win", ARG_TEXT,
         &f->config, 0, 0},
        {"data", "DIR", "its state and the databases' files (default: ./meridian-data)", ARG_TEXT,
         &f->data, 0, 0},
        {"bind", "ADDR", "address to listen on (default: 0.0.0.0)", ARG_TEXT, &f->bind, 0, 45},
        {"advertise", "HOST", "how clients and other clusters reach this node", ARG_TEXT,
         &f->advertise, 0, 253},
        {"rest-port", "PORT", "REST API (default: 9443)", ARG_UINT, &f->rest_port, 1, 65535},
        {"discovery-port", "PORT", "discovery service (default: 8001)", ARG_UINT,
         &f->discovery_port, 1, 65535},
        {"db-port-first", "PORT", "databases' ports begin here (default: 10000)", ARG_UINT,
         &f->port_first, 1, 65535},
        {"db-port-last", "PORT", "databases' ports end here (default: 19999)", ARG_UINT,
         &f->port_last, 1, 65535},
        {"workers", "N", "threads of the data plane (default: one a core)", ARG_UINT, &f->workers,
         1, IO_MACHINES_MAX},
        {"cert", "FILE", "certificate of the REST API (default: self-signed)", ARG_TEXT, &f->cert,
         0, 0},
        {"key", "FILE", "its private key", ARG_TEXT, &f->key, 0, 0},
        {"peers-ca", "FILE", "other clusters' REST must show certificates of these", ARG_TEXT,
         &f->peers_ca, 0, 0},
        {"log-level", "LEVEL", "error, warning, info or debug (default: info)", ARG_TEXT,
         &f->log_level, 0, 0},
        {"log-file", "FILE", "instead of stderr; opened anew on SIGHUP", ARG_TEXT, &f->log_file, 0,
         0},
    };
    struct args a = {.command = "node",
                     .usage = "[flags]",
                     .about = "Runs a node: its manager, with the REST API and discovery, and the "
                              "data plane as its child.\n"
                              "SIGTERM or SIGINT ends both; a data plane whose manager was killed "
                              "goes on serving and\n"
                              "is taken over by the next manager on the same data folder.",
                     .at = table,
                     .n = sizeof table / sizeof table[0]};
    return parse_all(&a, f, argc, argv);
}

/* ---- the node ---- */

struct node {
    struct folder folder;
    char advertise[256], program[4096], token[65], control[160], workers[16];
    char *socket, *token_file, *pid_file, *db_folder, *cert_file, *key_file;
    const char *plane_argv[PLANE_ARGS_MAX];
    struct buf cert, key, peers_ca;
};

/* Without a flag: the address listened on; if that is any, the machine's first one that others can
 * reach. */
static void choose_advertise(struct node *n, const struct node_flags *f)
{
    const char *chosen = f->advertise;
    if (chosen == NULL && strcmp(f->bind, "0.0.0.0") != 0 && strcmp(f->bind, "::") != 0)
        chosen = f->bind;
    snprintf(n->advertise, sizeof n->advertise, "%s", chosen ? chosen : "127.0.0.1");
    uv_interface_address_t *list;
    int count;
    if (chosen != NULL || uv_interface_addresses(&list, &count) != 0)
        return;
    for (int i = count; i-- > 0;)
        if (!list[i].is_internal && list[i].address.address4.sin_family == AF_INET)
            uv_ip4_name(&list[i].address.address4, n->advertise, sizeof n->advertise);
    uv_free_interface_addresses(list, count);
}

static bool get_cert(struct node *n, const struct node_flags *f, struct buf *why)
{
    if (f->cert != NULL)
        return folder_read(f->cert, PEM_BYTES_MAX, &n->cert, why) &&
               folder_read(f->key, PEM_BYTES_MAX, &n->key, why);
    char host[256];
    size_t size = sizeof host;
    const char *names[6] = {n->advertise, "localhost", "127.0.0.1", "::1"};
    if (uv_os_gethostname(host, &size) == 0)
        names[4] = host;
    return folder_cert(&n->folder, names, &n->cert, &n->key, why);
}

/* Flags that have no value are left out. */
static void plane_command(struct node *n, const struct node_flags *f)
{
    const char *const flags[][2] = {
        {"--socket", n->socket},     {"--token-file", n->token_file}, {"--pid-file", n->pid_file},
        {"--data", n->db_folder},    {"--workers", n->workers},       {"--log-level", f->log_level},
        {"--log-file", f->log_file}, {"--cert", n->cert_file},        {"--key", n->key_file},
        {"--links-ca", f->peers_ca},
    };
    unsigned at = 0;
    n->plane_argv[at++] = n->program;
    n->plane_argv[at++] = "plane";
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i][1] == NULL)
            continue;
        n->plane_argv[at++] = flags[i][0];
        n->plane_argv[at++] = flags[i][1];
    }
}

static bool prepare(struct node *n, const struct node_flags *f, struct buf *why)
{
    *n = (struct node){.folder.lock = -1};
    choose_advertise(n, f);
    if (!folder_open(&n->folder, f->data, why))
        return false;
    n->socket = folder_file(&n->folder, "plane.sock");
    n->token_file = folder_file(&n->folder, "plane.token");
    n->pid_file = folder_file(&n->folder, "plane.pid");
    n->db_folder = folder_file(&n->folder, "db");
    n->cert_file = f->cert ? mem_strdup(f->cert) : folder_file(&n->folder, "cert.pem");
    n->key_file = f->key ? mem_strdup(f->key) : folder_file(&n->folder, "key.pem");
    snprintf(n->control, sizeof n->control, "unix:%s", n->socket);
    snprintf(n->workers, sizeof n->workers, "%u", (unsigned)f->workers);
    ssize_t len = readlink("/proc/self/exe", n->program, sizeof n->program - 1);
    if (len <= 0) {
        buf_put_str(why, "cannot find the program's own file: is /proc mounted?");
        return false;
    }
    plane_command(n, f);
    if (f->peers_ca != NULL && !folder_read(f->peers_ca, PEM_BYTES_MAX, &n->peers_ca, why))
        return false;
    return folder_token(n->token_file, true, n->token, why) && get_cert(n, f, why);
}

static void node_deinit(struct node *n)
{
    folder_close(&n->folder);
    mem_free(n->socket);
    mem_free(n->token_file);
    mem_free(n->pid_file);
    mem_free(n->db_folder);
    mem_free(n->cert_file);
    mem_free(n->key_file);
    buf_deinit(&n->cert);
    buf_deinit(&n->key);
    buf_deinit(&n->peers_ca);
}

static int run(struct node *n, const struct node_flags *f, struct log *log)
{
    struct manager_opts o = {.data_dir = n->folder.path,
                             .db_dir = n->db_folder,
                             .advertise = n->advertise,
                             .rest_host = f->bind,
                             .rest_port = (uint16_t)f->rest_port,
                             .discovery_host = f->bind,
                             .discovery_port = (uint16_t)f->discovery_port,
                             .db_host = f->bind,
                             .port_first = (uint16_t)f->port_first,
                             .port_last = (uint16_t)f->port_last,
                             .cert_pem = buf_bytes(&n->cert),
                             .key_pem = buf_bytes(&n->key),
                             .ca_pem = buf_bytes(&n->peers_ca),
                             .verify_peers = f->peers_ca != NULL,
                             .control = n->control,
                             .control_token = n->token,
                             .plane_argv = n->plane_argv};
    struct io *io =
        io_new(&(struct io_opts){.count = 1, .log = log, .name = "node", .signals = true});
    struct manager *m = manager_new(&o);
    struct api *api = api_new(m);
    struct machine machine = manager_machine(m);
    io_run(io, &machine);
    int status = manager_exit_status(m);
    api_free(api);
    manager_free(m, io_port(io, 0));
    io_free(io);
    return status;
}

int cmd_node(int argc, char **argv)
{
    struct node_flags f;
    int status = parse(&f, argc, argv);
    if (status >= 0) {
        mem_free(f.config_text);
        return status;
    }
    io_process_init();
    struct log log;
    struct node n = {.folder.lock = -1};
    struct buf why = {0};
    enum err e = log_open(&log, f.log_file, log_level_parse(f.log_level));
    if (e != ERR_OK)
        buf_putf(&why, "cannot open the log file %s: %s", f.log_file, err_text(e));
    if (e == ERR_OK && prepare(&n, &f, &why)) {
        status = run(&n, &f, &log);
    } else {
        buf_put_u8(&why, 0);
        fprintf(stderr, "meridian node: %s\n", (const char *)why.p);
        status = 1;
    }
    buf_deinit(&why);
    node_deinit(&n);
    log_close(&log);
    mem_free(f.config_text);
    return status;
}
