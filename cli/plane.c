/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
/* `meridian plane`: the data plane's process, started by the manager: a worker for each thread. */
#include "cli/args.h"
#include "cli/cmd.h"
#include "cli/folder.h"

#include "base/mem.h"
#include "io/io.h"
#include "io/log.h"
#include "io/tls.h"
#include "worker/worker.h"

#include <stdio.h>
#include <unistd.h>
#include <uv.h>

struct plane_flags {
    const char *socket, *token_file, *data, *pid_file, *cert, *key, *ca, *log_level, *log_file;
    uint64_t workers;
};

static int parse(struct plane_flags *f, int argc, char **argv)
{
    *f = (struct plane_flags){.log_level = "info", .workers = uv_available_parallelism()};
    const struct arg table[] = {
        {"socket", "PATH", "where to listen for the manager (required)", ARG_TEXT, &f->socket, 0,
         107},
        {"token-file", "PATH", "file with what the manager must show (required)", ARG_TEXT,
         &f->token_file, 0, 0},
        {"data", "DIR",
         "the databases' files, made if it is not there (default: nothing is on disk)", ARG_TEXT,
         &f->data, 0, 512},
        {"workers", "N", "threads (default: one for each core)", ARG_UINT, &f->workers, 1,
         IO_MACHINES_MAX},
        {"pid-file", "PATH", "locked, and holds the process id", ARG_TEXT, &f->pid_file, 0, 0},
        {"cert", "FILE", "certificate for databases with TLS", ARG_TEXT, &f->cert, 0, 0},
        {"key", "FILE", "its private key", ARG_TEXT, &f->key, 0, 0},
        {"links-ca", "FILE", "peer regions must show certificates of these", ARG_TEXT, &f->ca, 0,
         0},
        {"log-level", "LEVEL", "error, warning, info or debug (default: info)", ARG_TEXT,
         &f->log_level, 0, 0},
        {"log-file", "PATH", "instead of stderr; opened anew on SIGHUP", ARG_TEXT, &f->log_file, 0,
         0},
    };
    struct args a = {
        .command = "plane",
        .usage = "--socket PATH --token-file PATH [flags]",
        .about = "Serves databases. Started by `meridian node`, which tells it through the socket "
                 "which ones;\n"
                 "it goes on serving while its manager restarts. SIGTERM or SIGINT ends it.",
        .at = table,
        .n = sizeof table / sizeof table[0]};
    int status = args_main(&a, argc, argv);
    if (status >= 0)
        return status;
    if ((f->cert == NULL) != (f->key == NULL)) {
        fputs("--cert and --key: give both or none\nTry: meridian plane --help\n", stderr);
        return 2;
    }
    if (f->socket == NULL || f->token_file == NULL || log_level_parse(f->log_level) == 0) {
        fprintf(stderr, "%s\nTry: meridian plane --help\n",
                f->socket == NULL       ? "--socket is required"
                : f->token_file == NULL ? "--token-file is required"
                                        : "--log-level: error, warning, info or debug");
        return 2;
    }
    return -1;
}

/* Certificates as the workers take them; the buffers are freed by certs_deinit. */
struct plane_certs {
    struct buf cert, key, ca;
};

static bool certs_read(struct plane_certs *c, const struct plane_flags *f, struct buf *why)
{
    *c = (struct plane_certs){0};
    return (f->cert == NULL || folder_read(f->cert, TLS_PEM_MAX, &c->cert, why)) &&
           (f->key == NULL || folder_read(f->key, TLS_PEM_MAX, &c->key, why)) &&
           (f->ca == NULL || folder_read(f->ca, TLS_PEM_MAX, &c->ca, why));
}

static void certs_deinit(struct plane_certs *c)
{
    buf_deinit(&c->cert);
    buf_deinit(&c->key);
    buf_deinit(&c->ca);
}

/* False: not all that was to be on disk is there, and the log says what. */
static bool run_workers(struct worker_opts *o, const char *control, struct log *log)
{
    struct io *io = io_new(&(struct io_opts){.count = o->count,
                                             .log = log,
                                             .name = "plane",
                                             .signals = true,
                                             .ignore_hup = true,
                                             .warm = true});
    struct worker *workers[IO_MACHINES_MAX];
    struct machine machines[IO_MACHINES_MAX];
    for (uint32_t i = 0; i < o->count; i++) {
        o->index = i;
        o->control = i == 0 ? control : NULL;
        io_port(io, i)->ops->random(io_port(io, i), &o->seed, sizeof o->seed);
        workers[i] = worker_new(o);
        machines[i] = worker_machine(workers[i]);
    }
    io_run(io, machines);
    bool lost = false;
    for (uint32_t i = 0; i < o->count; i++) {
        lost |= worker_lost(workers[i]);
        worker_free(workers[i], io_port(io, i));
    }
    io_free(io);
    return !lost;
}

static bool run(const struct plane_flags *f, struct log *log, struct buf *why)
{
    struct worker_opts o = {
        .count = (uint32_t)f->workers, .data = f->data, .pid = (uint32_t)getpid()};
    struct plane_certs certs;
    char control[128];
    snprintf(control, sizeof control, "unix:%s", f->socket);
    bool ok = certs_read(&certs, f, why) &&
              folder_token(f->token_file, false, o.control_token, why) &&
              (f->data == NULL || folder_make(f->data, why));
    if (ok) {
        o.tls = (struct tls_opts){.cert_pem = buf_bytes(&certs.cert),
                                  .key_pem = buf_bytes(&certs.key),
                                  .ca_pem = buf_bytes(&certs.ca)};
        ok = run_workers(&o, control, log);
        if (!ok)
            buf_put_str(why, "ended although the disk has not taken everything: see above");
    }
    certs_deinit(&certs);
    return ok;
}

int cmd_plane(int argc, char **argv)
{
    struct plane_flags f;
    int status = parse(&f, argc, argv);
    if (status >= 0)
        return status;
    io_process_init();
    struct log log;
    struct buf why = {0};
    enum err e = log_open(&log, f.log_file, log_level_parse(f.log_level));
    if (e != ERR_OK)
        buf_putf(&why, "cannot open the log file %s: %s", f.log_file, err_text(e));
    int pid = -1;
    bool ok = e == ERR_OK && (f.pid_file == NULL || (pid = folder_pid_file(f.pid_file, &why)) >= 0);
    ok = ok && run(&f, &log, &why);
    if (!ok) {
        buf_put_u8(&why, 0);
        log_line(&log, 'E', "plane", (const char *)why.p);
    }
    if (pid >= 0) {
        unlink(f.pid_file);
        close(pid);
    }
    log_close(&log);
    buf_deinit(&why);
    return ok ? 0 : 1;
}
