/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/port.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void port_log(struct port *p, char level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    p->ops->log(p, level, line);
}

void msg_free(struct msg *m)
{
    if (m == NULL)
        return;
    if (m->drop != NULL)
        m->drop(m);
    else
        mem_free(m);
}

struct file_req *file_req_new(enum file_op op, const char *path)
{
    struct file_req *r = mem_zalloc(sizeof *r);
    r->op = op;
    r->path = mem_strdup(path);
    r->mode = op == FILE_MKDIR ? 0700 : 0600;
    r->size_max = 64u << 20;
    return r;
}

void file_req_free(struct file_req *r)
{
    if (r == NULL)
        return;
    mem_free(r->path);
    mem_free(r->to);
    buf_deinit(&r->data);
    mem_free(r);
}
