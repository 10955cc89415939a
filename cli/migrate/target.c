/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/migrate/target.h"

#include "base/num.h"
#include "cli/folder.h"
#include "io/tls.h"

#include <stdio.h>
#include <stdlib.h>

#define PASSWORD_MAX 4096u

void target_flags(struct target *t, const char *name, struct arg *rows)
{
    const struct arg table[TARGET_FLAGS] = {
        {name, "HOST:PORT", "the database's endpoint (required)", ARG_TEXT, &t->address, 0, 300},
        {"user", "NAME", "user (default: the default user)", ARG_TEXT, &t->user, 0, 0},
        {"password", "TEXT", "password (default: $MERIDIAN_DB_PASSWORD)", ARG_TEXT, &t->password, 0,
         PASSWORD_MAX},
        {"password-file", "FILE", "its first line is the password", ARG_TEXT, &t->password_file, 0,
         0},
        {"tls", NULL, "speak TLS", ARG_FLAG, &t->tls, 0, 0},
        {"cacert", "FILE", "trust certificates of these (default: the system's)", ARG_TEXT,
         &t->cacert, 0, 0},
        {"cert", "FILE", "own certificate", ARG_TEXT, &t->cert, 0, 0},
        {"key", "FILE", "its private key", ARG_TEXT, &t->key, 0, 0},
        {"insecure", NULL, "take any certificate", ARG_FLAG, &t->insecure, 0, 0},
    };
    for (unsigned i = 0; i < TARGET_FLAGS; i++)
        rows[i] = table[i];
}

/* host:port, [v6]:port; the last colon is it. */
static bool split(struct target *t)
{
    const char *colon = strrchr(t->address, ':'), *host = t->address;
    int64_t port;
    if (colon == NULL || !num_parse_i64(bytes_str(colon + 1), &port) || port < 1 || port > 65535)
        return false;
    size_t n = (size_t)(colon - host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof t->host)
        return false;
    memcpy(t->host, host, n);
    t->host[n] = 0;
    t->port = (uint16_t)port;
    return true;
}

static bool read_secret(struct target *t, struct buf *why)
{
    const char *text = t->password != NULL ? t->password : getenv("MERIDIAN_DB_PASSWORD");
    if (t->password_file == NULL) {
        buf_put_str(&t->secret, text != NULL ? text : "");
        return true;
    }
    if (!folder_read(t->password_file, PASSWORD_MAX, &t->secret, why))
        return false;
    const uint8_t *end = memchr(t->secret.p, '\n', buf_len(&t->secret));
    if (end != NULL)
        t->secret.tail = (size_t)(end - t->secret.p);
    return true;
}

int target_file(struct args *a, int argc, char **argv, const char *question, const char **file)
{
    a->rest = file;
    a->rest_max = 1;
    int status = args_main(a, argc, argv);
    if (status >= 0)
        return status;
    if (a->rest_n == 1)
        return -1;
    fprintf(stderr, "meridian %s: %s\nTry: meridian %s --help\n", a->command, question, a->command);
    return 2;
}

bool target_check(struct target *t, const char *name, const char *command)
{
    struct buf why = {0};
    bool ok = false;
    if (t->address == NULL)
        buf_putf(&why, "--%s HOST:PORT is required", name);
    else if (!split(t))
        buf_putf(&why, "--%s: '%s' is not HOST:PORT", name, t->address);
    else if ((t->cert == NULL) != (t->key == NULL))
        buf_put_str(&why, "--cert and --key: give both or none");
    else if (!t->tls && (t->cacert != NULL || t->cert != NULL || t->insecure))
        buf_put_str(&why, "--cacert, --cert, --key and --insecure are for --tls: give it, too");
    else
        ok = read_secret(t, &why) &&
             (t->cacert == NULL || folder_read(t->cacert, TLS_PEM_MAX, &t->ca_pem, &why)) &&
             (t->cert == NULL || folder_read(t->cert, TLS_PEM_MAX, &t->cert_pem, &why)) &&
             (t->key == NULL || folder_read(t->key, TLS_PEM_MAX, &t->key_pem, &why));
    buf_put_u8(&why, 0);
    if (!ok)
        fprintf(stderr, "meridian %s: %s\nTry: meridian %s --help\n", command, (char *)why.p,
                command);
    buf_deinit(&why);
    return ok;
}

bool target_tls(const struct target *t, struct port *port, const char *command, uint32_t *tls)
{
    char why[256] = "";
    *tls = 0;
    if (!t->tls)
        return true;
    *tls = port->ops->tls(port,
                          &(struct tls_opts){.cert_pem = buf_bytes(&t->cert_pem),
                                             .key_pem = buf_bytes(&t->key_pem),
                                             .ca_pem = buf_bytes(&t->ca_pem),
                                             .verify_peer = !t->insecure},
                          why, sizeof why);
    if (*tls == 0)
        fprintf(stderr, "meridian %s: TLS settings: %s\n", command, why);
    return *tls != 0;
}

void target_deinit(struct target *t)
{
    buf_deinit(&t->secret);
    buf_deinit(&t->ca_pem);
    buf_deinit(&t->cert_pem);
    buf_deinit(&t->key_pem);
}
