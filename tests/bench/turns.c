/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */

/*
 * `LD_PRELOAD=build/turns.so TURNS=FILE TURNS_MS=2 server`: what each thread of a server does
 * between two waits for the network. A line in FILE.<pid> for each turn that took more than
 * TURNS_MS of processor time: that, the part of it in the kernel and the time that passed, in
 * milliseconds, and how many pages were touched for the first time. Processor time, so that a busy
 * machine shows little in it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct point {
    double cpu_ms, sys_ms, wall_ms;
    long faults;
};

static _Thread_local struct point began;
static _Thread_local int out = -1;

static double now_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct point now(void)
{
    struct rusage r;
    getrusage(RUSAGE_THREAD, &r);
    return (struct point){
        .cpu_ms = now_ms(CLOCK_THREAD_CPUTIME_ID),
        .sys_ms = (double)r.ru_stime.tv_sec * 1e3 + (double)r.ru_stime.tv_usec / 1e3,
        .wall_ms = now_ms(CLOCK_MONOTONIC),
        .faults = r.ru_minflt,
    };
}

static void end(void)
{
    const char *file = getenv("TURNS"), *limit = getenv("TURNS_MS");
    struct point p = now();
    double cpu_ms = p.cpu_ms - began.cpu_ms;
    char line[256];
    if (began.wall_ms == 0 || file == NULL || cpu_ms <= (limit != NULL ? atof(limit) : 2))
        return;
    if (out < 0) {
        snprintf(line, sizeof line, "%s.%ld", file, (long)getpid());
        out = open(line, O_CREAT | O_APPEND | O_WRONLY, 0644);
    }
    int n = snprintf(line, sizeof line, "%.2f %.2f %.2f %ld\n", cpu_ms, p.sys_ms - began.sys_ms,
                     p.wall_ms - began.wall_ms, p.faults - began.faults);
    if (write(out, line, (size_t)n) != n)
        abort();
}

typedef int wait_fn(int, struct epoll_event *, int, int);
typedef int pwait_fn(int, struct epoll_event *, int, int, const sigset_t *);

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    static _Thread_local wait_fn *real;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
    end();
    int n = real(fd, events, most, timeout);
    began = now();
    return n;
}

int epoll_pwait(int fd, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
    static _Thread_local pwait_fn *real;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "epoll_pwait");
    end();
    int n = real(fd, events, most, timeout, mask);
    began = now();
    return n;
}
