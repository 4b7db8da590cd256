/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "link.h"
#include "unit.h"

static bool is(struct mu_str got, const char *wanted)
{
  return mu_str_equal(got, mu_str(wanted));
}

static void keys(void)
{
  CU_ASSERT(is(error_key("Duplicate entry 'a@b' for key 'users_email_key'"), "users_email_key"));
  CU_ASSERT(is(error_key("Duplicate entry 'a' for key 'users.users_email_key'"), "users.users_email_key"));
  /* The value is anybody's. */
  CU_ASSERT(is(error_key("Duplicate entry 'x' for key 'PRIMARY' for key 'users_email_key'"), "users_email_key"));
  CU_ASSERT(is(error_key("Duplicate entry '' for key '''' for key 'k'"), "k"));
  CU_ASSERT(is(error_key("Duplicate entry"), ""));
  CU_ASSERT(is(error_key("Duplicate entry 'a' for key 'cut"), ""));
  CU_ASSERT(is(error_key(""), ""));
}

static void tables(void)
{
  CU_ASSERT(is(error_table("INSERT INTO users (a) VALUES (?)"), "users"));
  CU_ASSERT(is(error_table("insert into users(a) values (?)"), "users"));
  CU_ASSERT(is(error_table("  INSERT IGNORE\n INTO `my users` (a) VALUES (?)"), "my users"));
  CU_ASSERT(is(error_table("REPLACE users VALUES (1)"), "users"));
  CU_ASSERT(is(error_table("UPDATE users SET a = ?"), "users"));
  CU_ASSERT(is(error_table("DELETE FROM users"), ""));
  CU_ASSERT(is(error_table("INSERT INTO"), ""));
  CU_ASSERT(is(error_table(""), ""));
}

static const struct unit_test tests[] = {{"keys", keys}, {"tables", tables}};
UNIT_MAIN("error", tests)
