/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/cert.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define DAYS 3650L

static bool add_ext(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

/* "DNS:a,IP:1.2.3.4"; false on a name that would break out of the list. */
static bool alt_text(const char *const *names, struct buf *out)
{
    for (; *names != NULL; names++) {
        uint8_t addr[16];
        bool ip = inet_pton(AF_INET, *names, addr) == 1 || inet_pton(AF_INET6, *names, addr) == 1;
        if ((*names)[0] == 0 || strpbrk(*names, ",;\n ") != NULL)
            return false;
        buf_putf(out, "%s%s:%s", buf_len(out) ? "," : "", ip ? "IP" : "DNS", *names);
    }
    buf_put_u8(out, 0);
    return true;
}

static bool fill(X509 *x, EVP_PKEY *key, const char *common_name, const char *alt)
{
    uint8_t serial[16];
    if (RAND_bytes(serial, sizeof serial) != 1)
        return false;
    serial[0] &= 0x7f; /* positive, RFC 5280 4.1.2.2 */
    BIGNUM *n = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    X509_NAME *name = X509_get_subject_name(x);
    const uint8_t *cn = (const uint8_t *)common_name;
    ok = ok && X509_set_version(x, X509_VERSION_3) == 1;
    ok = ok && X509_gmtime_adj(X509_getm_notBefore(x), -86400) != NULL; /* clocks differ */
    ok = ok && X509_gmtime_adj(X509_getm_notAfter(x), DAYS * 86400) != NULL;
    ok = ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, cn, -1, -1, 0) == 1;
    ok = ok && X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1;
    ok = ok && add_ext(x, NID_subject_key_identifier, "hash") &&
         add_ext(x, NID_basic_constraints, "critical,CA:TRUE");
    ok = ok && (alt[0] == 0 || add_ext(x, NID_subject_alt_name, alt));
    return ok && X509_sign(x, key, EVP_sha256()) > 0;
}

static void take_bio(BIO *b, struct buf *out)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    buf_put(out, p, (size_t)n);
}

int cert_self_signed(const char *common_name, const char *const *alt_names, struct buf *cert_pem,
                     struct buf *key_pem)
{
    struct buf alt = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *cert = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    bool ok =
        key != NULL && x != NULL && cert != NULL && secret != NULL && alt_text(alt_names, &alt);
    ok = ok && fill(x, key, common_name, (const char *)alt.p);
    ok = ok && PEM_write_bio_X509(cert, x) == 1;
    ok = ok && PEM_write_bio_PKCS8PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (ok) {
        take_bio(cert, cert_pem);
        take_bio(secret, key_pem);
    }
    BIO_free(cert);
    BIO_free(secret);
    X509_free(x);
    EVP_PKEY_free(key);
    buf_deinit(&alt);
    return ok ? 0 : -1;
}
