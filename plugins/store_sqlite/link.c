/* SPDX-License-Identifier: ISC */
/* A link to the file: how it is opened, transactions, errors, and keeping the log of writes (WAL) small. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sqlite.h"

enum {
  BUSY_MS = 1000, /* waited for another process's lock before the front is told */
  CHECKPOINT_MS = 100,
  WAL_PAGES = 1000, /* from here on the log is copied into the file */
  WAL_MANY = 8000,  /* and from here on readers are waited for, so that it can begin anew */
  STEPS = 20000,    /* of a statement's program between two looks at the clock */
  TEND_S = 60,
  OPTIMIZE_EVERY = 60 /* calls of tend() */
};

/* ---- errors ---------------------------------------------------------------------------------- */

/* "UNIQUE constraint failed: users.email" */
static void name_key(const char *message, struct mu_store_fault *fault)
{
  const char *colon = strstr(message, "failed: ");
  snprintf(fault->key, sizeof fault->key, "%s", colon ? colon + strlen("failed: ") : message);
}

static int error_of(int code)
{
  switch (code) {
  case SQLITE_CONSTRAINT_UNIQUE:
  case SQLITE_CONSTRAINT_PRIMARYKEY:
  case SQLITE_CONSTRAINT_ROWID:
    return MU_EEXIST;
  case SQLITE_CONSTRAINT_FOREIGNKEY:
    return MU_ENOENT;
  default:
    break;
  }
  switch (code & 0xff) {
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return MU_EBUSY;
  case SQLITE_INTERRUPT:
    return MU_EUNAVAILABLE;
  case SQLITE_ERROR:
  case SQLITE_CONSTRAINT:
  case SQLITE_MISMATCH:
  case SQLITE_TOOBIG:
  case SQLITE_RANGE:
  case SQLITE_AUTH:
    return MU_EINVAL;
  default:
    return MU_EIO;
  }
}

int link_fail(struct link *link, int code, struct mu_store_fault *fault)
{
  const char *message = link->db ? sqlite3_errmsg(link->db) : sqlite3_errstr(code);
  int error = error_of(code);
  if (error == MU_EEXIST)
    name_key(message, fault);
  if (link->db && link->transaction && sqlite3_get_autocommit(link->db)) {
    fault->undone = true;
    link->transaction = false;
  }
  if ((code & 0xff) == SQLITE_INTERRUPT)
    message = "the statement did not end in time";
  return mu_store_fail(fault, error, "%s (SQLite %d)", message, code);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Plugins' statements stay within the file, and leave transactions to the front. */
static int authorize(void *context, int action, const char *a, const char *b, const char *c, const char *d)
{
  (void)a, (void)b, (void)c, (void)d;
  const struct link *link = context;
  bool ours = action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT || action == SQLITE_ATTACH ||
              action == SQLITE_DETACH || action == SQLITE_PRAGMA;
  return ours && !link->own ? SQLITE_DENY : SQLITE_OK;
}

/* SQLite's own would go on sleeping when the store stops. */
static int on_busy(void *context, int times)
{
  struct link *link = context;
  if (times == 0)
    link->busy_ns = mu_mono_ns();
  if (atomic_load(&link->interrupted) || mu_mono_ns() - link->busy_ns > link->busy_ms * 1000000)
    return 0;
  nanosleep(&(struct timespec){.tv_nsec = times < 10 ? 1000000 : 10000000}, NULL);
  return 1;
}

static int on_steps(void *context)
{
  const struct link *link = context;
  return link->until_ns && mu_mono_ns() > link->until_ns;
}

static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
  struct link *link = context;
  if (pages < WAL_PAGES)
    return SQLITE_OK;
  link->own = true;
  if (pages < link->waited_pages) /* it began anew */
    link->waited_pages = 0;
  if (pages < WAL_MANY || pages < link->waited_pages + WAL_PAGES) {
    sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  } else {
    /* The longer the log, the longer: reads take what they take, and without an end it would have none. */
    int times = pages / (WAL_MANY / 2);
    link->waited_pages = pages;
    link->busy_ms = times < 7 ? CHECKPOINT_MS * times * times : CHECKPOINT_MS * 50;
    sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    link->busy_ms = BUSY_MS;
  }
  link->own = false;
  return SQLITE_OK; /* what could not be copied is copied later */
}

static int command(struct link *link, const char *text)
{
  link->own = true;
  int code = sqlite3_exec(link->db, text, NULL, NULL, NULL);
  link->own = false;
  return code;
}

/* The answer must be "wal": on some file systems it cannot be. */
static int use_wal(struct link *link, struct mu_store_fault *fault)
{
  sqlite3_stmt *statement = NULL;
  link->own = true;
  int code = sqlite3_prepare_v2(link->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(statement);
  const char *mode = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
  bool wal = mode && strcmp(mode, "wal") == 0;
  link->own = false;
  int error = code != SQLITE_ROW ? link_fail(link, code, fault)
              : wal              ? 0
                                 : mu_store_fail(fault, MU_EIO, "the file system cannot hold a write-ahead log");
  sqlite3_finalize(statement);
  return error;
}

static const char *const commands[COMMAND_COUNT] = {
    [MU_STORE_BEGIN] = "BEGIN IMMEDIATE", [MU_STORE_COMMIT] = "COMMIT",          [MU_STORE_ROLLBACK] = "ROLLBACK",
    [MU_STORE_SAVE] = "SAVEPOINT muster", [MU_STORE_RELEASE] = "RELEASE muster", [MU_STORE_BACK] = "ROLLBACK TO muster",
};

static int prepare_commands(struct link *link)
{
  int code = SQLITE_OK;
  link->own = true;
  for (size_t i = 0; i < COMMAND_COUNT && code == SQLITE_OK; i++)
    code = sqlite3_prepare_v3(link->db, commands[i], -1, SQLITE_PREPARE_PERSISTENT, &link->commands[i], NULL);
  link->own = false;
  return code;
}

static int set_up(struct link *link, const struct place *place, struct mu_store_fault *fault)
{
  sqlite3 *db = link->db;
  link->busy_ms = BUSY_MS;
  sqlite3_busy_handler(db, on_busy, link);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_progress_handler(db, STEPS, on_steps, link);
  sqlite3_set_authorizer(db, authorize, link);
  int code = command(link, "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;");
  if (code == SQLITE_OK && !link->writer)
    code = command(link, "PRAGMA query_only = 1;");
  if (code == SQLITE_OK && link->writer) {
    int error = use_wal(link, fault);
    if (error)
      return error;
    code = command(link, place->synchronous == SYNCHRONOUS_FULL
                             ? "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 33554432;"
                             : "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 33554432;");
    sqlite3_wal_hook(db, on_commit, link);
  }
  if (code == SQLITE_OK)
    code = prepare_commands(link);
  return code == SQLITE_OK ? 0 : link_fail(link, code, fault);
}

int sqlite_open(void *context, bool writer, void **out, struct mu_store_fault *fault)
{
  const struct place *place = context;
  struct link *link = calloc(1, sizeof *link);
  if (!link)
    return mu_store_fail(fault, MU_EIO, "out of memory");
  link->writer = writer;
  /* Never CREATE: a file that has gone is not replaced by an empty one. */
  int code = sqlite3_open_v2(place->path, &link->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  if (link->db)
    sqlite3_extended_result_codes(link->db, 1);
  int error = code == SQLITE_OK ? set_up(link, place, fault) : link_fail(link, code, fault);
  if (error) {
    sqlite_close(link);
    return error;
  }
  *out = link;
  return 0;
}

void sqlite_close(void *context)
{
  struct link *link = context;
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    sqlite3_finalize(link->commands[i]);
  sqlite3_close_v2(link->db);
  free(link);
}

/* ---- transactions ---------------------------------------------------------------------------- */

static int perform(struct link *link, enum mu_store_step step)
{
  link->own = true;
  sqlite3_step(link->commands[step]);
  int code = sqlite3_reset(link->commands[step]);
  link->own = false;
  return code;
}

static int sqlite_step(void *context, enum mu_store_step step, struct mu_store_fault *fault)
{
  struct link *link = context;
  link->until_ns = 0;
  if (step == MU_STORE_ROLLBACK && sqlite3_get_autocommit(link->db)) {
    link->transaction = false;
    return 0;
  }
  if (step == MU_STORE_BEGIN)
    atomic_store(&link->interrupted, false);
  int code = perform(link, step);
  if (code == SQLITE_OK && step == MU_STORE_BACK)
    code = perform(link, MU_STORE_RELEASE);
  if (code == SQLITE_OK) {
    if (step == MU_STORE_BEGIN)
      link->transaction = true;
    else if (step == MU_STORE_COMMIT || step == MU_STORE_ROLLBACK)
      link->transaction = false;
    return 0;
  }
  int error = link_fail(link, code, fault);
  /* The log may have reached the disk or not; whoever opens the file next finds out. */
  if (step == MU_STORE_COMMIT && (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)) {
    fault->broken = true;
    error = MU_ETIMEOUT;
  }
  return error;
}

/* ---- housekeeping ---------------------------------------------------------------------------- */

static int sqlite_tend(void *context, bool writer, struct mu_store_fault *fault)
{
  struct link *link = context;
  link->until_ns = 0;
  if (!writer)
    return 0;
  link->own = true;
  link->busy_ms = CHECKPOINT_MS;
  int code = sqlite3_wal_checkpoint_v2(link->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  link->busy_ms = BUSY_MS;
  link->own = false;
  if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED)
    return link_fail(link, code, fault);
  if (++link->tended % OPTIMIZE_EVERY == 0) {
    code = command(link, "PRAGMA analysis_limit = 400; PRAGMA optimize;");
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)
      return link_fail(link, code, fault);
  }
  return 0;
}

static void sqlite_interrupt(void *context)
{
  struct link *link = context;
  atomic_store(&link->interrupted, true);
  sqlite3_interrupt(link->db);
}

const struct mu_store_driver sqlite_driver = {
    .size = sizeof(struct mu_store_driver),
    .dialect = MU_DIALECT_SQLITE,
    .what = "SQLite",
    .open = sqlite_open,
    .close = sqlite_close,
    .prepare = sqlite_prepare,
    .release = sqlite_release,
    .run = sqlite_run,
    .step = sqlite_step,
    .tend = sqlite_tend,
    .tend_s = TEND_S,
    .interrupt = sqlite_interrupt,
};
