/* SPDX-License-Identifier: ISC */
/* What the files of program/ share. */
#ifndef MUI_PROGRAM_INTERNAL_H
#define MUI_PROGRAM_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include <muster/bus.h>
#include <muster/log.h>
#include <muster/loop.h>
#include "program/program.h"

/* ---- setup.c: a configuration as it was read, with the plan that it makes -------------------- */

struct mui_setup {
  mui_config *file;
  void *config;
  char **dirs;
  struct mui_entry *entries;
  struct mui_plan plan;
};
/* NULL: nothing could be read. Otherwise problems->errors tells whether it can be used. */
struct mui_setup *mui_setup_load(const struct mui_program *program, const char *path, unsigned kinds,
                                 struct mui_problems *problems);
/* The same from a text, as if it were that file. */
struct mui_setup *mui_setup_make(const struct mui_program *program, const char *path, const char *text, unsigned kinds,
                                 struct mui_problems *problems);
void mui_setup_free(const struct mui_program *program, struct mui_setup *setup);
/*
 * This program's path, for its own children; in `path` or constant. A replaced program is only reached through /proc; otherwise the
 * path is better: under valgrind the link in /proc is valgrind itself.
 */
const char *mui_self(char path[PATH_MAX]);
/* A folder of the tree that the program was installed in: "share/muster". NULL when memory is out. */
char *mui_beside(const char *folder);
/* The only folder when the configuration names none; ended by NULL. NULL when memory is out. */
char **mui_default_dirs(void);
void mui_dirs_free(char **dirs);
const struct mui_common *mui_setup_common(const struct mui_setup *setup);

/* ---- hangup.c -------------------------------------------------------------------------------- */

/* A descriptor of the controlling terminal; -1: there is none, or its end is nothing to us (nohup). */
int mui_hangup_terminal(void);
/* Whether this SIGHUP tells of the end of that terminal. Any thread. */
bool mui_hung_up(int terminal, const siginfo_t *info);

/* ---- notify.c -------------------------------------------------------------------------------- */

/* Tells the service manager, if one waits for it, that the program is ready. 0 or a negative errno. */
int mui_notify_ready(void);

/* ---- run.c, reload.c, guard.c: the service --------------------------------------------------- */

struct mui_run {
  struct mui_app app; /* first */
  const char *path;
  const struct mui_flag *flag; /* NULL: the service itself */
  unsigned kinds;
  struct mui_setup *setup; /* in force */
  struct mui_setup *next;  /* of the reload that is under way */
  bool reload_again;
  bool stopping;
  bool net_stopped;
  bool host_stopping;
  bool host_stopped;
  int status;
  char *node;
  char *root;
  char *share;
  mu_event_type *reloaded;
  mu_timer *patience; /* how long connections may take before plugins are stopped */
  mu_timer *deadline;
  pthread_t guard;
  bool guarded;
  pthread_mutex_t door; /* of the loop, for the guard's posts */
  bool closed;          /* within `door`: it is about to go, nothing is posted any more */
  int terminal;         /* whose end ends the program: see mui_hangup_terminal() */
};
int mui_run(const struct mui_program *program, const char *path, const struct mui_flag *flag, const char *argument,
            unsigned switches);
/* Posted by the guard. */
void mui_run_reload(void *run);
void mui_run_end(void *run);
void mui_log_problems(const mu_instance *in, const struct mui_problems *problems);

/* Before anything else: a reload that is asked for while the program starts waits. Who wants to end it then may do so at once. */
void mui_guard_hold(void);
/* Blocks the guard's signals in this thread and all that follow; they wait. */
void mui_guard_block(void);
/* Waits for them in a thread of its own. The loop and the instance `core` are there. 0 or MU_ENOMEM. */
int mui_guard_start(struct mui_run *run);
/* From now on it posts nothing: what it posts to may go. */
void mui_guard_mute(struct mui_run *run);
/* From now on the process ends in time by itself; muted. */
void mui_guard_alarm(struct mui_run *run);
void mui_guard_stop(struct mui_run *run);

#endif
