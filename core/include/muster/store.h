/* SPDX-License-Identifier: ISC */
/**
 * @file store.h
 * The service "store/1": SQL for plugins, asynchronous. Loop thread only.
 *
 * A statement is text with `?` for each value; never put a value into the text. Texts that both databases understand are written
 * once, others once per dialect. Everything is copied when it is handed over, and every `done` comes later, on the loop thread.
 *
 * Transactions of several plugins are committed together: `done` without an error means that it is on the disk as safely as the
 * store is configured. A read sees everything whose `done` was called before it was asked.
 */
#ifndef MUSTER_STORE_H
#define MUSTER_STORE_H

#include <muster/base.h>

enum mu_dialect {
  MU_DIALECT_SQLITE,
  MU_DIALECT_MARIADB,
};

enum mu_value_type {
  MU_VALUE_NULL,
  MU_VALUE_INTEGER, /**< booleans too: 0 and 1 */
  MU_VALUE_REAL,
  MU_VALUE_TEXT, /**< UTF-8 */
  MU_VALUE_TIME, /**< DATETIME(3), UTC */
};

/** A value to bind, or one of a row. Views belong to whoever made them; those of a result are valid inside `done`. */
struct mu_value {
  enum mu_value_type type;
  /** MU_VALUE_INTEGER; MU_VALUE_TIME: Unix milliseconds. */
  int64_t integer;
  double real;
  struct mu_str text;
};

static inline struct mu_value mu_value_null(void)
{
  return (struct mu_value){.type = MU_VALUE_NULL};
}
static inline struct mu_value mu_value_int(int64_t integer)
{
  return (struct mu_value){.type = MU_VALUE_INTEGER, .integer = integer};
}
static inline struct mu_value mu_value_real(double real)
{
  return (struct mu_value){.type = MU_VALUE_REAL, .real = real};
}
static inline struct mu_value mu_value_time(int64_t unix_ms)
{
  return (struct mu_value){.type = MU_VALUE_TIME, .integer = unix_ms};
}
static inline struct mu_value mu_value_str(struct mu_str text)
{
  return (struct mu_value){.type = MU_VALUE_TEXT, .text = text};
}
/** NULL becomes MU_VALUE_NULL. */
static inline struct mu_value mu_value_text(const char *text)
{
  return text ? mu_value_str(mu_str(text)) : mu_value_null();
}

/** `text`, or where the dialects differ one for each. */
struct mu_sql {
  const char *text;
  const char *sqlite;
  const char *mariadb;
};

/** `expect` of a statement that may change any number of rows. */
#define MU_ANY_ROWS (-1)

struct mu_statement {
  struct mu_sql sql;
  const struct mu_value *values;
  size_t count;
  /**
   * How many rows it must change (matched, not only altered), or else the whole transaction is rolled back with MU_EREFUSED.
   * MU_ANY_ROWS: any number. Statements that give rows: MU_ANY_ROWS.
   */
  int64_t expect;
};

/** What came of it. Borrowed for the call. Growth-only. */
struct mu_result {
  size_t size;
  /**
   * 0. MU_EREFUSED: not the rows that were expected. MU_EEXIST: a unique key. MU_ENOENT: a foreign key. MU_EUNAVAILABLE: the database
   * cannot be reached or is too slow, and nothing was done. MU_ETIMEOUT: it broke during the commit: nobody knows. MU_ELIMIT: more rows than a
   * result may have. MU_EINVAL: the statement is wrong. MU_EIO: what the database said is in `reason`. In all but MU_ETIMEOUT nothing of the
   * transaction was done.
   */
  int error;
  /** For the log, one line: never for a client, it may quote values. "" when there is no error. */
  const char *reason;
  /** MU_EEXIST: the key as the database names it ("users.email"); otherwise "". */
  const char *key;
  /** The statement that failed. */
  size_t failed;
  /** Rows of the last statement that gives rows, one after another. */
  size_t rows;
  size_t columns;
  const struct mu_value *values;
  /** Rows that each statement changed. */
  const int64_t *changed;
  size_t changed_count;
};
typedef void (*mu_store_done)(void *context, const struct mu_result *result);

/** The value at a place of a result; a null value beyond its ends. */
static inline const struct mu_value *mu_result_at(const struct mu_result *result, size_t row, size_t column)
{
  static const struct mu_value none = {.type = MU_VALUE_NULL};
  return row < result->rows && column < result->columns ? &result->values[row * result->columns + column] : &none;
}

/** One step of a plugin's tables. Steps run in the order of `version`, once each, and are never changed after a release. */
struct mu_migration {
  unsigned version;
  /** A few words, for the log. */
  const char *what;
  /** Tables of released programs are made with IF NOT EXISTS: they may be there. */
  const struct mu_sql *statements;
  size_t count;
};

/** Growth-only. */
struct mu_store {
  size_t size;
  enum mu_dialect dialect;
  /**
   * Brings the tables that belong to `owner` (the plugin's name) up to date. What this instance asks afterwards waits until that is
   * done. It is tried again while the database cannot be reached; `done` (may be NULL) tells the end: 0, or what is wrong with a step.
   * 0, MU_ENOMEM, MU_EINVAL: versions out of order.
   */
  int (*migrate)(void *self, mu_instance *in, const char *owner, const struct mu_migration *migrations, size_t count,
                 mu_store_done done, void *context);
  /**
   * One statement that changes nothing. `done` is called once, or not at all when `in` stops first; so for write, whose
   * transaction is carried out all the same. 0, MU_ENOMEM, MU_ELIMIT: too much waits, MU_ECLOSED.
   */
  int (*read)(void *self, mu_instance *in, const struct mu_statement *statement, mu_store_done done, void *context);
  /** One transaction: all statements, or none. Transactions of one instance are carried out in the order in which they were given. `done` may be NULL. */
  int (*write)(void *self, mu_instance *in, const struct mu_statement *statements, size_t count, mu_store_done done,
               void *context);
};
#define MU_SERVICE_STORE "store/1"

#endif
