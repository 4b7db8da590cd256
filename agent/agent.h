/* SPDX-License-Identifier: ISC */
/* The agent: collectors on a schedule, reports to uplinks. Loop thread, but for the call of a collector itself. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "adapt.h"
#include "program/program.h"
#include "schedule.h"

struct json_object;

/* The options of the file. */
struct agent_config {
  struct mui_common common;  /* first */
  struct mu_list collectors; /* struct mui_item */
  struct mu_list uplinks;
  int adaptive; /* enum adaptive */
  const char *key_dir;
};

/* An uplink that runs. */
struct uplink {
  struct uplink *next;
  const struct mui_loaded *loaded;
};

enum phase {
  PHASE_IDLE,   /* not begun, or at the end */
  PHASE_FIRST,  /* the first samples are out */
  PHASE_SECOND, /* rates need two: once more, soon */
  PHASE_RUNNING,
};

struct agent {
  struct mui_app *app;
  struct schedule schedule;
  struct adapt adapt;
  int64_t adapted_ns;
  struct uplink *uplinks;
  enum phase phase;
  bool waiting;        /* a report is due and waits for its samples */
  bool short_patience; /* and has the fastest one: not long any more */
  bool once;
  int64_t began_ns;
  int64_t report_ns; /* when the next report is due */
  mu_timer *wake;
  mu_timer *patience;
  char boot[33];
  uint64_t seq;
  struct terminal *terminal;
  char *key_folder;
  char machine_id[40]; /* empty: not asked for yet */
  bool ending;
  int end_status;
  struct join *join; /* NULL: the agent itself */
};

/* ---- service.c: agent/1 ---- */
/* What was made when it failed is for service_free(). */
int service_init(struct agent *agent, const char *key_dir, bool service);
/* The end has begun: nobody is asked any more. */
void service_stop(struct agent *agent);
void service_free(struct agent *agent);

/* ---- join.c: --join ---- */
/* The configuration that it writes where there is none. */
extern const char join_preset[];
void join_run(struct mui_app *app);
/* What uplinks ask of agent/1, while one of them tries the key. */
struct mu_str join_key(struct agent *agent, const char *server);
void join_attempted(struct agent *agent, int error, const char *why);
void join_free(struct agent *agent);

/* ---- rounds.c: when ---- */
int rounds_init(struct agent *agent);
/* The first two samples and the first report, then on. */
void rounds_begin(struct agent *agent);
/* Collectors or intervals changed. */
void rounds_changed(struct agent *agent);
/* A call came back, or its deadline passed. */
void rounds_progress(struct agent *agent);
void rounds_stop(struct agent *agent);

/* ---- call.c: the schedule's `start` ---- */
int call_start(void *context, struct slot *slot);
/* The slot goes away: a call that is out will find nobody. */
void call_forget(struct slot *slot);

/* ---- report.c: what ---- */
int report_init(struct agent *agent);
/* Hands a report to every uplink, or prints it and ends the program for --once. */
void report_make(struct agent *agent);
/* The greater of CPU and memory percent in the newest samples; NaN: unknown. */
double report_load(const struct schedule *schedule);

#endif
