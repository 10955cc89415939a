/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/monitor.h"

#include "shard/command_facts.h"

#define REDACTED "(redacted)"

void monitor_heed(struct front *f) { f->monitored = f->topics.n[TOPIC_MONITORS] > 0; }

static bool is_shown(const struct command *c)
{
    if (c->flags & CMD_ADMIN)
        return false;
    /* Scripts are shown when they begin, before what they call. */
    return (c->flags & CMD_SCRIPT) || !(command_facts(c).flags & INFO_SKIP_MONITOR);
}

static void put_quoted(struct buf *out, struct bytes s)
{
    static const char from[] = "\\\"\n\r\t\a\b", to[] = "\\\"nrtab";
    buf_put_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const char *special = s.p[i] != 0 ? strchr(from, s.p[i]) : NULL;
        if (special != NULL)
            buf_putf(out, "\\%c", to[special - from]);
        else if (s.p[i] >= ' ' && s.p[i] <= '~')
            buf_put_u8(out, s.p[i]);
        else
            buf_putf(out, "\\x%02x", s.p[i]);
    }
    buf_put_u8(out, '"');
}

/* What stands behind AUTH, wherever a command takes it. */
struct secrets {
    bool all;       /* from the first argument on */
    uint32_t first; /* else these; count 0: none */
    uint32_t count;
};

static struct secrets secrets_of(const struct command *c, uint32_t argc, const struct bytes *argv)
{
    struct secrets s = {.all = strcmp(c->name, "auth") == 0};
    bool hello = strcmp(c->name, "hello") == 0, migrate = strcmp(c->name, "migrate") == 0;
    for (uint32_t i = hello ? 2 : 6; (hello || migrate) && s.count == 0 && i < argc; i++) {
        bool two = bytes_is_nocase(argv[i], hello ? "auth" : "auth2");
        if (two || (migrate && bytes_is_nocase(argv[i], "auth")))
            s = (struct secrets){.first = i + 1, .count = two ? 2 : 1};
    }
    return s;
}

static void put_arguments(struct buf *out, const struct command *c, uint32_t argc,
                          const struct bytes *argv)
{
    struct secrets s = secrets_of(c, argc, argv);
    for (uint32_t i = 0; i < argc; i++) {
        bool hidden = (s.all && i > 0) || i - s.first < s.count;
        buf_put_u8(out, ' ');
        put_quoted(out, hidden ? bytes_str(REDACTED) : argv[i]);
    }
    buf_put_str(out, "\r\n");
}

void monitor_line(struct front *f, struct port *port, struct bytes line)
{
    const struct topic *all = f->topics.first[TOPIC_MONITORS];
    for (const struct listener *l = all != NULL ? all->first : NULL; l != NULL; l = l->next) {
        struct buf *out = push_begin(l->session, port);
        if (out == NULL)
            continue;
        buf_put_bytes(out, line);
        push_end(l->session, port);
    }
}

static void tell(struct front *f, struct port *port, struct bytes line)
{
    const struct topic *all = f->topics.first[TOPIC_MONITORS];
    struct job job = {.kind = JOB_MONITOR, .db_uid = f->db_uid, .argc = 1, .argv = &line};
    for (uint32_t i = 0; all != NULL && i < f->topics.workers; i++)
        if (all->others[i] > 0)
            courier_send(f->courier, port, i, &job, NULL, 0);
    monitor_line(f, port, line);
}

static struct buf *begin_line(struct front *f, struct moment now, const char *who)
{
    struct buf *out = &f->topics.text;
    buf_clear(out);
    buf_putf(out, "+%lld.%06d [0 %s]", (long long)(now.wall_ms / 1000),
             (int)(now.wall_ms % 1000) * 1000, who);
    return out;
}

void monitor_command(const struct ask *a, const struct command *c, uint32_t argc,
                     const struct bytes *argv)
{
    char who[64] = "";
    if (!is_shown(c))
        return;
    a->port->ops->peer_name(a->port, a->session->conn, who, sizeof who);
    struct buf *out = begin_line(a->front, a->now, who);
    put_arguments(out, c, argc, argv);
    tell(a->front, a->port, buf_bytes(out));
}

void monitor_script(struct front *f, struct port *port, const struct call *c)
{
    if (!is_shown(c->command))
        return;
    struct buf *out = begin_line(f, c->now, "lua");
    put_arguments(out, c->command, c->argc, c->argv);
    tell(f, port, buf_bytes(out));
}

static void monitor(struct ask *a)
{
    if (a->in_exec) {
        reply_error(&a->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    (void)topic_join(a->front, a->port, a->session, TOPIC_MONITORS, bytes_of("", 0));
    topic_settled(a);
    a->reply.out = session_out(a->session, a->port);
    reply_ok(&a->reply);
}

const struct session_command cmd_monitor_commands[] = {
    {"monitor", monitor, 0},
    {NULL, NULL, 0},
};
