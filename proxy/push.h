/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_PROXY_PUSH_H
#define MERIDIAN_PROXY_PUSH_H

#include "proxy/session.h"

/*
 * What a session gets without having asked: messages, invalidations, a monitor's lines. It goes
 * behind the replies that wait; what a session's own command causes for itself follows the reply of
 * that command. CLIENT REPLY OFF does not silence it. Who does not read it is cut off.
 */

/* Where the next bytes for the session go; NULL: it is gone. Then push_end. */
struct buf *push_begin(struct session *s, struct port *port);
/* Closes the session when it owes more than its output limit. Frees nothing. */
void push_end(struct session *s, struct port *port);
/* One message: `text` is RESP2's, an array; in RESP3 it becomes a push. */
void push_text(struct session *s, struct port *port, struct bytes text);
/* After each command of the session that is running: what was pushed to itself. */
void push_after(struct session *s, struct port *port);

/* Bytes that wait for the client, and how many may. */
size_t session_unsent(const struct session *s, struct port *port);
uint64_t session_unsent_max(const struct session *s);
/* Sessions above the soft limit, about ten times a second. */
void push_tick(struct front *f, struct port *port, struct moment now);

#endif
