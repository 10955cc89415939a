/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#define BASIC_MAX 512u /* of decoded name and password */

static void hex(char *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", in[i]);
}

static void derive(uint8_t out[32], struct bytes password, const char *salt, uint32_t rounds)
{
    /* The salt is used as its hex text: unique is all it must be. */
    int ok =
        PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, (const unsigned char *)salt,
                          (int)strlen(salt), (int)rounds, EVP_sha256(), 32, out);
    if (ok != 1)
        memset(out, 0, 32);
}

void user_set_password(struct user *u, const char *password, const uint8_t salt[16],
                       uint32_t rounds)
{
    uint8_t hash[32];
    hex(u->salt, salt, 16);
    u->rounds = rounds;
    derive(hash, bytes_str(password), u->salt, rounds);
    hex(u->hash, hash, 32);
}

bool user_has_password(const struct user *u, struct bytes password)
{
    uint8_t hash[32];
    char text[65];
    if (password.n > BASIC_MAX)
        return false;
    derive(hash, password, u->salt, u->rounds);
    hex(text, hash, 32);
    return CRYPTO_memcmp(text, u->hash, 64) == 0;
}

void auth_init(struct auth *a, const uint8_t key[32])
{
    *a = (struct auth){.tokens = AUTH_BURST};
    memcpy(a->key, key, 32);
}

void auth_forget(struct auth *a)
{
    memset(a->user, 0, sizeof a->user);
    memset(a->good, 0, sizeof a->good);
}

/* HMAC(key, length of name, name, password): no two pairs share an input. */
static void fingerprint(const struct auth *a, struct bytes name, struct bytes password,
                        uint8_t out[32])
{
    uint8_t text[2 * BASIC_MAX + 4];
    unsigned n = 32;
    text[0] = (uint8_t)(name.n >> 8);
    text[1] = (uint8_t)name.n;
    memcpy(text + 2, name.p, name.n);
    memcpy(text + 2 + name.n, password.p, password.n);
    HMAC(EVP_sha256(), a->key, 32, text, 2 + name.n + password.n, out, &n);
    OPENSSL_cleanse(text, sizeof text);
}

static bool ration(struct auth *a, uint64_t now_us)
{
    uint64_t more = (now_us - a->refilled_us) / AUTH_REFILL_US;
    if (now_us < a->refilled_us || a->refilled_us == 0) {
        a->refilled_us = now_us;
    } else if (more > 0) {
        a->tokens = more > AUTH_BURST - a->tokens ? AUTH_BURST : a->tokens + (uint32_t)more;
        a->refilled_us = now_us;
    }
    return a->tokens > 0;
}

enum auth_result auth_check(struct auth *a, struct cluster *c, struct bytes name,
                            struct bytes password, uint64_t now_us, const struct user **who)
{
    uint8_t mark[32];
    char text[128];
    if (name.n == 0 || name.n >= sizeof text || password.n > BASIC_MAX)
        return AUTH_WRONG;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    fingerprint(a, name, password, mark);
    struct user *u = cluster_user(c, text);
    for (unsigned i = 0; i < AUTH_CACHE; i++)
        if (a->user[i][0] && CRYPTO_memcmp(a->good[i], mark, 32) == 0 && u != NULL) {
            *who = u;
            return AUTH_OK;
        }
    if (!ration(a, now_us))
        return AUTH_TOO_MANY;
    if (u == NULL || !user_has_password(u, password)) {
        a->tokens--;
        return AUTH_WRONG;
    }
    memcpy(a->good[a->next], mark, 32);
    snprintf(a->user[a->next], sizeof a->user[0], "%s", text);
    a->next = (a->next + 1) % AUTH_CACHE;
    *who = u;
    return AUTH_OK;
}

bool auth_basic_decode(struct bytes header, struct buf *scratch, struct bytes *name,
                       struct bytes *password)
{
    static const char scheme[] = "basic ";
    if (header.n <= 6 || header.n > 2 * BASIC_MAX ||
        !bytes_is_nocase(bytes_of(header.p, 6), scheme))
        return false;
    struct bytes text = bytes_of(header.p + 6, header.n - 6);
    while (text.n > 0 && text.p[0] == ' ')
        text = bytes_of(text.p + 1, text.n - 1);
    if (text.n == 0 || text.n % 4 != 0)
        return false;
    buf_clear(scratch);
    uint8_t *out = buf_reserve(scratch, text.n);
    int n = EVP_DecodeBlock(out, text.p, (int)text.n);
    if (n < 0)
        return false;
    /* EVP_DecodeBlock counts padding as zero bytes. */
    for (size_t i = text.n; i > 0 && text.p[i - 1] == '=' && n > 0; i--)
        n--;
    buf_added(scratch, (size_t)n);
    const uint8_t *colon = memchr(out, ':', (size_t)n);
    if (colon == NULL || n > (int)BASIC_MAX)
        return false;
    *name = bytes_of(out, (size_t)(colon - out));
    *password = bytes_of(colon + 1, (size_t)n - name->n - 1);
    return true;
}
