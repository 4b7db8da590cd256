/* SPDX-License-Identifier: ISC */
/* The plugin host: find, check, order, start, reload, revoke, account. */
#ifndef MUI_PLUGIN_HOST_H
#define MUI_PLUGIN_HOST_H

#include <muster/plugin.h>
#include "base/instance.h"
#include "conf/config.h"

/* One entry of `plugins`, `collectors` or `uplinks`, as the program read it. Strings are borrowed from the config struct. */
struct mui_entry {
  enum mu_kind kind;
  const char *name;     /* plugin */
  const char *instance; /* NULL: as `name` */
  bool required;
  const mui_setting *config; /* the group of the component's options; NULL: absent */
  const mui_setting *use;    /* group service → instance; NULL: absent */
  const mui_setting *place;  /* the entry itself, for messages */
  double interval_s;         /* collectors: 0: the component's own */
  double deadline_s;
};

/* What should run. Borrowed during the call. */
struct mui_plan {
  const struct mui_entry *entries;
  size_t count;
  const char *const *dirs; /* plugin_dirs, ended by NULL */
  const mui_setting *use;  /* for all: group service → instance; NULL: absent */
  const char *only;        /* a service: only its providers run, and what those need; NULL: all */
  const char *only_from;   /* a plugin that provides it, for people */
};

/* A running instance. */
struct mui_loaded {
  mu_instance base; /* first */
  enum mu_kind kind;
  const struct mu_component *component; /* a copy of full size: members that the plugin does not state are zero */
  const struct mu_plugin *plugin;       /* likewise */
  void *self;
  void *config;
  double interval_s;
  double deadline_s;
  const char *state; /* "running", "stopping", "stuck", "failed" */
};

/* `program`: path of this executable, for the probe (it is run as `program --probe-plugin FD`). */
MUI_API struct mui_host *mui_host_new(struct mui_runtime *runtime, const char *program);
/* In the child of a probe: loads the open descriptor, prints the descriptor's summary to standard output; the exit status. */
MUI_API int mui_host_probe_main(int fd);

/*
 * Probes the plugins of a plan that were not probed yet, so that a following check or apply need not wait. Any thread, loop
 * thread idle or not; the plan's names and dirs only.
 */
MUI_API void mui_host_prefetch(struct mui_host *host, const struct mui_plan *plan);
/*
 * Probes, loads and checks everything in a plan without starting it: for --check-config. All problems are reported.
 */
MUI_API void mui_host_check(struct mui_host *host, const struct mui_plan *plan, struct mui_problems *problems);
enum mui_host_change { MUI_STARTED, MUI_CHANGED, MUI_STOPPING };
/* Told when an instance has started, was reconfigured or got another interval, and just before it stops. */
MUI_API void mui_host_watch(struct mui_host *host,
                            void (*fn)(void *context, enum mui_host_change change, const struct mui_loaded *loaded),
                            void *context);
/*
 * Makes the running set equal to the plan: checks everything first; then reconfigures, restarts, adds and removes only what differs.
 * 0. MU_ECONF: something is wrong and nothing was changed (on the first call: nothing runs). MU_EUNAVAILABLE: a required plugin
 * failed; a restarted one runs again as it was before, if it can. Plugins that fail and are not required are left out, with a log line.
 * MU_PENDING (never on the first call): instances are still stopping; `done` follows with one of these, and until then the plan
 * stays borrowed (MU_ECLOSED: the host was stopped meanwhile). MU_EBUSY: an apply is pending or the host is stopping.
 */
MUI_API int mui_host_apply(struct mui_host *host, const struct mui_plan *plan, struct mui_problems *problems,
                           void (*done)(void *context, int result), void *context);
/* How the last apply changed the running set. */
struct mui_host_diff {
  unsigned added, removed, restarted, reconfigured, failed;
};
MUI_API struct mui_host_diff mui_host_diff(const struct mui_host *host);
/* Stops everything in reverse order; `done` on the loop thread, within 1.5 s whatever plugins do. */
MUI_API void mui_host_stop(struct mui_host *host, void (*done)(void *context), void *context);
/* After the loop: unloads what is quiet. */
MUI_API void mui_host_free(struct mui_host *host);
/* The n-th running instance in the configuration's order; NULL past the end. */
MUI_API const struct mui_loaded *mui_host_nth(const struct mui_host *host, size_t n);
/* The program's own options as they are in force, for host/1; borrowed until the next call. */
MUI_API void mui_host_program(struct mui_host *host, const struct mu_options *options, const void *config);
/*
 * Finds, probes, loads a plugin by name and describes its components and options; without a name one line for each plugin in the
 * folders. `to`: FILE *. MU_ENOENT, MU_EABI: refused, in the problems.
 */
MUI_API int mui_host_describe(struct mui_host *host, const char *name, const char *const *dirs, void *to,
                              struct mui_problems *problems);

#endif
