/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_API_HTTP2_H
#define MERIDIAN_API_HTTP2_H

#include "api/http.h"

/*
 * The server's side of HTTP/2 (RFC 9113) on nghttp2's session: at most HTTP_STREAMS_MAX requests at
 * once; a client that opens streams only to reset them (CVE-2023-44487) is sent away after
 * RESETS_MAX of them in RESETS_WINDOW_US.
 */
#define RESETS_MAX 200u
#define RESETS_WINDOW_US 10000000u
struct http_codec *http2_new(const struct http_sink *sink);

#endif
