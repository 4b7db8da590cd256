/* SPDX-License-Identifier: ISC */
/* Messages from pieces: caps, fragments, UTF-8 split anywhere, memory. */
#include <string.h>

#include <muster/conn.h>
#include "net/reassembly.h"
#include "unit.h"

static int add(struct mui_assembly *a, const char *at, size_t len, uint64_t remaining, bool first, bool final,
               struct mu_str *whole)
{
  struct mui_piece piece = {.at = at, .len = len, .remaining = remaining, .first = first, .final = final};
  return mui_assembly_add(a, &piece, 1000, false, whole);
}

static void test_whole(void)
{
  struct mui_assembly a = {0};
  struct mu_str whole;
  CU_ASSERT_EQUAL(add(&a, "abc", 3, 0, true, true, &whole), 1);
  CU_ASSERT(whole.len == 3 && memcmp(whole.at, "abc", 3) == 0);
  CU_ASSERT_PTR_NULL(a.at); /* without a copy */
  CU_ASSERT_EQUAL(add(&a, "", 0, 0, true, true, &whole), 1);
  CU_ASSERT_EQUAL(whole.len, 0);
  mui_assembly_reset(&a);
}

static void test_pieces(void)
{
  static const char text[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z and some more to make it longer than eight bytes";
  for (size_t step = 1; step < sizeof text; step++) {
    struct mui_assembly a = {0};
    struct mu_str whole = {0};
    int got = 0;
    for (size_t at = 0; at < sizeof text - 1; at += step) {
      size_t left = sizeof text - 1 - at;
      size_t len = left < step ? left : step;
      CU_ASSERT_EQUAL_FATAL(got, 0);
      got = add(&a, text + at, len, left - len, at == 0, left == len, &whole);
    }
    CU_ASSERT_EQUAL(got, 1);
    CU_ASSERT(whole.len == sizeof text - 1 && memcmp(whole.at, text, whole.len) == 0);
    CU_ASSERT(!a.at || whole.at[whole.len] == '\0');
    mui_assembly_reset(&a);
  }
}

static void test_caps(void)
{
  struct mui_assembly a = {0};
  struct mu_str whole;
  char big[1001];
  memset(big, 'x', sizeof big);
  CU_ASSERT_EQUAL(add(&a, big, 1000, 0, true, true, &whole), 1);
  CU_ASSERT_EQUAL(add(&a, big, 1001, 0, true, true, &whole), MU_CLOSE_TOO_BIG);
  CU_ASSERT_EQUAL(add(&a, big, 1, 1000, true, false, &whole), MU_CLOSE_TOO_BIG);
  CU_ASSERT_EQUAL(add(&a, big, 1, UINT64_MAX, true, false, &whole), MU_CLOSE_TOO_BIG);
  CU_ASSERT_PTR_NULL(a.at);
  CU_ASSERT_EQUAL(add(&a, big, 600, 0, true, false, &whole), 0);
  CU_ASSERT_EQUAL(add(&a, big, 401, 0, false, true, &whole), MU_CLOSE_TOO_BIG);
  CU_ASSERT_PTR_NULL(a.at);
  CU_ASSERT_EQUAL(add(&a, "x", 1, 0, false, true, &whole), MU_CLOSE_INTERNAL); /* without a beginning */
  int got = add(&a, "", 0, 0, true, false, &whole);
  int frames = 0;
  while (got == 0 && frames++ < 100000)
    got = add(&a, "", 0, 0, false, false, &whole);
  CU_ASSERT_EQUAL(got, MU_CLOSE_POLICY);
  CU_ASSERT(frames < 1000);
  struct mui_piece binary = {.at = "\xff", .len = 1, .first = true, .final = true, .binary = true};
  CU_ASSERT_EQUAL(mui_assembly_add(&a, &binary, 10, false, &whole), MU_CLOSE_UNSUPPORTED);
  CU_ASSERT_EQUAL(mui_assembly_add(&a, &binary, 10, true, &whole), 1);
  mui_assembly_reset(&a);
}

/* What is announced is not taken: memory follows what has come. */
static void test_memory(void)
{
  struct mui_assembly a = {0};
  struct mu_str whole;
  struct mui_piece piece = {.at = "abc", .len = 3, .remaining = 1 << 30, .first = true};
  CU_ASSERT_EQUAL(mui_assembly_add(&a, &piece, SIZE_MAX / 2, false, &whole), 0);
  CU_ASSERT(a.capacity < 20000);
  mui_assembly_reset(&a);
}

static void test_utf8(void)
{
  static const char *const bad[] = {"\x80",
                                    "\xbf",
                                    "\xc0\xaf",
                                    "\xc1\xbf",
                                    "\xe0\x80\xaf",
                                    "\xe0\x9f\xbf",
                                    "\xf0\x80\x80\xaf",
                                    "\xf0\x8f\xbf\xbf",
                                    "\xed\xa0\x80",
                                    "\xed\xbf\xbf",
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80",
                                    "\xfe",
                                    "\xff",
                                    "\xc3(",
                                    "\xe2\x82(",
                                    "12345678\xff",
                                    "1234567\xc3\x38\x39"};
  static const char *const good[] = {"\xc2\x80",         "\xdf\xbf",         "\xe0\xa0\x80",
                                     "\xed\x9f\xbf",     "\xee\x80\x80",     "\xef\xbf\xbf",
                                     "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa4"};
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    for (size_t cut = 0; cut <= strlen(bad[i]); cut++) {
      struct mui_utf8_state state = {0};
      CU_ASSERT_FALSE(mui_utf8_more(&state, bad[i], cut) && mui_utf8_more(&state, bad[i] + cut, strlen(bad[i]) - cut));
    }
  for (size_t i = 0; i < MU_COUNT(good); i++)
    for (size_t cut = 0; cut <= strlen(good[i]); cut++) {
      struct mui_utf8_state state = {0};
      CU_ASSERT(mui_utf8_more(&state, good[i], cut) && mui_utf8_more(&state, good[i] + cut, strlen(good[i]) - cut));
      CU_ASSERT_EQUAL(state.need, 0);
    }
}

static const struct unit_test tests[] = {
    {"whole messages", test_whole}, {"pieces of every size", test_pieces}, {"caps", test_caps}, {"memory", test_memory},
    {"UTF-8", test_utf8},
};
UNIT_MAIN("net/reassembly", tests)
