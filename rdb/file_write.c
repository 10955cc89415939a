/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "rdb/file_write.h"

#include "rdb/crc64.h"

enum { OP_FUNCTION_2 = 245, OP_AUX = 250, OP_SIZE = 251, OP_EXPIRE_MS = 252, OP_DB = 254, OP_END };

void rdb_file_writer_deinit(struct rdb_file_writer *w) { buf_deinit(&w->out); }

void rdb_file_begin(struct rdb_file_writer *w)
{
    *w = (struct rdb_file_writer){0};
    buf_putf(&w->out, "REDIS%04u", RDB_VERSION);
}

void rdb_file_aux(struct rdb_file_writer *w, const char *name, struct bytes value)
{
    buf_put_u8(&w->out, OP_AUX);
    rdb_put_text(&w->out, bytes_str(name));
    rdb_put_text(&w->out, value);
}

void rdb_file_function(struct rdb_file_writer *w, struct bytes code)
{
    buf_put_u8(&w->out, OP_FUNCTION_2);
    rdb_put_text(&w->out, code);
}

void rdb_file_db(struct rdb_file_writer *w, uint64_t db, uint64_t keys, uint64_t expiring)
{
    buf_put_u8(&w->out, OP_DB);
    rdb_put_length(&w->out, db);
    buf_put_u8(&w->out, OP_SIZE);
    rdb_put_length(&w->out, keys);
    rdb_put_length(&w->out, expiring);
}

bool rdb_file_key(struct rdb_file_writer *w, struct bytes name, struct bytes value,
                  int64_t deadline)
{
    if (value.n < 2 || value.p[0] > RDB_CODE_STREAM_2)
        return false;
    if (deadline >= 0) {
        buf_put_u8(&w->out, OP_EXPIRE_MS);
        rdb_put_fixed(&w->out, (uint64_t)deadline, 8);
    }
    buf_put_u8(&w->out, value.p[0]);
    rdb_put_length(&w->out, name.n); /* as it is: names are too short to be worth compressing */
    buf_put_bytes(&w->out, name);
    buf_put(&w->out, value.p + 1, value.n - 1);
    return true;
}

static void sum(struct rdb_file_writer *w)
{
    struct bytes all = buf_bytes(&w->out);
    w->crc = crc64(w->crc, bytes_of(all.p + w->summed, all.n - w->summed));
    w->summed = all.n;
}

void rdb_file_end(struct rdb_file_writer *w)
{
    buf_put_u8(&w->out, OP_END);
    sum(w);
    rdb_put_fixed(&w->out, w->crc, 8);
    w->summed += 8;
}

void rdb_file_move(struct rdb_file_writer *w, struct buf *to)
{
    sum(w);
    buf_deinit(to);
    *to = w->out;
    w->out = (struct buf){0};
    w->summed = 0;
}
