/* SPDX-License-Identifier: ISC */
/* For tests of what provides store/1: a loop, a front with a driver, and a user who asks it. */
#ifndef TESTS_STORE_H
#define TESTS_STORE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/muster.h>
#include "base/logging.h"
#include "bus/bus.h"
#include "loop/loop.h"
#include "store/internal.h"
#include "unit.h"

static struct mui_runtime runtime;
static mu_instance *provider, *user;
static mu_store_front *front;
static struct mu_service store;
static const struct mu_store_driver *driver;
static void *driver_self;
static char folder[64]; /* empty, for files */
static char logged[64 * 1024];

static inline void keep_log(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static const struct mu_store_limits limits_default = {.size = sizeof(struct mu_store_limits),
                                                      .queue = 10000,
                                                      .queue_bytes = 64 << 20,
                                                      .wait = 5,
                                                      .run = 10,
                                                      .rows = 100000,
                                                      .row_bytes = 64 << 20,
                                                      .readers = 2,
                                                      .statements = 200};

static inline void front_up(const struct mu_store_limits *limits)
{
  provider = mui_instance_new(&runtime, "store", "store");
  CU_ASSERT_EQUAL_FATAL(mu_store_front_new(provider, driver, driver_self, limits, &front), 0);
  CU_ASSERT_EQUAL_FATAL(mu_store_front_start(front), 0);
  CU_ASSERT_EQUAL_FATAL(mu_service_nth(user, MU_SERVICE_STORE, 0, &store), 0);
}

static inline void turn_for(unsigned ms)
{
  static const bool never;
  mui_loop_until(runtime.loop, &never, ms);
}

static inline bool is_quiet(void)
{
  for (size_t i = 0; i < front->slot_count; i++)
    if (front->slots[i].open)
      return false;
  return front->busy == 0 && front->waiting == 0;
}

/* What the host does. True: it stopped by itself within a second. */
static inline bool front_down(void)
{
  bool quiet = mu_store_front_stop(front) != MU_PENDING;
  for (int i = 0; i < 100 && !quiet; i++) {
    turn_for(10);
    quiet = is_quiet();
  }
  mui_instance_revoke(provider);
  while (provider->jobs > 0)
    turn_for(10);
  mu_store_front_free(front);
  mui_instance_free(provider);
  front = NULL;
  return quiet;
}

static inline void user_up(void)
{
  user = mui_instance_new(&runtime, "user", "test");
}

static inline void user_down(void)
{
  mui_instance_free(user);
  user = NULL;
}

static inline void frame_up(void)
{
  logged[0] = '\0';
  mui_log_sink(keep_log, NULL);
  runtime = (struct mui_runtime){0};
  runtime.loop = mui_loop_new(4, 2);
  runtime.bus = mui_bus_new();
  runtime.core = mui_instance_new(&runtime, "core", "core");
  user_up();
  strcpy(folder, "/tmp/muster-store-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static inline void frame_down(void)
{
  if (user)
    user_down();
  if (front)
    front_down();
  mui_instance_free(runtime.core);
  mui_bus_free(runtime.bus);
  CU_ASSERT_EQUAL(mui_loop_free(runtime.loop), 0);
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0)
    fprintf(stderr, "%s is left over\n", folder);
}

/* What came back. */
struct answer {
  bool done;
  unsigned calls;
  int error;
  size_t failed, rows, columns, changed_count;
  int64_t changed[8];
  char key[128], reason[256];
  struct mu_value values[32];
  char text[32][128];
};

static inline void took(void *context, const struct mu_result *result)
{
  struct answer *answer = context;
  answer->done = true;
  answer->calls++;
  answer->error = result->error;
  answer->failed = result->failed;
  answer->rows = result->rows;
  answer->columns = result->columns;
  answer->changed_count = result->changed_count;
  snprintf(answer->key, sizeof answer->key, "%s", result->key);
  snprintf(answer->reason, sizeof answer->reason, "%s", result->reason);
  for (size_t i = 0; i < result->changed_count && i < 8; i++)
    answer->changed[i] = result->changed[i];
  for (size_t i = 0; i < result->rows * result->columns && i < 32; i++) {
    answer->values[i] = result->values[i];
    snprintf(answer->text[i], sizeof answer->text[i], "%.*s", (int)result->values[i].text.len,
             result->values[i].text.at ? result->values[i].text.at : "");
  }
}

static inline const struct mu_store *api(void)
{
  return store.api;
}

static inline struct mu_statement sql(const char *text)
{
  return (struct mu_statement){.sql = {.text = text}, .expect = MU_ANY_ROWS};
}

static inline bool wait_for(struct answer *answer)
{
  return mui_loop_until(runtime.loop, &answer->done, 20000);
}

/* One statement; waits for its end and returns the error. */
static inline int write_now(const char *text, struct answer *answer)
{
  struct answer own;
  struct mu_statement statement = sql(text);
  answer = answer ? answer : &own;
  *answer = (struct answer){0};
  int error = api()->write(store.self, user, &statement, 1, took, answer);
  if (error)
    return error;
  CU_ASSERT_TRUE_FATAL(wait_for(answer));
  return answer->error;
}

static inline int read_now(const char *text, struct answer *answer)
{
  struct mu_statement statement = sql(text);
  *answer = (struct answer){0};
  int error = api()->read(store.self, user, &statement, took, answer);
  if (error)
    return error;
  CU_ASSERT_TRUE_FATAL(wait_for(answer));
  return answer->error;
}

static inline int64_t number_now(const char *text)
{
  struct answer answer;
  CU_ASSERT_EQUAL(read_now(text, &answer), 0);
  return answer.rows == 1 ? answer.values[0].integer : -1;
}

static inline uint64_t counted(const char *name)
{
  return mu_counter_value(mu_counter_get(provider, name));
}

#endif
