/* SPDX-License-Identifier: ISC */
/* What the files of this plugin share: the records of all machines, their order, their due times, their forms. */
#ifndef MACHINES_REGISTRY_H
#define MACHINES_REGISTRY_H

#include <muster/muster.h>

struct registry;
struct owner;

/* A list in no order until somebody walks it: most changes come in bursts, and one sort serves them all. */
struct roster {
  struct record **items;
  size_t count;
  size_t capacity;
  bool sorted;
};
enum { ROSTER_ALL, ROSTER_OWNER, ROSTERS };

/* The texts that both the configuration and the machine itself may set. */
enum { SAID_NAME, SAID_GROUP, SAID_COUNTRY, SAID_LOCATION, SAID_COUNT };

/* One form of one machine, kept until the report (or state) it was made from is no longer the newest. */
struct made {
  mu_text *text;
  uint64_t of; /* reports, or version for forms that depend on state; plus one, so that 0 is "never" */
};

struct record {
  struct mu_machine pub; /* first: the public pointer is the record's */
  unsigned refs;
  bool gone; /* forgotten; lives on for those who hold it */
  struct registry *registry;
  struct owner *owner;
  size_t place[ROSTERS];
  mu_instance *declared_by;
  bool public_entry; /* the configuration's word */
  bool public_wish;  /* the owner's */
  char *own[SAID_COUNT];
  char *fixed[SAID_COUNT];
  char *ip;
  char *owner_name;
  size_t links;           /* open connections */
  int64_t valid_until_ns; /* monotonic */
  int64_t alive_ns;       /* last sign of life, monotonic */
  int64_t due_ns;         /* what the heap believes; never later than the truth */
  size_t heap_at;         /* index + 1; 0: not in the heap */
  struct made *made;      /* by form index; NULL until one was made */
  size_t made_count;
  struct json_object *metrics;
  uint64_t metrics_of;
  char key[];
};

struct owner {
  struct roster roster;
  char key[];
};

struct mu_form {
  struct registry *registry;
  struct mu_form_ops ops; /* zeros once its plugin has stopped; filled again when it comes back */
  void *self;
  mu_instance *in;
  size_t index;
  char name[64];
};

/* An instance that declared machines or registered forms, so that its end is noticed. */
struct user {
  mu_instance *in;
  struct user *next;
};

struct config {
  int64_t max_per_owner;
  double forget_after_h;
};

/* At most so many removed keys are remembered; the oldest go. */
enum { REMOVED_MOST = 10000 };

struct removed {
  mu_map *by_key;
  struct tombstone *oldest, *newest;
};

struct registry {
  mu_instance *in;
  const struct config *config;
  mu_map *records; /* provider NUL owner NUL id */
  mu_map *owners;  /* provider NUL owner */
  mu_map *handles;
  struct roster all;
  uint64_t next_handle;
  struct record **heap; /* by due_ns */
  size_t heap_count;
  size_t heap_capacity;
  mu_timer *timer;
  int64_t armed_ns;    /* INT64_MAX: not */
  int64_t expected_ns; /* when the timer should fire: not before it was armed */
  struct mu_form **forms;
  size_t form_count;
  struct user *users;
  struct removed removed;
  mu_event_type *online, *seen, *report, *info, *offline, *deleted;
  mu_counter *reports, *full, *failed, *forgotten, *removals, *kept_out;
};

/* ---- registry.c ------------------------------------------------------------------------------ */

int registry_init(struct registry *registry, mu_instance *in, const struct config *config);
void registry_fini(struct registry *registry);
/* The map key: provider NUL owner NUL id NUL; of an owner with `id` NULL. 0 or MU_ENOMEM. */
int registry_key(struct mu_buf *key, const char *provider, const char *owner, const char *id);
/* Finds or (with `make`) makes; `bounded`: within the owner's number and not a removed key. NULL: none, refused, or memory. */
struct record *registry_find(struct registry *registry, const char *provider, const char *owner, const char *id,
                             bool make, bool bounded);
struct record *registry_by_handle(struct registry *registry, uint64_t handle);
int registry_declare(struct registry *registry, mu_instance *in, const struct mu_machine_entry *entry);
/* No configuration names it any more. `removed`: on purpose, so it is forgotten; else it may come back. */
void registry_undeclare(struct record *record, bool removed);
int registry_report(struct record *record, const struct mu_machine_report *report);
void registry_set_public(struct record *record, bool is_public);
void registry_forget(struct record *record);
/* Notes that `in` keeps something here; 0 or an error. */
int registry_user(struct registry *registry, mu_instance *in);
void record_unref(struct record *record);
/* A sign of life, now. */
void record_alive(struct record *record);
/* Tells the listeners, of whom one may forget the record under the others. */
void record_tell(struct record *record, mu_event_type *type);

/* ---- said.c ---------------------------------------------------------------------------------- */

/* Points the public texts at what counts now. */
void said_refresh(struct record *record);
/* Takes the non-empty (or, with `all`, every) of `texts` into `held`. Returns 1 if what is shown changed, 0, or MU_ENOMEM. */
int said_take(struct record *record, char *held[SAID_COUNT], const struct mu_str texts[SAID_COUNT], bool all);
/* Takes what the machine says of itself; empty: nothing new. Returns as said_take(). */
int said_own(struct record *record, const struct mu_str texts[SAID_COUNT], struct mu_str ip);
int registry_describe(struct record *record, const struct mu_machine_facts *facts);

/* ---- links.c --------------------------------------------------------------------------------- */

/* 0, MU_ENOENT: forgotten, or MU_EINVAL: closed more often than opened. */
int registry_link(struct record *record, bool open);
int registry_seen(struct record *record);

/* ---- removed.c ------------------------------------------------------------------------------- */

/* Whether the key is remembered as removed. */
bool removed_has(struct registry *registry, struct mu_str key);
void removed_take_back(struct registry *registry, struct mu_str key);
int registry_remove(struct registry *registry, const char *provider, const char *owner, const char *id);
bool registry_removed(struct registry *registry, const char *provider, const char *owner, const char *id);
int registry_restore(struct registry *registry, const char *provider, const char *owner, const char *id);
void removed_free_all(struct registry *registry);

/* ---- roster.c -------------------------------------------------------------------------------- */

int roster_add(struct roster *roster, int which, struct record *record);
void roster_del(struct roster *roster, int which, struct record *record);
/* Calls `fn` for each, sorted, whatever it changes meanwhile; ends with the first non-zero result. */
int roster_each(struct roster *roster, int which, int (*fn)(void *context, const struct mu_machine *machine),
                void *context);
void roster_free(struct roster *roster);

/* ---- due.c: who goes offline or is forgotten next -------------------------------------------- */

/* Room for so many records, so that due_set() never fails. 0 or MU_ENOMEM. */
int due_reserve(struct registry *registry, size_t count);
/* After anything that moves a record's next due time. */
void due_set(struct record *record);
void due_del(struct record *record);
/* Does what is due at `now_ns`; arms the timer for the next. */
void due_sweep(struct registry *registry, int64_t now_ns);

/* ---- forms.c --------------------------------------------------------------------------------- */

const mu_form *form_add(struct registry *registry, mu_instance *in, const struct mu_form_ops *ops, void *self);
/* By name, whether its plugin is there or not; NULL: never registered. */
const mu_form *form_find(struct registry *registry, const char *name);
mu_text *form_text(struct record *record, const mu_form *form);
struct json_object *form_metrics(struct record *record);
/* The forms of an instance end: what they made is dropped. */
void form_end(struct registry *registry, mu_instance *in);
/* Drops everything that was made of a record. */
void form_drop(struct record *record);
void form_free_all(struct registry *registry);

/* ---- machines.c ------------------------------------------------------------------------------ */

extern const struct mu_event_ops machine_event_ops;
extern const struct mu_event_ops machine_report_event_ops;

#endif
