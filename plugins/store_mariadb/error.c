/* SPDX-License-Identifier: ISC */
/* What errors mean. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "link.h"

/* Of the server; MySQL and MariaDB agree on these. */
enum {
  DUPLICATE_ENTRY = 1062,
  DUPLICATE_ENTRY_NAMED = 1586,
  REFERENCE_CHILD = 1216,
  REFERENCE_PARENT = 1217,
  REFERENCE_PARENT_NAMED = 1451,
  REFERENCE_CHILD_NAMED = 1452,
  RECORD_CHANGED = 1020,
  LOCK_WAIT = 1205,
  DEADLOCK = 1213,
  TABLE_CHANGED = 1412,
  REPREPARE = 1615,
  INTERRUPTED = 1317,
  QUERY_TIME = 3024,
  READ_ONLY_OPTION = 1290,
  READ_ONLY_MODE = 1836,
  NO_DEFAULT = 1364,
  DATA_CUT = 1265,
  WRONG_VALUE = 1366,
  TOO_LARGE_PACKET = 1153,
  TOO_LARGE_RESULT = 1301,
  KILLED = 1927,
  UNKNOWN_STATEMENT = 1243,
};

struct mu_str error_key(const char *text)
{
  static const char mark[] = "' for key '";
  const char *at = NULL;
  /* The last one: the value before it may be anybody's. */
  for (const char *next = text; (next = strstr(next, mark)); next++)
    at = next + sizeof mark - 1;
  const char *end = at ? strrchr(at, '\'') : NULL;
  return end ? (struct mu_str){at, (size_t)(end - at)} : (struct mu_str){"", 0};
}

static const char *word(const char *at, struct mu_str *out)
{
  at += strspn(at, " \t\r\n");
  size_t len = *at == '`' ? strcspn(at + 1, "`") + 2 : strcspn(at, " \t\r\n(,;");
  len = strnlen(at, len);
  *out = (struct mu_str){at, len};
  return at + len;
}

static bool skippable(struct mu_str text)
{
  static const char *const words[] = {"INTO", "IGNORE", "LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY"};
  for (size_t i = 0; i < MU_COUNT(words); i++)
    if (mu_str_equal_nocase(text, mu_str(words[i])))
      return true;
  return false;
}

struct mu_str error_table(const char *sql)
{
  struct mu_str text;
  const char *at = word(sql, &text);
  if (!mu_str_equal_nocase(text, MU_STR("INSERT")) && !mu_str_equal_nocase(text, MU_STR("REPLACE")) &&
      !mu_str_equal_nocase(text, MU_STR("UPDATE")))
    return (struct mu_str){"", 0};
  do
    at = word(at, &text);
  while (skippable(text));
  if (text.len > 1 && text.at[0] == '`') {
    text.at++;
    text.len -= 2;
  }
  return text;
}

/* "users.email" for the key "users_email_key" of the table users: what its columns are, the server has to be asked. */
static void name_key(struct link *link, const char *text, const char *sql, struct mu_store_fault *fault)
{
  struct mu_str key = error_key(text), table = sql ? error_table(sql) : (struct mu_str){"", 0};
  const char *dot = memchr(key.at, '.', key.len); /* MySQL puts the table before it */
  if (dot) {
    key.len -= (size_t)(dot + 1 - key.at);
    key.at = dot + 1;
  }
  snprintf(fault->key, sizeof fault->key, "%.*s", (int)key.len, key.at);
  if (key.len == 0 || key.len > 64 || table.len == 0 || table.len > 64)
    return;
  char ask[1024], table_text[129], key_text[129], columns[sizeof fault->key];
  mysql_real_escape_string(link->mysql, table_text, table.at, table.len);
  mysql_real_escape_string(link->mysql, key_text, key.at, key.len);
  snprintf(ask, sizeof ask,
           "SELECT GROUP_CONCAT(table_name, '.', column_name ORDER BY seq_in_index SEPARATOR ', ') FROM "
           "information_schema.statistics "
           "WHERE table_schema = DATABASE() AND table_name = '%s' AND index_name = '%s'",
           table_text, key_text);
  struct mu_store_fault ignored = {.size = sizeof ignored};
  if (link_ask(link, ask, columns, sizeof columns, &ignored) == 0 && columns[0] != '\0')
    memcpy(fault->key, columns, sizeof columns);
  fault->broken = fault->broken || ignored.broken;
}

static int broken(int number)
{
  return number == KILLED || number == UNKNOWN_STATEMENT || (number >= 2000 && number < 3000) ||
         (number >= 5000 && number < 5100);
}

static int broken_link(struct link *link, unsigned number, const char *text, struct mu_store_fault *fault)
{
  fault->broken = true;
  link_interrupt(link); /* what was begun is taken back now, not when the server misses us */
  return mu_store_fail(fault, MU_EUNAVAILABLE, "%s (%u)", text, number);
}

int error_judge(struct link *link, unsigned number, const char *state, const char *text, const char *sql,
                struct mu_store_fault *fault)
{
  switch (number) {
  case 0: /* something failed, and nobody says what */
    return broken_link(link, number, "the answer cannot be understood", fault);
  case DUPLICATE_ENTRY:
  case DUPLICATE_ENTRY_NAMED:
    name_key(link, text, sql, fault);
    return mu_store_fail(fault, MU_EEXIST, "%s (%u)", text, number);
  case REFERENCE_CHILD:
  case REFERENCE_PARENT:
  case REFERENCE_PARENT_NAMED:
  case REFERENCE_CHILD_NAMED:
    return mu_store_fail(fault, MU_ENOENT, "%s (%u)", text, number);
  case DEADLOCK:
  case LOCK_WAIT: /* how much of the transaction the server took back depends on its settings: take back all */
  case RECORD_CHANGED:
    if (link->in_transaction) {
      fault->undone = true;
      link->in_transaction = link->save = false;
      if (mysql_query(link->mysql, "ROLLBACK") != 0)
        return broken_link(link, number, text, fault);
    }
    return mu_store_fail(fault, MU_EBUSY, "%s (%u)", text, number);
  case TABLE_CHANGED:
  case REPREPARE:
    return mu_store_fail(fault, MU_EBUSY, "%s (%u)", text, number);
  case INTERRUPTED:
  case STATEMENT_TIME:
  case QUERY_TIME:
    return mu_store_fail(fault, MU_EUNAVAILABLE, "too slow: %s (%u)", text, number);
  case READ_ONLY_OPTION:
  case READ_ONLY_MODE: /* a replica, perhaps since a moment ago: behind the same name may be another server by now */
    return broken_link(link, number, text, fault);
  case NO_DEFAULT:
  case DATA_CUT:
  case WRONG_VALUE:
  case TOO_LARGE_PACKET:
  case TOO_LARGE_RESULT:
    return mu_store_fail(fault, MU_EINVAL, "%s (%u)", text, number);
  default:
    break;
  }
  if (broken((int)number) || strncmp(state, "08", 2) == 0)
    return broken_link(link, number, text, fault);
  /* Classes of SQLSTATE: 21 columns and values, 22 data, 23 constraints, 25 changes in a read, 42 syntax and names. */
  static const char *const invalid[] = {"21", "22", "23", "25", "42"};
  for (size_t i = 0; i < MU_COUNT(invalid); i++)
    if (strncmp(state, invalid[i], 2) == 0)
      return mu_store_fail(fault, MU_EINVAL, "%s (%u)", text, number);
  return mu_store_fail(fault, MU_EIO, "%s (%u)", text, number);
}

int error_of_link(struct link *link, struct mu_store_fault *fault)
{
  char text[MYSQL_ERRMSG_SIZE];
  snprintf(text, sizeof text, "%s", mysql_error(link->mysql));
  return error_judge(link, mysql_errno(link->mysql), mysql_sqlstate(link->mysql), text, NULL, fault);
}

int error_of_statement(struct statement *statement, struct mu_store_fault *fault)
{
  char text[MYSQL_ERRMSG_SIZE], state[SQLSTATE_LENGTH + 1];
  unsigned number = mysql_stmt_errno(statement->handle);
  if (number == 0) /* of one in the midst of the rows only the connection knows */
    return error_of_link(statement->link, fault);
  snprintf(text, sizeof text, "%s", mysql_stmt_error(statement->handle));
  snprintf(state, sizeof state, "%s", mysql_stmt_sqlstate(statement->handle));
  return error_judge(statement->link, number, state, text, statement->sql, fault);
}
