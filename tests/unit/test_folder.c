/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "cli/folder.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A fresh place for each test (they are processes); removed by the tests that fill it. */
static const char *place(void)
{
    static char path[64] = "/tmp/meridian-folder-XXXXXX";
    cr_assert(mkdtemp(path));
    return path;
}

static const char *text_of(struct buf *why)
{
    buf_put_u8(why, 0);
    return (const char *)why->p;
}

static void clear(const struct folder *f)
{
    static const char *const names[] = {"node.lock", "plane.pid", "plane.token", "cert.pem",
                                        "key.pem"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = folder_file(f, names[i]);
        unlink(path);
        mem_free(path);
    }
    rmdir(f->path);
}

Test(folder, one_node_at_a_time)
{
    struct folder first, second;
    struct buf why = {0};
    const char *dir = place();
    cr_assert(folder_open(&first, dir, &why));
    cr_assert_str_eq(first.path, dir);
    cr_assert(!folder_open(&second, dir, &why));
    cr_assert(strstr(text_of(&why), "another node runs on the data folder"));
    folder_close(&first);
    buf_clear(&why);
    cr_assert(folder_open(&first, dir, &why), "%s", text_of(&why));
    clear(&first);
    folder_close(&first);
    buf_deinit(&why);
}

Test(folder, refuses_what_cannot_hold_data)
{
    static const struct {
        const char *dir, *says;
    } cases[] = {
        {"/dev/null", "not a folder"},
        {"/nonexistent/deep/down", "cannot make the data folder"},
        {"/proc", "cannot lock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct folder f;
        struct buf why = {0};
        cr_assert(!folder_open(&f, cases[i].dir, &why));
        cr_assert(strstr(text_of(&why), cases[i].says), "%s", (const char *)why.p);
        buf_deinit(&why);
    }
}

Test(folder, a_token_is_made_once_and_kept)
{
    struct folder f;
    struct buf why = {0};
    struct stat st;
    char one[65], two[65];
    cr_assert(folder_open(&f, place(), &why));
    char *path = folder_file(&f, "plane.token");
    cr_assert(!folder_token(path, false, one, &why));
    cr_assert(folder_token(path, true, one, &why));
    cr_assert_eq(strlen(one), 64);
    cr_assert(folder_token(path, true, two, &why));
    cr_assert_str_eq(one, two);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    FILE *file = fopen(path, "w");
    fputs("short\n", file);
    fclose(file);
    buf_clear(&why);
    cr_assert(!folder_token(path, true, one, &why));
    cr_assert(strstr(text_of(&why), "holds no token"));
    mem_free(path);
    clear(&f);
    folder_close(&f);
    buf_deinit(&why);
}

Test(folder, a_certificate_is_made_once_and_kept)
{
    static const char *const names[] = {
        "a-host-name-that-is-longer-than-a-common-name-may-be.its-domain.example", "127.0.0.1",
        NULL};
    struct folder f;
    struct buf why = {0}, cert = {0}, key = {0}, again = {0}, key_again = {0};
    cr_assert(folder_open(&f, place(), &why));
    cr_assert(folder_cert(&f, names, &cert, &key, &why), "%s", text_of(&why));
    cr_assert(folder_cert(&f, names, &again, &key_again, &why), "%s", text_of(&why));
    cr_assert(bytes_eq(buf_bytes(&cert), buf_bytes(&again)));
    cr_assert(bytes_eq(buf_bytes(&key), buf_bytes(&key_again)));
    clear(&f);
    folder_close(&f);
    buf_deinit(&why);
    buf_deinit(&cert);
    buf_deinit(&key);
    buf_deinit(&again);
    buf_deinit(&key_again);
}

Test(folder, one_data_plane_at_a_time)
{
    struct folder f;
    struct buf why = {0}, text = {0};
    char pid[32];
    cr_assert(folder_open(&f, place(), &why));
    char *path = folder_file(&f, "plane.pid");
    int held = folder_pid_file(path, &why);
    cr_assert_geq(held, 0);
    snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    cr_assert(folder_read(path, 100, &text, &why));
    cr_assert(bytes_is(buf_bytes(&text), pid));
    cr_assert_eq(folder_pid_file(path, &why), -1);
    cr_assert(strstr(text_of(&why), "another data plane"));
    close(held);
    mem_free(path);
    clear(&f);
    folder_close(&f);
    buf_deinit(&why);
    buf_deinit(&text);
}
