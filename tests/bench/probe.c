/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */

/*
 * A steady client: `probe PORT RATE CONNS KEYS BYTES`. Sends RATE requests a second over CONNS
 * connections, one SET of BYTES to each GET, of KEYS keys, and prints for each line that it reads
 * on its standard input the delays since the line before: n, then p50, p90, p99, p99.9 and the
 * longest, in microseconds. What it measures begins when the request is sent, so a probe that was
 * itself kept from running does not count that; it polls, since being woken costs more than what is
 * measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 256u
#define SAMPLES_MAX 4000000u

struct conn {
    int fd;
    bool busy;
    uint64_t sent_us;
    size_t want; /* bytes of the reply that are still to come; 0: not known yet */
};

struct probe {
    struct conn conns[CONNS_MAX];
    struct pollfd polls[CONNS_MAX + 1];
    unsigned n;
    uint64_t keys, turn, seed;
    size_t bytes;
    char *request;
    uint32_t *samples;
    size_t samples_n;
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int fail(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    return 1;
}

static int connect_to(uint16_t port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)(void *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct probe *p)
{
    size_t n = p->samples_n;
    qsort(p->samples, n, sizeof *p->samples, cmp);
    const uint32_t *s = p->samples;
    if (n == 0)
        printf("0 0 0 0 0 0\n");
    else
        printf("%zu %u %u %u %u %u\n", n, s[n / 2], s[n / 10 * 9], s[n - 1 - n / 100],
               s[n - 1 - n / 1000], s[n - 1]);
    fflush(stdout);
    p->samples_n = 0;
}

static bool send_one(struct probe *p, struct conn *c)
{
    uint64_t turn = p->turn++;
    p->seed = p->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    unsigned long long key = (p->seed >> 33) % p->keys;
    int n;
    if (turn & 1) {
        n = sprintf(p->request, "*2\r\n$3\r\nGET\r\n$18\r\nprobe:%012llu\r\n", key);
    } else {
        n = sprintf(p->request, "*3\r\n$3\r\nSET\r\n$18\r\nprobe:%012llu\r\n$%zu\r\n", key,
                    p->bytes);
        memset(p->request + n, 'x', p->bytes);
        memcpy(p->request + n + p->bytes, "\r\n", 2);
        n += (int)p->bytes + 2;
    }
    c->busy = true;
    c->want = 0;
    c->sent_us = now_us();
    return write(c->fd, p->request, (size_t)n) == n;
}

/* +OK, $-1, or $N with its bytes. */
static bool receive(struct probe *p, struct conn *c)
{
    char in[65536];
    ssize_t got = read(c->fd, in, sizeof in);
    if (got <= 0)
        return false;
    if (c->want == 0) {
        const char *line = memchr(in, '\n', (size_t)got);
        if (in[0] == '-' || line == NULL)
            return false;
        long n = in[0] == '$' ? strtol(in + 1, NULL, 10) : -1;
        c->want = (size_t)(line + 1 - in) + (n >= 0 ? (size_t)n + 2 : 0);
    }
    if ((size_t)got > c->want)
        return false;
    c->want -= (size_t)got;
    if (c->want == 0) {
        c->busy = false;
        uint64_t took = now_us() - c->sent_us;
        if (p->samples_n < SAMPLES_MAX)
            p->samples[p->samples_n++] = (uint32_t)took;
    }
    return true;
}

static int run(struct probe *p, double rate)
{
    double due = (double)now_us();
    for (;;) {
        double now = (double)now_us();
        for (unsigned i = 0; i < p->n && due <= now; i++) {
            if (p->conns[i].busy)
                continue;
            if (!send_one(p, &p->conns[i]))
                return fail("write");
            due += 1e6 / rate;
        }
        if (due <= now) /* all are under way: what was missed is not made up for */
            due = now + 1e6 / rate;
        double left = due - (double)now_us();
        struct timespec wait = {.tv_nsec = left > 0 ? (long)(left * 1000) : 0};
        if (wait.tv_nsec > 999999999)
            wait.tv_nsec = 999999999;
        if (ppoll(p->polls, p->n + 1, &wait, NULL) <= 0)
            continue;
        for (unsigned i = 0; i < p->n; i++)
            if (p->polls[i].revents != 0 && !receive(p, &p->conns[i]))
                return fail("read");
        if (p->polls[p->n].revents != 0) {
            char line[64];
            if (read(0, line, sizeof line) <= 0)
                return 0;
            report(p);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "probe PORT RATE CONNS KEYS BYTES\n");
        return 2;
    }
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fail("memory");
    p->n = (unsigned)atoi(argv[3]);
    if (p->n < 1 || p->n > CONNS_MAX)
        p->n = 1;
    p->keys = strtoull(argv[4], NULL, 10);
    p->bytes = strtoull(argv[5], NULL, 10);
    p->seed = (uint64_t)getpid();
    p->request = malloc(p->bytes + 128);
    p->samples = malloc(SAMPLES_MAX * sizeof *p->samples);
    if (p->keys == 0 || p->request == NULL || p->samples == NULL)
        return fail("arguments");
    for (unsigned i = 0; i < p->n; i++) {
        p->conns[i].fd = connect_to((uint16_t)atoi(argv[1]));
        p->polls[i] = (struct pollfd){.fd = p->conns[i].fd, .events = POLLIN};
        if (p->conns[i].fd < 0)
            return fail("connect");
    }
    p->polls[p->n] = (struct pollfd){.fd = 0, .events = POLLIN};
    return run(p, strtod(argv[2], NULL));
}
