/* SPDX-License-Identifier: ISC */
/* Reading messages, and what the modes make of them. */
#include <stdlib.h>
#include <string.h>

#include "../../tests/unit.h"
#include "modes.h"

static struct mu_str view(const char *text)
{
  return mu_str(text);
}

static enum wire_kind kind(const char *text)
{
  struct wire wire;
  CU_ASSERT_EQUAL(wire_read(view(text), &wire), 0);
  return wire.whole.kind;
}

/* Strings are read eight bytes at a time: whatever ends one is found at each of them, and whatever does not is passed. */
static void test_every_byte_at_every_place(void)
{
  for (size_t len = 1; len <= 40; len++)
    for (size_t at = 0; at < len; at++)
      for (int byte = 0; byte < 256; byte++) {
        char text[48];
        memset(text, byte & 1 ? 'x' : 0xff, sizeof text);
        text[0] = text[len + 1] = '"';
        text[at + 1] = (char)byte;
        struct wire wire;
        CU_ASSERT_EQUAL_FATAL(wire_read((struct mu_str){text, len + 2}, &wire), 0);
        enum wire_kind expected = byte < 0x20 || byte == '"' || byte == '\\' ? WIRE_NONE : WIRE_STRING;
        if (byte == '\\' && at + 1 < len)
          continue; /* what follows it decides */
        CU_ASSERT_EQUAL_FATAL(wire.whole.kind, expected);
      }
}

static void test_what_is_json(void)
{
  static const struct {
    const char *text;
    enum wire_kind kind;
  } cases[] = {
      {"{}", WIRE_OBJECT},
      {" { \"a\" : [ 1 , 2 ] } ", WIRE_OBJECT},
      {"[]", WIRE_ARRAY},
      {"[[],{},[{}]]", WIRE_ARRAY},
      {"null", WIRE_NULL},
      {"true", WIRE_BOOL},
      {"false", WIRE_BOOL},
      {"\"\"", WIRE_STRING},
      {"\"\\u00e4\\\"\\\\\\/\\b\\f\\n\\r\\t\"", WIRE_STRING},
      {"\"\\ud800\"", WIRE_STRING},
      {"0", WIRE_NUMBER},
      {"-0.0e+10", WIRE_NUMBER},
      {"123456789012345678901234567890", WIRE_NUMBER},
      {"1e999", WIRE_NUMBER},
      {"", WIRE_NONE},
      {"  ", WIRE_NONE},
      {"{", WIRE_NONE},
      {"}", WIRE_NONE},
      {"[", WIRE_NONE},
      {"[1", WIRE_NONE},
      {"[1,", WIRE_NONE},
      {"[1,]", WIRE_NONE},
      {"[,1]", WIRE_NONE},
      {"[1 2]", WIRE_NONE},
      {"[}", WIRE_NONE},
      {"{]", WIRE_NONE},
      {"{\"a\"}", WIRE_NONE},
      {"{\"a\":}", WIRE_NONE},
      {"{\"a\":1,}", WIRE_NONE},
      {"{,}", WIRE_NONE},
      {"{\"a\":1 \"b\":2}", WIRE_NONE},
      {"{a:1}", WIRE_NONE},
      {"{\"a\":[1,{\"b\":}]}", WIRE_NONE},
      {"{\"a\":1}}", WIRE_NONE},
      {"{} {}", WIRE_NONE},
      {"1 2", WIRE_NONE},
      {"01", WIRE_NONE},
      {"+1", WIRE_NONE},
      {"-", WIRE_NONE},
      {".5", WIRE_NONE},
      {"1.", WIRE_NONE},
      {"1e", WIRE_NONE},
      {"NaN", WIRE_NONE},
      {"Infinity", WIRE_NONE},
      {"nul", WIRE_NONE},
      {"True", WIRE_NONE},
      {"\"a", WIRE_NONE},
      {"\"\\", WIRE_NONE},
      {"\"\\x\"", WIRE_NONE},
      {"\"\\u12\"", WIRE_NONE},
      {"\"\\u12g4\"", WIRE_NONE},
      {"\"a\nb\"", WIRE_NONE},
      {"'a'", WIRE_NONE},
      {"hello", WIRE_NONE},
      {"\xef\xbb\xbf{}", WIRE_NONE},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++)
    if (kind(cases[i].text) != cases[i].kind)
      CU_FAIL(cases[i].text);
  struct wire wire;
  CU_ASSERT_EQUAL(wire_read((struct mu_str){"\"a\0b\"", 5}, &wire), 0);
  CU_ASSERT_EQUAL(wire.whole.kind, WIRE_NONE);
}

/* Every beginning of a text is a text, too: nothing beyond its end is looked at (the sanitizer sees it). */
static void test_every_beginning(void)
{
  static const char whole[] =
      "{\"type\":\"a\\u0062\",\"data\":{\"x\":[1,-2.5e3,true,false,null,\"s\"]},\"timestamp\":5}";
  for (size_t len = 0; len < sizeof whole; len++) {
    char *copy = malloc(len ? len : 1);
    memcpy(copy, whole, len);
    struct wire wire;
    CU_ASSERT_EQUAL(wire_read((struct mu_str){copy, len}, &wire), 0);
    CU_ASSERT_EQUAL(wire.whole.kind, len == sizeof whole - 1 ? WIRE_OBJECT : WIRE_NONE);
    free(copy);
  }
}

static bool deep(const char *open, const char *middle, const char *close, unsigned levels)
{
  struct mu_buf text = MU_BUF_INIT;
  for (unsigned i = 0; i < levels; i++)
    mu_buf_adds(&text, open);
  mu_buf_adds(&text, middle);
  for (unsigned i = 0; i < levels; i++)
    mu_buf_adds(&text, close);
  struct wire wire;
  int result = wire_read((struct mu_str){text.at, text.len}, &wire);
  CU_ASSERT(result == MU_ELIMIT || (result == 0 && wire.whole.kind != WIRE_NONE));
  mu_buf_free(&text);
  return result == MU_ELIMIT;
}

static void test_depth(void)
{
  CU_ASSERT_FALSE(deep("[", "", "]", 32));
  CU_ASSERT_TRUE(deep("[", "", "]", 33));
  CU_ASSERT_FALSE(deep("{\"a\":", "1", "}", 32));
  CU_ASSERT_TRUE(deep("{\"a\":", "1", "}", 33));
  CU_ASSERT_TRUE(deep("{\"a\":[", "1", "]}", 17));
  CU_ASSERT_TRUE(deep("[", "", "", 100000));
}

static void expect(const struct wire *wire, enum wire_member member, const char *text)
{
  if (!text)
    CU_ASSERT_EQUAL(wire->member[member].kind, WIRE_NONE)
  else
    CU_ASSERT_TRUE(mu_str_equal(wire->member[member].text, mu_str(text)));
}

static void test_members(void)
{
  struct wire wire;
  CU_ASSERT_EQUAL(
      wire_read(view("{\"data\":1,\"type\":\"a\",\"data\":[2],\"\\u0074ype\":\"b\",\"Type\":3,\"typ\":4,\"types\":5,"
                     "\"x\":{\"status\":6},\"deviceId\":\"d\",\"\":7}"),
                &wire),
      0);
  expect(&wire, WIRE_TYPE, "\"b\"");
  expect(&wire, WIRE_DATA, "[2]");
  expect(&wire, WIRE_DEVICE_ID, "\"d\"");
  expect(&wire, WIRE_STATUS, NULL);
  expect(&wire, WIRE_TIMESTAMP, NULL);
  CU_ASSERT_TRUE(wire_is(&wire.member[WIRE_TYPE], "b"));
  CU_ASSERT_FALSE(wire_is(&wire.member[WIRE_DATA], "[2]"));
}

static void test_walking(void)
{
  static const char *const names[] = {"\"a\"", "\"b\\n\"", "\"\"", "\"a\""};
  static const char *const values[] = {"1", "{\"c\":[\"}\"]}", "\"x,y\"", "null"};
  struct mu_str object = view("{ \"a\" : 1 , \"b\\n\":{\"c\":[\"}\"]},\"\":\"x,y\",\"a\":null }"), name;
  struct wire_value value;
  size_t at = 0, n = 0;
  for (; wire_next(object, &at, &name, &value); n++) {
    CU_ASSERT_TRUE(n < 4 && mu_str_equal(name, mu_str(names[n])) && mu_str_equal(value.text, mu_str(values[n])));
  }
  CU_ASSERT_EQUAL(n, 4);
  at = 0;
  CU_ASSERT_FALSE(wire_next(view("{}"), &at, &name, &value));
  at = 0;
  CU_ASSERT_FALSE(wire_next(view("{ }"), &at, &name, &value));
}

static void unescaped(const char *quoted, const char *text)
{
  struct mu_buf out = MU_BUF_INIT;
  wire_unescape(view(quoted), &out);
  CU_ASSERT_TRUE(mu_str_equal((struct mu_str){out.at, out.len}, mu_str(text)));
  mu_buf_free(&out);
}

static void test_strings(void)
{
  unescaped("\"\"", "");
  unescaped("\"plain\"", "plain");
  unescaped("\"a\\n\\t\\b\\f\\r\\\"\\\\\\/z\"", "a\n\t\b\f\r\"\\/z");
  unescaped("\"\\u0041\\u00e4\\u20AC\\uD83D\\uDE00\"", "Aä€😀");
  unescaped("\"\\ud83d\"", "\xef\xbf\xbd");
  unescaped("\"\\ud83dx\"", "\xef\xbf\xbdx");
  unescaped("\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                  "A");
  unescaped("\"\\ude00\\u0000\"", "\xef\xbf\xbd\xef\xbf\xbd");
  CU_ASSERT_EQUAL(wire_characters(view("aä€😀")), 4);
  CU_ASSERT_EQUAL(wire_cut(view("aä€😀"), 2).len, 3);
  CU_ASSERT_EQUAL(wire_cut(view("aä€😀"), 4).len, 10);
  CU_ASSERT_EQUAL(wire_cut(view("aä€😀"), 0).len, 0);
  static const char *const bad[] = {"\x80",
                                    "\xc0\x80",
                                    "\xc1\xbf",
                                    "\xe0\x80\x80",
                                    "\xed\xa0\x80",
                                    "\xf0\x80\x80\x80",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xe2\x82",
                                    "a\xff",
                                    "\xc3("};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(wire_is_utf8(mu_str(bad[i])));
  CU_ASSERT_TRUE(wire_is_utf8(view("aä€😀\xf4\x8f\xbf\xbf\xed\x9f\xbf")));
}

static void renders(enum relay_mode mode, const char *message, const char *expected)
{
  struct wire wire;
  CU_ASSERT_EQUAL(wire_read(view(message), &wire), 0);
  mu_text *text = relay_render(mode, "AA55|", view(message), &wire, 1795247244775);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  if (strcmp(mu_text_data(text), expected) != 0)
    CU_FAIL(expected);
  mu_text_unref(text);
}

/* The recorded conversation, and what it leaves open. */
static void test_modes(void)
{
#define MESSAGE(data, time) "{\"type\":\"message\",\"data\":" data ",\"timestamp\":" time "}"
#define NOW "1795247244775"
  renders(RELAY_JSON, "hello", MESSAGE("\"hello\"", NOW));
  renders(RELAY_JSON, "{\"x\":1}", MESSAGE("{\"x\":1}", NOW));
  renders(RELAY_JSON, "{\"type\":\"foo\",\"data\":{\"t\":1},\"timestamp\":5,\"extra\":1}", MESSAGE("{\"t\":1}", "5"));
  renders(RELAY_JSON, "{\"type\":\"message\",\"data\":2}", MESSAGE("2", NOW));
  renders(RELAY_JSON, "{\"type\":\"message\",\"data\":null,\"timestamp\":null}", MESSAGE("null", NOW));
  renders(RELAY_JSON, "{\"data\":2,\"timestamp\":5}", MESSAGE("{\"data\":2,\"timestamp\":5}", NOW));
  renders(RELAY_JSON, "[1,2]", MESSAGE("[1,2]", NOW));
  renders(RELAY_JSON, "12", MESSAGE("12", NOW));
  renders(RELAY_JSON, "\"s\"", MESSAGE("\"s\"", NOW));
  renders(RELAY_JSON, "null", MESSAGE("null", NOW));
  renders(RELAY_JSON, "\x01\x02\xff", MESSAGE("\"\\u0001\\u0002\xef\xbf\xbd\"", NOW));
  renders(RELAY_JSON, "", MESSAGE("\"\"", NOW));
  renders(RELAY_DIRECT, "{\"x\":1}", "{\"x\":1}");
  renders(RELAY_DIRECT, "", "");
  renders(RELAY_CUSTOM_HEADER, "{\"x\":1}", "AA55|{\"x\":1}");
  renders(RELAY_CUSTOM_HEADER, "", "AA55|");
  enum relay_mode mode;
  CU_ASSERT_TRUE(relay_mode_of(MU_STR("CUSTOM_HEADER"), &mode) && mode == RELAY_CUSTOM_HEADER);
  CU_ASSERT_TRUE(relay_mode_of(MU_STR("JSON"), &mode) && mode == RELAY_JSON);
  CU_ASSERT_FALSE(relay_mode_of(MU_STR("json"), &mode));
  CU_ASSERT_FALSE(relay_mode_of(MU_STR(""), &mode));
}

static const struct unit_test tests[] = {
    {"what is JSON", test_what_is_json},
    {"every byte at every place", test_every_byte_at_every_place},
    {"every beginning", test_every_beginning},
    {"depth", test_depth},
    {"members", test_members},
    {"walking", test_walking},
    {"strings", test_strings},
    {"modes", test_modes},
};

UNIT_MAIN("relay modes", tests)
