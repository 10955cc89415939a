/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_CERT_H
#define MERIDIAN_IO_CERT_H

#include "base/buf.h"

/*
 * Makes a certificate that signs itself, for the first start of a node: EC P-256, SHA-256, ten
 * years, usable as the one trusted certificate of a client. alt_names (NULL-terminated): host names
 * and addresses. Appends PEM to both buffers. 0, or -1 when OpenSSL refuses (a name that is too
 * long or not ASCII).
 */
int cert_self_signed(const char *common_name, const char *const *alt_names, struct buf *cert_pem,
                     struct buf *key_pem);

#endif
