/* SPDX-License-Identifier: ISC */
/* What the files of plugin/ share. Nothing outside plugin/ includes this. */
#ifndef MUI_PLUGIN_INTERNAL_H
#define MUI_PLUGIN_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include <muster/log.h>
#include <muster/loop.h>
#include <muster/sample.h>
#include <muster/uplink.h>
#include "bus/bus.h"
#include "plugin/host.h"

#define MUI_NAME_MAX 31   /* a plugin's name */
#define MUI_WHY_SIZE 1024 /* room for one refusal */

/* Which bytes a file holds, as far as the file system tells. */
struct mui_stamp {
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec mtime;
};
bool mui_stamp_equal(const struct mui_stamp *a, const struct mui_stamp *b);

/* ---- find.c ---------------------------------------------------------------------------------- */

/* A plugin's file, found, opened and judged; or refused. */
struct mui_candidate {
  char name[MUI_NAME_MAX + 1];
  char *path;
  int fd; /* -1: refused, and `why` says so */
  struct mui_stamp stamp;
  bool twin;   /* an earlier one of the list is the same file */
  bool probed; /* the probe let it pass, or it is loaded already */
  char why[MUI_WHY_SIZE];
};
bool mui_name_valid(const char *name);
void mui_find(struct mui_candidate *out, const char *name, const char *const *dirs);
void mui_candidate_fini(struct mui_candidate *candidate);
/* The names of all plugin files in the folders, sorted, each once; ended by NULL. NULL: memory. Free with mui_names_free(). */
char **mui_find_names(const char *const *dirs);
void mui_names_free(char **names);

/* ---- probe.c: in a child, so that a bad file ends the child ---------------------------------- */

#define MUI_PROBE_REFUSED 65 /* exit status of a child that says why on its output */

/* A verdict that is remembered. */
struct mui_verdict {
  struct mui_stamp stamp;
  bool ok;
  int64_t at_ns;
  char why[MUI_WHY_SIZE];
};
/* Judges those that are found and not probed yet, several at once. Any thread. */
void mui_probe(struct mui_host *host, struct mui_candidate *list, size_t count);

/* ---- load.c ---------------------------------------------------------------------------------- */

/* A loaded .so, shared by its instances. */
struct mui_file {
  struct mui_file *next;
  struct mui_host *host;
  unsigned refs;
  int fd; /* open while mapped: the loader knows the file by its number's path */
  struct mui_stamp stamp;
  char *path;
  void *handle;
  struct mu_plugin plugin; /* zero-extended copies from here on */
  struct mu_component *components;
  union mui_ops {
    struct mu_collector_ops collector;
    struct mu_uplink_ops uplink;
  } * ops;
};
/* Loads a probed candidate, or takes one more reference. NULL: refused, `candidate->why` says so. */
struct mui_file *mui_file_load(struct mui_host *host, struct mui_candidate *candidate);
struct mui_file *mui_file_loaded(const struct mui_host *host, const struct mui_stamp *stamp);
void mui_file_unref(struct mui_file *file);
/* Maps an open descriptor; the handle, or NULL with a reason. */
void *mui_map(int fd, char *why, size_t why_size);

/* ---- describe.c ------------------------------------------------------------------------------ */

/* Judges the descriptor of a mapped plugin and fills the file's copies. `name` NULL: any. 0 or MU_EABI with a reason. */
int mui_descriptor_read(struct mui_file *file, const char *name, char *why, size_t why_size);
void mui_descriptor_fini(struct mui_file *file);
const char *mui_kind_word(enum mu_kind kind);
const struct mu_component *mui_file_component(const struct mui_file *file, enum mu_kind kind);

/* ---- instance.c ------------------------------------------------------------------------------ */

enum mui_phase {
  MUI_UNIT_NEW, /* checked, not started; also after a stop */
  MUI_UNIT_RUNNING,
  MUI_UNIT_STOPPING, /* stop() has said MU_PENDING */
  MUI_UNIT_STUCK,    /* stopped and revoked, but a job is out: mapped, fini not called */
};
enum mui_action { MUI_KEEP, MUI_RECONFIGURE, MUI_RESTART, MUI_ADD };

/* Which instance provides a service for this one. */
struct mui_choice {
  char *service; /* without "/N" */
  char *provider;
};

/* An instance with everything it was made from. */
struct mui_unit {
  struct mui_loaded loaded; /* first */
  struct mui_host *host;
  struct mui_file *file;
  enum mui_phase phase;
  char name[64];
  char plugin[MUI_NAME_MAX + 1];
  unsigned order;
  bool required;
  struct mui_choice *choices;
  size_t choices_count;
  bool inited;
  bool stop_wanted;
  bool stopped; /* mu_stopped() was called */
  int64_t stop_until_ns;
  /* while a plan is checked and applied */
  const struct mui_entry *entry;
  enum mui_action action;
  struct mui_unit *old; /* the running one of this name */
  bool matched;         /* a running one that goes on or is restarted */
  unsigned mark;        /* order.c */
  struct mui_unit *next_stuck;
};

struct mui_unit *mui_unit_new(struct mui_host *host, const struct mui_entry *entry, struct mui_file *file,
                              const struct mu_component *component);
/* Not while running. NULL is allowed. */
void mui_unit_free(struct mui_unit *unit);
/* init and start; unwound on failure. */
int mui_unit_start(struct mui_unit *unit);
/* Calls stop(); afterwards the phase is NEW, STUCK or STOPPING. */
void mui_unit_stop(struct mui_unit *unit);
/* Goes on with a STOPPING unit, whether mu_stopped() was called or not. */
void mui_unit_stop_finish(struct mui_unit *unit);
/* STUCK units whose jobs have come back are freed. */
void mui_units_reap(struct mui_host *host);
/* Whether it is in the running set. */
bool mui_host_lists(const struct mui_host *host, const struct mui_unit *unit);
bool mui_lists(const char *const *list, const char *service);
/* Whether `unit` asks for a service that `provider` provides. */
bool mui_depends(const struct mui_unit *unit, const struct mui_unit *provider);
/* The same without services that have many providers: those are asked anew each time. */
bool mui_depends_singly(const struct mui_unit *unit, const struct mui_unit *provider);

/* ---- order.c --------------------------------------------------------------------------------- */

struct mui_set {
  struct mui_unit **at;
  size_t count;
};
/*
 * Brings a set into the order of starting. Missing needs, cycles, ambiguous providers and wrong `use` are problems.
 * `incomplete`: entries failed to load, so a missing need takes its unit out and is no problem in itself. `lenient`: then it is
 * logged, and a problem for a required one.
 */
void mui_order(struct mui_host *host, struct mui_set *set, const struct mui_plan *plan, bool incomplete, bool lenient,
               struct mui_problems *problems);
/* Takes out what neither provides the service nor is needed for it. Nothing left is a problem. */
void mui_order_only(struct mui_set *set, const struct mui_plan *plan, struct mui_problems *problems);
/* A need of the unit that nothing in the set provides, or NULL. */
const char *mui_missing(const struct mui_set *set, const struct mui_unit *unit);
/* Whether a service is meant to have many providers. */
bool mui_service_many(const char *service);

/* ---- check.c --------------------------------------------------------------------------------- */

/*
 * Everything before the swap: find, probe, load, read options, check, order. `lenient`: entries that fail to load are
 * left out with a log line unless required. MU_ECONF, MU_EUNAVAILABLE (a required one failed to load), or 0 with a set.
 */
int mui_plan_check(struct mui_host *host, const struct mui_plan *plan, bool lenient, struct mui_set *set,
                   struct mui_problems *problems);
void mui_set_free(struct mui_set *set); /* with its units, as far as they do not run */
/* A problem at an entry. */
void mui_entry_problem(struct mui_problems *problems, bool warning, const mui_setting *place, const char *format, ...)
    MU_PRINTF(4, 5);

/* ---- shown.c --------------------------------------------------------------------------------- */

/* The instances of a plan, by name. */
struct mui_name {
  enum mu_kind kind;
  char instance[64];
  char plugin[MUI_NAME_MAX + 1];
};
struct mui_named {
  struct mui_name *at;
  size_t count;
};
/* 0 or MU_ENOMEM. */
int mui_names_of(const struct mui_plan *plan, struct mui_named *named);
void mui_names_of_free(struct mui_named *named);

/* ---- host.c, reload.c ------------------------------------------------------------------------ */

struct mui_host {
  struct mui_runtime *runtime;
  char *program;
  pthread_mutex_t lock; /* verdicts */
  struct mui_verdict *verdicts;
  size_t verdicts_count;
  struct mui_file *files;
  struct mui_set running; /* in the order of starting */
  struct mui_unit *stuck;
  mu_timer *timer; /* stops that are pending, and stuck units */
  void (*watch)(void *context, enum mui_host_change change, const struct mui_loaded *loaded);
  void *watch_context;
  struct mui_host_diff diff;
  struct mui_set next;    /* of the reload that waits for stops */
  struct mui_named named; /* all that the configuration names, failed ones included */
  struct mui_named next_named;
  const struct mu_options *options; /* of the program; NULL: not told */
  const void *config;
  bool applied; /* the first apply is over */
  bool reloading;
  bool lacking; /* something that does not run may be an auth provider */
  int result;   /* of the last apply */
  bool stopping;
  int64_t stop_until_ns;
  void (*done)(void *context, int result); /* of the reload */
  void *done_context;
  void (*stop_done)(void *context);
  void *stop_context;
};
void mui_host_tell(struct mui_host *host, enum mui_host_change change, const struct mui_unit *unit);
/* Drives pending stops; ends a reload or the host's stop when they are over. */
void mui_host_advance(struct mui_host *host);
/* reload.c: after the stops of a reload. */
int mui_reload_finish(struct mui_host *host);
/* reload.c: forgets the new set, because the host stops. */
void mui_reload_abandon(struct mui_host *host);

#endif
