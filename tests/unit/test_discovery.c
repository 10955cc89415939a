/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/clusters.h"

#include <criterion/criterion.h>

static struct clusters c;

static void start(void)
{
    clusters_new(&c, 1, true);
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0}", NULL);
    clusters_run(&c, 2000);
}

static void end(void) { clusters_free(&c); }

TestSuite(discovery, .init = start, .fini = end);

static void says(const char *request, const char *reply)
{
    struct buf out;
    clusters_raw(&c, "alpha", 8001, request, &out);
    cr_expect_str_eq((const char *)out.p, reply, "%s -> %s", request, (const char *)out.p);
    buf_deinit(&out);
}

static void has(const char *request, const char *part)
{
    struct buf out;
    clusters_raw(&c, "alpha", 8001, request, &out);
    cr_expect(strstr((const char *)out.p, part), "%s -> %s", request, (const char *)out.p);
    buf_deinit(&out);
}

Test(discovery, finds_a_database_by_name)
{
    says("*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$3\r\ndb1\r\n",
         "*2\r\n$8\r\nalpha-db\r\n$5\r\n12000\r\n");
    says("sentinel GET-MASTER-ADDR-BY-NAME db1@internal\r\n",
         "*2\r\n$8\r\nalpha-db\r\n$5\r\n12000\r\n");
    says("SENTINEL get-master-addr-by-name db2\r\n", "*-1\r\n");
    says(
        "HELLO 3\r\nSENTINEL get-master-addr-by-name db2\r\nQUIT\r\n",
        "%5\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n"
        "$4\r\nmode\r\n$8\r\nsentinel\r\n$7\r\nmodules\r\n*0\r\n_\r\n+OK\r\n");
}

Test(discovery, tells_about_databases)
{
    has("SENTINEL masters\r\n", "*2\r\n*36\r\n$4\r\nname\r\n$3\r\ndb1\r\n");
    has("SENTINEL masters\r\n", "db1@internal");
    has("SENTINEL master db1\r\n", "$5\r\nflags\r\n$6\r\nmaster\r\n");
    says("SENTINEL replicas db1\r\n", "*0\r\n");
    says("SENTINEL slaves db1\r\n", "*0\r\n");
    says("SENTINEL sentinels db1\r\n", "*0\r\n");
    has("SENTINEL ckquorum db1\r\n", "+OK 1 usable");
    has("SENTINEL myid\r\n", "$40\r\n");
    has("INFO\r\n", "master0:name=db1,status=ok,address=alpha-db:12000");
    says("ROLE\r\n", "*2\r\n$8\r\nsentinel\r\n*1\r\n$3\r\ndb1\r\n");
}

Test(discovery, says_so_when_a_database_is_not_reachable)
{
    clusters_kill_plane(&c, 0);
    clusters_run(&c, 500);
    has("SENTINEL master db1\r\n", "master,disconnected");
}

Test(discovery, bears_with_what_clients_send_along)
{
    says("PING\r\n", "+PONG\r\n");
    says("AUTH x\r\n", "+OK\r\n");
    says("CLIENT SETNAME y\r\n", "+OK\r\n");
    says("COMMAND\r\n", "*0\r\n");
}

Test(discovery, refuses_what_it_does_not_know)
{
    has("GET k\r\n", "-ERR unknown command 'GET'");
    has("SENTINEL\r\n", "-ERR unknown subcommand");
    has("SENTINEL monitor x\r\n", "-ERR unknown subcommand");
    has("SENTINEL master\r\n", "-ERR wrong number of arguments");
    has("SENTINEL master db2\r\n", "-ERR No such master");
    has("*1\r\n$x\r\n", "-ERR Protocol error");
    has("*9999999\r\n", "-ERR Protocol error");
}

static void gather(struct vconn *v, enum vconn_event what, struct buf *in, void *arg)
{
    (void)v;
    if (what != VCONN_DATA)
        return;
    buf_put_bytes(arg, buf_bytes(in));
    buf_consume(in, buf_len(in));
}

Test(discovery, publishes_where_a_database_moved_to)
{
    struct buf in = {0};
    struct vconn *v = driver_dial(c.driver, "alpha", 8001, gather, &in);
    vconn_send(v, bytes_str("SUBSCRIBE +switch-master\r\n"));
    world_flush(c.world);
    clusters_run(&c, 1500);
    buf_clear(&in);
    /* Deleted and made again elsewhere: to those who know it by its name it has moved. */
    clusters_call(&c, 0, "DELETE", "/v1/bdbs/1", NULL, NULL);
    clusters_call(&c, 0, "POST", "/v1/bdbs", "{'name': 'db1', 'memory_size': 0, 'port': 12007}",
                  NULL);
    clusters_run(&c, 1500);
    buf_put_u8(&in, 0);
    cr_expect_str_eq((const char *)in.p,
                     "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$33\r\ndb1 alpha-db 12000 "
                     "alpha-db 12007\r\n");
    vconn_close(v);
    world_flush(c.world);
    buf_deinit(&in);
}
