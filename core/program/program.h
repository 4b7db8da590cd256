/* SPDX-License-Identifier: ISC */
/* What musterd and muster-agent share: the command line, the configuration, signals, the runtime, the end. */
#ifndef MUI_PROGRAM_PROGRAM_H
#define MUI_PROGRAM_PROGRAM_H

#include <muster/conf.h>
#include "base/instance.h"
#include "conf/config.h"
#include "plugin/host.h"

enum mui_status {
  MUI_STATUS_OK = 0,
  MUI_STATUS_RUNTIME = 1,
  MUI_STATUS_USAGE = 2,
  MUI_STATUS_CONFIG = 78,
};

/* The options that both programs have. First member of a program's config struct. */
struct mui_common {
  struct mu_list plugin_dirs; /* const char *; relative ones start at the configuration file's folder */
  struct {
    int level; /* enum mu_level */
  } log;
  const char *node;
  int64_t workers;
  const mui_setting *use;
  const char *root; /* prefix of /proc and /sys; an option of the agent only */
};

MUI_API extern const char *const mui_level_words[5];
MUI_API extern const struct mu_option mui_log_table[1];

/* For the program's own option table. */
#define MUI_COMMON_OPTIONS                                                                                             \
  {.key = "plugin_dirs",                                                                                               \
   .type = MU_OPT_STRINGS,                                                                                             \
   .offset = offsetof(struct mui_common, plugin_dirs),                                                                 \
   .help = "Folders with plugins, NAME.so; relative ones start at this file's folder. Default: lib/muster/plugins "    \
           "beside the program's folder"},                                                                             \
      {.key = "log",                                                                                                   \
       .type = MU_OPT_GROUP,                                                                                           \
       .offset = offsetof(struct mui_common, log),                                                                     \
       .help = "What is logged",                                                                                       \
       .fields = {mui_log_table, 1, sizeof(struct mu_option)}},                                                        \
      {.key = "node",                                                                                                  \
       .type = MU_OPT_STRING,                                                                                          \
       .offset = offsetof(struct mui_common, node),                                                                    \
       .max = 63,                                                                                                      \
       .help = "Name of this node in a cluster. Default: the host name"},                                              \
      {.key = "workers",                                                                                               \
       .type = MU_OPT_INT,                                                                                             \
       .offset = offsetof(struct mui_common, workers),                                                                 \
       .preset = "4",                                                                                                  \
       .min = 1,                                                                                                       \
       .max = 64,                                                                                                      \
       .help = "Threads for blocking work; used at the next start"},                                                   \
  {                                                                                                                    \
    .key = "use", .type = MUI_OPT_SETTING, .offset = offsetof(struct mui_common, use),                                 \
    .help = "Which instance provides a service where several do: { store = \"db2\"; }"                                 \
  }

/* An item of `plugins`, `collectors` and `uplinks`. */
struct mui_item {
  const char *name;
  const char *instance;
  bool required;
  const mui_setting *use;
  const mui_setting *config;
  double interval;
  double deadline;
  const mui_setting *place; /* the entry itself */
};
MUI_API extern const struct mu_option mui_item_table[6];      /* plugins, uplinks */
MUI_API extern const struct mu_option mui_collector_table[8]; /* collectors: these and interval, deadline */

/* For the program's own option table: a list of entries at `member` of `type`. */
#define MUI_ENTRIES(name_, type_, member_, table_, help_)                                                              \
  {                                                                                                                    \
    .key = (name_), .type = MU_OPT_GROUPS, .offset = offsetof(type_, member_), .help = (help_),                        \
    .fields = {(table_), MU_COUNT(table_), sizeof(struct mu_option)}, .item_size = sizeof(struct mui_item)             \
  }

/* Where a program's config struct holds entries of which kind. */
struct mui_entries {
  enum mu_kind kind;
  const char *key; /* "collectors" */
  size_t offset;   /* of the struct mu_list */
};

struct mui_program;

/* A running program. */
struct mui_app {
  const struct mui_program *program;
  struct mui_runtime runtime;
  const void *config;          /* the program's struct as it is in force; replaced by a reload */
  const struct mui_plan *plan; /* likewise: its folders and entries */
  const char *path;            /* of the configuration file */
  const char *made;            /* there is no such file: this text of the flag's is in force. NULL: there is one */
  const char *argument;        /* of the flag that runs; NULL: it has none */
  unsigned switches;           /* bit n: the program's n-th flag was given, and has no run() */
  void *state;                 /* the program's own */
};

/* A command line option: one that runs something else than the service (--once, --list), or a switch. */
struct mui_flag {
  const char *name;
  const char *argument; /* what --help calls it: "NAME"; NULL: the flag takes none */
  const char *help;
  unsigned kinds; /* bits 1 << kind: started for it */
  /* Instead of the program's `applied`. Ends the program by mui_program_end(), now or later. NULL: a switch, see mui_app. */
  void (*run)(struct mui_app *app);
  /* A service: only what provides it is started, and what that needs; `prepare` is not called. NULL: everything. */
  const char *only;
  const char *only_from; /* the plugin that people are told to configure when nothing provides it */
  const char *without;   /* the configuration where there is no file, see `made` in mui_app. NULL: that is an error */
};

/* One program. All callbacks on the loop thread; those that are not needed are NULL. */
struct mui_program {
  const char *name;          /* "musterd" */
  const char *summary;       /* one line for --help */
  const char *file;          /* default configuration: ./etc/FILE, else /etc/muster/FILE */
  unsigned kinds;            /* bits 1 << kind: which components it starts */
  struct mu_options options; /* of the whole file */
  size_t config_size;
  const char *const *appending; /* top-level names that append across files, ended by NULL */
  const char *const
      *foreign; /* the other program's top-level names, passed over in a conf.d that both share; likewise */
  const struct mui_entries *entries; /* in the order of starting, as far as needs leave it open */
  size_t entries_count;
  const struct mui_flag *flags;
  size_t flags_count;
  unsigned stays;       /* switches, as in mui_app, with which it outlives its terminal */
  const char *statuses; /* for --help: further exit statuses, ", 77 …"; NULL: none */
  bool serves;          /* at the end connections are closed before plugins stop; else after */

  /* What the table cannot express. Pure. Paths are those of mu_check_error() from the file's root. */
  void (*check)(const void *config, struct mu_check *check);
  /* The same where the places of single settings are needed; `root` is the whole file. Pure. */
  void (*judge)(const void *config, const mui_setting *root, struct mui_problems *problems);
  /* Once, before the first prepare: makes `app->state`. */
  int (*begin)(struct mui_app *app);
  /* Takes what may fail without plugins (listeners), before plugins are touched; an error was logged and left all as it was.
   * Called again with the old config when plugins refuse the new one. */
  int (*prepare)(struct mui_app *app, const void *config);
  /* An instance has started, was reconfigured (or its interval was changed), or is about to stop and must be forgotten. */
  void (*instance)(struct mui_app *app, enum mui_host_change change, const struct mui_loaded *loaded);
  /* `app->config` is in force: at the start (`first`) and after each reload. */
  void (*applied)(struct mui_app *app, bool first);
  /* The end has begun: no new work, before anything stops. */
  void (*stopping)(struct mui_app *app);
  /* The process is about to end without order: only what a signal handler may do. The guard's thread. */
  void (*doomed)(void);
  /* After everything has stopped: frees `app->state`. */
  void (*end)(struct mui_app *app);
};

/*
 * Everything main() does. SIGTERM and SIGINT end it within 2 s, even when a plugin blocks the loop; SIGHUP reloads, unless it comes of
 * the end of the terminal: then it ends it as well.
 */
MUI_API int mui_program_main(const struct mui_program *program, int argc, char **argv);
/* Stops in order, as SIGTERM does, and ends with this status. */
MUI_API void mui_program_end(struct mui_app *app, int status);

#endif
