/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "io/log.h"
#include "io/log_writer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define LINES 5000u /* more than a pipe and the queue hold */

struct place {
    char dir[64], path[80], moved[80];
};

static void place_init(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/meridian-log-XXXXXX");
    cr_assert_not_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/log", p->dir);
    snprintf(p->moved, sizeof p->moved, "%s/log.1", p->dir);
}

static void place_deinit(struct place *p)
{
    unlink(p->path);
    unlink(p->moved);
    cr_assert_eq(rmdir(p->dir), 0);
}

/* The next line without its end; false: there is none. */
static bool next_line(FILE *f, char *line, int room)
{
    if (fgets(line, room, f) == NULL)
        return false;
    size_t n = strlen(line);
    cr_assert(n > 0 && line[n - 1] == '\n', "half a line: %s", line);
    line[n - 1] = 0;
    return true;
}

/* Lines come in order, and where some are missing that is said with their number. Returns how many
 * came. */
static unsigned check_lines(FILE *f, unsigned *missing)
{
    char line[2000];
    unsigned came = 0, at = 0, next, n;
    *missing = 0;
    while (next_line(f, line, sizeof line)) {
        const char *text = line + strlen("2026-01-31T12:00:00.123Z ");
        if (sscanf(text, "W log %u lines are missing here", &n) == 1) {
            *missing += n;
        } else {
            cr_assert_eq(sscanf(text, "I test line %u", &next), 1, "%s", line);
            cr_assert_geq(next, at);
            at = next + 1;
            came++;
        }
    }
    return came;
}

static void close_log(void *log) { log_close(log); }

Test(log_writer, a_file_that_hangs_holds_nobody_up)
{
    struct place p;
    struct log log;
    char text[101];
    unsigned missing;
    place_init(&p);
    cr_assert_eq(mkfifo(p.path, 0600), 0);
    int reader = open(p.path, O_RDONLY | O_NONBLOCK);
    cr_assert_eq(log_open(&log, p.path, 'I'), ERR_OK);
    for (unsigned i = 0; i < LINES; i++) {
        snprintf(text, sizeof text, "line %-90u", i);
        log_line(&log, 'I', "test", text);
    }
    log_flush(&log); /* not within its time */
    cr_assert_not(log_writer_flush(log.writer, 1));
    /* Somebody reads again: from now on all lines come. */
    fcntl(reader, F_SETFL, 0);
    FILE *f = fdopen(reader, "r");
    char first[2000];
    cr_assert(next_line(f, first, sizeof first));
    cr_assert_not_null(strstr(first, "I test line 0 "));
    uv_thread_t closer;
    cr_assert_eq(uv_thread_create(&closer, close_log, &log), 0);
    unsigned came = 1 + check_lines(f, &missing);
    uv_thread_join(&closer);
    cr_expect_eq(came + missing, LINES, "%u came, %u are said to be missing", came, missing);
    cr_expect_gt(missing, 0u);
    cr_expect_gt(came, LOG_QUEUE_BYTES / 140); /* none is longer */
    fclose(f);
    place_deinit(&p);
}

static unsigned lines_in(const char *path)
{
    FILE *f = fopen(path, "r");
    unsigned missing, came;
    cr_assert_not_null(f, "%s", path);
    came = check_lines(f, &missing);
    cr_expect_eq(missing, 0u);
    fclose(f);
    return came;
}

Test(log_writer, a_file_that_was_moved_away_is_opened_anew)
{
    struct place p;
    struct log log;
    place_init(&p);
    cr_assert_eq(log_open(&log, p.path, 'I'), ERR_OK);
    log_line(&log, 'I', "test", "line 1");
    log_line(&log, 'D', "test", "not important enough");
    log_flush(&log);
    cr_assert_eq(lines_in(p.path), 1u);
    cr_assert_eq(rename(p.path, p.moved), 0);
    log_reopen(&log);
    log_line(&log, 'I', "test", "line 2");
    log_line(&log, 'I', "test", "line 3");
    log_close(&log);
    cr_expect_eq(lines_in(p.moved), 1u);
    cr_expect_eq(lines_in(p.path), 2u);
    place_deinit(&p);
}
