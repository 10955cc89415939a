/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_ACL_H
#define MERIDIAN_PROXY_ACL_H

#include "proxy/acl_log.h"
#include "proxy/acl_user.h"

/*
 * The users of a database, as one worker's front holds them: made from the catalog's texts, and
 * made anew with each change. There is always a user "default": connections begin as it. Its
 * password is the one set over REST, beside those that ACL SETUSER gives it.
 *
 * A session points to its user. `session.unrestricted` says that nothing need be checked, so that
 * such a session's commands take the quick way; everybody else's pass acl_may_run.
 */
#define ACL_LOG_MAX 10000u                       /* entries, whatever acllog-max-len says */
#define ACL_DEFAULT_USER "on nopass ~* &* +@all" /* until ACL SETUSER says otherwise */

struct front;
struct port;
struct session;
struct ask;

struct acl {
    struct acl_user **users; /* owned; in order of name */
    uint32_t n, cap;
    char rest[ACL_HASH_LEN + 1]; /* hash of the database's password; "" none */
    struct acl_log log;          /* the owner's; elsewhere what it has not been told yet */
};

/* The settings have changed, or are there for the first time: the password. */
void acl_configure(struct front *f);
void acl_deinit(struct front *f);
/* A listener of the catalog. */
void acl_heard(struct front *f, struct port *port, struct bytes name, const struct bytes *text);
/* Whether the catalog is known has changed: sessions are looked at again. */
void acl_known(struct front *f);

/* NULL: no such user. Valid until the next change. */
const struct acl_user *acl_find(const struct front *f, struct bytes name);

/* ------------------------------------------------------------ sessions */

/* A session begins, or is reset: as the default user, logged in unless a password is needed. */
void acl_begin(struct session *s);
/* AUTH and HELLO. False: refused; the error was replied, and noted in the log. */
bool acl_login(struct ask *a, struct bytes user, struct bytes password);
#define WRONGPASS "WRONGPASS invalid username-password pair or user is disabled."
/* For sessions that are not unrestricted. False: the error was replied, and noted in the log. */
bool acl_may_run(struct ask *a);
/* What anybody may run while it is not known who may do what: it shows nothing of the data, or
 * concerns the connection alone, as what libraries send when they connect. */
bool acl_is_harmless(const struct command *c);
/* A queued command, when EXEC comes. False: the error was replied. */
bool acl_may_exec(struct ask *a);
/* A refusal in a script, for the log. */
struct acl_note {
    struct acl_verdict verdict;
    const struct command *command;
    const struct bytes *argv;
    struct bytes user; /* who runs the script */
    struct moment now;
};
void acl_note_script(struct front *f, const struct acl_note *n);
/* "this user has no permissions to ..." */
void acl_denied_text(struct acl_verdict v, const struct command *c, char *out, size_t size);
#define ACL_DENIED_MAX 160u

/* ------------------------------------------------------------ the log */

/* Hands over what this worker has noted; on each tick, and before somebody asks. */
void acl_tell(struct front *f, struct port *port);
void acl_noted(struct front *f, struct bytes events); /* JOB_ACL_NOTED */

#endif
