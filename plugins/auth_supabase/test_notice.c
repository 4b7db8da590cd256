/* SPDX-License-Identifier: ISC */
/* Texts of NOTIFY, new and old, and what is neither. */
#include <stdio.h>
#include <string.h>

#include "notice.h"
#include "unit.h"

#define ID "0f0e0d0c-0b0a-4908-8706-050403020100"

static void both_forms(void)
{
  static const struct {
    const char *text, *id, *owner;
  } cases[] = {
      {ID, ID, ""},
      {"42", "42", ""},
      {"{\"id\":\"" ID "\",\"owner\":\"ann\"}", ID, "ann"},
      {"{\"id\" : \"" ID "\", \"owner\" : \"ann\"}", ID, "ann"}, /* as json_build_object() writes it */
      {"{\"owner\":7,\"id\":42}", "42", "7"},
      {"{\"id\":42}", "42", ""},
      {"{\"id\":42,\"owner\":null}", "42", ""},
      {"{\"id\":42,\"owner\":true}", "42", ""},
      {"{\"id\":42,\"owner\":\"\"}", "42", ""},
      {"{\"id\":42,\"owner\":\"a\\u00e4\",\"more\":[]}", "42", "a\xc3\xa4"},
  };
  struct notice notice;
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    CU_ASSERT_TRUE(notice_read(mu_str(cases[i].text), &notice));
    CU_ASSERT_STRING_EQUAL(notice.id, cases[i].id);
    CU_ASSERT_STRING_EQUAL(notice.owner, cases[i].owner);
  }
}

static void neither(void)
{
  static const char *const texts[] = {"",
                                      "{",
                                      "{}",
                                      "{\"id\":null}",
                                      "{\"id\":\"\"}",
                                      "{\"id\":[1]}",
                                      "{\"id\":1.5}",
                                      "{\"id\":\"a\\u0000b\"}",
                                      "{\"id\":42,\"owner\":\"a\\u0000b\"}",
                                      "{\"owner\":\"ann\"}",
                                      "{\"id\":42} x",
                                      "{\"id\":42"};
  struct notice notice;
  for (size_t i = 0; i < MU_COUNT(texts); i++)
    CU_ASSERT_FALSE(notice_read(mu_str(texts[i]), &notice));
  char text[400];
  snprintf(text, sizeof text, "%0128d", 1);
  CU_ASSERT_TRUE(notice_read(mu_str(text), &notice));
  snprintf(text, sizeof text, "%0129d", 1);
  CU_ASSERT_FALSE(notice_read(mu_str(text), &notice));
  snprintf(text, sizeof text, "{\"id\":42,\"owner\":\"%0201d\"}", 1);
  CU_ASSERT_TRUE(notice_read(mu_str(text), &notice));
  CU_ASSERT_STRING_EQUAL(notice.owner, "");
}

static const struct unit_test tests[] = {
    {"both forms", both_forms},
    {"what names no row", neither},
};

UNIT_MAIN("notice", tests)
