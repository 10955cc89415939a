/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "manager/auth.h"

#include "tests/unit/clusters.h"

#include <criterion/criterion.h>

static struct cluster cl;
static struct auth a;
static const struct user *who;

static void start(void)
{
    static const uint8_t key[32] = {1, 2, 3}, salt[16] = {4, 5, 6};
    cl = (struct cluster){.users_count = 1};
    strcpy(cl.users[0].name, "admin");
    user_set_password(&cl.users[0], "pw:1", salt, 2);
    auth_init(&a, key);
}

TestSuite(auth, .init = start);

static enum auth_result check(const char *name, const char *password, uint64_t us)
{
    return auth_check(&a, &cl, bytes_str(name), bytes_str(password), us, &who);
}

Test(auth, knows_good_from_wrong)
{
    cr_expect_eq(check("admin", "pw:1", 1), AUTH_OK);
    cr_expect_str_eq(who->name, "admin");
    cr_expect_eq(check("admin", "pw:2", 1), AUTH_WRONG);
    cr_expect_eq(check("admin", "", 1), AUTH_WRONG);
    cr_expect_eq(check("admi", "npw:1", 1), AUTH_WRONG);
    cr_expect_eq(check("", "pw:1", 1), AUTH_WRONG);
}

Test(auth, rations_wrong_ones_but_not_those_known_to_be_good)
{
    cr_expect_eq(check("admin", "pw:1", 1), AUTH_OK);
    for (unsigned i = 0; i < AUTH_BURST; i++)
        cr_expect_eq(check("admin", "guess", 1), AUTH_WRONG);
    cr_expect_eq(check("admin", "guess", 1), AUTH_TOO_MANY);
    cr_expect_eq(check("admin", "pw:1", 1), AUTH_OK);
    cr_expect_eq(check("admin", "guess", 2 + AUTH_REFILL_US), AUTH_WRONG);
    cr_expect_eq(check("admin", "guess", 2 + AUTH_REFILL_US), AUTH_TOO_MANY);
}

Test(auth, forgets_on_demand)
{
    static const uint8_t salt[16] = {9};
    cr_expect_eq(check("admin", "pw:1", 1), AUTH_OK);
    user_set_password(&cl.users[0], "new", salt, 2);
    auth_forget(&a);
    cr_expect_eq(check("admin", "pw:1", 1), AUTH_WRONG);
    cr_expect_eq(check("admin", "new", 1), AUTH_OK);
}

Test(auth, decodes_basic_credentials)
{
    struct buf scratch = {0};
    struct bytes name, password;
    cr_expect(auth_basic_decode(bytes_str("Basic YWRtaW46cHc6MQ=="), &scratch, &name, &password));
    cr_expect(bytes_is(name, "admin"));
    cr_expect(bytes_is(password, "pw:1"));
    cr_expect(auth_basic_decode(bytes_str("basic YTo="), &scratch, &name, &password));
    cr_expect(bytes_is(name, "a") && password.n == 0);
    static const char *const bad[] = {"",          "Basic",          "Basic ",      "Basic !!!!",
                                      "Basic YWI", "Basic YWRtaW4=", "Bearer YTo=", "Basic ===="};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(!auth_basic_decode(bytes_str(bad[i]), &scratch, &name, &password), "%s", bad[i]);
    buf_deinit(&scratch);
}

/* ------------------------------------------------------------ through the API */

static struct clusters c;

static int raw(const char *host, const char *text, struct buf *out)
{
    clusters_raw(&c, host, 9443, text, out);
    return buf_len(out) > 12 ? atoi((const char *)out->p + 9) : 0;
}

Test(auth, before_bootstrap_only_bootstrapping_answers)
{
    struct buf out;
    clusters_new(&c, 1, false);
    cr_expect_eq(raw("alpha", "GET /v1/bootstrap HTTP/1.1\r\nHost: x\r\n\r\n", &out), 200);
    cr_expect(strstr((const char *)out.p, "idle"));
    buf_deinit(&out);
    cr_expect_eq(raw("alpha", "GET /v1/cluster HTTP/1.1\r\nHost: x\r\n\r\n", &out), 503);
    buf_deinit(&out);
    json_t *answer;
    static const char *const bad[] = {
        "{'cluster': {'name': 'a b'}, 'credentials': {'username': 'u', 'password': 'p'}}",
        "{'cluster': {'name': 'a'}, 'credentials': {'username': 'u:v', 'password': 'p'}}",
        "{'cluster': {'name': 'a'}, 'credentials': {'username': 'u'}}",
        "{'cluster': {'name': 'a', 'shape': 1}, 'credentials': {'username': 'u', 'password': "
        "'p'}}",
        "{'cluster': {'name': 'a'}}",
        "{}",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(clusters_call(&c, 0, "POST", "/v1/bootstrap/create_cluster", bad[i], &answer),
                     400, "%s", bad[i]);
        json_decref(answer);
    }
    cr_expect_eq(clusters_call(&c, 0, "POST", "/v1/bootstrap/create_cluster",
                               "{'cluster': {'name': 'alpha.test'}, 'credentials': {'username': "
                               "'admin', 'password': 'secret-1'}}",
                               NULL),
                 200);
    cr_expect_eq(clusters_call(&c, 0, "POST", "/v1/bootstrap/create_cluster", "{}", NULL), 409);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/bootstrap", NULL, &answer), 200);
    json_decref(answer);
    cr_expect_eq(raw("alpha", "GET /v1/bootstrap HTTP/1.1\r\nHost: x\r\n\r\n", &out), 401);
    cr_expect(strstr((const char *)out.p, "WWW-Authenticate: Basic"));
    buf_deinit(&out);
    clusters_free(&c);
}

Test(auth, large_bodies_are_taken_only_from_users)
{
    struct buf out;
    clusters_new(&c, 1, true);
    cr_expect_eq(
        raw("alpha", "POST /v1/bdbs HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", &out),
        401);
    buf_deinit(&out);
    cr_expect_eq(raw("alpha",
                     "POST /v1/bdbs HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
                     "YWRtaW46c2VjcmV0LTE=\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n",
                     &out),
                 100);
    buf_deinit(&out);
    clusters_free(&c);
}

Test(auth, a_changed_password_survives_a_restart)
{
    clusters_new(&c, 1, true);
    cr_expect_eq(
        clusters_call(&c, 0, "PUT", "/v1/users/password", "{'new_password': 'other'}", NULL), 200);
    clusters_kill_manager(&c, 0);
    clusters_start_manager(&c, 0);
    clusters_run(&c, 500);
    cr_expect_eq(clusters_call(&c, 0, "GET", "/v1/cluster", NULL, NULL), 401);
    struct buf out;
    /* admin:other */
    cr_expect_eq(raw("alpha",
                     "GET /v1/cluster HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
                     "YWRtaW46b3RoZXI=\r\n\r\n",
                     &out),
                 200);
    buf_deinit(&out);
    clusters_free(&c);
}
