/* SPDX-License-Identifier: ISC */
/* Tables that contradict themselves, times, languages, rates. What requests see is in tests/e2e/test_rest.py. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/logging.h"
#include "loop/loop.h"
#include "net/net.h"
#include "net/rest.h"
#include "unit.h"

static struct mui_runtime runtime;
static mu_instance *in;
static char last_line[512];

static void keep_line(void *context, enum mu_level level, const char *line)
{
  (void)context;
  if (level <= MU_LOG_ERROR)
    snprintf(last_line, sizeof last_line, "%s", line);
}

static void setup(void)
{
  runtime = (struct mui_runtime){.node = "test", .root = ""};
  mui_log_sink(keep_line, NULL);
  runtime.loop = mui_loop_new(1, 0);
  runtime.core = mui_instance_new(&runtime, "core", "core");
  runtime.net = mui_net_new(&runtime);
  CU_ASSERT_PTR_NOT_NULL_FATAL(runtime.net);
  in = mui_instance_new(&runtime, "tester", "tester");
}

static void teardown(void)
{
  mui_instance_revoke(in);
  mui_net_free(runtime.net);
  mui_instance_free(in);
  mui_instance_revoke(runtime.core);
  mui_loop_free(runtime.loop);
  mui_instance_free(runtime.core);
  mui_log_sink(NULL, NULL);
}

static int handle(void *self, mu_http *request)
{
  (void)self;
  return mu_rest_answer(request, 200, NULL);
}

static int serve(const struct mu_rest_route *routes, size_t count)
{
  struct mu_rest_api api = {.size = sizeof api,
                            .title = "Test",
                            .routes = routes,
                            .count = count,
                            .route_size = sizeof *routes,
                            .field_size = sizeof(struct mu_rest_field)};
  last_line[0] = '\0';
  return mu_rest_serve(in, &api, NULL);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool fine(struct mu_str value, struct mu_words *why)
{
  (void)value, (void)why;
  return true;
}

static const char *const none[] = {NULL};
static const char *const some[] = {"a", NULL};
static const struct mu_rest_field plain[] = {{.name = "x", .type = MU_REST_STRING}};

static void test_bad_fields(void)
{
  static const struct mu_rest_field bad[] = {
      {.type = MU_REST_STRING},
      {.name = "", .type = MU_REST_STRING},
      {.name = "x", .type = MU_REST_ARRAY + 1},
      {.name = "x", .type = MU_REST_ARRAY, .item = MU_REST_ARRAY + 1},
      {.name = "x", .type = MU_REST_INTEGER, .min = 2, .max = 1},
      {.name = "x", .type = MU_REST_STRING, .min = 8},
      {.name = "x", .type = MU_REST_NUMBER, .min = NAN, .max = 1},
      {.name = "x", .type = MU_REST_INTEGER, .one_of = some},
      {.name = "x", .type = MU_REST_STRING, .one_of = none},
      {.name = "x", .type = MU_REST_INTEGER, .pattern = "a"},
      {.name = "x", .type = MU_REST_BOOLEAN, .check = fine},
      {.name = "x", .type = MU_REST_STRING, .pattern = "(a"},
      {.name = "x", .type = MU_REST_STRING, .pattern = "[a"},
      {.name = "x", .type = MU_REST_STRING, .pattern = "(a)\\1"},
      {.name = "x", .type = MU_REST_STRING, .pattern = "a\\"},
      {.name = "x", .type = MU_REST_STRING, .pattern = "a{256}"},
      {.name = "x", .type = MU_REST_STRING, .pattern = "a{1,1000}"},
      {.name = "x", .type = MU_REST_STRING, .fields = MU_REST_FIELDS(plain)},
      {.name = "x", .type = MU_REST_OBJECT, .fields = {NULL, 1}},
      {.name = "x", .also = "y", .type = MU_REST_STRING}, /* "y" comes again */
  };
  setup();
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    const struct mu_rest_field fields[] = {{.name = "y", .type = MU_REST_STRING}, bad[i]};
    const struct mu_rest_route route = MU_REST(POST, "/api/a", PUBLIC, handle, .body = MU_REST_FIELDS(fields));
    CU_ASSERT_EQUAL(serve(&route, 1), MU_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "/api/a"));
  }
  static const struct mu_rest_field no_query[] = {
      {.name = "x", .type = MU_REST_OBJECT},
      {.name = "x", .type = MU_REST_ARRAY, .item = MU_REST_OBJECT},
      {.name = "x", .type = MU_REST_ARRAY, .fields = MU_REST_FIELDS(plain)},
  };
  for (size_t i = 0; i < MU_COUNT(no_query); i++) {
    const struct mu_rest_route route = MU_REST(GET, "/api/a", PUBLIC, handle, .query = {&no_query[i], 1});
    CU_ASSERT_EQUAL(serve(&route, 1), MU_EINVAL);
  }
  teardown();
}

static void test_deep_tables(void)
{
  setup();
  struct mu_rest_field levels[9] = {{.name = "x", .type = MU_REST_STRING}};
  for (size_t i = 1; i < MU_COUNT(levels); i++)
    levels[i] = (struct mu_rest_field){.name = "x", .type = MU_REST_OBJECT, .fields = {&levels[i - 1], 1}};
  const struct mu_rest_route deep = MU_REST(POST, "/api/a", PUBLIC, handle, .body = {&levels[8], 1});
  CU_ASSERT_EQUAL(serve(&deep, 1), MU_EINVAL);
  const struct mu_rest_route fits = MU_REST(POST, "/api/a", PUBLIC, handle, .body = {&levels[7], 1});
  CU_ASSERT_EQUAL(serve(&fits, 1), 0);
  teardown();
}

static void test_bad_routes(void)
{
  static const struct mu_rest_route bad[] = {
      {.method = MU_HTTP_GET, .path = "/api/a", .handle = handle}, /* no access rule: only by hand */
      {.method = MU_HTTP_GET, .path = "/api/a", .access = MU_ACCESS_ADMIN + 1, .handle = handle},
      {.method = MU_HTTP_GET | MU_HTTP_POST, .path = "/api/a", .access = MU_ACCESS_USER, .handle = handle},
      {.path = "/api/a", .access = MU_ACCESS_USER, .handle = handle},
      MU_REST(GET, "/api/a", USER, NULL),
      MU_REST(GET, NULL, USER, handle),
      MU_REST(GET, "", USER, handle),
      MU_REST(GET, "api/a", USER, handle),
      MU_REST(GET, "/api/*", USER, handle),
      MU_REST(GET, "/api/:", USER, handle),
      MU_REST(GET, "/api/a b", USER, handle),
      MU_REST(GET, "/api/a", USER, handle, .body = MU_REST_FIELDS(plain)),
      MU_REST(GET, "/api/a", USER, handle, .max_body = 5),
      MU_REST(GET, "/api/a", USER, handle, .owner = "thing"),
      MU_REST(GET, "/api/:id", PUBLIC, handle, .owner = "thing"),
      MU_REST(GET, "/api/a", USER, handle, .status = 404),
      MU_REST(GET, "/api/a", USER, handle, .errors = MU_REST_ERRORS_TEXT + 1),
      MU_REST(GET, "/api/a", USER, handle, .rate = {.count = 5, .window_s = 1}),
      MU_REST(GET, "/api/a", USER, handle, .rate = {.name = "r", .count = 5}),
      MU_REST(POST, "/api/a", USER, handle, .body = MU_REST_FIELDS(plain), .query = MU_REST_FIELDS(plain)),
  };
  setup();
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    CU_ASSERT_EQUAL(serve(&bad[i], 1), MU_EINVAL);
    CU_ASSERT_NOT_EQUAL(last_line[0], '\0');
  }
  static const struct mu_rest_route rates[] = {
      MU_REST(GET, "/api/a", PUBLIC, handle, .rate = {"r", 5, 60}),
      MU_REST(POST, "/api/a", PUBLIC, handle, .rate = {"r", 6, 60}),
  };
  CU_ASSERT_EQUAL(serve(rates, 2), MU_EINVAL);
  static const struct mu_rest_route twice[] = {
      MU_REST(GET, "/api/:a/b", PUBLIC, handle),
      MU_REST(GET, "/api/:b/b", PUBLIC, handle),
  };
  CU_ASSERT_EQUAL(serve(twice, 2), MU_EEXIST);
  CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "tester"));
  static const struct mu_rest_route own = MU_REST(GET, "/api/openapi.json", PUBLIC, handle);
  CU_ASSERT_EQUAL(serve(&own, 1), MU_EEXIST);
  teardown();
}

static void test_sizes(void)
{
  static const struct mu_rest_route route = MU_REST(GET, "/api/a", PUBLIC, handle);
  struct mu_rest_api good = {.size = sizeof good,
                             .title = "Test",
                             .routes = &route,
                             .count = 1,
                             .route_size = sizeof route,
                             .field_size = sizeof(struct mu_rest_field)};
  setup();
  struct mu_rest_api bad[] = {good, good, good, good, good};
  bad[0].size = 8;
  bad[1].route_size = 8;
  bad[2].field_size = 8;
  bad[3].routes = NULL;
  bad[4].title = NULL;
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_EQUAL(mu_rest_serve(in, &bad[i], NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_rest_serve(in, &good, NULL), 0);
  CU_ASSERT_EQUAL(mu_rest_serve(in, &good, NULL), MU_EEXIST);
  /* A plugin that is newer than this core has larger rows. */
  struct {
    struct mu_rest_route row;
    char more[64];
  } rows[2] = {{MU_REST(GET, "/api/b", PUBLIC, handle), "x"}, {MU_REST(GET, "/api/c", PUBLIC, handle), "y"}};
  struct {
    struct mu_rest_field field;
    char more[32];
  } fields[2] = {{{.name = "a", .type = MU_REST_STRING}, "x"}, {{.name = "b", .type = MU_REST_STRING}, "y"}};
  rows[1].row.query = (struct mu_rest_fields){&fields[0].field, 2};
  struct mu_rest_api newer = good;
  newer.routes = &rows[0].row;
  newer.count = 2;
  newer.route_size = sizeof rows[0];
  newer.field_size = sizeof fields[0];
  CU_ASSERT_EQUAL(mu_rest_serve(in, &newer, NULL), 0);
  teardown();
}

/* ---- times ----------------------------------------------------------------------------------- */

static void test_times(void)
{
  char text[25];
  int64_t back;
  /* Against the system's own calendar, over some four thousand years. */
  for (int64_t s = INT64_C(-62167219200); s < INT64_C(253402300800); s += 86399 * 97 + 12345) {
    time_t at = (time_t)s;
    struct tm tm;
    char expected[80];
    gmtime_r(&at, &tm);
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(s & 511));
    mu_iso_time(s * 1000 + (s & 511), text);
    if (strcmp(text, expected) != 0 || !mu_iso_parse(mu_str(text), &back) || back != s * 1000 + (s & 511)) {
      CU_FAIL("a time does not come back");
      break;
    }
  }
  static const int64_t far[] = {INT64_MIN, INT64_MIN + 1, -62167219200001, 253402300800000, INT64_MAX};
  for (size_t i = 0; i < MU_COUNT(far); i++) {
    mu_iso_time(far[i], text);
    CU_ASSERT_EQUAL(strlen(text), 24);
    CU_ASSERT_TRUE(mu_iso_parse(mu_str(text), &back));
  }
  static const char *const bad[] = {"2026-11-21", "2026-11-21T07:47:22",  "2026-11-21T07:47", "",
                                    "2026",       "2026-11-21T07:47:22ZZ"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(mu_iso_parse(mu_str(bad[i]), &back));
  CU_ASSERT_TRUE(mu_iso_parse(mu_str("2026-11-21T07:47Z"), &back) && back == INT64_C(1795247220000));
  CU_ASSERT_TRUE(mu_iso_parse(mu_str("2016-12-31T23:59:60Z"), &back) && back == INT64_C(1483228800000));
  CU_ASSERT_FALSE(mu_iso_parse((struct mu_str){"2026-11-21T07:47Z", 16}, &back)); /* reads no further than it may */
}

/* ---- rates ----------------------------------------------------------------------------------- */

static void test_rates(void)
{
  const struct mu_rest_rate declared = {.name = "r", .count = 2, .window_s = 10};
  struct mui_rest_rate *rate = mui_rest_rate_new(&declared);
  const int64_t second = 1000000000;
  unsigned char a[16] = {1}, b[16] = {2};
  struct mui_rest_rated got = mui_rest_rate_count(rate, a, 100 * second);
  CU_ASSERT_TRUE(!got.refused && got.left == 1 && got.reset_s == 10);
  got = mui_rest_rate_count(rate, a, 104 * second + 1);
  CU_ASSERT_TRUE(!got.refused && got.left == 0 && got.reset_s == 6);
  got = mui_rest_rate_count(rate, b, 105 * second);
  CU_ASSERT_TRUE(!got.refused && got.left == 1 && got.reset_s == 10);
  got = mui_rest_rate_count(rate, a, 110 * second - 1);
  CU_ASSERT_TRUE(got.refused && got.left == 0 && got.reset_s == 1);
  got = mui_rest_rate_count(rate, a, 110 * second);
  CU_ASSERT_TRUE(!got.refused && got.left == 1 && got.reset_s == 10);
  got = mui_rest_rate_count(rate, b, 114 * second);
  CU_ASSERT_TRUE(!got.refused && got.left == 0 && got.reset_s == 1);
  /* A flood of addresses takes the oldest windows only. */
  for (unsigned i = 0; i < 8190; i++) {
    unsigned char key[16] = {9, (unsigned char)(i >> 8), (unsigned char)i};
    mui_rest_rate_count(rate, key, 114 * second);
  }
  CU_ASSERT_TRUE(mui_rest_rate_count(rate, b, 114 * second).refused);
  unsigned char one_more[16] = {10};
  mui_rest_rate_count(rate, one_more, 114 * second);
  CU_ASSERT_FALSE(mui_rest_rate_count(rate, b, 114 * second).refused); /* it was the oldest */
  mui_rest_rate_free(rate);
}

static const struct unit_test tests[] = {
    {"fields that contradict themselves", test_bad_fields},
    {"tables in tables", test_deep_tables},
    {"routes that contradict themselves", test_bad_routes},
    {"rows of other sizes", test_sizes},
    {"times, there and back", test_times},
    {"rates: windows and bounds", test_rates},
};
UNIT_MAIN("rest", tests)
