/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "proxy/acl.h"

#include "base/mem.h"
#include "proxy/clients.h"
#include "proxy/multi.h"
#include "proxy/topic.h"

#include <stdio.h>

/* ------------------------------------------------------------ the users */

/* Where the name is, or would be. */
static uint32_t place_of(const struct acl *acl, struct bytes name, bool *found)
{
    uint32_t low = 0, high = acl->n;
    *found = false;
    while (low < high && !*found) {
        uint32_t mid = (low + high) / 2;
        int order = bytes_cmp(acl->users[mid]->name, name);
        *found = order == 0;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return high;
}

const struct acl_user *acl_find(const struct front *f, struct bytes name)
{
    bool found;
    uint32_t at = place_of(&f->acl, name, &found);
    return found ? f->acl.users[at] : NULL;
}

/* From the catalog's text; one that cannot be read is nobody's to use. */
static struct acl_user *user_of(struct bytes name, struct bytes text)
{
    struct acl_user *u = acl_user_parse(name, text);
    return u != NULL ? u : acl_user_new(name, false);
}

static struct acl_user *default_of(const struct front *f, const struct bytes *text)
{
    struct bytes rest = bytes_str(f->acl.rest);
    struct acl_user *u =
        user_of(bytes_str("default"), text != NULL ? *text : bytes_str(ACL_DEFAULT_USER));
    uint32_t at;
    if (rest.n > 0) {
        u->nopass = false;
        if (!acl_words_find(&u->hashes, rest, &at))
            acl_words_add(&u->hashes, rest);
    }
    return u;
}

static bool is_default(struct bytes name) { return bytes_is(name, "default"); }

/* ------------------------------------------------------------ sessions */

static void look_again(struct session *s)
{
    const struct front *f = s->front;
    s->unrestricted = s->authenticated && f->catalog.known && f->dataset.missing == 0 &&
                      acl_user_is_free(s->user);
}

/* Who does not need a password is logged in. */
static void let_in(struct session *s)
{
    if (!s->authenticated && is_default(s->user->name)) {
        s->authenticated = s->user->on && s->user->nopass;
        s->unsure = s->authenticated && !s->front->catalog.known;
    }
    look_again(s);
}

void acl_begin(struct session *s)
{
    s->user = acl_find(s->front, bytes_str("default"));
    s->authenticated = false;
    let_in(s);
}

void acl_known(struct front *f)
{
    for (struct session *s = f->first; s != NULL; s = s->next) {
        if (s->unsure && f->catalog.known) {
            s->unsure = false;
            s->authenticated = s->user->on && s->user->nopass;
        }
        look_again(s);
    }
}

/* Ends the session; one that asked for what ends it gets its reply first. */
static void end_session(struct session *s, struct port *port)
{
    if (s->dead || s->closing)
        return;
    s->closing = true;
    if (s == s->front->running || (s->awaited > 0 && s->blocked == NULL))
        return;
    s->dead = true;
    s->front->dead++;
    port->ops->close(port, s->conn, false);
}

/* Does it listen to something that its user may no longer hear? */
static bool hears_too_much(const struct session *s)
{
    static const enum topic_kind kinds[] = {TOPIC_CHANNEL, TOPIC_SHARD, TOPIC_PATTERN};
    for (unsigned i = 0; s->listening != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        for (struct listener *l = s->listening->first[kinds[i]]; l != NULL; l = l->after)
            if (!acl_user_channel(s->user, topic_name(l->topic), kinds[i] == TOPIC_PATTERN))
                return true;
    return false;
}

/* Sessions of `old` go on as `now`, or end. Takes both. */
static void replace(struct front *f, struct port *port, struct acl_user *old, struct acl_user *now)
{
    for (struct session *s = f->first; s != NULL; s = s->next) {
        if (s->user != old)
            continue;
        s->user = now;
        if (now == NULL) {
            s->user = acl_find(f, bytes_str("default"));
            s->authenticated = s->unrestricted = false;
            end_session(s, port);
            continue;
        }
        let_in(s);
        if (port != NULL && hears_too_much(s))
            end_session(s, port);
    }
    acl_user_free(old);
}

static void change(struct front *f, struct port *port, struct bytes name, const struct bytes *text)
{
    struct acl *acl = &f->acl;
    bool found;
    uint32_t at = place_of(acl, name, &found);
    struct acl_user *now = is_default(name) ? default_of(f, text)
                           : text != NULL   ? user_of(name, *text)
                                            : NULL;
    struct acl_user *old = found ? acl->users[at] : NULL;
    if (found && now != NULL) {
        acl->users[at] = now;
    } else if (found) {
        memmove(&acl->users[at], &acl->users[at + 1], (--acl->n - at) * sizeof acl->users[0]);
    } else if (now != NULL) {
        if (acl->n == acl->cap) {
            acl->cap = acl->cap ? acl->cap * 2 : 4;
            acl->users = mem_realloc(acl->users, acl->cap * sizeof acl->users[0]);
        }
        memmove(&acl->users[at + 1], &acl->users[at], (acl->n++ - at) * sizeof acl->users[0]);
        acl->users[at] = now;
    }
    if (old != NULL)
        replace(f, port, old, now);
}

/* ------------------------------------------------------------ what makes users change */

void acl_heard(struct front *f, struct port *port, struct bytes name, const struct bytes *text)
{
    if (name.n > 0) /* SETUSER makes none without a name */
        change(f, port, name, text);
}

void acl_configure(struct front *f)
{
    const struct catalog_entry *e = catalog_find(f, CATALOG_USERS, bytes_str("default"));
    struct buf hash = {0};
    if (front_has_password(f))
        acl_hash(bytes_str(f->settings.password), &hash);
    snprintf(f->acl.rest, sizeof f->acl.rest, "%.*s", (int)buf_len(&hash),
             (const char *)buf_bytes(&hash).p);
    buf_deinit(&hash);
    change(f, NULL, bytes_str("default"), e != NULL ? &e->value : NULL);
}

void acl_deinit(struct front *f)
{
    for (uint32_t i = 0; i < f->acl.n; i++)
        acl_user_free(f->acl.users[i]);
    mem_free(f->acl.users);
    acl_log_clear(&f->acl.log);
}

/* ------------------------------------------------------------ the log */

static uint32_t log_max(const struct front *f)
{
    int64_t max = f->kept.number[CONFIG_ACLLOG_MAX_LEN];
    return max < ACL_LOG_MAX ? (uint32_t)max : ACL_LOG_MAX;
}

static void note(struct ask *a, enum acl_reason reason, struct bytes object, struct bytes user)
{
    struct front *f = a->front;
    struct buf line = {0};
    if (!a->in_exec)
        a->session->last_command = a->command;
    session_describe(a->session, a->port, &line, a->now);
    struct bytes client = buf_bytes(&line);
    client.n -= client.n > 0 && client.p[client.n - 1] == '\n';
    struct acl_event e = {.reason = reason,
                          .context = a->in_exec || a->session->multi != NULL ? ACL_IN_MULTI
                                                                             : ACL_AT_TOPLEVEL,
                          .count = 1,
                          .wall_ms = a->now.wall_ms,
                          .object = object,
                          .user = user,
                          .client = client};
    acl_log_add(&f->acl.log, &e, log_max(f));
    buf_deinit(&line);
}

static enum acl_reason reason_of(struct acl_verdict v)
{
    return v.denial == ACL_DENIED_COMMAND ? ACL_LOG_COMMAND
           : v.denial == ACL_DENIED_KEY   ? ACL_LOG_KEY
                                          : ACL_LOG_CHANNEL;
}

static void note_verdict(struct ask *a, struct acl_verdict v)
{
    note(a, reason_of(v),
         v.denial == ACL_DENIED_COMMAND ? bytes_str(a->command->name) : a->argv[v.at],
         a->session->user->name);
}

void acl_note_script(struct front *f, const struct acl_note *n)
{
    struct buf client = {0};
    const struct session *s = f->running; /* unless the script came from another worker */
    if (s != NULL && s->last_command != NULL && bytes_eq(s->user->name, n->user))
        buf_putf(&client, "id=%llu cmd=%s ", (unsigned long long)s->id, s->last_command->name);
    buf_put_str(&client, "user=");
    buf_put_bytes(&client, n->user);
    struct acl_event e = {.reason = reason_of(n->verdict),
                          .context = ACL_IN_SCRIPT,
                          .count = 1,
                          .wall_ms = n->now.wall_ms,
                          .object = n->verdict.denial == ACL_DENIED_COMMAND
                                        ? bytes_str(n->command->name)
                                        : n->argv[n->verdict.at],
                          .user = n->user,
                          .client = buf_bytes(&client)};
    acl_log_add(&f->acl.log, &e, log_max(f));
    buf_deinit(&client);
}

void acl_tell(struct front *f, struct port *port)
{
    struct buf events = {0};
    if (f->acl.log.first == NULL || catalog_is_owner(f))
        return;
    acl_log_put(&f->acl.log, &events);
    struct bytes arg = buf_bytes(&events);
    struct job job = {.kind = JOB_ACL_NOTED, .db_uid = f->db_uid, .argc = 1, .argv = &arg};
    courier_send(f->courier, port, catalog_owner(f), &job, NULL, 0);
    acl_log_clear(&f->acl.log);
    buf_deinit(&events);
}

void acl_noted(struct front *f, struct bytes events)
{
    acl_log_take(&f->acl.log, events, log_max(f));
}

/* ------------------------------------------------------------ asking */

#define UNKNOWN_USERS                                                                              \
    "STALE this region lost its memory and is fetching the database's users from its peers; "      \
    "retry, or use another region"

bool acl_login(struct ask *a, struct bytes name, struct bytes password)
{
    struct session *s = a->session;
    const struct acl_user *u = acl_find(a->front, name);
    static const struct acl_user nobody;
    bool good = acl_user_password_is(u != NULL ? u : &nobody, password) && u != NULL && u->on;
    if (!good && !a->front->catalog.known) {
        reply_error(&a->reply, a->front->dataset.missing > 0 ? LOADING_TEXT : UNKNOWN_USERS);
        return false;
    }
    if (!good) {
        note(a, ACL_LOG_AUTH, bytes_str(strcmp(a->command->name, "auth") == 0 ? "AUTH" : "HELLO"),
             name);
        reply_error(&a->reply, WRONGPASS);
        return false;
    }
    s->user = u;
    s->authenticated = true;
    s->unsure = false;
    look_again(s);
    return true;
}

void acl_denied_text(struct acl_verdict v, const struct command *c, char *out, size_t size)
{
    if (v.denial == ACL_DENIED_COMMAND)
        snprintf(out, size, "this user has no permissions to run the '%s' command", c->name);
    else
        snprintf(out, size,
                 "this user has no permissions to access one of the %s used as arguments",
                 v.denial == ACL_DENIED_KEY ? "keys" : "channels");
}

bool acl_is_harmless(const struct command *c)
{
    static const char *const names[] = {
        "ping",
        "info",
        "echo",
        "select",
        "client|id",
        "client|info",
        "client|setname",
        "client|getname",
        "client|setinfo",
        "client|reply",
        "client|help",
        "client|no-evict",
        "client|no-touch",
    };
    if ((c->flags & CMD_NO_AUTH) || strncmp(c->name, "command", 7) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return false;
}

/* EXEC that is refused ends the transaction. */
static void refuse(struct ask *a, const char *why)
{
    if (strcmp(a->command->name, "exec") != 0) {
        reply_errorf(&a->reply, "NOPERM %s", why);
        return;
    }
    reply_errorf(&a->reply, "EXECABORT Transaction discarded because of: NOPERM %s", why);
    multi_discard(a->session);
    multi_unwatch(a->session, a->port, a->now);
}

static bool options_allowed(struct ask *a)
{
    const char *why = acl_check_options(a->session->user, a->command, a->argc, a->argv);
    if (why != NULL)
        reply_error(&a->reply, why);
    return why == NULL;
}

bool acl_may_run(struct ask *a)
{
    char why[ACL_DENIED_MAX];
    const struct session *s = a->session;
    if (s->unrestricted || (a->command->flags & CMD_NO_AUTH))
        return true;
    if (!a->front->catalog.known && !acl_is_harmless(a->command)) {
        reply_error(&a->reply, UNKNOWN_USERS);
        return false;
    }
    struct acl_verdict v = acl_check(s->user, a->command, a->argc, a->argv);
    if (v.denial == ACL_ALLOWED)
        return options_allowed(a);
    note_verdict(a, v);
    acl_denied_text(v, a->command, why, sizeof why);
    refuse(a, why);
    return false;
}

bool acl_may_exec(struct ask *a)
{
    static const char *const reasons[] = {
        [ACL_DENIED_COMMAND] = "no permission to execute the command or subcommand",
        [ACL_DENIED_KEY] = "no permission to touch the specified keys",
        [ACL_DENIED_CHANNEL] =
            "no permission to access one of the channels used as arguments to the command",
    };
    if (a->session->unrestricted)
        return true;
    struct acl_verdict v = acl_check(a->session->user, a->command, a->argc, a->argv);
    if (v.denial == ACL_ALLOWED)
        return options_allowed(a);
    note_verdict(a, v);
    reply_errorf(&a->reply,
                 "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                 "the EXEC call. This command is no longer allowed for the following reason: %s",
                 reasons[v.denial]);
    return false;
}
