/* SPDX-License-Identifier: ISC */
/*
 * Which collector is due, out, stuck or failing, and the newest good sample of each. Loop thread; time is mu_mono_ns(). It starts
 * nothing itself: `start` is the program's (call.c) or a test's.
 */
#ifndef AGENT_SCHEDULE_H
#define AGENT_SCHEDULE_H

#include <muster/base.h>

struct json_object;

/* After failures the interval doubles up to this. */
#define SCHEDULE_BACKOFF_MAX 10u
/* Seconds. Servers take a machine for offline that was silent for 30 s: under load the newest samples are repeated before. */
#define SCHEDULE_REPORT_MAX 25.0

/* One collector instance. */
struct slot {
  struct slot *next;
  mu_instance *in;
  const char *name;
  const void *owner; /* the program's */
  void *call;        /* likewise, while `out` */
  double interval_s;
  double deadline_s;
  int64_t begun_ns; /* of the newest call; 0: never called */
  int64_t due_ns;
  bool out;        /* a call has not come back */
  bool stuck;      /* and its deadline has passed */
  bool awaited;    /* the next report waits for it */
  unsigned failed; /* calls in a row */
  int64_t warn_ns; /* stuck: when it is said again, and how long it is quiet then */
  int64_t quiet_ns;
  struct json_object *good;
};

struct schedule {
  struct slot *slots; /* in the order of being added */
  double factor;      /* of all intervals */
  uint64_t failures;  /* calls that failed or were overdue */
  /* Begins a call: one of the three functions below follows. Negative: it could not begin. */
  int (*start)(void *context, struct slot *slot);
  void *context;
};

/* Due at once. NULL: memory is out. */
struct slot *schedule_add(struct schedule *schedule, mu_instance *in, const char *name, double interval_s,
                          double deadline_s, const void *owner);
/* A call that is out must not be told of any more. */
void schedule_remove(struct schedule *schedule, struct slot *slot);
void schedule_set(struct schedule *schedule, struct slot *slot, double interval_s, double deadline_s);

/* Starts what is due; `all`: whatever is not out and did not fail last. The started ones become awaited if `await`. */
void schedule_run(struct schedule *schedule, bool all, bool await);
/* Says again, rarer and rarer, what is stuck. */
void schedule_warn(struct schedule *schedule);

/* A call came back in time. Takes `metrics`; negative `result`: they are thrown away and the sample before is kept. */
void schedule_done(struct schedule *schedule, struct slot *slot, int result, struct json_object *metrics);
/* The deadline passed: it is not called again until schedule_late(). */
void schedule_overdue(struct schedule *schedule, struct slot *slot);
/* It has come back after all; what it brought is too old. */
void schedule_late(struct schedule *schedule, struct slot *slot);

/* Changes all intervals, those that have begun too. */
void schedule_scale(struct schedule *schedule, double factor);
/* When the next call is due; INT64_MAX: none. */
int64_t schedule_due(const struct schedule *schedule);
/* Everything is due one interval from now. */
void schedule_align(struct schedule *schedule);
/* The shortest configured interval; 5 without collectors. */
double schedule_base_s(const struct schedule *schedule);
/* The same in ns, as adapted: the interval of the reports. Adaptation does not stretch it beyond SCHEDULE_REPORT_MAX. */
int64_t schedule_period_ns(const struct schedule *schedule);
/* Whether a call is out that the report waits for; `fastest`: only collectors with the shortest interval. */
bool schedule_awaits(const struct schedule *schedule, bool fastest);
void schedule_await_none(struct schedule *schedule);
/* Appends the names of those that are stuck, separated by commas. */
void schedule_stuck(const struct schedule *schedule, struct mu_buf *names);
void schedule_clear(struct schedule *schedule);

#endif
