/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "sim/world_private.h"

#include <string.h>

/* A host's files: they survive its death. A write is whole or not at all, as FILE_WRITE promises.
 */
static struct file **find(struct host *h, const char *path)
{
    struct file **f = &h->files;
    while (*f != NULL && strcmp((*f)->path, path) != 0)
        f = &(*f)->next;
    return f;
}

static void drop(struct file **f)
{
    struct file *gone = *f;
    *f = gone->next;
    mem_free(gone->path);
    buf_deinit(&gone->data);
    mem_free(gone);
}

void files_run(struct node *n, struct file_req *r)
{
    struct file **f = find(&n->world->hosts[n->host], r->path);
    r->err = ERR_OK;
    switch (r->op) {
    case FILE_READ:
        if (*f == NULL)
            r->err = ERR_NOT_FOUND;
        else if (buf_len(&(*f)->data) > r->size_max)
            r->err = ERR_TOO_BIG;
        else
            buf_put_bytes(&r->data, buf_bytes(&(*f)->data));
        break;
    case FILE_WRITE:
        if (*f == NULL) {
            *f = mem_zalloc(sizeof **f);
            (*f)->path = mem_strdup(r->path);
        }
        buf_clear(&(*f)->data);
        buf_put_bytes(&(*f)->data, buf_bytes(&r->data));
        break;
    case FILE_REMOVE:
        if (*f == NULL)
            r->err = ERR_NOT_FOUND;
        else
            drop(f);
        break;
    case FILE_MKDIR:
        break;
    }
}

void files_free(struct host *h)
{
    while (h->files != NULL)
        drop(&h->files);
}
