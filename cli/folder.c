/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/folder.h"

#include "base/mem.h"
#include "base/port.h"
#include "io/cert.h"
#include "io/file.h"
#include "io/uverr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TOKEN_BYTES 32u
#define TOKEN_MIN 16u
#define TOKEN_MAX 64u
#define PEM_MAX (1u << 20)
#define SOCKET_NAME "plane.sock"

static bool say(struct buf *why, const char *what, const char *path, enum err e)
{
    buf_putf(why, "%s %s: %s", what, path, err_text(e));
    return false;
}

static bool write_file(const char *path, struct bytes data, struct buf *why)
{
    struct file_req *r = file_req_new(FILE_WRITE, path);
    buf_put_bytes(&r->data, data);
    file_run(r);
    enum err e = r->err;
    file_req_free(r);
    return e == ERR_OK || say(why, "cannot write", path, e);
}

bool folder_read(const char *path, size_t size_max, struct buf *out, struct buf *why)
{
    struct file_req *r = file_req_new(FILE_READ, path);
    r->size_max = size_max;
    file_run(r);
    enum err e = r->err;
    if (e == ERR_OK)
        buf_put_bytes(out, buf_bytes(&r->data));
    file_req_free(r);
    return e == ERR_OK || say(why, "cannot read", path, e);
}

bool folder_make(const char *path, struct buf *why)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return say(why, "cannot make the folder", path, uverr(-errno));
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    buf_putf(why, "%s is not a folder: give another with --data", path);
    return false;
}

char *folder_file(const struct folder *f, const char *name)
{
    size_t n = strlen(f->path), m = strlen(name);
    char *p = mem_alloc(n + m + 2);
    memcpy(p, f->path, n);
    p[n] = '/';
    memcpy(p + n + 1, name, m + 1);
    return p;
}

/* Takes the lock of a file that is made if need be; -1 and ERR_BUSY if another process has it. */
static int lock_file(const char *path, enum err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    *e = fd < 0 ? uverr(-errno) : ERR_OK;
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        *e = errno == EWOULDBLOCK ? ERR_BUSY : uverr(-errno);
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool make_path(struct folder *f, const char *dir, struct buf *why)
{
    char real[PATH_MAX];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return say(why, "cannot make the data folder", dir, uverr(-errno));
    if (realpath(dir, real) == NULL)
        return say(why, "cannot use the data folder", dir, uverr(-errno));
    struct stat st;
    if (stat(real, &st) != 0 || !S_ISDIR(st.st_mode)) {
        buf_putf(why, "the data folder %s is not a folder: give another with --data", dir);
        return false;
    }
    size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof "/" SOCKET_NAME;
    if (strlen(real) > longest) {
        buf_putf(why,
                 "the data folder's path %s is longer than %zu characters, which leaves no room "
                 "for a socket in it",
                 real, longest);
        return false;
    }
    f->path = mem_strdup(real);
    return true;
}

/* Whoever cannot save its state must not start: found out before anybody relies on it. */
static bool probe(const struct folder *f, struct buf *why)
{
    char *path = folder_file(f, "write.test");
    uint8_t block[4096] = {0};
    bool ok = write_file(path, bytes_of(block, sizeof block), why);
    unlink(path);
    mem_free(path);
    return ok;
}

bool folder_open(struct folder *f, const char *dir, struct buf *why)
{
    *f = (struct folder){.lock = -1};
    if (!make_path(f, dir, why))
        return false;
    enum err e;
    char *path = folder_file(f, "node.lock");
    f->lock = lock_file(path, &e);
    bool ok = f->lock >= 0;
    if (!ok && e == ERR_BUSY)
        buf_putf(
            why,
            "another node runs on the data folder %s: stop it, or give another folder with --data",
            f->path);
    else if (!ok)
        say(why, "cannot lock", path, e);
    mem_free(path);
    if (ok && probe(f, why))
        return true;
    folder_close(f);
    return false;
}

void folder_close(struct folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    mem_free(f->path);
    *f = (struct folder){.lock = -1};
}

int folder_pid_file(const char *path, struct buf *why)
{
    enum err e;
    int fd = lock_file(path, &e);
    if (fd < 0 && e == ERR_BUSY)
        buf_putf(why, "another data plane holds %s", path);
    else if (fd < 0)
        say(why, "cannot lock", path, e);
    if (fd < 0)
        return -1;
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)n) != n) {
        say(why, "cannot write", path, uverr(-errno));
        close(fd);
        return -1;
    }
    return fd;
}

static bool make_token(const char *path, struct buf *why)
{
    uint8_t secret[TOKEN_BYTES];
    struct buf text = {0};
    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret) {
        buf_put_str(why, "the kernel gives no random numbers");
        return false;
    }
    for (unsigned i = 0; i < TOKEN_BYTES; i++)
        buf_putf(&text, "%02x", secret[i]);
    buf_put_u8(&text, '\n');
    bool ok = write_file(path, buf_bytes(&text), why);
    buf_deinit(&text);
    return ok;
}

bool folder_token(const char *path, bool make, char out[65], struct buf *why)
{
    struct buf text = {0};
    if (make && access(path, F_OK) != 0 && errno == ENOENT && !make_token(path, why))
        return false;
    bool ok = folder_read(path, 4096, &text, why);
    size_t n = 0;
    while (ok && n < buf_len(&text) && text.p[n] > ' ' && text.p[n] < 0x7f)
        n++;
    if (ok && (n < TOKEN_MIN || n > TOKEN_MAX)) {
        buf_putf(why,
                 "%s holds no token of %u to %u characters: remove it while the node is stopped, a "
                 "new one is made",
                 path, TOKEN_MIN, TOKEN_MAX);
        ok = false;
    }
    if (ok) {
        memcpy(out, text.p, n);
        out[n] = 0;
    }
    buf_deinit(&text);
    return ok;
}

#define COMMON_NAME_MAX                                                                            \
    64u /* RFC 5280, ub-common-name; the names that count are the alternative ones */

static bool make_cert(const char *const *names, const char *cert_path, const char *key_path,
                      struct buf *cert, struct buf *key, struct buf *why)
{
    const char *common = strlen(names[0]) <= COMMON_NAME_MAX ? names[0] : "meridian";
    if (cert_self_signed(common, names, cert, key) != 0) {
        buf_putf(why, "cannot make a certificate for %s: give one with --cert and --key", names[0]);
        return false;
    }
    if (!write_file(key_path, buf_bytes(key), why))
        return false;
    if (write_file(cert_path, buf_bytes(cert), why))
        return true;
    unlink(key_path); /* a key alone would look like a file that was lost */
    return false;
}

bool folder_cert(const struct folder *f, const char *const *names, struct buf *cert,
                 struct buf *key, struct buf *why)
{
    char *cert_path = folder_file(f, "cert.pem"), *key_path = folder_file(f, "key.pem");
    bool ok;
    if (access(cert_path, F_OK) != 0 && access(key_path, F_OK) != 0)
        ok = make_cert(names, cert_path, key_path, cert, key, why);
    else
        ok = folder_read(cert_path, PEM_MAX, cert, why) && folder_read(key_path, PEM_MAX, key, why);
    mem_free(cert_path);
    mem_free(key_path);
    return ok;
}
