/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/http.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                      "PATCH", "DELETE", "OPTIONS", "OTHER"};

enum http_method http_method_of(struct bytes name)
{
    for (unsigned i = 0; i < METHOD_OTHER; i++)
        if (bytes_is(name, methods[i]))
            return (enum http_method)i;
    return METHOD_OTHER;
}

const char *http_method_name(enum http_method m) { return methods[m]; }

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

struct exchange *exchange_new(struct http_codec *c)
{
    struct exchange *x = mem_zalloc(sizeof *x);
    x->codec = c;
    x->body_max = HTTP_BODY_MAX;
    x->next = c->open;
    c->open = x;
    return x;
}

static void unlink_exchange(struct exchange *x)
{
    for (struct exchange **at = &x->codec->open; *at != NULL; at = &(*at)->next)
        if (*at == x) {
            *at = x->next;
            return;
        }
}

void exchange_free(struct exchange *x)
{
    if (x == NULL)
        return;
    if (x->codec != NULL)
        unlink_exchange(x);
    buf_deinit(&x->target);
    buf_deinit(&x->authorization);
    buf_deinit(&x->task_id);
    buf_deinit(&x->result_ttl);
    buf_deinit(&x->body);
    buf_deinit(&x->reply);
    mem_free(x);
}

void exchange_answer(struct exchange *x)
{
    assert(x->handed && !x->answered);
    x->answered = true;
    if (x->codec == NULL)
        exchange_free(x);
    else
        x->codec->ops->answer(x->codec, x);
}

bool exchange_header(struct exchange *x, struct bytes name, struct bytes value)
{
    struct buf *keep = NULL;
    x->header_bytes += name.n + value.n;
    if (x->header_bytes > HTTP_HEADER_MAX)
        return false;
    if (bytes_is_nocase(name, "authorization"))
        keep = &x->authorization;
    else if (bytes_is_nocase(name, "x-task-id"))
        keep = &x->task_id;
    else if (bytes_is_nocase(name, "x-result-ttl"))
        keep = &x->result_ttl;
    if (keep != NULL) {
        buf_clear(keep);
        buf_put_bytes(keep, value);
    }
    return true;
}

void exchange_refuse(struct exchange *x, int status, const char *code, const char *text)
{
    x->status = status;
    buf_clear(&x->reply);
    buf_putf(&x->reply, "{\"error_code\": \"%s\", \"message\": \"%s\"}\n", code, text);
}

void http_codec_cut(struct http_codec *c)
{
    while (c->open != NULL) {
        struct exchange *x = c->open;
        c->open = x->next;
        x->codec = NULL;
        x->next = NULL;
        if (!x->handed || x->answered)
            exchange_free(x);
    }
}
