/* SPDX-License-Identifier: ISC */
/* Collector: memory and swap from /proc/meminfo, within the cgroup's limit where there is one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "cgroup.h"

struct config {
  bool cgroup;
};

struct memory {
  mu_procfile *meminfo;
  struct cgroup *cgroup; /* NULL: limits are not asked for */
};

/* The lines of /proc/meminfo that count, in bytes. */
enum { TOTAL, FREE, AVAILABLE, BUFFERS, CACHED, RECLAIMABLE, SWAP_TOTAL, SWAP_FREE, LINES };

struct meminfo {
  uint64_t bytes[LINES];
  bool there[LINES];
};

static void fini(void *self)
{
  struct memory *memory = self;
  mu_procfile_free(memory->meminfo);
  cgroup_free(memory->cgroup);
  free(memory);
}

static int init(mu_instance *in, const void *config, void **self)
{
  const struct config *options = config;
  struct memory *memory = calloc(1, sizeof(*memory));
  if (!memory)
    return MU_ENOMEM;
  memory->meminfo = mu_procfile_new(mu_host_root(in), "/proc/meminfo");
  if (options->cgroup)
    memory->cgroup = cgroup_new(mu_host_root(in));
  if (!memory->meminfo || (options->cgroup && !memory->cgroup)) {
    fini(memory);
    return MU_ENOMEM;
  }
  *self = memory;
  return 0;
}

static void parse(const char *text, struct meminfo *info)
{
  static const char *const names[LINES] = {
      "MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "SReclaimable:", "SwapTotal:", "SwapFree:"};
  memset(info, 0, sizeof(*info));
  for (const char *line = text; line && *line;) {
    for (size_t i = 0; i < LINES; i++) {
      size_t len = strlen(names[i]);
      if (strncmp(line, names[i], len) == 0) {
        const char *at = line + len + strspn(line + len, " \t");
        char *end;
        unsigned long long kb = strtoull(at, &end, 10);
        if (end != at && *at != '-' && kb <= UINT64_MAX / 1024) {
          info->bytes[i] = kb * 1024;
          info->there[i] = true;
        }
        break;
      }
    }
    line = strchr(line, '\n');
    if (line)
      line++;
  }
}

/* a − b, floored at 0: in containers these figures do not come from one source. */
static uint64_t less(uint64_t a, uint64_t b)
{
  return a > b ? a - b : 0;
}

/* In hundredths: shorter to write. */
static double share(uint64_t part, uint64_t whole)
{
  return whole > 0 ? round(1e4 * (double)(part < whole ? part : whole) / (double)whole) / 100.0 : 0.0;
}

static int collect(void *self, mu_sample *sample)
{
  struct memory *memory = self;
  struct mu_str text;
  int error = mu_procfile_read(memory->meminfo, &text);
  if (error)
    return error;
  struct meminfo info;
  parse(text.at, &info);
  if (!info.there[TOTAL] || !info.there[FREE])
    return MU_ESYNTAX;

  uint64_t total = info.bytes[TOTAL];
  uint64_t used = less(total, info.bytes[FREE]);
  used = less(used, info.bytes[BUFFERS]);
  used = less(used, info.bytes[CACHED]);
  used = less(used, info.bytes[RECLAIMABLE]);
  /* Kernels before 3.14 do not estimate what is available. */
  uint64_t available = info.there[AVAILABLE] ? info.bytes[AVAILABLE] : less(total, used);
  struct cgroup_memory group;
  if (memory->cgroup && cgroup_read(memory->cgroup, total, &group)) {
    total = group.limit;
    used = group.used < total ? group.used : total;
    available = less(total, used) < available ? less(total, used) : available;
  }
  if (available > total)
    available = total;

  mu_sample_uint(sample, "total", total);
  mu_sample_uint(sample, "used", used);
  mu_sample_uint(sample, "available", available);
  mu_sample_float(sample, "used_percent", share(used, total));
  if (info.there[SWAP_TOTAL] && info.there[SWAP_FREE]) {
    uint64_t swap = info.bytes[SWAP_TOTAL];
    uint64_t swap_free = info.bytes[SWAP_FREE] < swap ? info.bytes[SWAP_FREE] : swap;
    mu_sample_uint(sample, "swap_total", swap);
    mu_sample_uint(sample, "swap_used", swap - swap_free);
    mu_sample_uint(sample, "swap_free", swap_free);
    mu_sample_float(sample, "swap_used_percent", share(swap - swap_free, swap));
  }
  return 0;
}

static const struct mu_option options[] = {
    {.key = "cgroup",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct config, cgroup),
     .preset = "true",
     .help = "In a container with a memory limit, report that limit and its use instead of the host's memory"},
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

MU_PLUGIN(.name = "memory", .version = "0.1.0", .summary = "memory and swap, within the container's limit",
          .licence = "ISC", .components = MU_COMPONENTS(components));
