/* SPDX-License-Identifier: ISC */
/* Collector: what this machine is (name, distribution, kernel, virtualisation), since when it runs, how warm it is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <muster/muster.h>

#include "files.h"
#include "release.h"
#include "sensors.h"
#include "virtualization.h"

/* What seldom changes (an upgrade, a new name, a sensor's driver) is looked at again after this time. */
#define FACTS_EVERY_NS (60 * INT64_C(1000000000))

struct config {
  bool temperatures;
};

struct system {
  const char *root;
  mu_procfile *uptime;
  struct sensors *sensors; /* NULL: not asked for */
  struct release release;
  char virtualization[32];
  int64_t boot_time; /* 0: unknown */
  int64_t facts_ns;  /* when they were read; 0: never */
};

static void fini(void *self)
{
  struct system *system = self;
  mu_procfile_free(system->uptime);
  sensors_free(system->sensors);
  free(system);
}

static int init(mu_instance *in, const void *config, void **self)
{
  const struct config *options = config;
  struct system *system = calloc(1, sizeof(*system));
  if (!system)
    return MU_ENOMEM;
  system->root = mu_host_root(in);
  system->uptime = mu_procfile_new(system->root, "/proc/uptime");
  if (options->temperatures)
    system->sensors = sensors_new(system->root);
  if (!system->uptime || (options->temperatures && !system->sensors)) {
    fini(system);
    return MU_ENOMEM;
  }
  *self = system;
  return 0;
}

/* The line "btime SECONDS" of /proc/stat. */
static int64_t read_boot_time(const char *root)
{
  mu_procfile *file = mu_procfile_new(root, "/proc/stat");
  struct mu_str text;
  long long seconds = 0;
  if (file && mu_procfile_read(file, &text) == 0) {
    const char *line = strncmp(text.at, "btime ", 6) == 0 ? text.at : strstr(text.at, "\nbtime ");
    if (line)
      seconds = strtoll(line + (*line == '\n') + strlen("btime "), NULL, 10);
  }
  mu_procfile_free(file);
  return seconds > 0 && seconds < INT64_MAX ? seconds : 0;
}

static void read_facts(struct system *system)
{
  release_read(system->root, &system->release);
  virtualization_read(system->root, system->virtualization, sizeof(system->virtualization));
  system->boot_time = read_boot_time(system->root);
  if (system->sensors)
    sensors_find(system->sensors);
}

static void add_text(mu_sample *sample, const char *name, const char *value)
{
  if (value[0])
    mu_sample_text(sample, name, value);
}

static int collect(void *self, mu_sample *sample)
{
  struct system *system = self;
  struct mu_str text;
  struct utsname name;
  int64_t now = mu_sample_mono_ns(sample);
  if (!system->facts_ns || now - system->facts_ns >= FACTS_EVERY_NS) {
    read_facts(system);
    system->facts_ns = now;
  }
  if (uname(&name))
    return MU_EIO;
  add_text(sample, "hostname", name.nodename);
  mu_sample_text(sample, "os", "linux");
  add_text(sample, "arch", name.machine);
  add_text(sample, "kernel", name.release);
  add_text(sample, "platform", system->release.platform);
  add_text(sample, "platform_family", system->release.family);
  add_text(sample, "platform_version", system->release.version);
  if (mu_procfile_read(system->uptime, &text) == 0) {
    char *end;
    double uptime = strtod(text.at, &end);
    if (end != text.at && isfinite(uptime) && uptime >= 0 && uptime < 1e15)
      mu_sample_int(sample, "uptime", (int64_t)uptime);
  }
  if (system->boot_time)
    mu_sample_int(sample, "boot_time", system->boot_time);
  mu_sample_text(sample, "virtualization", system->virtualization);
  if (system->sensors)
    sensors_fill(system->sensors, sample);
  return 0;
}

static const struct mu_option options[] = {
    {.key = "temperatures",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct config, temperatures),
     .preset = "true",
     .help = "Report the temperatures of hwmon"},
};

static const struct mu_collector_ops ops = {.size = sizeof(ops), .collect = collect};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_COLLECTOR,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .init = init,
    .fini = fini,
    .ops = &ops,
}};

MU_PLUGIN(.name = "system", .version = "0.1.0", .summary = "name, distribution, kernel, uptime, temperatures",
          .licence = "ISC", .components = MU_COMPONENTS(components));
