/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_BASE_VERSION_H
#define MERIDIAN_BASE_VERSION_H

#define MERIDIAN_VERSION "0.1.0"
/* The Redis release whose replies we give: clients choose features by it. */
#define REDIS_VERSION "7.0.15"

#endif
