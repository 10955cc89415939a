/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_HTTP1_H
#define MERIDIAN_API_HTTP1_H

#include "api/http.h"

/*
 * The server's side of HTTP/1.1 (RFC 9112) on llhttp: keep-alive, pipelining (answered in order,
 * one request at a time), bodies with a length or in chunks, "Expect: 100-continue". A request with
 * both Content-Length and Transfer-Encoding is refused, since two readers may disagree where it
 * ends.
 */
struct http_codec *http1_new(const struct http_sink *sink);

#endif
