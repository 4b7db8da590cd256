/* SPDX-License-Identifier: ISC */
/* Collector: traffic of the physical interfaces from /proc/net/dev, and which one the default route uses. */
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "route.h"

/* Beyond this many interfaces the rest is left out. */
#define INTERFACES_MAX 512

/* The kernel's IFNAMSIZ, and room for names that other kernels allow. */
#define NAME_SIZE 32

/* A router's table may be large, and its default route seldom changes. */
#define ROUTE_EVERY_NS (30 * INT64_C(1000000000))

struct config {
  struct mu_list include; /* patterns of names; empty: all */
  struct mu_list exclude;
};

struct interface {
  char name[NAME_SIZE];
  uint64_t rx, tx; /* bytes since boot */
  double rx_speed, tx_speed;
  bool known; /* the speeds are set */
};

struct table {
  struct interface *list;
  size_t count, size;
};

struct network {
  const struct config *config;
  mu_procfile *dev;
  struct route *route;
  struct table now, before;
  int64_t mono_ns;  /* of the newest sample; 0: none */
  int64_t route_ns; /* when the route was read; 0: never */
  char primary[NAME_SIZE];
};

static void fini(void *self)
{
  struct network *network = self;
  mu_procfile_free(network->dev);
  route_free(network->route);
  free(network->now.list);
  free(network->before.list);
  free(network);
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct network *network = calloc(1, sizeof(*network));
  if (!network)
    return MU_ENOMEM;
  network->config = config;
  network->dev = mu_procfile_new(mu_host_root(in), "/proc/net/dev");
  network->route = route_new(mu_host_root(in));
  if (!network->dev || !network->route) {
    fini(network);
    return MU_ENOMEM;
  }
  *self = network;
  return 0;
}

static bool matches(const struct mu_list *patterns, const char *name)
{
  const char *const *list = patterns->items;
  for (size_t i = 0; i < patterns->count; i++)
    if (fnmatch(list[i], name, 0) == 0)
      return true;
  return false;
}

static struct interface *append(struct table *table)
{
  if (table->count == table->size) {
    size_t size = table->size ? table->size * 2 : 8;
    struct interface *list = size <= INTERFACES_MAX ? realloc(table->list, size * sizeof(*list)) : NULL;
    if (!list)
      return NULL;
    table->list = list;
    table->size = size;
  }
  struct interface *interface = &table->list[table->count++];
  memset(interface, 0, sizeof(*interface));
  return interface;
}

/* "  eth0: rx-bytes packets errs drop fifo frame compressed multicast tx-bytes …"; the blank behind the colon may be missing. */
static bool parse_line(const char *line, size_t len, struct interface *interface)
{
  size_t skip = strspn(line, " ");
  const char *name = line + skip;
  /* An alias has a colon in its name: the last one before the numbers ends it. */
  const char *colon = skip < len ? memchr(name, ':', len - skip) : NULL;
  for (const char *next = colon; next; next = memchr(next + 1, ':', len - (size_t)(next + 1 - line)))
    colon = next;
  if (!colon || colon == name || (size_t)(colon - name) >= sizeof(interface->name))
    return false;
  memcpy(interface->name, name, (size_t)(colon - name));
  interface->name[colon - name] = '\0';
  const char *at = colon + 1;
  for (int column = 0; column < 9; column++) {
    at += strspn(at, " ");
    char *end;
    if (*at < '0' || *at > '9')
      return false;
    unsigned long long value = strtoull(at, &end, 10);
    if (column == 0)
      interface->rx = value;
    at = end;
    if (column == 8)
      interface->tx = value;
  }
  return at <= line + len;
}

/* What moved, per second. A counter that went back (reset, 32-bit wrap) gives 0 for this interval, not a spike. */
static double speed(uint64_t now, uint64_t before, double seconds)
{
  return now > before ? round((double)(now - before) / seconds) : 0.0;
}

static void take(struct network *network, const char *line, size_t len, size_t place, double seconds)
{
  struct interface new = {0};
  if (!parse_line(line, len, &new) || matches(&network->config->exclude, new.name) ||
      (network->config->include.count > 0 && !matches(&network->config->include, new.name)))
    return;
  struct interface *interface = append(&network->now);
  if (!interface)
    return;
  *interface = new;
  if (seconds <= 0)
    return;
  /* The order seldom changes: the same place first. */
  const struct interface *was = place < network->before.count ? &network->before.list[place] : NULL;
  if (!was || strcmp(was->name, new.name) != 0) {
    was = NULL;
    for (size_t i = 0; i < network->before.count && !was; i++)
      /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a list with items is there */
      if (strcmp(network->before.list[i].name, new.name) == 0)
        was = &network->before.list[i];
  }
  if (!was)
    return;
  interface->rx_speed = speed(new.rx, was->rx, seconds);
  interface->tx_speed = speed(new.tx, was->tx, seconds);
  interface->known = true;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void fill(const struct network *network, mu_sample *sample, bool rates)
{
  uint64_t rx = 0, tx = 0;
  double rx_speed = 0, tx_speed = 0;
  for (size_t i = 0; i < network->now.count; i++) {
    const struct interface *interface = &network->now.list[i];
    rx = sum(rx, interface->rx);
    tx = sum(tx, interface->tx);
    rx_speed += interface->rx_speed;
    tx_speed += interface->tx_speed;
  }
  mu_sample_uint(sample, "rx_bytes", rx);
  mu_sample_uint(sample, "tx_bytes", tx);
  if (rates) {
    mu_sample_float(sample, "rx_speed", rx_speed);
    mu_sample_float(sample, "tx_speed", tx_speed);
  }
  if (network->primary[0])
    mu_sample_text(sample, "primary", network->primary);
  mu_sample_list_begin(sample, "interfaces");
  for (size_t i = 0; i < network->now.count; i++) {
    const struct interface *interface = &network->now.list[i];
    mu_sample_row(sample);
    mu_sample_text(sample, "name", interface->name);
    mu_sample_uint(sample, "rx_bytes", interface->rx);
    mu_sample_uint(sample, "tx_bytes", interface->tx);
    if (interface->known) {
      mu_sample_float(sample, "rx_speed", interface->rx_speed);
      mu_sample_float(sample, "tx_speed", interface->tx_speed);
    }
  }
  mu_sample_list_end(sample);
}

static int collect(void *self, mu_sample *sample)
{
  struct network *network = self;
  struct mu_str text;
  int error = mu_procfile_read(network->dev, &text);
  if (error)
    return error;

  int64_t now = mu_sample_mono_ns(sample);
  double seconds = network->mono_ns && now > network->mono_ns ? (double)(now - network->mono_ns) / 1e9 : 0;
  struct table spare = network->before;
  network->before = network->now;
  network->now = spare;
  network->now.count = 0;
  for (const char *line = text.at; *line;) {
    size_t len = strcspn(line, "\n");
    take(network, line, len, network->now.count, seconds);
    line += len;
    if (*line == '\n')
      line++;
  }
  network->mono_ns = now;
  if (!network->route_ns || now - network->route_ns >= ROUTE_EVERY_NS) {
    route_primary(network->route, network->primary, sizeof(network->primary));
    network->route_ns = now;
  }
  fill(network, sample, seconds > 0);
  return 0;
}

/* What carries the traffic of other interfaces once more, or of this machine alone. Patterns, so that wlo1 is not lo. */
#define EXCLUDED                                                                                                       \
  "[ \"lo\", \"veth*\", \"docker*\", \"br-*\", \"virbr*\", \"cni*\", \"flannel*\", \"cali*\", \"tun*\", \"tap*\", "    \
  "\"dummy*\", \"ifb*\", \"vnet*\", \"wg*\", \"bond*\", \"team*\", \"br[0-9]*\", \"vmbr*\", \"*.[0-9]*\", "            \
  "\"podman*\", \"lxdbr*\", \"lxcbr*\", \"tailscale*\", \"zt*\" ]"

static const struct mu_option options[] = {
    {.key = "include",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct config, include),
     .max = 64,
     .help = "Patterns of interface names to report, as of a shell; empty: all"},
    {.key = "exclude",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct config, exclude),
     .max = 64,
     .preset = EXCLUDED,
     .help = "Patterns of interface names to leave out: those that are no hardware, so that nothing counts twice"},
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

MU_PLUGIN(.name = "network", .version = "0.1.0", .summary = "traffic and speed of the physical interfaces",
          .licence = "ISC", .components = MU_COMPONENTS(components));
