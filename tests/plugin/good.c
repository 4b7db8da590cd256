/* SPDX-License-Identifier: ISC */
/* A plugin that registers one thing of each kind and leaves the revocation to the host; by definitions it fails in one way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

struct config {
  int64_t number;
  const char *word;
  int refuse; /* enum */
};

struct good {
  mu_instance *in;
  int64_t number;
  mu_timer *timer;
  int ends[2];
};

static const char *const whether[] = {"no", "yes", NULL};
static const struct mu_option options[] = {
    {.key = "number",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, number),
     .preset = "7",
     .max = 100,
     .help = "A number"},
    {.key = "word", .type = MU_OPT_STRING, .offset = offsetof(struct config, word), .help = "A word"},
    {.key = "refuse",
     .type = MU_OPT_ENUM,
     .offset = offsetof(struct config, refuse),
     .preset = "\"no\"",
     .names = whether,
     .help = "Whether init fails"},
};

static void check(const void *context, struct mu_check *to)
{
  const struct config *config = context;
  if (config->number == 13)
    mu_check_error(to, "number", "13 is no good");
}

static void nothing(void *context)
{
  (void)context;
}

static void on_event(void *self, const struct mu_event *event)
{
  (void)self;
  (void)event;
}

static void on_fd(void *context, int fd, unsigned events)
{
  (void)context;
  (void)fd;
  (void)events;
}

#ifdef BLOCKER
static void block(void *context)
{
  (void)context;
  sleep(30);
}
#endif

#ifdef STUCK_JOB
/* 1: the job is at work; 2: it may end. */
MU_EXPORT _Atomic int gate;

static int job(void *context)
{
  (void)context;
  gate = 1;
  for (int i = 0; i < 20000 && gate != 2; i++)
    usleep(1000);
  return 0;
}
#endif

#ifdef PENDING_STOP
static void stopped(void *context)
{
  struct good *good = context;
  mu_stopped(good->in);
}
#endif

static int init(mu_instance *in, const void *context, void **self)
{
  const struct config *config = context;
  struct good *good = calloc(1, sizeof(*good));
  if (!good)
    return MU_ENOMEM;
  *good = (struct good){.in = in, .number = config->number};
  if (config->refuse || pipe(good->ends) < 0) {
    free(good);
    return MU_EREFUSED;
  }
  *self = good;
  good->timer = mu_timer_new(in, nothing, good);
  if (!good->timer || !mu_fd_new(in, good->ends[0], MU_FD_READ, on_fd, good))
    goto fail;
  if (mu_event_on(in, "config.reloaded", 0, on_event, good) < 0 || !mu_event_declare(in, "good.said", NULL))
    goto fail;
  mu_timer_start(good->timer, 1, 1);
  mu_count(mu_counter_get(in, "starts"), 1);
#ifdef INIT_ERROR
  goto fail;
#endif
  return 0;

fail:
  /* What is registered goes by itself; the memory is ours, since fini is not called for a failing init. */
  close(good->ends[0]);
  close(good->ends[1]);
  free(good);
  return MU_EUNAVAILABLE;
}

static int start(void *self)
{
  struct good *good = self;
#ifdef START_ERROR
  return MU_EIO;
#endif
#ifdef BLOCKER
  mu_timer *timer = mu_timer_new(good->in, block, good);
  mu_timer_start(timer, 300, 0);
#endif
#ifdef STUCK_JOB
  gate = 0;
  struct mu_job work = {.size = sizeof(work), .work = job, .what = "sleep"};
  if (mu_work(good->in, &work) < 0)
    return MU_EUNAVAILABLE;
#endif
  return mu_post(good->in, nothing, NULL, good);
}

#ifndef NO_RECONFIGURE
static int reconfigure(void *self, const void *context)
{
  const struct config *config = context;
  struct good *good = self;
#ifdef REFUSES_CONFIG
  return MU_EREFUSED;
#endif
#ifdef WANTS_RESTART
  if (config->number != 50)
    return MU_RESTART;
#endif
  good->number = config->number;
  return 0;
}
#endif

static int stop(void *self)
{
#ifdef PENDING_STOP
  struct good *good = self;
  mu_timer *timer = mu_timer_new(good->in, stopped, good);
  mu_timer_start(timer, 100, 0);
  return MU_PENDING;
#elif defined(SILENT_STOP)
  (void)self;
  return MU_PENDING;
#else
  (void)self;
  return 0;
#endif
}

static void fini(void *self)
{
  struct good *good = self;
  close(good->ends[0]);
  close(good->ends[1]);
  free(good);
}

#ifdef COLLECTOR
/* Reads what reconfigure() writes: the two must not meet. */
static int collect(void *self, mu_sample *sample)
{
  const struct good *good = self;
  mu_sample_int(sample, "number", good->number);
  usleep(200000);
  mu_sample_int(sample, "number_later", good->number);
  return 0;
}
static const struct mu_collector_ops ops = {.size = sizeof(ops), .collect = collect};
#endif

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
#ifdef COLLECTOR
    .kind = MU_COLLECTOR,
    .ops = &ops,
#else
    .kind = MU_SERVER,
#endif
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
#ifndef NO_RECONFIGURE
    .reconfigure = reconfigure,
#endif
    .stop = stop,
    .fini = fini,
}};
MU_PLUGIN(.name = NAME, .version = "1.0", .summary = "tests the host", .licence = "ISC",
          .components = MU_COMPONENTS(components));
