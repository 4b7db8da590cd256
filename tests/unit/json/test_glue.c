/* SPDX-License-Identifier: ISC */
/* Strings, splices, json-c behind the scan. */
#include <json-c/json.h>
#include <math.h>
#include <muster/json.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static void test_unescape(void)
{
  static const struct {
    const char *text, *plain;
  } cases[] = {
      {"\"\"", ""},
      {"\"plain\"", "plain"},
      {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
      {"\"a\\u0041\\u00e9\\u4e2d\\uD83D\\uDe00z\"", "aA\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z"},
      {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff\"",
       "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
      {"\"\\u0001\"", "\x01"},
  };
  static const struct mu_field table[] = {{"", MU_FIELD_ANY, 0, 0, 0, 0}};
  mu_schema *schema = mu_schema_new(table, 1, sizeof table[0]);
  struct mu_json_value value;
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    CU_ASSERT_EQUAL_FATAL(mu_json_scan(schema, cases[i].text, strlen(cases[i].text), &value, NULL), 0);
    struct mu_buf out = MU_BUF_INIT;
    mu_buf_adds(&out, "<");
    CU_ASSERT_EQUAL(mu_json_unescape(&value, &out), 0);
    CU_ASSERT_STRING_EQUAL(out.at + 1, cases[i].plain);
    CU_ASSERT_EQUAL(out.len, strlen(cases[i].plain) + 1);
    struct json_object *theirs = json_tokener_parse(cases[i].text);
    CU_ASSERT_STRING_EQUAL(json_object_get_string(theirs), cases[i].plain);
    json_object_put(theirs);
    mu_buf_free(&out);
    if (!value.escaped) {
      struct mu_str view = mu_json_str(&value);
      CU_ASSERT(mu_str_equal(view, mu_str(cases[i].plain)));
    }
  }
  CU_ASSERT_EQUAL(mu_json_scan(schema, "12", 2, &value, NULL), 0);
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL(mu_json_unescape(&value, &out), MU_ETYPE);
  CU_ASSERT_EQUAL(mu_json_str(&value).len, 0);
  CU_ASSERT_EQUAL(out.len, 0);
  mu_buf_free(&out);
  mu_schema_free(schema);
}

/* Cuts the member "x" out of `text`; the result must be `left`, and JSON. */
static void cut(const mu_schema *schema, const char *text, const char *left)
{
  struct mu_json_value values[2];
  CU_ASSERT_EQUAL_FATAL(mu_json_scan(schema, text, strlen(text), values, NULL), 0);
  struct mu_json_value *value = values[0].kind ? &values[0] : &values[1];
  struct mu_edit edit = mu_json_cut(mu_str(text), value);
  mu_text *result = mu_text_splice(mu_str(text), &edit, 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(result);
  CU_ASSERT_STRING_EQUAL(mu_text_data(result), left);
  CU_ASSERT_EQUAL(mu_json_scan(NULL, mu_text_data(result), mu_text_len(result), NULL, NULL), 0);
  mu_text_unref(result);
}

static void test_cut(void)
{
  static const struct mu_field table[] = {{"x", MU_FIELD_ANY, 0, 0, 0, 0},
                                          {"o.x", MU_FIELD_ANY, 0, 0, 0, sizeof(struct mu_json_value)}};
  mu_schema *schema = mu_schema_new(table, 2, sizeof table[0]);
  cut(schema, "{\"x\":1,\"b\":2}", "{\"b\":2}");
  cut(schema, "{\"a\":1,\"x\":[1,{}],\"b\":2}", "{\"a\":1,\"b\":2}");
  cut(schema, "{\"a\":1,\"x\":\"}\"}", "{\"a\":1}");
  cut(schema, "{\"x\":null}", "{}");
  cut(schema, " { \"x\" : 1 } ", " {  } ");
  cut(schema, "{\n  \"x\" : 1 ,\n  \"b\": 2\n}", "{\n  \"b\": 2\n}");
  cut(schema, "{\n  \"a\": 1 ,\n  \"x\" : 1\n}", "{\n  \"a\": 1 \n}");
  cut(schema, "{\"a\":1,\"o\":{\"x\":1},\"b\":1}", "{\"a\":1,\"o\":{},\"b\":1}");
  cut(schema, "{\"a\":1,\"\\u0078\":1}", "{\"a\":1}");
  /* not there, or no member: nothing to take out */
  struct mu_json_value none = {0};
  struct mu_edit edit = mu_json_cut(MU_STR("{}"), &none);
  CU_ASSERT(edit.at == 0 && edit.len == 0);
  mu_schema_free(schema);
  static const struct mu_field top[] = {{"", MU_FIELD_ANY, 0, 0, 0, 0}};
  schema = mu_schema_new(top, 1, sizeof top[0]);
  CU_ASSERT_EQUAL(mu_json_scan(schema, "{}", 2, &none, NULL), 0);
  edit = mu_json_cut(MU_STR("{}"), &none);
  CU_ASSERT(edit.at == 0 && edit.len == 0);
  mu_schema_free(schema);
}

static void test_parse(void)
{
  struct json_object *tree = (void *)"poison";
  struct mu_json_error error;
  CU_ASSERT_EQUAL(mu_json_parse("{\"a\":NaN}", 9, &tree, &error), MU_ESYNTAX);
  CU_ASSERT_PTR_NULL(tree);
  CU_ASSERT_EQUAL(error.offset, 5);
  CU_ASSERT_EQUAL(mu_json_parse("", 0, &tree, &error), MU_ESYNTAX);
  CU_ASSERT_EQUAL(mu_json_parse("{\"a\":\"\\u0000\"}", 14, &tree, &error), MU_ESYNTAX);
  char *exact = malloc(3); /* neither terminated nor followed by anything */
  memcpy(exact, "123", 3);
  CU_ASSERT_EQUAL(mu_json_parse(exact, 3, &tree, NULL), 0);
  CU_ASSERT_EQUAL(json_object_get_int64(tree), 123);
  json_object_put(tree);
  free(exact);
  CU_ASSERT_EQUAL(mu_json_parse("null ", 5, &tree, NULL), 0);
  CU_ASSERT_PTR_NULL(tree);
  MU_AUTO_JSON struct json_object *object = NULL;
  static const char padded[] = " {\"a\":[1,2.5,\"\\u00e9/\"]} \n";
  CU_ASSERT_EQUAL(mu_json_parse(padded, strlen(padded), &object, NULL), 0);
  mu_text *text = mu_json_text(object);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), "{\"a\":[1,2.5,\"\xc3\xa9/\"]}");
  mu_text_unref(text);
}

static void test_text(void)
{
  mu_text *text = mu_json_text(NULL);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), "null");
  mu_text_unref(text);
  MU_AUTO_JSON struct json_object *object = json_object_new_object();
  json_object_object_add(object, "ok", json_object_new_double(1.5));
  struct json_object *list = json_object_new_array();
  json_object_object_add(object, "list", list);
  text = mu_json_text(object);
  CU_ASSERT_PTR_NOT_NULL(text);
  mu_text_unref(text);
  json_object_array_add(list, json_object_new_double(NAN));
  CU_ASSERT_PTR_NULL(mu_json_text(object));
  json_object_array_put_idx(list, 0, json_object_new_double(INFINITY));
  CU_ASSERT_PTR_NULL(mu_json_text(object));
}

static const struct unit_test tests[] = {
    {"escapes", test_unescape},
    {"members are cut out: first, middle, last, only", test_cut},
    {"json-c behind the gate", test_parse},
    {"texts, never with NaN", test_text},
};
UNIT_MAIN("json glue", tests)
