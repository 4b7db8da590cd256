/* SPDX-License-Identifier: ISC */
/* Collector: CPU shares from /proc/stat, load averages, the model's name. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

/* A kernel's NR_CPUS goes to 8192; a larger number in a line is no CPU. */
#define CORES_MAX 8192u

struct config {
  bool per_core;
};

/* The columns of a cpu line. The two guest columns behind them are within user and nice already. */
enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, FIELDS };

/* One cpu line as it was last read, and the share that came of it. */
struct core {
  uint64_t field[FIELDS];
  double percent;
  bool read;    /* `field` is set */
  bool present; /* in the newest sample */
  bool known;   /* `percent` is set */
};

struct cpu {
  mu_procfile *stat;
  mu_procfile *loadavg;
  mu_procfile *cpuinfo; /* NULL once the model was read */
  struct core all;
  struct core *cores; /* by the CPU's number */
  size_t size;
  double *shares; /* room for the list of `size` shares */
  char model[128];
  bool per_core;
};

static void fini(void *self)
{
  struct cpu *cpu = self;
  mu_procfile_free(cpu->stat);
  mu_procfile_free(cpu->loadavg);
  mu_procfile_free(cpu->cpuinfo);
  free(cpu->cores);
  free(cpu->shares);
  free(cpu);
}

static int init(mu_instance *in, const void *config, void **self)
{
  const struct config *options = config;
  struct cpu *cpu = calloc(1, sizeof(*cpu));
  if (!cpu)
    return MU_ENOMEM;
  const char *root = mu_host_root(in);
  cpu->per_core = options->per_core;
  cpu->stat = mu_procfile_new(root, "/proc/stat");
  cpu->loadavg = mu_procfile_new(root, "/proc/loadavg");
  cpu->cpuinfo = mu_procfile_new(root, "/proc/cpuinfo");
  if (!cpu->stat || !cpu->loadavg || !cpu->cpuinfo) {
    fini(cpu);
    return MU_ENOMEM;
  }
  *self = cpu;
  return 0;
}

/* Room for the CPU with this number. */
static int reserve(struct cpu *cpu, size_t number)
{
  if (number < cpu->size)
    return 0;
  size_t size = cpu->size ? cpu->size : 8;
  while (size <= number)
    size *= 2;
  struct core *cores = realloc(cpu->cores, size * sizeof(*cores));
  if (!cores)
    return MU_ENOMEM;
  memset(cores + cpu->size, 0, (size - cpu->size) * sizeof(*cores));
  cpu->cores = cores;
  double *shares = realloc(cpu->shares, size * sizeof(*shares));
  if (!shares)
    return MU_ENOMEM;
  cpu->shares = shares;
  cpu->size = size;
  return 0;
}

/* Takes the columns of one line in: the busy share since the last time. A column that went back did not move. */
static void take(struct core *core, const char *columns)
{
  uint64_t now[FIELDS], moved[FIELDS], total = 0;
  char *end;
  for (size_t i = 0; i < FIELDS; i++) {
    /* Kernels before 2.6.11 have fewer columns: the missing ones are 0. */
    columns += strspn(columns, " ");
    now[i] = 0;
    if (isdigit((unsigned char)*columns)) {
      now[i] = strtoull(columns, &end, 10);
      columns = end;
    }
    moved[i] = core->read && now[i] > core->field[i] ? now[i] - core->field[i] : 0;
    /* Two columns of a hostile tree can overflow the sum. */
    total = total > UINT64_MAX - moved[i] ? UINT64_MAX : total + moved[i];
  }
  if (core->read && total > 0) {
    double rest = (double)moved[IDLE] + (double)moved[IOWAIT];
    /* Hundredths: the counters hold no more, and it is shorter to write. */
    core->percent = round(1e4 * fmin(fmax(((double)total - rest) / (double)total, 0.0), 1.0)) / 100.0;
    core->known = true;
  }
  memcpy(core->field, now, sizeof(now));
  core->read = true;
  core->present = true;
}

/* The cpu lines are the first of /proc/stat: those of all CPUs together, then one of each that is online. */
static int read_stat(struct cpu *cpu, const char *text, size_t *online)
{
  *online = 0;
  cpu->all.present = false;
  for (size_t i = 0; i < cpu->size; i++)
    cpu->cores[i].present = false;
  for (const char *line = text; strncmp(line, "cpu", 3) == 0;) {
    const char *at = line + 3;
    if (*at == ' ') {
      take(&cpu->all, at);
    } else if (isdigit((unsigned char)*at)) {
      char *end;
      unsigned long number = strtoul(at, &end, 10);
      if (number < CORES_MAX && *end == ' ') {
        int error = reserve(cpu, number);
        if (error)
          return error;
        take(&cpu->cores[number], end);
        (*online)++;
      }
    }
    line = strchr(line, '\n');
    if (!line++)
      break;
  }
  /* A CPU that was taken away starts anew when it comes back. */
  for (size_t i = 0; i < cpu->size; i++)
    if (!cpu->cores[i].present)
      cpu->cores[i].read = cpu->cores[i].known = false;
  return cpu->all.present ? 0 : MU_ESYNTAX;
}

/* The value behind "name<blanks>:<blanks>" of the first such line; false: none. */
static bool find_value(const char *text, const char *name, char *value, size_t size)
{
  size_t len = strlen(name);
  for (const char *line = text; *line;) {
    size_t line_len = strcspn(line, "\n");
    if (strncmp(line, name, len) == 0) {
      const char *at = line + len + strspn(line + len, " \t");
      if (*at == ':') {
        at += 1 + strspn(at + 1, " \t");
        size_t n = (size_t)(line + line_len - at) < size ? (size_t)(line + line_len - at) : size - 1;
        if (at <= line + line_len && n > 0) {
          memcpy(value, at, n);
          value[n] = '\0';
          return true;
        }
      }
    }
    line += line_len;
    if (*line == '\n')
      line++;
  }
  return false;
}

/* Read once: the kernel makes this file anew for every reader, which takes long on many cores. */
static void read_model(struct cpu *cpu)
{
  /* x86; Loongson and some ARM; Raspberry Pi; MIPS; POWER. */
  static const char *const names[] = {"model name", "Model Name", "Model", "Hardware", "cpu model", "cpu"};
  struct mu_str text;
  if (mu_procfile_read(cpu->cpuinfo, &text) == 0)
    for (size_t i = 0; i < MU_COUNT(names) && !cpu->model[0]; i++)
      (void)find_value(text.at, names[i], cpu->model, sizeof(cpu->model));
  mu_procfile_free(cpu->cpuinfo);
  cpu->cpuinfo = NULL;
}

static void read_load(struct cpu *cpu, mu_sample *sample)
{
  static const char *const names[] = {"load1", "load5", "load15"};
  struct mu_str text;
  if (mu_procfile_read(cpu->loadavg, &text))
    return;
  const char *at = text.at;
  for (size_t i = 0; i < MU_COUNT(names); i++) {
    char *end;
    double load = strtod(at, &end);
    if (end == at || !isfinite(load) || load < 0)
      return;
    mu_sample_float(sample, names[i], load);
    at = end;
  }
}

static int collect(void *self, mu_sample *sample)
{
  struct cpu *cpu = self;
  struct mu_str text;
  size_t online;
  int error = mu_procfile_read(cpu->stat, &text);
  if (!error)
    error = read_stat(cpu, text.at, &online);
  if (error)
    return error;
  if (cpu->cpuinfo)
    read_model(cpu);

  /* A rate needs two samples: the first has none. */
  if (cpu->all.known)
    mu_sample_float(sample, "percent", cpu->all.percent);
  if (online > 0)
    mu_sample_uint(sample, "cores", online);
  if (cpu->model[0])
    mu_sample_text(sample, "model", cpu->model);
  if (cpu->per_core && cpu->all.known) {
    size_t count = 0;
    /* One that has just come is listed as 0, so that the places stay those of the online CPUs. */
    for (size_t i = 0; i < cpu->size; i++)
      if (cpu->cores[i].present)
        cpu->shares[count++] = cpu->cores[i].known ? cpu->cores[i].percent : 0;
    if (count > 0)
      mu_sample_floats(sample, "per_core", cpu->shares, count);
  }
  read_load(cpu, sample);
  return 0;
}

static const struct mu_option options[] = {
    {.key = "per_core",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct config, per_core),
     .preset = "true",
     .help = "Report the busy share of each core too"},
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

MU_PLUGIN(.name = "cpu", .version = "0.1.0", .summary = "CPU shares, load averages and model", .licence = "ISC",
          .components = MU_COMPONENTS(components));
