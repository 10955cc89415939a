/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_IO_OPS_H
#define MERIDIAN_IO_OPS_H

#include "base/port.h"

/* The calls of base/port.h over a struct loop. */
extern const struct port_ops io_ops;

#endif
