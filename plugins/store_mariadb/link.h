/* SPDX-License-Identifier: ISC */
/* One connection to the database, and its prepared statements. Used by one thread at a time. */
#ifndef STORE_MARIADB_LINK_H
#define STORE_MARIADB_LINK_H

#include <mysql.h>

#include <muster/store_driver.h>

#include "address.h"

enum { STATEMENT_TIME = 1969 /* the server's error: over max_statement_time */ };

enum tls { TLS_NO, TLS_UNVERIFIED, TLS_VERIFIED };

/* What links are opened with; unchanged while there are any. */
struct target {
  struct address address;
  enum tls tls;
  char *ca_file, *certificate_file, *key_file; /* owned; NULL: none */
  unsigned connect_s;
  /* How long the server may work on one statement, and how long its answer is waited for at all. */
  double statement_s;
  unsigned answer_s;
};

struct statement {
  struct link *link;
  MYSQL_STMT *handle;
  char *sql;
  size_t params;
  MYSQL_BIND *binds;
  MYSQL_TIME *times;
  /* An insert that may change rows instead: the server counts those twice. */
  bool upserts;
  /* Gives the rows that it changed. */
  bool returns;
};

struct link {
  const struct target *target;
  MYSQL *mysql;
  bool writer;
  bool mariadb; /* not MySQL */
  bool in_transaction, save;
  int fd; /* a copy of the socket's, for interrupt() */
  uint64_t packet_max;
};

/* link.c: see struct mu_store_driver. */
int link_open(void *self, bool writer, void **out, struct mu_store_fault *fault);
void link_close(void *self);
void link_interrupt(void *self);
int link_step(void *self, enum mu_store_step step, struct mu_store_fault *fault);
int link_exclusive(void *self, bool on, struct mu_store_fault *fault);
int link_tend(void *self, bool writer, struct mu_store_fault *fault);
/* The savepoint that was put off. */
int link_settle(struct link *link, struct mu_store_fault *fault);
/* Runs a text that gives no rows. */
int link_say(struct link *link, const char *sql, struct mu_store_fault *fault);
/* The first value of the first row of a text: "" for none and for NULL. */
int link_ask(struct link *link, const char *sql, char *value, size_t room, struct mu_store_fault *fault);

/* statement.c */
int statement_prepare(void *self, struct mu_str sql, void **out, struct mu_store_fault *fault);
void statement_release(void *self, void *statement);
int statement_run(void *self, void *statement, const struct mu_store_run *run, int64_t *changed,
                  struct mu_store_fault *fault);

/* fetch.c: the rows of a statement that was executed. The statement's results are gone afterwards. */
int fetch_rows(struct link *link, MYSQL_STMT *handle, const struct mu_store_run *run, int64_t *rows,
               struct mu_store_fault *fault);

/* error.c */
/* What an error of the server or of the client library means. `sql`: the statement's text, or NULL. */
int error_judge(struct link *link, unsigned number, const char *state, const char *text, const char *sql,
                struct mu_store_fault *fault);
int error_of_link(struct link *link, struct mu_store_fault *fault);
int error_of_statement(struct statement *statement, struct mu_store_fault *fault);
/* The name of the key in the server's "Duplicate entry 'a' for key 'b'". Empty: none. */
struct mu_str error_key(const char *text);
/* The table that an INSERT, REPLACE or UPDATE changes. Empty: it cannot be told. */
struct mu_str error_table(const char *sql);

#endif
