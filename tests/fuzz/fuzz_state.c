/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/buf.h"
#include "base/mem.h"
#include "manager/cluster.h"
#include "tests/fuzz/fuzz.h"

/* A manager's state file: what was read is written, read and written again the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster *one = mem_zalloc(sizeof *one), *two = mem_zalloc(sizeof *two);
    struct buf a = {0}, b = {0};
    struct refusal why = {0};
    if (cluster_load(one, bytes_of(data, size), &why)) {
        cluster_dump(one, &a);
        if (cluster_load(two, buf_bytes(&a),
                         &why)) { /* else it told of databases still being made */
            cluster_dump(two, &b);
            must(bytes_eq(buf_bytes(&a), buf_bytes(&b)));
        }
    } else {
        must(why.message[0] != 0);
    }
    cluster_deinit(one);
    cluster_deinit(two);
    mem_free(one);
    mem_free(two);
    buf_deinit(&a);
    buf_deinit(&b);
    return 0;
}
