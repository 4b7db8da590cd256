/* SPDX-License-Identifier: ISC */
/**
 * @file store_driver.h
 * For plugins that provide store/1: a plugin brings a blocking driver, libmuster-store does everything else.
 *
 * Link Muster::store (`muster_add_plugin(NAME LIBRARIES Muster::store)`, or pkg-config muster-store). The front has the queue, the
 * bounds, the commit of many transactions together, the migrations, the prepared statements and the results; it calls the driver on
 * the worker pool and everybody's `done` on the loop thread.
 *
 * Threads: the driver's functions run on worker threads unless their comment says otherwise. A link is used by one thread at a
 * time, not always by the same one; several links at once. What hangs on `self` is shared: let it be unchanged while links are open.
 *
 * Errors: a function returns 0 or one of these, through mu_store_fail(), which keeps the reason:
 *
 *   MU_EEXIST       a unique key; `fault->key` names it
 *   MU_ENOENT       a foreign key
 *   MU_EINVAL       the statement is wrong, or another constraint
 *   MU_ELIMIT       as mu_store_row() said
 *   MU_EBUSY        locked by others, a deadlock: the same may succeed when the whole transaction is begun anew
 *   MU_EUNAVAILABLE it cannot be reached, the link broke (then also `fault->broken`: another is opened, and it is tried again), or it did
 *                   not end within `until_ns`; nothing was done
 *   MU_ETIMEOUT     the same, but nobody knows whether it was done; from step(MU_STORE_COMMIT) only
 *   MU_EIO          anything else: the disk is full
 *
 * Where the database took back the whole transaction and not only the statement, the driver also sets `fault->undone`.
 */
#ifndef MUSTER_STORE_DRIVER_H
#define MUSTER_STORE_DRIVER_H

#include <muster/conf.h>
#include <muster/store.h>

/** What went wrong. Made by the front, zeroed before each call. Growth-only. */
struct mu_store_fault {
  size_t size;
  /** No transaction is open any more, though step(MU_STORE_ROLLBACK) was not called. */
  bool undone;
  /** The link is of no use any more: it is closed whatever the error is. Implied by MU_EUNAVAILABLE from step() and by MU_ETIMEOUT. */
  bool broken;
  char key[128];
  char reason[512];
};
/** Fills in the reason, cut where it is too long, and returns `error`. Never a password in it. Any thread. */
MU_API int mu_store_fail(struct mu_store_fault *fault, int error, const char *format, ...) MU_PRINTF(3, 4);

/** Rows on their way into a result. One thread. */
typedef struct mu_store_rows mu_store_rows;
/** A statement gives rows of so many columns, perhaps none: forgets those of statements before it. 0, MU_ELIMIT, MU_ENOMEM. */
MU_API int mu_store_rows_begin(mu_store_rows *rows, size_t columns);
/** One row, copied: as many values as columns. After an error the driver ends the statement and returns it. 0, MU_ELIMIT, MU_ENOMEM. */
MU_API int mu_store_row(mu_store_rows *rows, const struct mu_value *values);

/** Steps of a transaction. */
enum mu_store_step {
  MU_STORE_BEGIN,
  MU_STORE_COMMIT,
  MU_STORE_ROLLBACK,
  /** One savepoint at a time: SAVE, then RELEASE, or BACK, which also forgets it. A driver may put SAVE off until something follows. */
  MU_STORE_SAVE,
  MU_STORE_RELEASE,
  MU_STORE_BACK,
};

/** One run of a statement. Borrowed. Growth-only. */
struct mu_store_run {
  size_t size;
  const struct mu_value *values;
  size_t count;
  mu_store_rows *rows;
  /** mu_mono_ns() until which it must have ended, or MU_EUNAVAILABLE ("too slow"); a driver that cannot do so exactly does so as well as it can. */
  int64_t until_ns;
};

/** A driver. Constant. Growth-only. Members that are not needed are NULL or 0. */
struct mu_store_driver {
  size_t size;
  enum mu_dialect dialect;
  /** For the log: "SQLite". */
  const char *what;
  /**
   * Connects. `writer`: for transactions and migrations; otherwise for reads, where whatever changes something should fail. There is one
   * writer, and some readers. After an error it is tried again, with a growing pause, for as long as the store runs.
   */
  int (*open)(void *self, bool writer, void **link, struct mu_store_fault *fault);
  /** All its statements have been released before. Also on the loop thread, at the end. */
  void (*close)(void *link);
  /** Prepares a statement; the text need not outlive the call. The front keeps those used last and never has two of one text. */
  int (*prepare)(void *link, struct mu_str sql, void **statement, struct mu_store_fault *fault);
  void (*release)(void *link, void *statement);
  /**
   * Runs it to its end, and leaves it ready to be run again, on errors too. Outside of a transaction it is one of its own, and sees
   * all that was committed before. A wrong number of values: MU_EINVAL.
   * @param changed out: rows changed, those matched and not altered counted too; 0 where it changes nothing
   */
  int (*run)(void *link, void *statement, const struct mu_store_run *run, int64_t *changed,
             struct mu_store_fault *fault);
  /** BEGIN must keep other writers out, or let them wait; ROLLBACK and BACK are also called after errors. */
  int (*step)(void *link, enum mu_store_step step, struct mu_store_fault *fault);
  /** Before (`on`) and after a plugin's migrations: keeps those of other processes out. NULL: BEGIN does. */
  int (*exclusive)(void *link, bool on, struct mu_store_fault *fault);
  /** Housekeeping on an open link that has nothing to do, every `tend_s` seconds: checkpoints, pings. An error is logged. NULL: none. */
  int (*tend)(void *link, bool writer, struct mu_store_fault *fault);
  unsigned tend_s;
  /** Ends soon what the link runs, with MU_EUNAVAILABLE: the store stops. Loop thread, while another thread uses the link. NULL: cannot. */
  void (*interrupt)(void *link);
};

/** What people may set of the front, for the plugin's option table: see MU_STORE_LIMIT_OPTIONS. Growth-only. */
struct mu_store_limits {
  /** No option sets it: the plugin does, in the copy that it hands over. */
  size_t size;
  int64_t queue;
  int64_t queue_bytes;
  double wait;
  double run;
  int64_t rows;
  int64_t row_bytes;
  int64_t readers;
  int64_t statements;
};
/**
 *     static const struct mu_option limit_options[] = {MU_STORE_LIMIT_OPTIONS};
 *     … {.key = "limits", .type = MU_OPT_GROUP, .offset = AT(limits), .fields = MU_OPTIONS(limit_options), .help = "…"}
 */
#define MU_STORE_LIMIT_OPTIONS                                                                                         \
  {.key = "queue",                                                                                                     \
   .type = MU_OPT_INT,                                                                                                 \
   .offset = offsetof(struct mu_store_limits, queue),                                                                  \
   .preset = "10000",                                                                                                  \
   .min = 16,                                                                                                          \
   .max = 1000000,                                                                                                     \
   .help = "Reads and transactions that may wait for the database; further ones are refused."},                        \
      {.key = "queue_bytes",                                                                                           \
       .type = MU_OPT_INT,                                                                                             \
       .offset = offsetof(struct mu_store_limits, queue_bytes),                                                        \
       .preset = "67108864",                                                                                           \
       .min = 1048576,                                                                                                 \
       .max = 17179869184.0,                                                                                           \
       .help = "The same in bytes of memory."},                                                                        \
      {.key = "wait",                                                                                                  \
       .type = MU_OPT_FLOAT,                                                                                           \
       .offset = offsetof(struct mu_store_limits, wait),                                                               \
       .preset = "5.0",                                                                                                \
       .min = 0.1,                                                                                                     \
       .max = 600,                                                                                                     \
       .help =                                                                                                         \
           "Seconds that something may wait for the database; then whoever asked is told that it is unavailable."},    \
      {.key = "run",                                                                                                   \
       .type = MU_OPT_FLOAT,                                                                                           \
       .offset = offsetof(struct mu_store_limits, run),                                                                \
       .preset = "10.0",                                                                                               \
       .min = 0.1,                                                                                                     \
       .max = 600,                                                                                                     \
       .help = "Seconds that one statement may run."},                                                                 \
      {.key = "rows",                                                                                                  \
       .type = MU_OPT_INT,                                                                                             \
       .offset = offsetof(struct mu_store_limits, rows),                                                               \
       .preset = "100000",                                                                                             \
       .min = 100,                                                                                                     \
       .max = 10000000,                                                                                                \
       .help = "Rows that one result may have."},                                                                      \
      {.key = "row_bytes",                                                                                             \
       .type = MU_OPT_INT,                                                                                             \
       .offset = offsetof(struct mu_store_limits, row_bytes),                                                          \
       .preset = "67108864",                                                                                           \
       .min = 65536,                                                                                                   \
       .max = 4294967296.0,                                                                                            \
       .help = "Bytes that the rows of one result may have."},                                                         \
      {.key = "readers",                                                                                               \
       .type = MU_OPT_INT,                                                                                             \
       .offset = offsetof(struct mu_store_limits, readers),                                                            \
       .preset = "2",                                                                                                  \
       .min = 1,                                                                                                       \
       .max = 16,                                                                                                      \
       .help = "Links for reads; all that changes goes through one more. A change restarts the store."},               \
  {                                                                                                                    \
    .key = "statements", .type = MU_OPT_INT, .offset = offsetof(struct mu_store_limits, statements), .preset = "200",  \
    .min = 8, .max = 10000, .help = "Prepared statements that each link keeps; those used last stay."                  \
  }

/** The front of one instance. Loop thread only. */
typedef struct mu_store_front mu_store_front;

/**
 * Provides store/1 for `in`, whose component lists it in `provides`. Call from init; nothing is opened yet, and what is asked waits. `driver` must
 * stay valid, `self` until mu_store_front_free() has returned. 0, MU_ENOMEM, MU_EINVAL, or what mu_service_provide() says.
 */
MU_API int mu_store_front_new(mu_instance *in, const struct mu_store_driver *driver, void *self,
                              const struct mu_store_limits *limits, mu_store_front **out);
/** Begins to carry out what is asked. Call from start. 0 or MU_ENOMEM. */
MU_API int mu_store_front_start(mu_store_front *front);
/** Call from reconfigure. 0, or MU_RESTART (nothing changed) when `readers` differ. */
MU_API int mu_store_front_limits(mu_store_front *front, const struct mu_store_limits *limits);
/**
 * Call from stop, and return what it returns: 0, or MU_PENDING, and mu_stopped() follows. What waits is carried out for most of a stop's
 * second; what is left then is told MU_EUNAVAILABLE.
 */
MU_API int mu_store_front_stop(mu_store_front *front);
/** Call from fini: closes what is open. NULL is allowed. */
MU_API void mu_store_front_free(mu_store_front *front);

#endif
