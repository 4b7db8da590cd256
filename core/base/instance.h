/* SPDX-License-Identifier: ISC */
/* What the whole core knows of an instance: its name, what it registered, its account, and the runtime around it. */
#ifndef MUI_BASE_INSTANCE_H
#define MUI_BASE_INSTANCE_H

#include <muster/base.h>

/* Private symbols: exported under the version node MUSTER_PRIVATE, for the programs and the tests of the same build. */
#define MUI_API __attribute__((visibility("default")))

struct mui_loop;
struct mui_bus;
struct mui_net;
struct mui_host;
struct mui_account;
struct mui_log_limits;
struct mui_counters;

/* One process's parts. Filled from the bottom up by the program; a part may use only those below it. */
struct mui_runtime {
  struct mui_loop *loop;
  struct mui_bus *bus;
  struct mui_net *net; /* NULL in the agent until an uplink asks for a client */
  struct mui_host *host;
  mu_instance *core; /* registrations of the core itself */
  const char *node;  /* this node's name */
  const char *root;  /* prefix of /proc and /sys, "" normally */
  const char *share; /* folder of files that go with plugins */
  bool clients_only; /* the program listens nowhere: net/ keeps little and looks rarely */
};

/* Something an instance registered: revoked (newest first) when the instance stops. Embed it. */
struct mui_resource {
  struct mui_resource *next;
  struct mui_resource **pprev;                   /* NULL: not linked */
  void (*revoke)(struct mui_resource *resource); /* must unlink: call mui_resource_del() */
};

struct mu_instance {
  char name[64];
  char plugin[32];
  struct mui_runtime *runtime;
  struct mui_resource *resources;
  struct mui_account *account;
  struct mui_log_limits *limits;
  struct mui_counters *counters;
  unsigned order;        /* place in the configuration: orders auth providers and event listeners */
  _Atomic bool closed;   /* no new posts, jobs or registrations */
  _Atomic unsigned jobs; /* jobs whose code may still run on a worker; the plugin stays mapped while > 0 */
  void *owner;           /* plugin/: the loaded component around it; NULL for the core */
};

/* A bare instance (the core's own, and tests'). NULL when memory is out. */
MUI_API mu_instance *mui_instance_new(struct mui_runtime *runtime, const char *name, const char *plugin);
/* The same for an instance that is embedded in something else. MU_ENOMEM or 0. */
MUI_API int mui_instance_init(mu_instance *in, struct mui_runtime *runtime, const char *name, const char *plugin);
MUI_API void mui_instance_fini(mu_instance *in);
/* Sets `closed` and revokes everything, newest first. */
MUI_API void mui_instance_revoke(mu_instance *in);
MUI_API void mui_instance_free(mu_instance *in);

MUI_API void mui_resource_add(mu_instance *in, struct mui_resource *resource, void (*revoke)(struct mui_resource *));
MUI_API void mui_resource_del(struct mui_resource *resource);

/* ---- accounting ------------------------------------------------------------------------------ */

/* The callbacks that are timed. */
/* clang-format off */
#define MUI_CALLBACKS(X) \
  X(INIT, "init") X(START, "start") X(RECONFIGURE, "reconfigure") X(STOP, "stop") X(FINI, "fini") \
  X(TIMER, "timer") X(FD, "fd") X(POST, "post") X(JOB, "job") X(JOB_DONE, "job done") \
  X(EVENT, "event") X(AUTH, "auth") X(WS_ADMIT, "admit") X(WS_OPEN, "open") \
  X(WS_MESSAGE, "message") X(WS_CLOSED, "closed") X(HTTP, "http") X(CLIENT, "client") \
  X(COLLECT, "collect") X(REPORT, "report")
/* clang-format on */
enum mui_callback {
#define X(symbol, text) MUI_CB_##symbol,
  MUI_CALLBACKS(X)
#undef X
      MUI_CB_COUNT
};

/* One running callback of the loop thread; lives on the caller's stack. Calls nest. */
struct mui_call {
  mu_instance *in;
  enum mui_callback callback;
  int64_t began_ns;
  struct mui_call *outer;
};

/* Brackets every call into a plugin on the loop thread; `result` negative counts an error. */
MUI_API void mui_call_begin(struct mui_call *call, mu_instance *in, enum mui_callback callback);
MUI_API void mui_call_end(struct mui_call *call, int result);
/* Books a call that ran elsewhere (worker threads), on the loop thread. */
MUI_API void mui_call_book(mu_instance *in, enum mui_callback callback, int64_t took_ns, int result);

struct mui_account_row {
  uint64_t calls, errors;
  int64_t total_ns, max_ns, p99_ns;
};
/* False: never called. */
MUI_API bool mui_account_read(const mu_instance *in, enum mui_callback callback, struct mui_account_row *row);
MUI_API const char *mui_callback_name(enum mui_callback callback);

/* What the loop thread is in now, for the watchdog. Any thread. False: nothing. Copies the names. */
struct mui_current {
  char instance[64];
  const char *callback;
  int64_t began_ns;
  uint64_t serial; /* differs between two calls */
};
MUI_API bool mui_call_current(struct mui_current *current);

#endif
