/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "entries.h"
#include "unit.h"

static const struct server servers[] = {
    {.id = "a", .secret = "0123456789abcdef", .owner = "u1"},
    {.id = "b", .secret = "x"},
    {.id = "a", .secret = "second of the same id"},
};
static const struct config config = {.servers = {servers, 3}};

static enum mu_verdict judge(const struct entries *entries, const char *id, const char *secret)
{
  const struct entry *entry = NULL;
  enum mu_verdict verdict = entries_judge(entries, mu_str(id), mu_str(secret), &entry);
  CU_ASSERT_EQUAL(verdict == MU_AUTH_GRANTED, entry != NULL);
  return verdict;
}

static void judges(void)
{
  struct entries *entries = entries_new(&config, "static");
  CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
  CU_ASSERT_EQUAL(entries->count, 2);
  CU_ASSERT_EQUAL(judge(entries, "a", "0123456789abcdef"), MU_AUTH_GRANTED);
  CU_ASSERT_EQUAL(judge(entries, "b", "x"), MU_AUTH_GRANTED);
  CU_ASSERT_EQUAL(judge(entries, "a", "second of the same id"), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(judge(entries, "a", "0123456789abcde"), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(judge(entries, "a", "0123456789abcdef0"), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(judge(entries, "a", ""), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(judge(entries, "c", "x"), MU_AUTH_UNKNOWN);
  CU_ASSERT_EQUAL(judge(entries, "", ""), MU_AUTH_UNKNOWN);
  CU_ASSERT_STRING_EQUAL(entries_find(entries, "a")->principal->owner, "u1");
  CU_ASSERT_STRING_EQUAL(entries_find(entries, "b")->principal->owner, "");
  CU_ASSERT_EQUAL(entries_find(entries, "b")->principal->role, MU_ROLE_MACHINE);

  /* Padding must not make equal what is not: zeros behind a secret, and bytes beyond the field. */
  const struct entry *entry = NULL;
  CU_ASSERT_EQUAL(entries_judge(entries, MU_STR("b"), MU_STR("x\0"), &entry), MU_AUTH_REFUSED);
  char dummy[LONGEST_SECRET];
  memcpy(dummy, entries->dummy, sizeof dummy);
  CU_ASSERT_EQUAL(entries_judge(entries, MU_STR("c"), (struct mu_str){dummy, sizeof dummy}, &entry), MU_AUTH_UNKNOWN);
  char longest[LONGEST_SECRET + 2];
  memset(longest, 'k', sizeof longest);
  longest[LONGEST_SECRET] = '\0';
  const struct server one = {.id = "l", .secret = longest};
  struct entries *long_ones = entries_new(&(struct config){.servers = {&one, 1}}, "static");
  CU_ASSERT_EQUAL(judge(long_ones, "l", longest), MU_AUTH_GRANTED);
  char longer[LONGEST_SECRET + 2];
  memset(longer, 'k', sizeof longer);
  CU_ASSERT_EQUAL(entries_judge(long_ones, MU_STR("l"), (struct mu_str){longer, LONGEST_SECRET + 1}, &entry),
                  MU_AUTH_REFUSED);
  entries_free(long_ones);
  entries_free(entries);
}

static void nobody(void)
{
  struct entries *entries = entries_new(&(struct config){0}, "static");
  CU_ASSERT_PTR_NOT_NULL_FATAL(entries);
  CU_ASSERT_EQUAL(judge(entries, "a", "0123456789abcdef"), MU_AUTH_UNKNOWN);
  entries_free(entries);
}

static const struct unit_test tests[] = {{"judges", judges}, {"without entries", nobody}};
UNIT_MAIN("auth_static", tests)
