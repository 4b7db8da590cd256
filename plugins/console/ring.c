/* SPDX-License-Identifier: ISC */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ring.h"

struct column {
  char name[RING_NAME];
  uint16_t values[RING_SLOTS]; /* see pack() */
};

struct ring {
  int64_t newest; /* number of the newest step since 1970; 0: none */
  uint32_t count;
  uint32_t left_out;
  struct column columns[];
};

/* 64: what the map and malloc spend on it. */
_Static_assert(sizeof(struct ring) + RING_SERIES * sizeof(struct column) + 64 <= RING_BYTES, "a ring is too large");

/* What every page shows has its place even if other numbers come first: rates need two samples. */
static const char *const reserved[] = {
    "cpu.percent",       "memory.used_percent", "memory.swap_used_percent",
    "disk.used_percent", "network.rx_speed",    "network.tx_speed",
    "cpu.load1",         "memory.used",
};

/* ---- values ---------------------------------------------------------------------------------- */

/*
 * A sign, 7 bits of exponent, 8 of what follows the leading one: within 0.2 % from 1e-9 to 1e29. A chart shows no more, and twice as many
 * series have room as with float32.
 */
enum { GAP = 0xffff, BIAS = 30, EXPONENTS = 126 };

static bool fits(double value)
{
  return fabs(value) < ldexp(1, EXPONENTS - BIAS - 1);
}

static uint16_t pack(double value)
{
  int exponent;
  long fraction = lround((frexp(fabs(value), &exponent) * 2 - 1) * 256);
  exponent += BIAS + (fraction == 256);
  if (value == 0 || exponent < 1)
    return 0;
  return (uint16_t)((value < 0 ? 0x8000 : 0) | exponent << 8 | (fraction & 255));
}

static double unpack(uint16_t packed)
{
  int exponent = packed >> 8 & 127;
  double value = exponent ? ldexp(1 + (packed & 255) / 256.0, exponent - BIAS - 1) : 0;
  return packed & 0x8000 ? -value : value;
}

/* ---- rings ----------------------------------------------------------------------------------- */

struct ring *ring_new(void)
{
  return calloc(1, sizeof(struct ring));
}

void ring_free(struct ring *ring)
{
  free(ring);
}

size_t ring_bytes(const struct ring *ring)
{
  return sizeof *ring + ring->count * sizeof ring->columns[0] + 64;
}

int64_t ring_newest_ms(const struct ring *ring)
{
  return ring->newest * RING_STEP_MS;
}

unsigned ring_left_out(const struct ring *ring)
{
  return ring->left_out;
}

size_t ring_series(const struct ring *ring)
{
  return ring->count;
}

const char *ring_name(const struct ring *ring, size_t series)
{
  return ring->columns[series].name;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void clear_step(struct ring *ring, int64_t step)
{
  for (uint32_t i = 0; i < ring->count; i++)
    ring->columns[i].values[step % RING_SLOTS] = GAP;
}

/* Steps without a report are gaps. A clock that went back takes what it had seen of the future with it. */
static void go_to(struct ring *ring, int64_t step)
{
  int64_t from = ring->newest, to = step;
  if (step == from)
    return;
  if (step < from) { /* from the step that begins anew to the one that was the newest */
    from = step - 1;
    to = ring->newest;
  }
  if (to - from > RING_SLOTS)
    from = to - RING_SLOTS;
  for (int64_t at = from + 1; at <= to; at++)
    clear_step(ring, at);
  ring->newest = step;
}

bool ring_due(const struct ring *ring, int64_t now_ms)
{
  return now_ms >= RING_STEP_MS && now_ms / RING_STEP_MS != ring->newest;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool is_reserved(const char *name)
{
  for (size_t i = 0; i < MU_COUNT(reserved); i++)
    if (strcmp(reserved[i], name) == 0)
      return true;
  return false;
}

static struct column *find(struct ring *ring, const char *name)
{
  for (uint32_t i = 0; i < ring->count; i++)
    if (strcmp(ring->columns[i].name, name) == 0)
      return &ring->columns[i];
  return NULL;
}

static size_t kept_free(struct ring *ring)
{
  size_t missing = 0;
  for (size_t i = 0; i < MU_COUNT(reserved); i++)
    missing += find(ring, reserved[i]) == NULL;
  return missing;
}

static void name_column(struct column *column, const char *name)
{
  memset(column, 0, sizeof *column);
  snprintf(column->name, sizeof column->name, "%s", name);
  for (int i = 0; i < RING_SLOTS; i++)
    column->values[i] = GAP;
}

/* The place of a series that has nothing of the last hour. Looked for until the first number of a report finds no room. */
static struct column *reuse(struct ring *ring, const char *name)
{
  for (uint32_t i = 0; ring->left_out == 0 && i < ring->count; i++) {
    struct column *column = &ring->columns[i];
    int slot = 0;
    while (slot < RING_SLOTS && column->values[slot] == GAP)
      slot++;
    if (slot == RING_SLOTS && !is_reserved(column->name)) {
      name_column(column, name);
      return column;
    }
  }
  return NULL;
}

static struct column *add(struct ring **at, const char *name)
{
  struct ring *ring = *at;
  if (ring->count == RING_SERIES || (!is_reserved(name) && ring->count + kept_free(ring) >= RING_SERIES))
    return reuse(ring, name);
  ring = realloc(ring, sizeof *ring + (ring->count + 1) * sizeof ring->columns[0]);
  if (!ring)
    return NULL;
  *at = ring;
  struct column *column = &ring->columns[ring->count++];
  name_column(column, name);
  return column;
}

static void put(struct ring **at, const char *name, double value)
{
  if (!fits(value)) /* or is no number */
    return;
  struct column *column = find(*at, name);
  if (!column && !(column = add(at, name))) {
    (*at)->left_out++;
    return;
  }
  column->values[(*at)->newest % RING_SLOTS] = pack(value);
}

static bool number(struct json_object *value, double *out)
{
  if (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int))
    return false;
  *out = json_object_get_double(value);
  return true;
}

/* Counters, what never changes, and sizes that a percentage says better are no charts. */
static bool is_chart(const char *collector, const char *metric)
{
  static const char *const dull[] = {"cores",    "total",    "uptime",     "boot_time",
                                     "rx_bytes", "tx_bytes", "swap_total", "interval"};
  static const char *const sizes[] = {"used", "free", "available", "swap_used", "swap_free"};
  if (strcmp(collector, "agent") == 0)
    return false;
  for (size_t i = 0; i < MU_COUNT(dull); i++)
    if (strcmp(metric, dull[i]) == 0)
      return false;
  if (strcmp(collector, "memory") != 0 && strcmp(collector, "disk") != 0)
    return true;
  for (size_t i = 0; i < MU_COUNT(sizes); i++)
    if (strcmp(metric, sizes[i]) == 0)
      return strcmp(collector, "memory") == 0 && i == 0;
  return true;
}

MU_PRINTF(3, 4)
static void put_named(struct ring **ring, double value, const char *format, ...)
{
  char name[RING_NAME];
  va_list args;
  va_start(args, format);
  int len =
      vsnprintf(name, sizeof name, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): va_start is above */
  va_end(args);
  if (len > 0 && (size_t)len < sizeof name)
    put(ring, name, value);
  else
    (*ring)->left_out++;
}

static void take_scalars(struct ring **ring, const char *collector, struct json_object *metrics)
{
  json_object_object_foreach(metrics, metric, value)
  {
    double real;
    if (number(value, &real) && is_chart(collector, metric))
      put_named(ring, real, "%s.%s", collector, metric);
  }
}

/* What tells the rows of a list apart. */
static const char *label_of(struct json_object *row)
{
  static const char *const names[] = {"path", "name", "device"};
  struct json_object *label;
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (json_object_object_get_ex(row, names[i], &label) && json_object_is_type(label, json_type_string))
      return json_object_get_string(label);
  return NULL;
}

static void take_row(struct ring **ring, const char *collector, const char *metric, struct json_object *row)
{
  const char *label = label_of(row);
  if (!label)
    return;
  json_object_object_foreach(row, field, value)
  {
    double real;
    if (number(value, &real) && is_chart(collector, field))
      put_named(ring, real, "%s.%s[%s].%s", collector, metric, label, field);
  }
}

/* `rows`: lists of rows; otherwise lists of numbers. */
static void take_lists(struct ring **ring, const char *collector, struct json_object *metrics, bool rows)
{
  json_object_object_foreach(metrics, metric, list)
  {
    size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
      struct json_object *item = json_object_array_get_idx(list, i);
      double real;
      if (rows && json_object_is_type(item, json_type_object))
        take_row(ring, collector, metric, item);
      else if (!rows && number(item, &real))
        put_named(ring, real, "%s.%s[%zu]", collector, metric, i);
    }
  }
}

void ring_take(struct ring **ring, struct json_object *metrics, int64_t now_ms)
{
  if (!ring_due(*ring, now_ms) || !json_object_is_type(metrics, json_type_object))
    return;
  go_to(*ring, now_ms / RING_STEP_MS);
  (*ring)->left_out = 0;
  /* Single numbers first, then rows, then lists: the last ones find no room on large machines. */
  for (int pass = 0; pass < 3; pass++) {
    json_object_object_foreach(metrics, collector, group)
    {
      bool object = json_object_is_type(group, json_type_object);
      if (object && pass == 0)
        take_scalars(ring, collector, group);
      else if (object)
        take_lists(ring, collector, group, pass == 1);
    }
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

bool ring_value(const struct ring *ring, size_t series, int64_t from_ms, int64_t span_ms, float *value)
{
  int64_t first = (from_ms + RING_STEP_MS - 1) / RING_STEP_MS,
          end = (from_ms + span_ms + RING_STEP_MS - 1) / RING_STEP_MS;
  int64_t oldest = ring->newest - RING_SLOTS + 1;
  double sum = 0;
  unsigned count = 0;
  if (first < oldest)
    first = oldest;
  if (end > ring->newest + 1)
    end = ring->newest + 1;
  for (int64_t step = first < 0 ? 0 : first; step < end; step++) {
    uint16_t one = ring->columns[series].values[step % RING_SLOTS];
    if (one != GAP) {
      sum += unpack(one);
      count++;
    }
  }
  if (count == 0)
    return false;
  *value = (float)(sum / count);
  return true;
}

static bool ends(const char *name, const char *end)
{
  size_t len = strlen(name), tail = strlen(end);
  return len >= tail && strcmp(name + len - tail, end) == 0;
}

const char *ring_unit(const char *name)
{
  static const struct {
    const char *end;
    const char *unit;
  } units[] = {{"percent", "%"},    {"_speed", "B/s"},   {".used", "B"},  {".free", "B"},     {".available", "B"},
               {".swap_used", "B"}, {".swap_free", "B"}, {"_bytes", "B"}, {".celsius", "°C"}, {"_seconds", "s"}};
  for (size_t i = 0; i < MU_COUNT(units); i++)
    if (ends(name, units[i].end))
      return units[i].unit;
  return strstr(name, ".per_core[") ? "%" : "";
}
