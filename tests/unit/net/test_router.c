/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "base/logging.h"
#include "net/internal.h"
#include "unit.h"

static char last_line[512];

static void keep_line(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)level;
  snprintf(last_line, sizeof last_line, "%s", line);
}

static struct mui_route *route_new(const char *path, unsigned methods)
{
  struct mui_route *route = calloc(1, sizeof *route);
  route->path = strdup(path);
  route->methods = methods;
  return route;
}

static const char *find(struct mui_router *router, const char *path, unsigned method)
{
  static char text[80];
  struct mui_route *route;
  unsigned allowed = 0;
  switch (mui_router_find(router, mu_str(path), method, NULL, &route, &allowed)) {
  case MUI_ROUTE_FOUND:
    snprintf(text, sizeof text, "%s%s", route->path, route->prefix ? "*" : "");
    return text;
  case MUI_ROUTE_METHOD:
    snprintf(text, sizeof text, "allowed %u", allowed);
    return text;
  default:
    return "none";
  }
}

static void test_preference(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  static const char *const paths[] = {"/a/*", "/", "/*", "/b/*", "/a/b/*", "/a/b/c", "/a/"};
  for (size_t i = 0; i < MU_COUNT(paths); i++)
    CU_ASSERT_EQUAL(mui_router_add(router, in, route_new(paths[i], MU_HTTP_GET)), 0);
  CU_ASSERT_EQUAL(mui_router_add(router, in, route_new("/a/*", MU_HTTP_POST)), 0);
  static const char *const expected[][2] = {
      {"/", "/"},          {"/x", "/*"},        {"/a", "/*"},         {"/a/", "/a/"},        {"/a/x", "/a/*"},
      {"/a/b", "/a/*"},    {"/a/b/", "/a/b/*"}, {"/a/b/c", "/a/b/c"}, {"/a/b/cd", "/a/b/*"}, {"/A/x", "/*"},
      {"/a//b/c", "/a/*"}, {"", "none"},        {"a", "none"},
  };
  for (size_t i = 0; i < MU_COUNT(expected); i++)
    CU_ASSERT_STRING_EQUAL(find(router, expected[i][0], MU_HTTP_GET), expected[i][1]);
  /* The same prefix declared twice for different methods, with another of the same length between them. */
  CU_ASSERT_STRING_EQUAL(find(router, "/a/x", MU_HTTP_POST), "/a/*");
  CU_ASSERT_STRING_EQUAL(find(router, "/a/x", MU_HTTP_PUT), "allowed 3");
  CU_ASSERT_STRING_EQUAL(find(router, "/a/b/c", MU_HTTP_POST), "allowed 1");
  struct mu_str with_nul = {"/a/b/c\0/", 8};
  struct mui_route *route = NULL;
  CU_ASSERT_EQUAL(mui_router_find(router, with_nul, MU_HTTP_GET, NULL, &route, NULL), MUI_ROUTE_FOUND);
  CU_ASSERT_STRING_EQUAL(route->path, "/a/b/");
  mui_instance_revoke(in);
  CU_ASSERT_STRING_EQUAL(find(router, "/", MU_HTTP_GET), "none");
  mui_router_free(router);
  mui_instance_free(in);
}

static int add_rest(struct mui_router *router, mu_instance *in, const char *path, unsigned methods)
{
  static char row; /* only that there is one matters here */
  struct mui_route *route = route_new(path, methods);
  route->rest = (struct mui_rest_row *)(void *)&row;
  return mui_router_add(router, in, route);
}

static void test_parameters(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  static const char *const paths[] = {"/a/:x/:y", "/a/:id",  "/a/b",     "/a/:x/c",
                                      "/a/b/:y",  "/:z/b/c", "/a/b/c/d", "/:one"};
  CU_ASSERT_EQUAL(mui_router_add(router, in, route_new("/a/*", MU_HTTP_GET)), 0);
  for (size_t i = 0; i < MU_COUNT(paths); i++)
    CU_ASSERT_EQUAL(add_rest(router, in, paths[i], MU_HTTP_GET), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:other", MU_HTTP_PUT), 0);
  static const char *const expected[][2] = {
      {"/a/b", "/a/b"},       {"/a/c", "/a/:id"},    {"/a/b/c", "/a/b/:y"},    {"/a/x/c", "/a/:x/c"},
      {"/a/x/y", "/a/:x/:y"}, {"/x/b/c", "/:z/b/c"}, {"/a/b/c/d", "/a/b/c/d"}, {"/a/b/c/e", "/a/*"},
      {"/a/", "/a/*"},        {"/a//c", "/a/*"},     {"/x", "/:one"},          {"/", "none"},
      {"/a/x/y/", "/a/*"},    {"/x/y", "none"},      {"/a/:id", "/a/:id"},
  };
  for (size_t i = 0; i < MU_COUNT(expected); i++)
    CU_ASSERT_STRING_EQUAL(find(router, expected[i][0], MU_HTTP_GET), expected[i][1]);
  /* A literal that lacks the method leaves it to the parameter; what none has is refused with all that there are. */
  CU_ASSERT_STRING_EQUAL(find(router, "/a/b", MU_HTTP_PUT), "/a/:other");
  CU_ASSERT_STRING_EQUAL(find(router, "/a/b", MU_HTTP_DELETE), "allowed 5");
  struct mui_route *route = NULL;
  struct mu_str values[MUI_ROUTE_PARAMETERS] = {{0}}, path = MU_STR("/a/left/right");
  CU_ASSERT_EQUAL(mui_router_find(router, path, MU_HTTP_GET, NULL, &route, NULL), MUI_ROUTE_FOUND);
  CU_ASSERT_TRUE(mui_route_parameters(route, path, values));
  CU_ASSERT_TRUE(mu_str_equal(values[0], MU_STR("left")) && mu_str_equal(values[1], MU_STR("right")));
  mui_router_free(router);
  mui_instance_free(in);
}

/* The last parameter may take what is left; paths of others below it keep their methods. */
static void test_rest_of_path(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:x/d/:name+", MU_HTTP_PUT), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:x/d/:id/data", MU_HTTP_GET), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:x/d/:id/mode", MU_HTTP_PUT), 0);
  static const struct {
    const char *path;
    unsigned method;
    const char *expected;
  } cases[] = {
      {"/a/1/d/b", MU_HTTP_PUT, "/a/:x/d/:name+"},
      {"/a/1/d/b/c", MU_HTTP_PUT, "/a/:x/d/:name+"},
      {"/a/1/d/b/c/", MU_HTTP_PUT, "/a/:x/d/:name+"},
      {"/a/1/d/b/data", MU_HTTP_PUT, "/a/:x/d/:name+"},
      {"/a/1/d/b/mode", MU_HTTP_PUT, "/a/:x/d/:id/mode"},
      {"/a/1/d/b/data", MU_HTTP_GET, "/a/:x/d/:id/data"},
      {"/a/1/d/b/c", MU_HTTP_GET, "none"},
      {"/a/1/d/b/c", 0, "allowed 4"},
      {"/a/1/d/b", MU_HTTP_GET, "allowed 4"},
      {"/a/1/d/b/data", MU_HTTP_DELETE, "allowed 1"},
      {"/a/1/d/", MU_HTTP_PUT, "none"},
      {"/a/1/d", MU_HTTP_PUT, "none"},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++)
    CU_ASSERT_STRING_EQUAL(find(router, cases[i].path, cases[i].method), cases[i].expected);
  struct mui_route *route = NULL;
  struct mu_str values[MUI_ROUTE_PARAMETERS] = {{0}}, path = MU_STR("/a/1/d/left/right");
  CU_ASSERT_EQUAL(mui_router_find(router, path, MU_HTTP_PUT, NULL, &route, NULL), MUI_ROUTE_FOUND);
  CU_ASSERT_TRUE(mui_route_parameters(route, path, values));
  CU_ASSERT_TRUE(mu_str_equal(values[0], MU_STR("1")) && mu_str_equal(values[1], MU_STR("left/right")));
  path = MU_STR("/a/1/d/left/"); /* forgiven, as everywhere */
  CU_ASSERT_TRUE(mui_route_parameters(route, path, values) && mu_str_equal(values[1], MU_STR("left")));
  mui_router_free(router);
  mui_instance_free(in);
}

static void test_bad_parameters(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  mui_log_sink(keep_line, NULL);
  static const char *const bad[] = {"/:",    "/a/:",   "/:+",   "/:a+/b",
                                    "/:a-b", "/:a/:*", "/:a/*", "/:1/:2/:3/:4/:5/:6/:7/:8/:9"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_EQUAL(add_rest(router, in, bad[i], MU_HTTP_GET), MU_EINVAL);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:id/b", MU_HTTP_GET | MU_HTTP_PUT), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:name/b", MU_HTTP_PUT), MU_EEXIST);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:name/b", MU_HTTP_POST), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/:name/c", MU_HTTP_PUT), 0);
  CU_ASSERT_EQUAL(add_rest(router, in, "/a/id/:b", MU_HTTP_PUT), 0);
  mui_log_sink(NULL, NULL);
  mui_router_free(router);
  mui_instance_free(in);
}

static void test_equal_claims(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *one = mui_instance_new(&runtime, "first", "x");
  mu_instance *two = mui_instance_new(&runtime, "second", "x");
  struct mui_router *router = mui_router_new();
  mui_log_sink(keep_line, NULL);
  CU_ASSERT_EQUAL(mui_router_add(router, one, route_new("/a", MU_HTTP_GET | MU_HTTP_POST)), 0);
  CU_ASSERT_EQUAL(mui_router_add(router, two, route_new("/a", MU_HTTP_POST)), MU_EEXIST);
  CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "first"));
  CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "second"));
  CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "/a"));
  CU_ASSERT_EQUAL(mui_router_add(router, two, route_new("/a", MU_HTTP_DELETE)), 0);
  CU_ASSERT_EQUAL(mui_router_add(router, two, route_new("/ws", 0)), 0);
  CU_ASSERT_EQUAL(mui_router_add(router, one, route_new("/ws", 0)), MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(find(router, "/ws", 0), "/ws");
  /* What one gave up, the other may have. */
  mui_instance_revoke(two);
  CU_ASSERT_EQUAL(mui_router_add(router, one, route_new("/ws", 0)), 0);
  mui_log_sink(NULL, NULL);
  mui_router_free(router);
  mui_instance_free(one);
  mui_instance_free(two);
}

static void test_bad_paths(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  mui_log_sink(keep_line, NULL);
  static const char *const bad[] = {"", "a", "*", "/a*", "/a*b", "/*/b", "/a b", "/a?b", "/a%20", "/a\n", "/a/**"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_EQUAL(mui_router_add(router, in, route_new(bad[i], MU_HTTP_GET)), MU_EINVAL);
  mui_log_sink(NULL, NULL);
  mui_router_free(router);
  mui_instance_free(in);
}

static unsigned gone_count;

static void gone(struct mui_route *route)
{
  CU_ASSERT_STRING_EQUAL(route->path, "/gone");
  gone_count++;
}

static void test_gone(void)
{
  struct mui_runtime runtime = {0};
  mu_instance *in = mui_instance_new(&runtime, "one", "one");
  struct mui_router *router = mui_router_new();
  struct mui_route *route = route_new("/gone", MU_HTTP_GET);
  route->gone = gone;
  CU_ASSERT_EQUAL(mui_router_add(router, in, route), 0);
  mui_router_free(router); /* before its instances: they must not be left with a dangling resource */
  CU_ASSERT_EQUAL(gone_count, 1);
  mui_instance_revoke(in);
  CU_ASSERT_EQUAL(gone_count, 1);
  mui_instance_free(in);
}

static const struct unit_test tests[] = {
    {"exact beats prefix, long beats short", test_preference},
    {"parameters: literals beat them, and they beat prefixes", test_parameters},
    {"a parameter that takes the rest of the path", test_rest_of_path},
    {"parameters that are none, or taken", test_bad_parameters},
    {"equal claims are refused naming both", test_equal_claims},
    {"paths that are no paths", test_bad_paths},
    {"a route tells when it goes", test_gone},
};
UNIT_MAIN("router", tests)
