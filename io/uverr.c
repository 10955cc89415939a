/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/uverr.h"

#include <errno.h>
#include <uv.h>

static const struct {
    int uv;
    enum err err;
} map[] = {
    {UV_ECONNREFUSED, ERR_REFUSED},
    {UV_ENETUNREACH, ERR_UNREACHABLE},
    {UV_EHOSTUNREACH, ERR_UNREACHABLE},
    {UV_ENETDOWN, ERR_UNREACHABLE},
    {UV_ECONNRESET, ERR_RESET},
    {UV_EPIPE, ERR_RESET},
    {UV_ECONNABORTED, ERR_RESET},
    {UV_ETIMEDOUT, ERR_TIMEOUT},
    {UV_EOF, ERR_CLOSED},
    {UV_EADDRINUSE, ERR_IN_USE},
    {UV_EADDRNOTAVAIL, ERR_ADDRESS},
    {UV_EAFNOSUPPORT, ERR_ADDRESS},
    {UV_EINVAL, ERR_ADDRESS},
    {UV_ENAMETOOLONG, ERR_ADDRESS},
    {UV_EACCES, ERR_PERMISSION},
    {UV_EPERM, ERR_PERMISSION},
    {UV_EROFS, ERR_READ_ONLY},
    {UV_ENOENT, ERR_NOT_FOUND},
    {UV_ENOTDIR, ERR_NOT_FOLDER},
    {UV_EEXIST, ERR_EXISTS},
    {UV_ENOTEMPTY, ERR_EXISTS},
    {UV_ENOSPC, ERR_NO_SPACE},
    {-EDQUOT, ERR_NO_SPACE},
    {UV_EFBIG, ERR_TOO_BIG},
    {UV_EMFILE, ERR_FILES},
    {UV_ENFILE, ERR_FILES},
    {UV_ENOMEM, ERR_BUSY},
    {UV_ENOBUFS, ERR_BUSY},
    {UV_EAGAIN, ERR_BUSY},
    {UV_ECANCELED, ERR_STOPPED},
    {UV_EAI_NONAME, ERR_ADDRESS},
    {UV_EAI_NODATA, ERR_ADDRESS},
    {UV_EAI_AGAIN, ERR_ADDRESS},
    {UV_EAI_FAIL, ERR_ADDRESS},
};

enum err uverr(int uv)
{
    if (uv >= 0)
        return ERR_OK;
    for (unsigned i = 0; i < sizeof map / sizeof map[0]; i++)
        if (map[i].uv == uv)
            return map[i].err;
    return ERR_IO;
}
