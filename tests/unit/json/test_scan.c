/* SPDX-License-Identifier: ISC */
/* The strict list, numbers against json-c, hostile sizes. */
#include <json-c/json.h>
#include <locale.h>
#include <math.h>
#include <muster/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static int scan(const char *text, size_t len)
{
  /* A copy of exactly this size, so that the sanitizer sees a read behind it. */
  char *copy = malloc(len ? len : 1);
  if (len)
    memcpy(copy, text, len);
  struct mu_json_error error;
  int code = mu_json_scan(NULL, copy, len, NULL, &error);
  CU_ASSERT_EQUAL(error.code, code);
  CU_ASSERT(error.offset <= len);
  CU_ASSERT((code == 0) == (error.what[0] == '\0'));
  CU_ASSERT_EQUAL(error.path[0], '\0');
  CU_ASSERT_EQUAL(mu_json_scan(NULL, copy, len, NULL, NULL), code);
  free(copy);
  return code;
}

#define BAD(code, text)                                                                                                \
  do {                                                                                                                 \
    int got_ = scan(text, sizeof(text) - 1);                                                                           \
    CU_ASSERT_EQUAL(got_, code);                                                                                       \
    if (got_ != (code))                                                                                                \
      printf("\n  %s: %d", text, got_);                                                                                \
  } while (0)

static void test_accepted(void)
{
  static const char *const texts[] = {
      "{}",
      "[]",
      " [ ] ",
      "\t\r\n{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }\n",
      "null",
      "true",
      "false",
      "0",
      "-0",
      "-0.0",
      "1E5",
      "1e+5",
      "1e-5",
      "\"\"",
      "\"a\"",
      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
      "\"\x7f\"",
      "\"\\ud83d\\ude00\"",
      "\"\\uD83D\\uDE00\"",
      "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"",
      "\"\\uffff\\u0001\"",
      "9223372036854775807",
      "-9223372036854775808",
      "18446744073709551615",
      "1e308",
      "1e-400",
      "0e999999999999999999999",
      "-1.7976931348623157e308",
      "{\"x\":1,\"x\":2}",
      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
  };
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    int code = scan(texts[i], strlen(texts[i]));
    CU_ASSERT_EQUAL(code, 0);
    struct json_object *tree = NULL;
    CU_ASSERT_EQUAL(mu_json_parse(texts[i], strlen(texts[i]), &tree, NULL), 0);
    if (code)
      printf("\n  %s", texts[i]);
    json_object_put(tree);
  }
}

static void test_grammar(void)
{
  BAD(MU_ESYNTAX, "");
  BAD(MU_ESYNTAX, " ");
  BAD(MU_ESYNTAX, "nul");
  BAD(MU_ESYNTAX, "NULL");
  BAD(MU_ESYNTAX, "True");
  BAD(MU_ESYNTAX, "NaN");
  BAD(MU_ESYNTAX, "[NaN]");
  BAD(MU_ESYNTAX, "Infinity");
  BAD(MU_ESYNTAX, "[-Infinity]");
  BAD(MU_ESYNTAX, "{'a':1}");
  BAD(MU_ESYNTAX, "{a:1}");
  BAD(MU_ESYNTAX, "{\"a\"}");
  BAD(MU_ESYNTAX, "{\"a\":}");
  BAD(MU_ESYNTAX, "{\"a\" 1}");
  BAD(MU_ESYNTAX, "{\"a\":1,}");
  BAD(MU_ESYNTAX, "{,}");
  BAD(MU_ESYNTAX, "{\"a\":1 \"b\":2}");
  BAD(MU_ESYNTAX, "{\"a\":1");
  BAD(MU_ESYNTAX, "{\"a\":1]");
  BAD(MU_ESYNTAX, "{1:1}");
  BAD(MU_ESYNTAX, "[1,]");
  BAD(MU_ESYNTAX, "[,1]");
  BAD(MU_ESYNTAX, "[1 2]");
  BAD(MU_ESYNTAX, "[1");
  BAD(MU_ESYNTAX, "[1}");
  BAD(MU_ESYNTAX, "]");
  BAD(MU_ESYNTAX, "/**/1");
  BAD(MU_ESYNTAX, "1 2");
  BAD(MU_ESYNTAX, "{}x");
  BAD(MU_ESYNTAX, "{}{}");
  BAD(MU_ESYNTAX, "{}\0");
  BAD(MU_ESYNTAX, "\v1");
  BAD(MU_ESYNTAX, "\f1");
  BAD(MU_ESYNTAX, "\xef\xbb\xbf{}");
  BAD(MU_ESYNTAX, "\xc2\xa0{}");
}

static void test_numbers_refused(void)
{
  BAD(MU_ESYNTAX, "-");
  BAD(MU_ESYNTAX, "+1");
  BAD(MU_ESYNTAX, "01");
  BAD(MU_ESYNTAX, "-01");
  BAD(MU_ESYNTAX, "00");
  BAD(MU_ESYNTAX, "1.");
  BAD(MU_ESYNTAX, ".5");
  BAD(MU_ESYNTAX, "1.e5");
  BAD(MU_ESYNTAX, "1e");
  BAD(MU_ESYNTAX, "1e+");
  BAD(MU_ESYNTAX, "1e5.5");
  BAD(MU_ESYNTAX, "0x10");
  BAD(MU_ESYNTAX, "1_000");
  BAD(MU_ESYNTAX, "- 1");
  BAD(MU_ESYNTAX, "1a");
  BAD(MU_ERANGE, "1e999");
  BAD(MU_ERANGE, "-1e999");
  BAD(MU_ERANGE, "[1e99999999999999999999999]");
  BAD(MU_ERANGE, "1.7976931348623159e308");
  BAD(MU_ERANGE, "18446744073709551616");
  BAD(MU_ERANGE, "-9223372036854775809");
  BAD(MU_ERANGE, "99999999999999999999");
  BAD(MU_ERANGE, "-18446744073709551615");
  BAD(MU_ERANGE, "100000000000000000000000000000000000000000000000000000");
}

static void test_strings_refused(void)
{
  BAD(MU_ESYNTAX, "\"");
  BAD(MU_ESYNTAX, "\"abc");
  BAD(MU_ESYNTAX, "\"abcdefghijklmnop");
  BAD(MU_ESYNTAX, "\"\\");
  BAD(MU_ESYNTAX, "\"\\\"");
  BAD(MU_ESYNTAX, "\"\\x41\"");
  BAD(MU_ESYNTAX, "\"\\0\"");
  BAD(MU_ESYNTAX, "\"\\\0\"");
  BAD(MU_ESYNTAX, "\"\\U0041\"");
  BAD(MU_ESYNTAX, "\"\\u004\"");
  BAD(MU_ESYNTAX, "\"\\u00");
  BAD(MU_ESYNTAX, "\"\\u00g0\"");
  BAD(MU_ESYNTAX, "\"\\u0000\"");
  BAD(MU_ESYNTAX, "{\"a\\u0000b\":1}");
  BAD(MU_ESYNTAX, "\"\\ud800\"");
  BAD(MU_ESYNTAX, "\"\\udc00\"");
  BAD(MU_ESYNTAX, "\"\\ud800\\ud800\"");
  BAD(MU_ESYNTAX, "\"\\ud800x\"");
  BAD(MU_ESYNTAX, "\"\\ud800\\n\"");
  BAD(MU_ESYNTAX, "\"\\ud800\\u\"");
  BAD(MU_ESYNTAX, "\"\\ude00\\ud83d\"");
  BAD(MU_ESYNTAX, "\"a\nb\"");
  BAD(MU_ESYNTAX, "\"abcdefgh\tijkl\"");
  BAD(MU_ESYNTAX, "\"\0\"");
  BAD(MU_ESYNTAX, "\"\x1f\"");
  /* UTF-8: stray, cut off, overlong, surrogate, too high */
  BAD(MU_ESYNTAX, "\"\x80\"");
  BAD(MU_ESYNTAX, "\"\xc3\"");
  BAD(MU_ESYNTAX, "\"\xe4\xb8\"");
  BAD(MU_ESYNTAX, "\"\xe4\xb8");
  BAD(MU_ESYNTAX, "\"\xc0\xaf\"");
  BAD(MU_ESYNTAX, "\"\xe0\x80\xaf\"");
  BAD(MU_ESYNTAX, "\"\xed\xa0\x80\"");
  BAD(MU_ESYNTAX, "\"\xf0\x80\x80\x80\"");
  BAD(MU_ESYNTAX, "\"\xf4\x90\x80\x80\"");
  BAD(MU_ESYNTAX, "\"\xff\"");
  /* each of these at every distance from the start of an eight-byte step */
  for (int shift = 0; shift < 17; shift++) {
    for (unsigned c = 0; c < 256; c++) {
      char text[40];
      int len = snprintf(text, sizeof text, "\"%.*s?%.*s\"", shift, "abcdefghijklmnopq", 20 - shift,
                         "ABCDEFGHIJKLMNOPQRSTUVW");
      text[1 + shift] = (char)c;
      int code = scan(text, (size_t)len);
      CU_ASSERT_EQUAL(code != 0, c < 0x20 || c == '"' || c == '\\' || c >= 0x80);
    }
  }
}

static void test_depth(void)
{
  for (size_t depth = 1; depth <= 100000; depth = depth < 40 ? depth + 1 : depth * 10) {
    char *text = malloc(depth * 2);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    CU_ASSERT_EQUAL(scan(text, depth * 2), depth <= 32 ? 0 : MU_ELIMIT);
    CU_ASSERT_EQUAL(scan(text, depth), depth <= 32 ? MU_ESYNTAX : MU_ELIMIT);
    free(text);
  }
  struct mu_buf text = MU_BUF_INIT;
  for (int i = 0; i < 33; i++)
    mu_buf_adds(&text, "{\"a\":");
  CU_ASSERT_EQUAL(scan(text.at, text.len), MU_ELIMIT);
  mu_buf_free(&text);
}

static void test_big(void)
{
  size_t len = 1 << 20;
  char *text = malloc(len);
  memset(text, 'x', len);
  text[0] = text[len - 1] = '"';
  CU_ASSERT_EQUAL(scan(text, len), 0);
  CU_ASSERT_EQUAL(scan(text, len - 1), MU_ESYNTAX);
  memset(text, '1', len);
  CU_ASSERT_EQUAL(scan(text, len), MU_ERANGE);
  memcpy(text, "0.", 2);
  CU_ASSERT_EQUAL(scan(text, len), 0);
  free(text);

  struct mu_buf keys = MU_BUF_INIT;
  mu_buf_adds(&keys, "{");
  for (int i = 0; i < 100000; i++)
    mu_buf_printf(&keys, "%s\"k%d\":%d", i ? "," : "", i, i);
  mu_buf_adds(&keys, "}");
  CU_ASSERT_EQUAL(scan(keys.at, keys.len), 0);
  const struct mu_field table[] = {{"k5", MU_FIELD_INT, 0, 0, 0, 0},
                                   {"k99999", MU_FIELD_INT, MU_FIELD_REQUIRED, 0, 0, sizeof(struct mu_json_value)}};
  mu_schema *schema = mu_schema_new(table, 2, sizeof table[0]);
  struct mu_json_value values[2] = {0};
  CU_ASSERT_EQUAL(mu_json_scan(schema, keys.at, keys.len, values, NULL), 0);
  CU_ASSERT(values[0].integer == 5 && values[1].integer == 99999);
  mu_schema_free(schema);
  mu_buf_free(&keys);
}

/* The scan's number for a literal must be json-c's, bit for bit. */
static void same_number(const char *literal)
{
  static const struct mu_field table[] = {{"", MU_FIELD_NUMBER, 0, 0, 0, 0}};
  mu_schema *schema = mu_schema_new(table, 1, sizeof table[0]);
  struct mu_json_value value;
  int code = mu_json_scan(schema, literal, strlen(literal), &value, NULL);
  CU_ASSERT_EQUAL(code, 0);
  struct json_object *object = json_tokener_parse(literal);
  double theirs = json_object_get_double(object);
  bool same = code == 0 && theirs == value.number &&
              (value.whole == json_object_is_type(object, json_type_int) || !value.whole);
  if (same && value.whole)
    same = value.integer == json_object_get_int64(object);
  CU_ASSERT(same);
  if (!same)
    printf("\n  %s: %.17g, json-c %.17g", literal, value.number, theirs);
  json_object_put(object);
  mu_schema_free(schema);
}

static void test_numbers(void)
{
  static const char *const literals[] = {
      "0",
      "-0",
      "0.0",
      "-0.0",
      "1",
      "-1",
      "7.0175438596431245",
      "1.4794791722539358",
      "25.426261696710096",
      "0.1",
      "1e22",
      "1e23",
      "9007199254740993.0",
      "9007199254740992.999999999999999999",
      "9007199254740993.00000000000000000000000000000001",
      "1.7976931348623157e308",
      "2.2250738585072014e-308",
      "2.2250738585072011e-308",
      "5e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "1e-400",
      "123456789012345678901234567890.5",
      "0.000000000000000000000000000000000000001e39",
      "18446744073709551615",
      "18446744073709551615.0",
      "9999999999999999999.0",
      "9223372036854775807",
      "-9223372036854775808",
      "8.5e27",
      "8.5e-27",
      "1e27",
      "1e28",
      "1e-27",
      "1e-28",
      "4503599627370496.5",
      "4503599627370497.5",
      "72057594037927945.0",
  };
  for (size_t i = 0; i < MU_COUNT(literals); i++)
    same_number(literals[i]);
  uint64_t state = 88172645463325252u; /* fixed: a failure can be repeated */
  for (int i = 0; i < 20000; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    double d;
    memcpy(&d, &state, sizeof d);
    if (!isfinite(d))
      continue;
    char text[64];
    snprintf(text, sizeof text, "%.*e", 14 + i % 7, d);
    same_number(text);
    snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)(state >> (state % 50)),
             (unsigned long long)(state >> 30));
    same_number(text);
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)(state >> (state % 60)), (int)(state % 60) - 30);
    same_number(text);
  }
  /* A tie that only the 1 000th digit breaks, and one that nothing does. */
  char tie[1100] = "9007199254740993.";
  memset(tie + 17, '0', 1000);
  same_number(tie);
  tie[1016] = '1';
  same_number(tie);
}

static void test_locale(void)
{
  if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
    return; /* no locale with a comma is installed here */
  static const struct mu_field table[] = {{"", MU_FIELD_NUMBER, 0, 0, 0, 0}};
  mu_schema *schema = mu_schema_new(table, 1, sizeof table[0]);
  struct mu_json_value value;
  CU_ASSERT_EQUAL(mu_json_scan(schema, "1.5e-300", 8, &value, NULL), 0);
  setlocale(LC_NUMERIC, "C");
  CU_ASSERT_EQUAL(value.number, 1.5e-300);
  mu_schema_free(schema);
}

static const struct unit_test tests[] = {
    {"what must pass", test_accepted},
    {"grammar", test_grammar},
    {"numbers that must not pass", test_numbers_refused},
    {"strings that must not pass", test_strings_refused},
    {"depth", test_depth},
    {"1 MB strings, 100 000 keys", test_big},
    {"numbers are json-c's, bit for bit", test_numbers},
    {"a locale with a decimal comma changes nothing", test_locale},
};
UNIT_MAIN("json scan", tests)
