/* SPDX-License-Identifier: ISC */
/* store/1 in a file, by SQLite. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sqlite.h"

struct config {
  const char *path;
  int synchronous;
  struct mu_store_limits limits;
};

struct self {
  mu_instance *in;
  char *path;
  struct place place;
  mu_store_front *front;
};

static const char *const synchronous_words[] = {"full", "normal", NULL};
static const struct mu_option limit_options[] = {MU_STORE_LIMIT_OPTIONS};

#define AT(member) offsetof(struct config, member)
static const struct mu_option options[] = {
    {.key = "path",
     .type = MU_OPT_STRING,
     .offset = AT(path),
     .flags = MU_OPT_REQUIRED,
     .min = 2,
     .max = 4000,
     .help = "The database's file, \"/var/lib/muster/muster.db\"; made (0600) where there is none. Its folder must "
             "exist, and be on a local disk."},
    {.key = "synchronous",
     .type = MU_OPT_ENUM,
     .offset = AT(synchronous),
     .preset = "\"full\"",
     .names = synchronous_words,
     .help = "\"full\": what is done is on the disk, whatever happens to the machine; \"normal\": when the power fails "
             "the last moments may be lost, never more, and it is several times faster."},
    {.key = "limits",
     .type = MU_OPT_GROUP,
     .offset = AT(limits),
     .fields = MU_OPTIONS(limit_options),
     .help = "Bounds of what waits, runs and is answered."},
};

static void check(const void *given, struct mu_check *problems)
{
  const struct config *config = given;
  if (!config->path)
    return;
  if (config->path[0] != '/') {
    mu_check_error(problems, "path",
                   "\"%s\" does not begin with a slash: where it lies would depend on how the program is started",
                   config->path);
    return;
  }
  char folder[4096];
  struct stat found;
  snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(config->path, '/') - config->path) + 1, config->path);
  if (stat(folder, &found) != 0 || !S_ISDIR(found.st_mode))
    mu_check_error(problems, "path", "the folder %s does not exist", folder);
}

static struct mu_store_limits limits_of(const struct config *config)
{
  struct mu_store_limits limits = config->limits;
  limits.size = sizeof limits;
  return limits;
}

static void fini(void *context)
{
  struct self *self = context;
  mu_store_front_free(self->front);
  free(self->path);
  free(self);
}

static int init(mu_instance *in, const void *given, void **out)
{
  const struct config *config = given;
  if (!sqlite3_threadsafe()) {
    mu_log(in, MU_LOG_ERROR, "this SQLite (%s) was built for one thread only", sqlite3_libversion());
    return MU_EREFUSED;
  }
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return MU_ENOMEM;
  int error = MU_ENOMEM;
  self->in = in;
  self->path = strdup(config->path);
  if (!self->path)
    goto fail;
  self->place = (struct place){.path = self->path, .synchronous = (enum synchronous)config->synchronous};
  struct mu_store_limits limits = limits_of(config);
  error = mu_store_front_new(in, &sqlite_driver, &self->place, &limits, &self->front);
  if (error)
    goto fail;
  *out = self;
  return 0;
fail:
  fini(self);
  return error;
}

static int start(void *context)
{
  struct self *self = context;
  int error = file_judge(self->in, &self->place);
  return error ? error : mu_store_front_start(self->front);
}

static int reconfigure(void *context, const void *given)
{
  struct self *self = context;
  const struct config *config = given;
  if (strcmp(config->path, self->path) != 0 || config->synchronous != (int)self->place.synchronous)
    return MU_RESTART;
  struct mu_store_limits limits = limits_of(config);
  return mu_store_front_limits(self->front, &limits);
}

static int stop(void *context)
{
  struct self *self = context;
  return mu_store_front_stop(self->front);
}

static const char *const provides[] = {MU_SERVICE_STORE, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
    .reconfigure = reconfigure,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "store_sqlite", .version = "1.0.0",
          .summary = "A database in a file, for plugins that keep something", .licence = "ISC",
          .components = MU_COMPONENTS(components));
