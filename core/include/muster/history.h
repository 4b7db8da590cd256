/* SPDX-License-Identifier: ISC */
/**
 * @file history.h
 * The service "history/1": what machines reported before. Loop thread only.
 */
#ifndef MUSTER_HISTORY_H
#define MUSTER_HISTORY_H

#include <muster/base.h>

/** What is asked for: values for the times from_ms, from_ms + step_ms, …, `points` of them. Borrowed for the call. Growth-only. */
struct mu_history_query {
  size_t size;
  /** The machine, as mu_machine has it. */
  const char *provider;
  const char *owner;
  const char *id;
  int64_t from_ms; /**< Unix ms */
  int64_t step_ms;
  size_t points; /**< 1 … 1000 */
};

/** One number of a machine over time. */
struct mu_history_series {
  /**
   * collector.metric, with "[INDEX]" for numbers in a list and "[LABEL].FIELD" for rows: "cpu.percent", "cpu.per_core[0]",
   * "disk.disks[/srv].used_percent".
   */
  const char *name;
  /** `points` of them: the mean of what was reported in [time, time + step_ms); NaN: nothing was. */
  const double *values;
};

/** What is known; borrowed for the call. Growth-only. */
struct mu_history_answer {
  size_t size;
  /** 0, or why there is no answer: MU_EBUSY, MU_ETIMEOUT, MU_ECLOSED, MU_ENOMEM, MU_EIO. Then nothing below counts. */
  int error;
  const struct mu_history_series *series;
  size_t count;
  size_t series_size; /**< sizeof(struct mu_history_series) as the provider was compiled */
};

typedef void (*mu_history_done)(void *context, const struct mu_history_answer *answer);

/** Growth-only. */
struct mu_history {
  size_t size;
  /** How far back it goes at most, ms. */
  int64_t (*retention_ms)(void *self);
  /**
   * Asks. `done` is called exactly once, before this returns (0) or later (MU_PENDING), with an error when the provider stops first; not
   * at all when `in` does. A machine that nobody knows has no series. @return 0, MU_PENDING, or an error: `done` will not be called
   */
  int (*read)(void *self, mu_instance *in, const struct mu_history_query *query, mu_history_done done, void *context);
};
#define MU_SERVICE_HISTORY "history/1"

#endif
