/* SPDX-License-Identifier: ISC */
/*
 * A history/1 whose past is known: "cpu.percent" is 1 at the first time of an answer, 2 at the next, … with a gap at every third; "disk.disks[/].used"
 * tells step_ms. By the machine's id: "late-…" is answered after 50 ms, "broken-…" with an error, "refused-…" not taken,
 * "never-…" kept until the end.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

enum { DAY_MS = 86400000, WAITING_MAX = 64, USERS_MAX = 8 };

struct waiting {
  mu_instance *user;
  bool never;
  mu_history_done done;
  void *context;
  int64_t step_ms;
  size_t points;
};

struct past {
  mu_instance *in;
  mu_timer *timer;
  struct waiting waiting[WAITING_MAX];
  size_t count;
  mu_instance *users[USERS_MAX]; /* who ever had to wait */
  size_t user_count;
};

static void tell(const struct waiting *who, int error)
{
  double *values = calloc(2 * who->points, sizeof *values);
  struct mu_history_series series[] = {{"cpu.percent", values}, {"disk.disks[/].used", values + who->points}};
  for (size_t i = 0; i < who->points; i++) {
    values[i] = i % 3 == 2 ? NAN : (double)i + 1;
    values[who->points + i] = (double)who->step_ms;
  }
  who->done(who->context, &(struct mu_history_answer){.size = sizeof(struct mu_history_answer),
                                                      .error = error,
                                                      .series = series,
                                                      .count = MU_COUNT(series),
                                                      .series_size = sizeof series[0]});
  free(values);
}

static void on_time(void *self)
{
  struct past *past = self;
  size_t left = 0;
  for (size_t i = 0; i < past->count; i++)
    if (past->waiting[i].never)
      past->waiting[left++] = past->waiting[i];
    else
      tell(&past->waiting[i], 0);
  past->count = left;
}

/* Who has stopped is told nothing: its contexts are gone. */
static void user_stopped(void *self, mu_instance *user)
{
  struct past *past = self;
  size_t left = 0;
  for (size_t i = 0; i < past->count; i++)
    if (past->waiting[i].user != user)
      past->waiting[left++] = past->waiting[i];
  past->count = left;
  left = 0;
  for (size_t i = 0; i < past->user_count; i++)
    if (past->users[i] != user)
      past->users[left++] = past->users[i];
  past->user_count = left;
}

static int heed(struct past *past, mu_instance *user)
{
  for (size_t i = 0; i < past->user_count; i++)
    if (past->users[i] == user)
      return 0;
  int error = past->user_count < USERS_MAX ? mu_on_stop(past->in, user, user_stopped, past) : MU_EBUSY;
  if (error == 0)
    past->users[past->user_count++] = user;
  return error;
}

static int64_t retention_ms(void *self)
{
  (void)self;
  return 30LL * DAY_MS;
}

static int read_past(void *self, mu_instance *in, const struct mu_history_query *query, mu_history_done done,
                     void *context)
{
  struct past *past = self;
  bool never = strncmp(query->id, "never", 5) == 0;
  struct waiting who = {in, never, done, context, query->step_ms, query->points};
  if (strncmp(query->id, "refused", 7) == 0)
    return MU_EBUSY;
  if (never || strncmp(query->id, "late", 4) == 0) {
    int error = past->count < WAITING_MAX ? heed(past, in) : MU_EBUSY;
    if (error)
      return error;
    past->waiting[past->count++] = who;
    if (!never)
      mu_timer_start(past->timer, 50, 0);
    return MU_PENDING;
  }
  tell(&who, strncmp(query->id, "broken", 6) == 0 ? MU_EIO : 0);
  return 0;
}

static const struct mu_history service = {.size = sizeof service, .retention_ms = retention_ms, .read = read_past};

static int init(mu_instance *in, const void *config, void **self)
{
  struct past *past = calloc(1, sizeof *past);
  (void)config;
  if (!past)
    return MU_ENOMEM;
  past->in = in;
  past->timer = mu_timer_new(in, on_time, past);
  int error = past->timer ? mu_service_provide(in, MU_SERVICE_HISTORY, &service, past) : MU_ENOMEM;
  if (error)
    free(past); /* fini() is for those whose init() went well */
  else
    *self = past;
  return error;
}

static int stop(void *self)
{
  struct past *past = self;
  for (size_t i = 0; i < past->count; i++)
    tell(&past->waiting[i], MU_ECLOSED);
  past->count = 0;
  return 0;
}

static const char *const provides[] = {MU_SERVICE_HISTORY, NULL};
static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .provides = provides,
                                                  .init = init,
                                                  .stop = stop,
                                                  .fini = free}};

MU_PLUGIN(.name = "past", .version = "1.0.0", .summary = "A past that tests know", .licence = "ISC",
          .components = MU_COMPONENTS(components));
