/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/child.h"

#include "base/mem.h"

struct child {
    uv_process_t process;
    struct loop *loop;
    uint32_t tag;
};

static void on_closed(uv_handle_t *h) { mem_free(h->data); }

static void on_exit_status(uv_process_t *p, int64_t status, int signal)
{
    struct child *c = p->data;
    struct loop *l = c->loop;
    struct event ev = {
        .kind = EV_CHILD, .tag = c->tag, .status = signal ? 128 + signal : (int)status};
    uv_close((uv_handle_t *)p, on_closed);
    loop_step(l, &ev);
}

int child_spawn(struct loop *l, const char *const *argv, uint32_t tag)
{
    if (l->dead)
        return -1;
    unsigned n = 0;
    while (argv[n] != NULL)
        n++;
    char **copy = mem_zalloc((n + 1) * sizeof *copy);
    for (unsigned i = 0; i < n; i++)
        copy[i] = mem_strdup(argv[i]);
    struct child *c = mem_zalloc(sizeof *c);
    c->loop = l;
    c->tag = tag;
    c->process.data = c;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 1},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t o = {
        .exit_cb = on_exit_status,
        .file = copy[0],
        .args = copy,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int rc = uv_spawn(&l->uv, &c->process, &o);
    int pid = rc == 0 ? c->process.pid : -1;
    if (rc != 0) {
        loop_log(l, 'E', "cannot start %s: %s", argv[0], uv_strerror(rc));
        uv_close((uv_handle_t *)&c->process, on_closed);
    }
    for (unsigned i = 0; i < n; i++)
        mem_free(copy[i]);
    mem_free(copy);
    return pid;
}

void child_kill(struct loop *l, int pid, int signal)
{
    if (pid > 1 && uv_kill(pid, signal) != 0)
        loop_log(l, 'D', "no process %d to signal", pid);
}

void child_forget(uv_process_t *p) { uv_close((uv_handle_t *)p, on_closed); }
