/* SPDX-License-Identifier: ISC */
/* What the files of store_sqlite share. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include <muster/muster.h>

enum synchronous { SYNCHRONOUS_FULL, SYNCHRONOUS_NORMAL };

/* What all links of an instance have in common; unchanged while it runs. */
struct place {
  const char *path;
  enum synchronous synchronous;
};

enum { COMMAND_COUNT = 6 }; /* enum mu_store_step */

struct link {
  sqlite3 *db;
  bool writer;
  bool own;         /* the statement that is prepared is ours: it may do what plugins' may not */
  bool transaction; /* was begun */
  int64_t until_ns; /* of the statement that runs */
  int64_t busy_ns;  /* since when a lock is waited for */
  int64_t busy_ms;  /* how long another process's lock is waited for */
  _Atomic bool interrupted;
  sqlite3_stmt *commands[COMMAND_COUNT];
  int waited_pages; /* of the log, when readers were waited for last */
  unsigned tended;
};

/* ---- times.c --------------------------------------------------------------------------------- */

enum { TIME_SIZE = 24 };
/* "2026-01-02 03:04:05.678"; years 0 to 9999, others become the nearest. */
void time_write(int64_t unix_ms, char out[TIME_SIZE]);
/* With or without a fraction, a T in the middle or a Z at the end. False: it is no such text. */
bool time_read(struct mu_str text, int64_t *unix_ms);

/* ---- link.c ---------------------------------------------------------------------------------- */

extern const struct mu_store_driver sqlite_driver;
/* Fills in the fault from what SQLite says; what the call returns. */
int link_fail(struct link *link, int code, struct mu_store_fault *fault);
int sqlite_open(void *place, bool writer, void **link, struct mu_store_fault *fault);
void sqlite_close(void *link);

/* ---- statement.c ----------------------------------------------------------------------------- */

int sqlite_prepare(void *link, struct mu_str sql, void **statement, struct mu_store_fault *fault);
void sqlite_release(void *link, void *statement);
int sqlite_run(void *link, void *statement, const struct mu_store_run *run, int64_t *changed,
               struct mu_store_fault *fault);

/* ---- file.c ---------------------------------------------------------------------------------- */

/*
 * Whether the file can be used: makes it where it is not there, and never touches one that is something else. 0 or MU_EREFUSED, and the
 * reason was logged.
 */
int file_judge(mu_instance *in, const struct place *place);

#endif
