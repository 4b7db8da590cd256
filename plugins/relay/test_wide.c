/* SPDX-License-Identifier: ISC */
/* Alert rules against values, numbers as they are shown, exports. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "alerts.h"
#include "export.h"
#include "rest_wide.h"
#include "unit.h"

/* ---- rules ----------------------------------------------------------------------------------- */

static bool matches(const char *sign, const char *threshold, const char *text, const char *type)
{
  return alert_matches(alert_operator_of(mu_str(sign)), mu_str(threshold), mu_str(text), type);
}

static void test_numbers_are_compared(void)
{
  CU_ASSERT_TRUE(matches(">", "20", "20.5", "number"));
  CU_ASSERT_FALSE(matches(">", "20", "20", "number"));
  CU_ASSERT_TRUE(matches(">=", "20", "2e1", "number"));
  CU_ASSERT_TRUE(matches("<", "-1", "-1.5", "number"));
  CU_ASSERT_TRUE(matches("<=", "0", "-0", "number"));
  CU_ASSERT_TRUE(matches("==", "20", "20.0", "number"));
  CU_ASSERT_FALSE(matches("!=", "20", "20.0", "number"));
}

static void test_texts_are_equal_or_not(void)
{
  CU_ASSERT_TRUE(matches("==", "open", "open", "string"));
  CU_ASSERT_FALSE(matches("==", "open", "Open", "string"));
  CU_ASSERT_TRUE(matches("!=", "open", "shut", "string"));
  CU_ASSERT_TRUE(matches("==", "true", "true", "boolean"));
  CU_ASSERT_FALSE(matches("==", "20", "20.0", "string"));
  CU_ASSERT_TRUE(matches("!=", "open", "5", "number"));
}

static void test_order_is_for_numbers(void)
{
  CU_ASSERT_FALSE(matches(">", "20", "30", "string"));
  CU_ASSERT_FALSE(matches(">", "20", "true", "boolean"));
  CU_ASSERT_FALSE(matches(">", "a", "30", "number"));
  CU_ASSERT_FALSE(matches("~", "20", "30", "number"));
  CU_ASSERT_FALSE(matches(">", "20", "1e999", "number"));
}

static void test_what_a_number_is(void)
{
  double number;
  CU_ASSERT_TRUE(alert_number(MU_STR("-1.5e3"), &number) && number == -1500);
  static const char *const none[] = {"", " 1", "1 ", "0x10", "inf", "nan", "1e999", "1,5", "--1", "1e", "."};
  for (size_t i = 0; i < MU_COUNT(none); i++)
    CU_ASSERT_FALSE(alert_number(mu_str(none[i]), &number));
  CU_ASSERT_FALSE(alert_number((struct mu_str){"1\0002", 3}, &number));
}

static void test_a_rule_pauses_five_minutes(void)
{
  int64_t now = 1795247242870;
  CU_ASSERT_TRUE(alert_may_hit(0, now));
  CU_ASSERT_FALSE(alert_may_hit(now, now));
  CU_ASSERT_FALSE(alert_may_hit(now - 299999, now));
  CU_ASSERT_TRUE(alert_may_hit(now - 300000, now));
  CU_ASSERT_FALSE(alert_may_hit(now + 1000, now));
  CU_ASSERT_TRUE(alert_may_hit(now + 86400000, now)); /* the clock was wrong then */
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void shown(double number, bool rounded, const char *expected)
{
  struct json_object *made = wide_number(number, rounded);
  CU_ASSERT_STRING_EQUAL(made ? json_object_to_json_string(made) : "null", expected);
  json_object_put(made);
}

static void test_numbers_as_they_are_shown(void)
{
  shown(22.1666666666666667, true, "22.166667");
  shown(44, true, "44");
  shown(-0.5, true, "-0.5");
  shown(100, true, "100");
  shown(0, true, "0");
  shown(-0.0, false, "0");
  shown(1e-9, true, "1e-09");
  shown(22.1, false, "22.1");
  shown(0.1 + 0.2, false, "0.30000000000000004");
  shown(1e300, true, "1e+300");
  shown(INFINITY, true, "null");
  shown(NAN, false, "null");
}

/* ---- exports --------------------------------------------------------------------------------- */

static void cell(const char *text, bool number, const char *expected)
{
  struct mu_buf out = MU_BUF_INIT;
  export_cell(&out, mu_str(text), number);
  CU_ASSERT_STRING_EQUAL(out.at ? out.at : "", expected);
  mu_buf_free(&out);
}

static void test_cells(void)
{
  cell("plain", false, "plain");
  cell("", false, "");
  cell("a,b", false, "\"a,b\"");
  cell("a \"b\"", false, "\"a \"\"b\"\"\"");
  cell("a\nb", false, "\"a\nb\"");
  cell("=1+1", false, "'=1+1");
  cell("+1", false, "'+1");
  cell("-1", false, "'-1");
  cell("@x", false, "'@x");
  cell("\tx", false, "'\tx");
  cell("\rx", false, "\"'\rx\"");
  cell("=a,b", false, "\"'=a,b\"");
  cell("-1", true, "-1");
}

#define VALUE(device_, ms_, key_, text_, type_)                                                                        \
  {                                                                                                                    \
    .device = {device_, sizeof(device_) - 1}, .name = {"N", 1}, .key = {key_, sizeof(key_) - 1},                       \
    .text = {text_, sizeof(text_) - 1}, .type = {type_, sizeof(type_) - 1}, .ms = (ms_)                                \
  }

static const struct export_value values[] = {
    VALUE("d1", 0, "t", "1", "number"),       VALUE("d1", 0, "t", "2", "number"),
    VALUE("d1", 0, "u", "{\"a\":1}", "json"), VALUE("d2", 0, "t", "-3", "number"),
    VALUE("d1", 1, "t", "-4", "string"),      VALUE("d1", 1, "v", "=x", "number"),
    VALUE("d1", 2, "w", "broken", "json"),
};

static void test_csv(void)
{
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL(export_csv(values, MU_COUNT(values), &out), 0);
  CU_ASSERT_STRING_EQUAL(out.at, "device_id,device_name,timestamp,t,u,v,w\n"
                                 "d1,N,1970-01-01T00:00:00.000Z,2,\"{\"\"a\"\":1}\",,\n"
                                 "d2,N,1970-01-01T00:00:00.000Z,-3,,,\n"
                                 "d1,N,1970-01-01T00:00:00.001Z,'-4,,'=x,\n"
                                 "d1,N,1970-01-01T00:00:00.002Z,,,,broken\n");
  mu_buf_free(&out);
}

static void test_json(void)
{
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL(export_json(values, MU_COUNT(values), &out), 0);
  CU_ASSERT_STRING_EQUAL(
      out.at,
      "[{\"device_id\":\"d1\",\"device_name\":\"N\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"data\":"
      "{\"t\":2,\"u\":{\"a\":1}}},"
      "{\"device_id\":\"d2\",\"device_name\":\"N\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"data\":{\"t\":-3}},"
      "{\"device_id\":\"d1\",\"device_name\":\"N\",\"timestamp\":\"1970-01-01T00:00:00.001Z\",\"data\":"
      "{\"t\":\"-4\",\"v\":\"=x\"}},"
      "{\"device_id\":\"d1\",\"device_name\":\"N\",\"timestamp\":\"1970-01-01T00:00:00.002Z\",\"data\":"
      "{\"w\":\"broken\"}}]");
  mu_buf_free(&out);
}

static void test_nothing_to_export(void)
{
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL(export_csv(values, 0, &out), 0);
  CU_ASSERT_STRING_EQUAL(out.at, "device_id,device_name,timestamp\n");
  mu_buf_clear(&out);
  CU_ASSERT_EQUAL(export_json(values, 0, &out), 0);
  CU_ASSERT_STRING_EQUAL(out.at, "[]");
  mu_buf_free(&out);
}

static void test_too_many_keys(void)
{
  static struct export_value many[EXPORT_KEYS_MAX + 1];
  static char keys[EXPORT_KEYS_MAX + 1][8];
  for (size_t i = 0; i < MU_COUNT(many); i++) {
    snprintf(keys[i], sizeof keys[i], "k%zu", i % 10000);
    many[i] = values[0];
    many[i].key = mu_str(keys[i]);
  }
  struct mu_buf out = MU_BUF_INIT;
  CU_ASSERT_EQUAL(export_csv(many, EXPORT_KEYS_MAX, &out), 0);
  mu_buf_clear(&out);
  CU_ASSERT_EQUAL(export_csv(many, EXPORT_KEYS_MAX + 1, &out), MU_ELIMIT);
  mu_buf_free(&out);
}

/* ---- statements ------------------------------------------------------------------------------ */

static void test_places_of_a_list(void)
{
  struct mu_value ids[QUERY_IN_MAX];
  for (size_t i = 0; i < MU_COUNT(ids); i++)
    ids[i] = mu_value_int((int64_t)i);
  static const struct {
    size_t given, places;
  } cases[] = {{1, 1}, {2, 10}, {10, 10}, {11, 100}, {100, 100}, {101, QUERY_IN_MAX}, {QUERY_IN_MAX, QUERY_IN_MAX}};
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct query query = QUERY_INIT;
    query_in(&query, "id IN ", ids, cases[i].given);
    CU_ASSERT_EQUAL(query.count, cases[i].places);
    CU_ASSERT_EQUAL(query.values[query.count - 1].integer, (int64_t)cases[i].given - 1);
    CU_ASSERT_FALSE(query.full);
    query_free(&query);
  }
}

static const struct unit_test tests[] = {
    {"numbers are compared", test_numbers_are_compared},
    {"texts are equal or not", test_texts_are_equal_or_not},
    {"order is for numbers", test_order_is_for_numbers},
    {"what a number is", test_what_a_number_is},
    {"a rule pauses five minutes", test_a_rule_pauses_five_minutes},
    {"numbers as they are shown", test_numbers_as_they_are_shown},
    {"cells", test_cells},
    {"CSV", test_csv},
    {"JSON", test_json},
    {"nothing to export", test_nothing_to_export},
    {"too many keys", test_too_many_keys},
    {"places of a list", test_places_of_a_list},
};

UNIT_MAIN("relay: alerts and exports", tests)
