/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "manager/control_wire.h"
#include "tests/fuzz/fuzz.h"

/* The manager's channel: a message, and its body as each of the bodies there are. */
static void db(struct bytes body)
{
    struct plane_db *one = mem_alloc(sizeof *one), *two = mem_alloc(sizeof *two);
    struct buf out = {0};
    if (plane_db_decode(body, one)) {
        plane_db_encode(&out, one);
        must(plane_db_decode(buf_bytes(&out), two));
        must(memcmp(one, two, sizeof *one) == 0);
    }
    buf_deinit(&out);
    mem_free(one);
    mem_free(two);
}

static void stats(struct bytes body)
{
    struct plane_stats one, two;
    struct buf out = {0}, again = {0};
    if (plane_stats_decode(body, &one)) {
        plane_stats_encode(&out, &one);
        must(plane_stats_decode(buf_bytes(&out), &two));
        plane_stats_encode(&again, &two);
        must(bytes_eq(buf_bytes(&out), buf_bytes(&again)));
        plane_stats_deinit(&one);
        plane_stats_deinit(&two);
    }
    buf_deinit(&out);
    buf_deinit(&again);
}

static void small(struct bytes body)
{
    bool ok;
    char text[64];
    struct bytes inner;
    struct control_hello hello;
    struct control_welcome welcome;
    struct control_link link;
    uint32_t uid;
    if (control_answer_decode(body, &ok, text, sizeof text, &inner))
        must(strlen(text) < sizeof text && inner.n <= body.n);
    if (control_hello_decode(body, &hello))
        must(strlen(hello.token) <= CONTROL_TOKEN_MAX);
    if (control_welcome_decode(body, &welcome))
        mem_free(welcome.uids);
    control_uid_decode(body, &uid);
    control_link_decode(body, &link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size), body;
    uint64_t id;
    enum control_kind kind;
    size_t used;
    while (control_get(in, &id, &kind, &body, &used) == CONTROL_OK) {
        must(used > 4 && used <= in.n);
        must(body.n == 0 || (body.p >= in.p && body.p + body.n == in.p + used));
        db(body);
        stats(body);
        small(body);
        in = bytes_of(in.p + used, in.n - used);
    }
    return 0;
}
