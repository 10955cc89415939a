/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "base/num.h"
#include "proxy/acl.h"
#include "proxy/clients.h"
#include "proxy/route.h"

/* CLIENT: https://redis.io/docs/latest/commands/client/ */

bool client_name_ok(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] < '!' || name.p[i] > '~')
            return false;
    return true;
}

void client_set_text(char **text, struct bytes value)
{
    mem_free(*text);
    *text = NULL;
    if (value.n == 0)
        return;
    *text = mem_alloc(value.n + 1);
    memcpy(*text, value.p, value.n);
    (*text)[value.n] = 0;
}

/* ------------------------------------------------------------ subcommands */

static void client_id(struct ask *a) { reply_int(&a->reply, (int64_t)a->session->id); }

static void client_getname(struct ask *a)
{
    if (a->session->name == NULL)
        reply_nil(&a->reply);
    else
        reply_bulk_str(&a->reply, a->session->name);
}

static void client_setname(struct ask *a)
{
    if (!client_name_ok(a->argv[2])) {
        reply_error(&a->reply, CLIENT_NAME_BAD);
        return;
    }
    client_set_text(&a->session->name, a->argv[2]);
    reply_ok(&a->reply);
}

static void client_setinfo(struct ask *a)
{
    struct session *s = a->session;
    bool version = bytes_is_nocase(a->argv[2], "lib-ver");
    if (!version && !bytes_is_nocase(a->argv[2], "lib-name")) {
        reply_errorf(&a->reply, "ERR Unrecognized option '%.*s'",
                     (int)(a->argv[2].n < 128 ? a->argv[2].n : 128), (const char *)a->argv[2].p);
        return;
    }
    if (!client_name_ok(a->argv[3])) {
        reply_errorf(&a->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                     version ? "lib-ver" : "lib-name");
        return;
    }
    client_set_text(version ? &s->lib_version : &s->lib_name, a->argv[3]);
    reply_ok(&a->reply);
}

static void client_info(struct ask *a)
{
    struct buf text = {0};
    session_describe(a->session, a->port, &text, a->now);
    reply_verbatim(&a->reply, buf_bytes(&text));
    buf_deinit(&text);
}

static void finish_list(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    struct buf text = {0};
    for (uint32_t i = 0; i < a->parts_count; i++)
        buf_put_bytes(&text, buf_bytes(&a->parts[i]));
    reply_verbatim(r, buf_bytes(&text));
    buf_deinit(&text);
}

static void client_list(struct ask *a)
{
    struct client_filter filter = {0};
    if (!client_filter_list(&filter, a->argc - 2, a->argv + 2))
        reply_error(&a->reply, filter.why);
    else
        route_workers(a, JOB_CLIENTS, a->argc - 2, a->argv + 2, finish_list, 0);
}

static void finish_kill_one(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    if (answer_sum(a) > 0)
        reply_ok(r);
    else
        reply_error(r, "ERR No such client");
}

static void client_kill(struct ask *a)
{
    if (a->argc == 3) { /* the old form names an address */
        struct bytes argv[4] = {bytes_str("addr"), a->argv[2], bytes_str("skipme"),
                                bytes_str("no")};
        route_workers(a, JOB_KILL, 4, argv, finish_kill_one, 0);
        return;
    }
    struct client_filter filter = {0};
    if (!client_filter_kill(&filter, a->argc - 2, a->argv + 2))
        reply_error(&a->reply, filter.why);
    else if (filter.user.p != NULL && acl_find(a->front, filter.user) == NULL)
        reply_errorf(&a->reply, "ERR No such user '%.*s'",
                     (int)(filter.user.n < 128 ? filter.user.n : 128), (const char *)filter.user.p);
    else
        route_workers(a, JOB_KILL, a->argc - 2, a->argv + 2, merge_of(MERGE_SUM), 0);
}

static void client_no(struct ask *a)
{
    bool on = bytes_is_nocase(a->argv[2], "on");
    if (!on && !bytes_is_nocase(a->argv[2], "off")) {
        reply_error(&a->reply, ERR_SYNTAX);
        return;
    }
    if (bytes_is_nocase(a->argv[1], "no-evict"))
        a->session->no_evict = on;
    else
        a->session->no_touch = on;
    reply_ok(&a->reply);
}

static void client_reply(struct ask *a)
{
    struct session *s = a->session;
    if (bytes_is_nocase(a->argv[2], "on")) {
        s->reply_mode = REPLY_ON;
        reply_ok(&a->reply);
    } else if (bytes_is_nocase(a->argv[2], "off")) {
        s->reply_mode = REPLY_OFF;
    } else if (bytes_is_nocase(a->argv[2], "skip")) {
        if (s->reply_mode != REPLY_OFF)
            s->reply_mode = REPLY_SKIP_NEXT;
    } else {
        reply_error(&a->reply, ERR_SYNTAX);
    }
}

static void finish_ok(struct front *f, struct answer *a, struct reply *r)
{
    (void)f;
    (void)a;
    reply_ok(r);
}

void session_pause(struct front *f, const struct bytes *argv)
{
    int64_t until = 0;
    (void)num_parse_i64(argv[0], &until);
    f->pause_until_ms = until;
    f->pause_all = bytes_is_nocase(argv[1], "all");
}

static void pause_until(struct ask *a, int64_t until, struct bytes which)
{
    char text[NUM_TEXT_MAX];
    struct bytes argv[2] = {bytes_of(text, num_format_i64(text, until)), which};
    route_workers(a, JOB_PAUSE, 2, argv, finish_ok, 0);
}

static void client_pause(struct ask *a)
{
    int64_t ms = 0;
    struct bytes which = a->argc == 4 ? a->argv[3] : bytes_str("all");
    if (!bytes_is_nocase(which, "all") && !bytes_is_nocase(which, "write"))
        reply_error(&a->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    else if (!num_parse_i64(a->argv[2], &ms) || ms > INT64_MAX - a->now.wall_ms)
        reply_error(&a->reply, "ERR timeout is not an integer or out of range");
    else if (ms < 0)
        reply_error(&a->reply, "ERR timeout is negative");
    else
        pause_until(a, a->now.wall_ms + ms, which);
}

static void client_unblock(struct ask *a)
{
    int64_t id;
    struct bytes argv[2] = {a->argv[2], a->argc > 3 ? a->argv[3] : bytes_str("timeout")};
    if (a->argc > 4)
        reply_error(&a->reply, "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. "
                               "Try CLIENT HELP.");
    else if (!bytes_is_nocase(argv[1], "timeout") && !bytes_is_nocase(argv[1], "error"))
        reply_error(&a->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    else if (!num_parse_i64(argv[0], &id))
        reply_error(&a->reply, ERR_NOT_INT);
    else
        route_workers(a, JOB_CLIENT_UNBLOCK, 2, argv, merge_of(MERGE_SUM), 0);
}

static void client_unpause(struct ask *a) { pause_until(a, 0, bytes_str("write")); }

static void client_help(struct ask *a)
{
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port> | <option> <value> [...]",
        "    Kill connections: ADDR, ID, USER, TYPE, MAXAGE, SKIPME (YES|NO).",
        "LIST [TYPE NORMAL | ID <id> ...]",
        "    Return information about client connections.",
        "NO-EVICT | NO-TOUCH (ON|OFF)",
        "    Accepted for compatibility.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Name the client library of the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "UNPAUSE",
        "    Stop the current client pause.",
        "HELP",
        "    Print this help.",
    };
    reply_lines(&a->reply, lines, sizeof lines / sizeof lines[0]);
}

const struct session_command cmd_client_commands[] = {
    {"client|id", client_id, 0},
    {"client|getname", client_getname, 0},
    {"client|setname", client_setname, 0},
    {"client|setinfo", client_setinfo, 0},
    {"client|info", client_info, 0},
    {"client|list", client_list, SESSION_ALONE},
    {"client|kill", client_kill, SESSION_ALONE},
    {"client|no-evict", client_no, 0},
    {"client|no-touch", client_no, 0},
    {"client|reply", client_reply, 0},
    {"client|pause", client_pause, SESSION_ALONE},
    {"client|unblock", client_unblock, SESSION_ALONE},
    {"client|unpause", client_unpause, SESSION_ALONE},
    {"client|help", client_help, 0},
    {NULL, NULL, 0},
};
