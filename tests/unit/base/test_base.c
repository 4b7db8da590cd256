/* SPDX-License-Identifier: ISC */
/* Promises of base/: texts, buffers, maps, UTF-8, secrets. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"
#include "unit.h"

static void text_is_shared_and_terminated(void)
{
  mu_text *text = mu_text_new("a\0b", 3);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_EQUAL(mu_text_len(text), 3);
  CU_ASSERT_EQUAL(memcmp(mu_text_data(text), "a\0b\0", 4), 0);
  CU_ASSERT_PTR_EQUAL(mu_text_ref(text), text);
  mu_text_unref(text);
  CU_ASSERT_EQUAL(mu_text_data(text)[0], 'a');
  mu_text_unref(text);
  mu_text_unref(NULL);
  CU_ASSERT_PTR_NULL(mu_text_ref(NULL));
}

static void frame_headers_follow_rfc6455(void)
{
  static const struct {
    size_t len, head;
    unsigned char bytes[10];
  } cases[] = {
      {0, 2, {0x81, 0}},
      {125, 2, {0x81, 125}},
      {126, 4, {0x81, 126, 0, 126}},
      {65535, 4, {0x81, 126, 0xff, 0xff}},
      {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    char *data;
    mu_text *text = mu_text_alloc(cases[i].len, &data);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(data, 'x', cases[i].len);
    size_t len = 0;
    const char *frame = mui_text_frame(text, false, &len);
    CU_ASSERT_EQUAL(len, cases[i].head + cases[i].len);
    CU_ASSERT_EQUAL(memcmp(frame, cases[i].bytes, cases[i].head), 0);
    CU_ASSERT_PTR_EQUAL(frame + cases[i].head, mu_text_data(text));
    frame = mui_text_frame(text, true, &len);
    CU_ASSERT_EQUAL((unsigned char)frame[0], 0x82);
    mu_text_unref(text);
  }
}

static void splice_edits_in_order_and_refuses_overlap(void)
{
  struct mu_str base = MU_STR("hello world");
  struct mu_edit good[] = {{0, 5, MU_STR("HI")}, {5, 0, MU_STR(",")}, {11, 0, MU_STR("!")}};
  mu_text *text = mu_text_splice(base, good, 3);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), "HI, world!");
  mu_text_unref(text);
  struct mu_edit overlap[] = {{0, 5, MU_STR("")}, {4, 1, MU_STR("")}};
  CU_ASSERT_PTR_NULL(mu_text_splice(base, overlap, 2));
  struct mu_edit outside[] = {{8, 4, MU_STR("")}};
  CU_ASSERT_PTR_NULL(mu_text_splice(base, outside, 1));
  struct mu_edit far[] = {{12, 0, MU_STR("")}};
  CU_ASSERT_PTR_NULL(mu_text_splice(base, far, 1));
}

static void buffer_grows_and_prints(void)
{
  struct mu_buf buf = MU_BUF_INIT;
  for (int i = 0; i < 1000; i++)
    mu_buf_printf(&buf, "%d,", i);
  CU_ASSERT_FALSE(buf.failed);
  CU_ASSERT_EQUAL(buf.len, 3890);
  CU_ASSERT_EQUAL(strlen(buf.at), buf.len);
  CU_ASSERT_EQUAL(strncmp(buf.at, "0,1,2,", 6), 0);
  CU_ASSERT_STRING_EQUAL(buf.at + buf.len - 8, "998,999,");
  mu_text *text = mu_buf_take_text(&buf);
  CU_ASSERT_EQUAL(mu_text_len(text), 3890);
  CU_ASSERT_PTR_NULL(buf.at);
  mu_text_unref(text);
  mu_buf_add(&buf, "x", SIZE_MAX / 2);
  CU_ASSERT_TRUE(buf.failed);
  mu_buf_adds(&buf, "more");
  CU_ASSERT_PTR_NULL(mu_buf_take_text(&buf));
}

static void json_strings_are_always_valid(void)
{
  static const struct {
    struct mu_str in;
    const char *out;
  } cases[] = {
      {{"plain", 5}, "\"plain\""},
      {{"\"\\/", 3}, "\"\\\"\\\\/\""},
      {{"a\nb\0c\x1b[1m\x7f", 10}, "\"a\\u000ab\\u0000c\\u001b[1m\\u007f\""},
      {{"gr\xc3\xbc\xc3\x9f", 6}, "\"gr\xc3\xbc\xc3\x9f\""},
      {{"bad\xff\xc3", 5}, "\"bad\xef\xbf\xbd\xef\xbf\xbd\""},
      {{"", 0}, "\"\""},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct mu_buf buf = MU_BUF_INIT;
    mu_buf_json_string(&buf, cases[i].in);
    CU_ASSERT_STRING_EQUAL(buf.at, cases[i].out);
    mu_buf_free(&buf);
  }
}

static void map_matches_a_plain_array(void)
{
  enum { KEYS = 700, ROUNDS = 60000 };
  static int values[KEYS];
  bool there[KEYS] = {false};
  size_t live = 0;
  mu_map *map = mu_map_new();
  CU_ASSERT_PTR_NOT_NULL_FATAL(map);
  unsigned wrong = 0;
  srand(1);
  for (int i = 0; i < ROUNDS; i++) {
    int k = rand() % KEYS;
    char key[16];
    int len = snprintf(key, sizeof key, "key-%d", k);
    struct mu_str name = {key, (size_t)len};
    switch (rand() % 3) {
    case 0:
      wrong += mu_map_add(map, name, &values[k]) != (there[k] ? MU_EEXIST : 0);
      live += !there[k];
      there[k] = true;
      break;
    case 1:
      wrong += mu_map_del(map, name) != (there[k] ? &values[k] : NULL);
      live -= there[k];
      there[k] = false;
      break;
    default:
      wrong += mu_map_get(map, name) != (there[k] ? &values[k] : NULL);
    }
    wrong += mu_map_count(map) != live;
  }
  CU_ASSERT_EQUAL(wrong, 0);
  size_t position = 0, seen = 0;
  struct mu_str key;
  for (int *value; (value = mu_map_next(map, &position, &key)); seen++) {
    wrong += !there[value - values];
    wrong += mu_map_del(map, key) != value;
  }
  CU_ASSERT_EQUAL(wrong, 0);
  CU_ASSERT_EQUAL(seen, live);
  CU_ASSERT_EQUAL(mu_map_count(map), 0);
  mu_map_free(map);
  mu_map_free(NULL);
}

static void map_keys_may_hold_nul_and_nothing(void)
{
  mu_map *map = mu_map_new();
  int a, b, c;
  CU_ASSERT_EQUAL(mu_map_add(map, (struct mu_str){NULL, 0}, &a), 0);
  CU_ASSERT_EQUAL(mu_map_add(map, (struct mu_str){"x\0y", 3}, &b), 0);
  CU_ASSERT_EQUAL(mu_map_add(map, (struct mu_str){"x", 1}, &c), 0);
  CU_ASSERT_PTR_EQUAL(mu_map_get(map, MU_STR("")), &a);
  CU_ASSERT_PTR_EQUAL(mu_map_get(map, (struct mu_str){"x\0y", 3}), &b);
  CU_ASSERT_PTR_EQUAL(mu_map_get(map, MU_STR("x")), &c);
  mu_map_free(map);
}

static void utf8_refuses_what_rfc3629_does(void)
{
  static const char *const good[] = {"",
                                     "ascii only and more than eight",
                                     "\xc2\x80",
                                     "\xef\xbf\xbf",
                                     "\xf4\x8f\xbf\xbf",
                                     "\xed\x9f\xbf",
                                     "12345678\xe2\x82\xac"};
  static const char *const bad[] = {"\x80",
                                    "\xc0\xaf",
                                    "\xc1\xbf",
                                    "\xe0\x80\x80",
                                    "\xed\xa0\x80",
                                    "\xf0\x80\x80\x80",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xff",
                                    "12345678\xe2\x82",
                                    "\xc3(",
                                    "\xe2\x82"};
  for (size_t i = 0; i < MU_COUNT(good); i++)
    CU_ASSERT_TRUE(mui_utf8_valid(good[i], strlen(good[i])));
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_FALSE(mui_utf8_valid(bad[i], strlen(bad[i])));
}

static void secrets_compare_and_errors_have_names(void)
{
  CU_ASSERT_TRUE(mu_secret_equal(MU_STR("abc"), MU_STR("abc")));
  CU_ASSERT_FALSE(mu_secret_equal(MU_STR("abc"), MU_STR("abd")));
  CU_ASSERT_FALSE(mu_secret_equal(MU_STR("abc"), MU_STR("abcd")));
  char key[4] = {'k', 'e', 'y', 0};
  mu_secret_wipe(key, sizeof key);
  CU_ASSERT_EQUAL(memcmp(key, "\0\0\0\0", 4), 0);
  CU_ASSERT_STRING_EQUAL(mu_strerror(MU_EABI), "plugin ABI does not match");
  CU_ASSERT_STRING_EQUAL(mu_error_name(MU_EABI), "MU_EABI");
  CU_ASSERT_STRING_EQUAL(mu_strerror(-12345), "unknown error");
  CU_ASSERT_TRUE(mu_str_equal_nocase(MU_STR("X-Auth"), MU_STR("x-aUTH")));
  CU_ASSERT_FALSE(mu_str_equal_nocase(MU_STR("X-Auth"), MU_STR("x-autg")));
}

static const struct unit_test tests[] = {
    {"a text is shared and terminated", text_is_shared_and_terminated},
    {"frame headers follow RFC 6455", frame_headers_follow_rfc6455},
    {"splice edits in order and refuses overlap", splice_edits_in_order_and_refuses_overlap},
    {"a buffer grows and prints", buffer_grows_and_prints},
    {"JSON strings are always valid", json_strings_are_always_valid},
    {"a map matches a plain array", map_matches_a_plain_array},
    {"map keys may hold NUL and nothing", map_keys_may_hold_nul_and_nothing},
    {"UTF-8 refuses what RFC 3629 does", utf8_refuses_what_rfc3629_does},
    {"secrets compare and errors have names", secrets_compare_and_errors_have_names},
};
UNIT_MAIN("base", tests)
