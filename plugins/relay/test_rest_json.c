/* SPDX-License-Identifier: ISC */
/* Rows as JSON by a table of fields: whatever a database holds, an answer comes of it. */
#include <string.h>

#include "../../tests/unit.h"
#include "rest.h"

static void gives(const struct mu_value *value, enum mu_rest_type type, const char *expected)
{
  struct json_object *made = rest_value(value, type);
  const char *text = json_object_to_json_string_ext(made, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
  if (strcmp(text, expected) != 0)
    fprintf(stderr, "%s, expected %s\n", text, expected);
  CU_ASSERT_STRING_EQUAL(text, expected);
  json_object_put(made);
}

static void text_gives(const char *text, enum mu_rest_type type, const char *expected)
{
  struct mu_value value = mu_value_text(text);
  gives(&value, type, expected);
}

static void test_values(void)
{
  struct mu_value value = mu_value_null();
  gives(&value, MU_REST_STRING, "null");
  gives(&value, MU_REST_ANY, "null");
  value = mu_value_int(1);
  gives(&value, MU_REST_BOOLEAN, "true");
  gives(&value, MU_REST_INTEGER, "1");
  value = mu_value_int(0);
  gives(&value, MU_REST_BOOLEAN, "false");
  value = mu_value_int(INT64_MIN);
  gives(&value, MU_REST_INTEGER, "-9223372036854775808");
  value = mu_value_real(21.5);
  gives(&value, MU_REST_NUMBER, "21.5");
  value = mu_value_time(1795247242328);
  gives(&value, MU_REST_TIME, "\"2026-11-21T07:47:22.328Z\"");
}

static void test_texts(void)
{
  text_gives("", MU_REST_STRING, "\"\"");
  text_gives("{\"a\":1}", MU_REST_STRING, "\"{\\\"a\\\":1}\"");
  text_gives("null", MU_REST_STRING, "\"null\"");
  text_gives("{\"a\":[1,{}]}", MU_REST_OBJECT, "{\"a\":[1,{}]}");
  text_gives("[1,2]", MU_REST_ARRAY, "[1,2]");
  text_gives("null", MU_REST_ANY, "null");
  text_gives("12.50", MU_REST_NUMBER, "12.50");
  /* what is no JSON is given as it is */
  text_gives("{\"a\":", MU_REST_OBJECT, "\"{\\\"a\\\":\"");
  text_gives("", MU_REST_ANY, "\"\"");
  text_gives("x y", MU_REST_ANY, "\"x y\"");
}

static const struct mu_rest_field fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "on", .type = MU_REST_BOOLEAN},
    {.name = "config", .type = MU_REST_OBJECT},
    {.name = "nowhere", .type = MU_REST_STRING},
};

static void test_rows(void)
{
  const struct mu_value values[] = {mu_value_text("a"), mu_value_int(1), mu_value_text("{}"),
                                    mu_value_text("b"), mu_value_null(), mu_value_text("null")};
  const struct mu_result result = {
      .size = sizeof result, .reason = "", .key = "", .rows = 2, .columns = 3, .values = values};
  static const struct {
    size_t count;
    const char *expected;
  } cases[] = {
      {MU_COUNT(fields), "[{\"id\":\"a\",\"on\":true,\"config\":{}},{\"id\":\"b\",\"on\":null,\"config\":null}]"},
      {2, "[{\"id\":\"a\",\"on\":true},{\"id\":\"b\",\"on\":null}]"},
      {0, "[{},{}]"},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct json_object *made = rest_rows(&result, fields, cases[i].count);
    CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(made, JSON_C_TO_STRING_PLAIN), cases[i].expected);
    json_object_put(made);
  }
  struct json_object *from = rest_row_from(&result, 0, 1, fields + 1, 2);
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(from, JSON_C_TO_STRING_PLAIN), "{\"on\":true,\"config\":{}}");
  json_object_put(from);
}

static void test_wraps(void)
{
  struct json_object *made = rest_data("list", json_object_new_array());
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(made, JSON_C_TO_STRING_PLAIN), "{\"data\":{\"list\":[]}}");
  json_object_put(made);
  CU_ASSERT_PTR_NULL(rest_data("list", NULL));
  CU_ASSERT_PTR_NULL(rest_wrap(NULL));
}

static size_t released;

static void release(void *kept)
{
  released += *(size_t *)kept;
}

static void test_kept(void)
{
  size_t *kept = rest_keep(sizeof *kept, release);
  CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
  CU_ASSERT_EQUAL(*kept, 0);
  *kept = 5;
  rest_drop(kept);
  CU_ASSERT_EQUAL(released, 5);
  rest_drop(NULL);
}

static const struct unit_test tests[] = {
    {"values", test_values}, {"texts", test_texts}, {"rows", test_rows}, {"wraps", test_wraps}, {"kept", test_kept},
};

UNIT_MAIN("relay rest json", tests)
