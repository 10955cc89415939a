/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "api/router.h"

#include <criterion/criterion.h>

static void none(struct call *c) { (void)c; }

static const struct route routes[] = {
    {METHOD_GET, "/v1/bdbs", none, 0},
    {METHOD_POST, "/v1/bdbs", none, 0},
    {METHOD_GET, "/v1/bdbs/{uid}", none, 0},
    {METHOD_DELETE, "/v1/bdbs/{uid}", none, 0},
    {METHOD_POST, "/v1/crdbs/instances", none, 0},
    {METHOD_GET, "/v1/crdbs/{guid}", none, 0},
    {METHOD_GET, "/v1/a/{x}/b/{y}", none, 0},
    {METHOD_OTHER, NULL, NULL, 0},
};

static enum route_result find(enum http_method m, const char *path, struct route_match *out)
{
    return router_find(routes, m, bytes_str(path), out);
}

Test(router, finds_by_method_and_path)
{
    struct route_match m;
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs", &m), ROUTE_FOUND);
    cr_expect_eq(m.route, &routes[0]);
    cr_expect_eq(find(METHOD_POST, "/v1/bdbs/", &m), ROUTE_FOUND);
    cr_expect_eq(m.route, &routes[1]);
    cr_expect_eq(find(METHOD_HEAD, "/v1/bdbs", &m), ROUTE_FOUND);
    cr_expect_eq(m.route, &routes[0]);
}

Test(router, takes_parameters_decoded)
{
    struct route_match m;
    cr_expect_eq(find(METHOD_GET, "/v1/a/x%2Fy/b/z%20", &m), ROUTE_FOUND);
    cr_expect_eq(m.params_count, 2);
    cr_expect_str_eq(m.params[0], "x/y");
    cr_expect_str_eq(m.params[1], "z ");
}

Test(router, refuses_parameters_that_cannot_be_decoded)
{
    struct route_match m;
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs/%", &m), ROUTE_BAD);
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs/%4", &m), ROUTE_BAD);
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs/%zz", &m), ROUTE_BAD);
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs/a%00", &m), ROUTE_BAD);
    char path[300] = "/v1/bdbs/";
    memset(path + 9, 'a', 200);
    cr_expect_eq(find(METHOD_GET, path, &m), ROUTE_BAD);
}

Test(router, tells_a_wrong_method_from_a_wrong_path)
{
    struct route_match m;
    cr_expect_eq(find(METHOD_PATCH, "/v1/bdbs/1", &m), ROUTE_NO_METHOD);
    cr_expect_str_eq(m.allow, "GET, HEAD, DELETE, OPTIONS");
    cr_expect_eq(find(METHOD_GET, "/v1", &m), ROUTE_NO_PATH);
    cr_expect_eq(find(METHOD_GET, "/v1/bdbs/1/2", &m), ROUTE_NO_PATH);
    cr_expect_eq(find(METHOD_GET, "/", &m), ROUTE_NO_PATH);
    cr_expect_eq(find(METHOD_GET, "/v1//bdbs", &m), ROUTE_NO_PATH);
    cr_expect_eq(find(METHOD_GET, "v1/bdbs", &m), ROUTE_BAD);
    cr_expect_eq(find(METHOD_GET, "", &m), ROUTE_BAD);
}

Test(router, a_word_and_a_parameter_can_share_a_place)
{
    struct route_match m;
    cr_expect_eq(find(METHOD_POST, "/v1/crdbs/instances", &m), ROUTE_FOUND);
    cr_expect_eq(find(METHOD_POST, "/v1/crdbs/abc", &m), ROUTE_NO_METHOD);
}

Test(router, reads_queries)
{
    char v[32];
    struct bytes q = bytes_str("fields=uid,name&x=a%20b+c&flag&empty=");
    cr_expect(query_get(q, "fields", v, sizeof v));
    cr_expect_str_eq(v, "uid,name");
    cr_expect(query_get(q, "x", v, sizeof v));
    cr_expect_str_eq(v, "a b c");
    cr_expect(query_get(q, "flag", v, sizeof v));
    cr_expect_str_eq(v, "");
    cr_expect(query_get(q, "empty", v, sizeof v));
    cr_expect(!query_get(q, "y", v, sizeof v));
    cr_expect(!query_get(bytes_of(NULL, 0), "y", v, sizeof v));
    cr_expect(!query_get(bytes_str("x=%f"), "x", v, sizeof v));
    cr_expect(
        !query_get(bytes_str("x=0123456789012345678901234567890123456789"), "x", v, sizeof v));
}
