/* SPDX-License-Identifier: ISC */
/* store/1 as plugins call it: bounds, users, and migrations that everything else of a user waits for. */
#include <stdlib.h>
#include <string.h>

#include <muster/bus.h>
#include <muster/plugin.h>

#include "store/internal.h"

/* ---- users ----------------------------------------------------------------------------------- */

void mui_user_unref(struct mui_user *user)
{
  if (--user->refs == 0)
    free(user);
}

/* What it asked is carried out, as far as it changes something, and nobody is told. */
static void user_stopped(void *context, mu_instance *in)
{
  mu_store_front *front = context;
  for (struct mui_user *user = front->users; user; user = user->next)
    if (user->in == in)
      user->gone = true;
  mui_users_sweep(front);
}

void mui_users_sweep(mu_store_front *front)
{
  for (struct mui_user **at = &front->users; *at;) {
    struct mui_user *user = *at;
    if (!user->gone || user->held.first) {
      at = &user->next;
      continue;
    }
    *at = user->next;
    mui_user_unref(user);
  }
}

static int user_of(mu_store_front *front, mu_instance *in, struct mui_user **out)
{
  for (struct mui_user *user = front->users; user; user = user->next)
    if (user->in == in && !user->gone) {
      *out = user;
      return 0;
    }
  struct mui_user *user = calloc(1, sizeof *user);
  if (!user)
    return MU_ENOMEM;
  int error = mu_on_stop(front->in, in, user_stopped, front);
  if (error) {
    free(user);
    return error;
  }
  user->front = front;
  user->in = in;
  user->refs = 1;
  mui_asks_init(&user->held);
  user->next = front->users;
  front->users = user;
  *out = user;
  return 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int may_ask(mu_store_front *front, mu_instance *in, struct mui_user **user)
{
  if (!in || front->stopping || atomic_load(&front->in->closed) || atomic_load(&in->closed))
    return MU_ECLOSED;
  return user_of(front, in, user);
}

/* The ask is the user's from now on. */
static void enter(mu_store_front *front, struct mui_user *user, struct mui_ask *ask, mu_store_done done, void *context)
{
  ask->user = user;
  user->refs++;
  ask->done = done;
  ask->context = context;
  ask->asked_ns = mu_mono_ns();
  ask->rows.max_rows = (size_t)front->limits.rows;
  ask->rows.max_bytes = (size_t)front->limits.row_bytes;
  front->waiting++;
  front->waiting_bytes += ask->bytes;
  if (front->waiting > front->waiting_most) {
    front->waiting_most = front->waiting;
    mu_count(front->counters.waiting_most, 1);
  }
  if (user->failed) {
    struct mu_store_fault fault;
    mui_fault_clear(&fault);
    mu_store_fail(&fault, 0, "its tables could not be brought up to date");
    mui_ask_end(ask, MU_EUNAVAILABLE, 0, &fault);
    mui_front_end(front, ask);
  } else if (ask->kind != MUI_MIGRATE && user->migrating) {
    mui_asks_add(&user->held, ask);
    mui_front_add(front, NULL);
  } else {
    mui_front_add(front, ask);
  }
}

static int ask_for(mu_store_front *front, mu_instance *in, enum mui_ask_kind kind,
                   const struct mu_statement *statements, size_t count, mu_store_done done, void *context)
{
  struct mui_user *user;
  struct mui_ask *ask;
  int error = may_ask(front, in, &user);
  if (!error)
    error = mui_ask_new(kind, front->driver->dialect, statements, count, &ask);
  if (error)
    return error;
  if (front->waiting >= (size_t)front->limits.queue ||
      front->waiting_bytes + ask->bytes > (size_t)front->limits.queue_bytes) {
    mui_ask_free(ask);
    mu_count(front->counters.refused, 1);
    mu_log_limited(front->in, MU_LOG_WARN, "full", "%zu reads and transactions wait for the database: %s was refused",
                   front->waiting, in->name);
    return MU_ELIMIT;
  }
  enter(front, user, ask, done, context);
  return 0;
}

static int service_read(void *self, mu_instance *in, const struct mu_statement *statement, mu_store_done done,
                        void *context)
{
  return done ? ask_for(self, in, MUI_READ, statement, 1, done, context) : MU_EINVAL;
}

static int service_write(void *self, mu_instance *in, const struct mu_statement *statements, size_t count,
                         mu_store_done done, void *context)
{
  return ask_for(self, in, MUI_WRITE, statements, count, done, context);
}

static int service_migrate(void *self, mu_instance *in, const char *owner, const struct mu_migration *migrations,
                           size_t count, mu_store_done done, void *context)
{
  mu_store_front *front = self;
  struct mui_user *user;
  struct mui_ask *ask;
  int error = may_ask(front, in, &user);
  if (!error)
    error = mui_ask_migration(front->driver->dialect, owner, migrations, count, &ask);
  if (error)
    return error;
  user->migrating += !user->failed;
  enter(front, user, ask, done, context);
  return 0;
}

const struct mu_store mui_store_services[2] = {
    [MU_DIALECT_SQLITE] = {.size = sizeof(struct mu_store),
                           .dialect = MU_DIALECT_SQLITE,
                           .migrate = service_migrate,
                           .read = service_read,
                           .write = service_write},
    [MU_DIALECT_MARIADB] = {.size = sizeof(struct mu_store),
                            .dialect = MU_DIALECT_MARIADB,
                            .migrate = service_migrate,
                            .read = service_read,
                            .write = service_write},
};

/* ---- the front ------------------------------------------------------------------------------- */

static bool limits_take(struct mu_store_limits *to, const struct mu_store_limits *from)
{
  if (from->size < offsetof(struct mu_store_limits, statements) + sizeof from->statements)
    return false;
  memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
  return to->queue > 0 && to->queue_bytes > 0 && to->wait > 0 && to->run > 0 && to->rows > 0 && to->row_bytes > 0 &&
         to->readers > 0 && to->readers <= 64 && to->statements > 0;
}

static void count_up(mu_store_front *front)
{
  mu_instance *in = front->in;
  front->counters.reads = mu_counter_get(in, "reads");
  front->counters.transactions = mu_counter_get(in, "transactions");
  front->counters.commits = mu_counter_get(in, "commits");
  front->counters.statements = mu_counter_get(in, "statements");
  front->counters.rows = mu_counter_get(in, "rows");
  front->counters.errors = mu_counter_get(in, "errors");
  front->counters.refused = mu_counter_get(in, "refused");
  front->counters.expired = mu_counter_get(in, "expired");
  front->counters.opened = mu_counter_get(in, "links_opened");
  front->counters.waiting_most = mu_counter_get(in, "waiting_most");
}

int mu_store_front_new(mu_instance *in, const struct mu_store_driver *driver, void *self,
                       const struct mu_store_limits *limits, mu_store_front **out)
{
  *out = NULL;
  if (!in || !driver || driver->size < offsetof(struct mu_store_driver, exclusive) || !limits ||
      driver->dialect > MU_DIALECT_MARIADB || !driver->open || !driver->close || !driver->prepare || !driver->release ||
      !driver->run || !driver->step || (driver->tend && driver->tend_s == 0))
    return MU_EINVAL;
  mu_store_front *front = calloc(1, sizeof *front);
  if (!front)
    return MU_ENOMEM;
  int error = MU_EINVAL;
  front->in = in;
  front->driver = driver;
  front->self = self;
  mui_asks_init(&front->reads);
  mui_asks_init(&front->writes);
  mui_asks_init(&front->ended);
  count_up(front);
  if (!limits_take(&front->limits, limits))
    goto fail;
  error = MU_ENOMEM;
  front->slots = calloc(1 + (size_t)front->limits.readers, sizeof *front->slots);
  if (!front->slots)
    goto fail;
  for (; front->slot_count < 1 + (size_t)front->limits.readers; front->slot_count++) {
    error = mui_link_init(&front->slots[front->slot_count].link, driver, self, front->slot_count == 0);
    if (error)
      goto fail;
  }
  error = mui_front_timers(front);
  if (error)
    goto fail;
  error = mu_service_provide(in, MU_SERVICE_STORE, &mui_store_services[driver->dialect], front);
  if (error)
    goto fail;
  *out = front;
  return 0;
fail:
  mu_store_front_free(front);
  return error;
}

int mu_store_front_limits(mu_store_front *front, const struct mu_store_limits *limits)
{
  struct mu_store_limits fresh = {0};
  if (!limits_take(&fresh, limits))
    return MU_EINVAL;
  if (fresh.readers != front->limits.readers)
    return MU_RESTART;
  front->limits = fresh;
  return 0;
}

static void drop(struct mui_asks *asks)
{
  for (struct mui_ask *ask; (ask = mui_asks_pop(asks));) {
    mui_user_unref(ask->user);
    mui_ask_free(ask);
  }
}

void mu_store_front_free(mu_store_front *front)
{
  if (!front)
    return;
  for (size_t i = 0; i < front->slot_count; i++)
    mui_link_fini(&front->slots[i].link);
  free(front->slots);
  while (front->users) {
    struct mui_user *user = front->users;
    front->users = user->next;
    drop(&user->held);
    mui_user_unref(user);
  }
  drop(&front->reads);
  drop(&front->writes);
  drop(&front->ended);
  free(front);
}
