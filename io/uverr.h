/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_UVERR_H
#define MERIDIAN_IO_UVERR_H

#include "base/err.h"

/* The project's error for a libuv one (a negative errno or UV_EOF, UV_EAI_*). */
enum err uverr(int uv);

#endif
