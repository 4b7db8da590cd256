/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "unit.h"
#include "users.h"

#define KEYS(...)                                                                                                      \
  {                                                                                                                    \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)              \
  }
#define USERS(...)                                                                                                     \
  &(const struct mu_list)                                                                                              \
  {                                                                                                                    \
    (const struct user[]){__VA_ARGS__}, sizeof((const struct user[]){__VA_ARGS__}) / sizeof(struct user)               \
  }

static struct users *users_of(const struct mu_list *list)
{
  struct users *users = users_new(list, "static");
  CU_ASSERT_PTR_NOT_NULL_FATAL(users);
  return users;
}

static const struct mu_principal *by_key(const struct users *users, const char *key)
{
  return users_by_key(users, mu_str(key));
}

static enum mu_verdict known(const struct users *users, const char *id, const char *credential)
{
  const struct mu_principal *principal = NULL;
  enum mu_verdict verdict = users_known(users, mu_str(id), mu_str(credential), &principal);
  CU_ASSERT_EQUAL(verdict == MU_AUTH_GRANTED, principal != NULL);
  if (principal) {
    CU_ASSERT_STRING_EQUAL(principal->id, id);
    CU_ASSERT_STRING_EQUAL(principal->credential, credential);
  }
  return verdict;
}

static void keys_are_found(void)
{
  struct users *users =
      users_of(USERS({.id = "ann", .name = "Ann", .api_keys = KEYS("key-one-of-ann", "key-two-of-ann")},
                     {.id = "bob", .admin = true, .api_keys = KEYS("key-of-bob", "key-one-of-ann")}, {.id = "carl"},
                     {.id = "ann", .api_keys = KEYS("of a duplicate")}));
  const struct mu_principal *one = by_key(users, "key-one-of-ann"), *two = by_key(users, "key-two-of-ann");
  const struct mu_principal *bob = by_key(users, "key-of-bob");
  CU_ASSERT_PTR_NOT_NULL_FATAL(one);
  CU_ASSERT_PTR_NOT_NULL_FATAL(two);
  CU_ASSERT_PTR_NOT_NULL_FATAL(bob);
  CU_ASSERT_STRING_EQUAL(one->id, "ann"); /* twice configured: the first user has it */
  CU_ASSERT_STRING_EQUAL(one->name, "Ann");
  CU_ASSERT_STRING_EQUAL(one->provider, "static");
  CU_ASSERT_STRING_EQUAL(one->owner, "ann");
  CU_ASSERT_EQUAL(one->role, MU_ROLE_USER);
  CU_ASSERT_EQUAL(bob->role, MU_ROLE_ADMIN);
  CU_ASSERT_STRING_EQUAL(bob->name, "");
  CU_ASSERT_STRING_NOT_EQUAL(one->credential, two->credential);
  CU_ASSERT_EQUAL(strlen(one->credential), 24);

  static const char *const wrong[] = {"",    "key-one-of-an", "key-one-of-annx", "KEY-ONE-OF-ANN",
                                      "ann", "key-of-carl",   "of a duplicate"};
  for (size_t i = 0; i < MU_COUNT(wrong); i++)
    CU_ASSERT_PTR_NULL(by_key(users, wrong[i]));
  CU_ASSERT_PTR_NULL(by_key(users, one->credential)); /* what a token says is no key */
  CU_ASSERT_PTR_NULL(users_by_key(users, MU_STR("key-of-bob\0")));
  CU_ASSERT_PTR_NULL(users_by_key(users, (struct mu_str){NULL, 0}));
  users_free(users);

  struct users *nobody = users_of(&(const struct mu_list){0});
  CU_ASSERT_PTR_NULL(by_key(nobody, "key-of-bob"));
  CU_ASSERT_EQUAL(known(nobody, "ann", ""), MU_AUTH_UNKNOWN);
  users_free(nobody);
}

static void longest_key(void)
{
  char key[LONGEST_KEY + 2];
  memset(key, 'k', sizeof key - 1);
  key[LONGEST_KEY + 1] = '\0';
  const char *const too_long = key;
  struct users *users = users_of(USERS({.id = "ann", .api_keys = {&too_long, 1}}));
  CU_ASSERT_PTR_NULL(by_key(users, key)); /* check() refuses it; and so does this */
  users_free(users);
  key[LONGEST_KEY] = '\0';
  users = users_of(USERS({.id = "ann", .api_keys = {&too_long, 1}}));
  CU_ASSERT_PTR_NOT_NULL(by_key(users, key));
  users_free(users);
}

static void what_is_still_known(void)
{
  struct users *users = users_of(USERS({.id = "ann", .api_keys = KEYS("key-one-of-ann", "key-two-of-ann")},
                                       {.id = "bob", .api_keys = KEYS("key-of-bob")}, {.id = "carl"}));
  char one[64], bob[64];
  snprintf(one, sizeof one, "%s", by_key(users, "key-one-of-ann")->credential);
  snprintf(bob, sizeof bob, "%s", by_key(users, "key-of-bob")->credential);
  CU_ASSERT_EQUAL(known(users, "ann", one), MU_AUTH_GRANTED);
  CU_ASSERT_EQUAL(known(users, "ann", ""), MU_AUTH_GRANTED);
  CU_ASSERT_EQUAL(known(users, "carl", ""), MU_AUTH_GRANTED);
  CU_ASSERT_EQUAL(known(users, "ann", bob), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(known(users, "bob", one), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(known(users, "ann", "0123"), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(known(users, "ann", "key-one-of-ann"), MU_AUTH_REFUSED);
  CU_ASSERT_EQUAL(known(users, "dan", one), MU_AUTH_UNKNOWN);
  CU_ASSERT_EQUAL(known(users, "", ""), MU_AUTH_UNKNOWN);
  users_free(users);

  /* After a restart, in another order: the same key has the same name. Of another user or provider it has not. */
  users = users_of(
      USERS({.id = "bob", .api_keys = KEYS("key-two-of-ann")}, {.id = "ann", .api_keys = KEYS("key-one-of-ann")}));
  CU_ASSERT_EQUAL(known(users, "ann", one), MU_AUTH_GRANTED);
  CU_ASSERT_STRING_NOT_EQUAL(by_key(users, "key-two-of-ann")->credential, one);
  users_free(users);
  users = users_new(USERS({.id = "ann", .api_keys = KEYS("key-one-of-ann")}), "other");
  CU_ASSERT_PTR_NOT_NULL_FATAL(users);
  CU_ASSERT_EQUAL(known(users, "ann", one), MU_AUTH_REFUSED);
  users_free(users);
}

static void note(void *context, const struct mu_principal *principal, const char *why)
{
  CU_ASSERT_PTR_NOT_NULL(why);
  mu_buf_printf(context, "%s:%s ", principal->id, principal->credential);
}

/* Who is cut off when `now` comes after `before`. */
static void cut_off(const struct users *before, const struct mu_list *list, const char *wanted)
{
  struct users *now = users_of(list);
  struct mu_buf seen = MU_BUF_INIT;
  mu_buf_adds(&seen, "");
  users_compare(before, now, note, &seen);
  CU_ASSERT_STRING_EQUAL(seen.at ? seen.at : "", wanted);
  mu_buf_free(&seen);
  users_free(now);
}

static void reloads(void)
{
  struct users *before =
      users_of(USERS({.id = "ann", .name = "Ann", .api_keys = KEYS("key-one-of-ann", "key-two-of-ann")},
                     {.id = "bob", .api_keys = KEYS("key-of-bob")}));
  char one[64], both[256];
  snprintf(one, sizeof one, "ann:%s ", by_key(before, "key-one-of-ann")->credential);
  snprintf(both, sizeof both, "%sbob:%s ", one, by_key(before, "key-of-bob")->credential);
  const struct user bob = {.id = "bob", .api_keys = KEYS("key-of-bob")};

  cut_off(before, USERS(bob, {.id = "ann", .name = "Ann B.", .api_keys = KEYS("key-two-of-ann", "key-one-of-ann")}),
          "");
  cut_off(before, USERS(bob, {.id = "ann", .api_keys = KEYS("key-two-of-ann", "key-one-of-ann", "third")}), "");
  cut_off(before, USERS(bob, {.id = "ann", .api_keys = KEYS("key-two-of-ann")}), one);
  cut_off(before, USERS(bob, {.id = "ann", .api_keys = KEYS("key-two-of-ann", "another")}), one);
  cut_off(before, USERS(bob), "ann: "); /* altogether, and not key by key */
  cut_off(before, USERS(bob, {.id = "ann", .admin = true, .api_keys = KEYS("key-one-of-ann", "key-two-of-ann")}),
          "ann: ");
  /* A key that somebody else has now is another credential. */
  cut_off(before,
          USERS({.id = "ann", .api_keys = KEYS("key-of-bob", "key-two-of-ann")},
                {.id = "bob", .api_keys = KEYS("key-one-of-ann")}),
          both);
  cut_off(before, &(const struct mu_list){0}, "ann: bob: ");
  users_free(before);
}

static const struct unit_test tests[] = {
    {"keys are found", keys_are_found},
    {"the longest key", longest_key},
    {"what is still known", what_is_still_known},
    {"reloads", reloads},
};
UNIT_MAIN("auth_static: users", tests)
