/* SPDX-License-Identifier: ISC */
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include <muster/json.h>

#include "json/sample.h"
#include "unit.h"

/* Takes the sample's object and frees both; the text must be `expected`. */
static void finish(mu_sample *sample, unsigned omitted, const char *expected)
{
  CU_ASSERT_EQUAL(mui_sample_omitted(sample), omitted);
  struct json_object *object = mui_sample_take(sample);
  mu_text *text = mu_json_text(object);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), expected);
  CU_ASSERT_EQUAL(mu_json_scan(NULL, mu_text_data(text), mu_text_len(text), NULL, NULL), 0);
  mu_text_unref(text);
  json_object_put(object);
  mui_sample_free(sample);
}

static void test_types(void)
{
  mu_sample *s = mui_sample_new("/root", 42);
  CU_ASSERT_STRING_EQUAL(mu_sample_root(s), "/root");
  CU_ASSERT_EQUAL(mu_sample_mono_ns(s), 42);
  mu_sample_int(s, "i", INT64_MIN);
  mu_sample_uint(s, "u", UINT64_MAX);
  mu_sample_float(s, "f", 0.1);
  mu_sample_float(s, "f2", 7.0175438596431245);
  mu_sample_float(s, "f3", 5);
  mu_sample_bool(s, "b", true);
  mu_sample_text(s, "t", "a\"\n\xc3\xa9");
  mu_sample_floats(s, "l", (double[]){1, 2.5}, 2);
  mu_sample_floats(s, "e", NULL, 0);
  finish(
      s, 0,
      "{\"i\":-9223372036854775808,\"u\":9223372036854775807,\"f\":0.1,\"f2\":7.0175438596431245,\"f3\":5,\"b\":true,"
      "\"t\":\"a\\\"\\n\xc3\xa9\",\"l\":[1,2.5],\"e\":[]}");
}

static void test_left_out(void)
{
  mu_sample *s = mui_sample_new(NULL, 0);
  CU_ASSERT_STRING_EQUAL(mu_sample_root(s), "");
  mu_sample_float(s, "nan", NAN);
  mu_sample_float(s, "inf", -INFINITY);
  mu_sample_floats(s, "list", (double[]){1, NAN, 2}, 3);
  mu_sample_int(s, "a", 1);
  mu_sample_int(s, "a", 2);
  mu_sample_text(s, "a", "x");
  mu_sample_int(s, NULL, 1);
  mu_sample_int(s, "", 1);
  mu_sample_int(s, "Upper", 1);
  mu_sample_int(s, "1st", 1);
  mu_sample_int(s, "_x", 1);
  mu_sample_int(s, "a-b", 1);
  mu_sample_int(s, "a\n", 1);
  mu_sample_int(s, "\xc3\xa9", 1);
  mu_sample_int(s, "a23456789012345678901234567890123456789012345678901234567890123", 3);  /* 63: fits */
  mu_sample_int(s, "a234567890123456789012345678901234567890123456789012345678901234", 4); /* 64 */
  mu_sample_text(s, "none", NULL);
  mu_sample_text(s, "bad", "x\xff\xe4\xb8y");
  finish(s, 15,
         "{\"a\":1,\"a23456789012345678901234567890123456789012345678901234567890123\":3,"
         "\"bad\":\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy\"}");
}

static void test_rows(void)
{
  mu_sample *s = mui_sample_new("", 0);
  mu_sample_list_begin(s, "disks");
  mu_sample_int(s, "early", 1); /* no row is open */
  mu_sample_row(s);
  mu_sample_text(s, "path", "/");
  mu_sample_int(s, "total", 1);
  mu_sample_int(s, "total", 2);
  mu_sample_row(s);
  mu_sample_text(s, "path", "/b");
  mu_sample_floats(s, "speeds", (double[]){1}, 1);
  mu_sample_list_begin(s, "nested");
  mu_sample_row(s);
  mu_sample_int(s, "inner", 1);
  mu_sample_list_end(s);
  mu_sample_int(s, "total", 3);
  mu_sample_list_end(s);
  mu_sample_list_begin(s, "disks"); /* twice */
  mu_sample_row(s);
  mu_sample_int(s, "x", 1);
  mu_sample_list_end(s);
  mu_sample_list_begin(s, "none");
  mu_sample_list_end(s);
  mu_sample_list_end(s); /* one too many */
  mu_sample_row(s);      /* outside of a list */
  mu_sample_int(s, "after", 1);
  finish(s, 6,
         "{\"disks\":[{\"path\":\"/\",\"total\":1},{\"path\":\"/"
         "b\",\"speeds\":[1],\"total\":3}],\"none\":[],\"after\":1}");
}

static void test_taken(void)
{
  mu_sample *s = mui_sample_new("", 0);
  mu_sample_list_begin(s, "open");
  mu_sample_row(s);
  json_object_put(mui_sample_take(s));
  mu_sample_int(s, "late", 1);
  CU_ASSERT_EQUAL(mui_sample_omitted(s), 1);
  CU_ASSERT_PTR_NULL(mui_sample_take(s));
  mui_sample_free(s);
  s = mui_sample_new("", 0); /* freed without being taken */
  mu_sample_int(s, "a", 1);
  mui_sample_free(s);
  mui_sample_free(NULL);
}

static const struct unit_test tests[] = {
    {"every type", test_types},
    {"left out and counted", test_left_out},
    {"rows", test_rows},
    {"taken", test_taken},
};
UNIT_MAIN("samples", tests)
