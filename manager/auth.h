/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_MANAGER_AUTH_H
#define MERIDIAN_MANAGER_AUTH_H

#include "manager/cluster.h"

/*
 * Names and passwords of the management API's users. Passwords are kept as PBKDF2-HMAC-SHA256.
 * Since that is slow by intent and health checks poll every second, credentials that were good are
 * remembered as a keyed hash; and since a wrong one costs as much as a good one, wrong ones are
 * rationed: AUTH_BURST at once, then one every AUTH_REFILL_US.
 */
#define AUTH_CACHE 64u
#define AUTH_BURST 10u
#define AUTH_REFILL_US 500000u
#define AUTH_ROUNDS 100000u

struct auth {
    uint8_t key[32]; /* random, of this process */
    uint8_t good[AUTH_CACHE][32];
    char user[AUTH_CACHE][128];
    uint32_t next; /* slot to overwrite */
    uint32_t tokens;
    uint64_t refilled_us;
};

enum auth_result { AUTH_OK, AUTH_WRONG, AUTH_TOO_MANY };

void auth_init(struct auth *a, const uint8_t key[32]);
/* *who gets the user on AUTH_OK. */
enum auth_result auth_check(struct auth *a, struct cluster *c, struct bytes name,
                            struct bytes password, uint64_t now_us, const struct user **who);
/* What an "Authorization: Basic ..." header's value holds; false: malformed or another scheme. */
bool auth_basic_decode(struct bytes header, struct buf *scratch, struct bytes *name,
                       struct bytes *password);
/* Forgets remembered credentials: after any change of users. */
void auth_forget(struct auth *a);
void user_set_password(struct user *u, const char *password, const uint8_t salt[16],
                       uint32_t rounds);
bool user_has_password(const struct user *u, struct bytes password);

#endif
