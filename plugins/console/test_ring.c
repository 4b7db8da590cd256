/* SPDX-License-Identifier: ISC */
/* The last hour of a machine: steps, gaps, room, clocks that jump. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ring.h"
#include "unit.h"

#define T0 INT64_C(1700000000000) /* begins a step */

static void take(struct ring **ring, int64_t ms, const char *text)
{
  struct json_object *metrics = json_tokener_parse(text);
  CU_ASSERT_PTR_NOT_NULL_FATAL(metrics);
  ring_take(ring, metrics, ms);
  json_object_put(metrics);
}

static size_t series(const struct ring *ring, const char *name)
{
  for (size_t i = 0; i < ring_series(ring); i++)
    if (strcmp(ring_name(ring, i), name) == 0)
      return i;
  return SIZE_MAX;
}

/* NaN: a gap, or no such series. */
static float at(const struct ring *ring, const char *name, int64_t from, int64_t span)
{
  float value;
  size_t i = series(ring, name);
  return i != SIZE_MAX && ring_value(ring, i, from, span, &value) ? value : NAN;
}

static void test_steps(void)
{
  struct ring *ring = ring_new();
  CU_ASSERT_EQUAL(ring_newest_ms(ring), 0);
  CU_ASSERT_TRUE(ring_due(ring, T0));
  take(&ring, T0, "{\"cpu\":{\"percent\":10}}");
  CU_ASSERT_FALSE(ring_due(ring, T0 + 9999));
  CU_ASSERT_TRUE(ring_due(ring, T0 + 10000));
  take(&ring, T0 + 5000, "{\"cpu\":{\"percent\":20.5}}");
  take(&ring, T0 + 30000, "{\"cpu\":{\"percent\":40}}");
  CU_ASSERT_EQUAL(ring_newest_ms(ring), T0 + 30000);
  CU_ASSERT_DOUBLE_EQUAL(at(ring, "cpu.percent", T0, 10000), 10, 0.001);
  CU_ASSERT_TRUE(isnan(at(ring, "cpu.percent", T0 + 10000, 10000))); /* gaps stay gaps */
  CU_ASSERT_TRUE(isnan(at(ring, "cpu.percent", T0 + 20000, 10000)));
  CU_ASSERT_DOUBLE_EQUAL(at(ring, "cpu.percent", T0 + 30000, 10000), 40, 0.001);
  CU_ASSERT_DOUBLE_EQUAL(at(ring, "cpu.percent", T0, 40000), (10 + 40) / 2, 0.001);
  CU_ASSERT_TRUE(isnan(at(ring, "cpu.percent", T0 + 40000, 100000)));
  CU_ASSERT_TRUE(isnan(at(ring, "cpu.percent", T0 - 100000, 100000)));
  ring_free(ring);
}

/* A report for each step of three hours: the last 360 are there and nothing else. */
static void test_an_hour(void)
{
  struct ring *ring = ring_new();
  char text[64];
  for (int i = 0; i < 3 * RING_SLOTS; i++) {
    snprintf(text, sizeof text, "{\"zoo\":{\"lions\":%d}}", i % 500);
    take(&ring, T0 + i * (int64_t)RING_STEP_MS, text);
  }
  for (int i = 0; i < 3 * RING_SLOTS; i++) {
    float value = at(ring, "zoo.lions", T0 + i * (int64_t)RING_STEP_MS, RING_STEP_MS);
    CU_ASSERT_TRUE_FATAL(i < 2 * RING_SLOTS ? isnan(value) : value == (float)(i % 500));
  }
  take(&ring, T0 + 10 * 3600000, "{\"zoo\":{\"lions\":1}}"); /* hours of silence */
  CU_ASSERT_TRUE(isnan(at(ring, "zoo.lions", T0, 10 * 3600000)));
  ring_free(ring);
}

/* What is kept is near enough for a chart, whatever its size and sign. */
static void test_exactness(void)
{
  struct ring *ring = ring_new();
  int64_t now = T0;
  char text[80];
  for (double value = 1e-8; value < 1e28; value *= 1.37, now += RING_STEP_MS) {
    double wanted = (now / RING_STEP_MS) % 2 ? value : -value;
    snprintf(text, sizeof text, "{\"zoo\":{\"lions\":%.17g}}", wanted);
    take(&ring, now, text);
    CU_ASSERT_DOUBLE_EQUAL(at(ring, "zoo.lions", now, 1), wanted, value * 0.002);
  }
  static const double exact[] = {0, 0.5, 1, 2, 3, 50, 99.5, 100, 256, 510, 1024, 4096, -40, 0x1p40};
  for (size_t i = 0; i < MU_COUNT(exact); i++, now += RING_STEP_MS) {
    snprintf(text, sizeof text, "{\"zoo\":{\"lions\":%.17g}}", exact[i]);
    take(&ring, now, text);
    CU_ASSERT_EQUAL(at(ring, "zoo.lions", now, 1), (float)exact[i]);
  }
  ring_free(ring);
}

static void test_clock(void)
{
  struct ring *ring = ring_new();
  for (int i = 0; i < 100; i++)
    take(&ring, T0 + i * (int64_t)RING_STEP_MS, "{\"zoo\":{\"lions\":5}}");
  /* Back by ten steps: what lay in the future is gone, what lies before is kept. */
  take(&ring, T0 + 89 * (int64_t)RING_STEP_MS, "{\"zoo\":{\"lions\":7}}");
  CU_ASSERT_EQUAL(ring_newest_ms(ring), T0 + 89 * (int64_t)RING_STEP_MS);
  CU_ASSERT_EQUAL(at(ring, "zoo.lions", T0 + 88 * (int64_t)RING_STEP_MS, RING_STEP_MS), 5);
  CU_ASSERT_EQUAL(at(ring, "zoo.lions", T0 + 89 * (int64_t)RING_STEP_MS, RING_STEP_MS), 7);
  take(&ring, T0 + 95 * (int64_t)RING_STEP_MS, "{\"zoo\":{\"lions\":9}}");
  CU_ASSERT_TRUE(isnan(at(ring, "zoo.lions", T0 + 90 * (int64_t)RING_STEP_MS, 5 * RING_STEP_MS)));
  /* Back by years, and forth again. */
  take(&ring, RING_STEP_MS, "{\"zoo\":{\"lions\":1}}");
  CU_ASSERT_EQUAL(at(ring, "zoo.lions", RING_STEP_MS, RING_STEP_MS), 1);
  CU_ASSERT_TRUE(isnan(at(ring, "zoo.lions", T0, 3600000)));
  take(&ring, T0, "{\"zoo\":{\"lions\":2}}");
  CU_ASSERT_TRUE(isnan(at(ring, "zoo.lions", 0, T0)));
  take(&ring, -5, "{\"zoo\":{\"lions\":3}}");
  take(&ring, 0, "{\"zoo\":{\"lions\":3}}");
  CU_ASSERT_EQUAL(at(ring, "zoo.lions", T0, RING_STEP_MS), 2);
  ring_free(ring);
}

static void test_what_is_kept(void)
{
  struct ring *ring = ring_new();
  take(&ring, T0,
       "{\"cpu\":{\"percent\":1,\"cores\":8,\"model\":\"x\",\"per_core\":[2,3]},\"agent\":{\"failures\":1},"
       "\"disk\":{\"used_percent\":4,\"total\":5,\"used\":6,\"free\":7,\"disks\":[{\"path\":\"/"
       "\",\"used_percent\":6,\"read_speed\":7,\"total\":8,\"free\":9},7]},"
       "\"network\":{\"rx_bytes\":9,\"interfaces\":[{\"name\":\"eth0\",\"rx_speed\":10},{\"rx_speed\":11}]},"
       "\"system\":{\"temperatures\":[{\"name\":\"core "
       "0\",\"celsius\":55.5}]},\"zoo\":{\"flag\":true,\"none\":null},\"odd\":5}");
  CU_ASSERT_EQUAL(at(ring, "cpu.percent", T0, 1), 1);
  CU_ASSERT_EQUAL(at(ring, "cpu.per_core[1]", T0, 1), 3);
  CU_ASSERT_EQUAL(at(ring, "disk.disks[/].used_percent", T0, 1), 6);
  CU_ASSERT_EQUAL(at(ring, "network.interfaces[eth0].rx_speed", T0, 1), 10);
  CU_ASSERT_EQUAL(at(ring, "system.temperatures[core 0].celsius", T0, 1), 55.5);
  CU_ASSERT_EQUAL(ring_series(ring), 9); /* and "disk.disks[1]", a number among rows */
  CU_ASSERT_EQUAL(ring_left_out(ring), 0);
  CU_ASSERT_STRING_EQUAL(ring_unit("cpu.percent"), "%");
  CU_ASSERT_STRING_EQUAL(ring_unit("cpu.per_core[1]"), "%");
  CU_ASSERT_STRING_EQUAL(ring_unit("network.interfaces[eth0].rx_speed"), "B/s");
  CU_ASSERT_STRING_EQUAL(ring_unit("memory.used"), "B");
  CU_ASSERT_STRING_EQUAL(ring_unit("system.temperatures[core 0].celsius"), "°C");
  CU_ASSERT_STRING_EQUAL(ring_unit("cpu.load1"), "");
  ring_free(ring);
}

/* A large machine: the figures of the status page are kept though they come late, and the bound holds. */
static void test_room(void)
{
  struct ring *ring = ring_new();
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"zoo\":{");
  for (int i = 0; i < 500; i++)
    mu_buf_printf(&text, "%s\"m%d\":%d", i ? "," : "", i, i);
  mu_buf_adds(&text, "},\"cpu\":{\"load1\":1}}");
  take(&ring, T0, text.at);
  take(&ring, T0 + 10000, text.at);
  CU_ASSERT_TRUE(ring_left_out(ring) > 400);
  take(&ring, T0 + 20000,
       "{\"cpu\":{\"percent\":50},\"network\":{\"rx_speed\":1,\"tx_speed\":2},\"disk\":{\"used_percent\":3},"
       "\"memory\":{\"used\":4,\"used_percent\":5,\"swap_used_percent\":6}}");
  CU_ASSERT_EQUAL(ring_left_out(ring), 0);
  CU_ASSERT_EQUAL(at(ring, "cpu.percent", T0 + 20000, 1), 50);
  CU_ASSERT_EQUAL(at(ring, "memory.swap_used_percent", T0 + 20000, 1), 6);
  CU_ASSERT_EQUAL(ring_series(ring), RING_SERIES);
  CU_ASSERT_TRUE(ring_bytes(ring) <= RING_BYTES && ring_bytes(ring) > RING_SERIES * RING_SLOTS * sizeof(uint16_t));
  mu_buf_free(&text);
  ring_free(ring);
}

/* A series that has nothing of the last hour gives its place to another. */
static void test_places_come_back(void)
{
  struct ring *ring = ring_new();
  char text[64];
  for (int i = 0; i < 4 * RING_SERIES; i++) {
    snprintf(text, sizeof text, "{\"zoo\":{\"m%d\":%d}}", i, i);
    take(&ring, T0 + i * (int64_t)RING_STEP_MS, text);
  }
  CU_ASSERT_TRUE(isnan(at(ring, "zoo.m167", T0, 3600000)));
  CU_ASSERT_EQUAL(ring_left_out(ring), 1);
  int64_t later = T0 + 3600000 + 60 * (int64_t)RING_STEP_MS;
  take(&ring, later, "{\"zoo\":{\"new\":1,\"m0\":2}}");
  CU_ASSERT_EQUAL(ring_left_out(ring), 0);
  CU_ASSERT_EQUAL(at(ring, "zoo.new", later, 1), 1);
  CU_ASSERT_EQUAL(at(ring, "zoo.m0", later, 1), 2);
  take(&ring, later + RING_STEP_MS, "{\"cpu\":{\"percent\":5}}"); /* whose place was kept */
  CU_ASSERT_EQUAL(at(ring, "cpu.percent", later + RING_STEP_MS, 1), 5);
  CU_ASSERT_TRUE(ring_bytes(ring) <= RING_BYTES);
  ring_free(ring);
}

static void test_odd_numbers(void)
{
  struct ring *ring = ring_new();
  struct json_object *metrics = json_object_new_object(), *zoo = json_object_new_object();
  json_object_object_add(metrics, "zoo", zoo);
  json_object_object_add(zoo, "nan", json_object_new_double(NAN));
  json_object_object_add(zoo, "huge", json_object_new_double(1e300));
  json_object_object_add(zoo, "large", json_object_new_double(3e28));
  json_object_object_add(zoo, "larger", json_object_new_double(3e38));
  json_object_object_add(zoo, "a name that is far too long for the room that a series has for its name, which is short",
                         json_object_new_int(1));
  for (int i = 0; i < 4; i++)
    ring_take(&ring, metrics, T0 + i * (int64_t)RING_STEP_MS);
  CU_ASSERT_EQUAL(ring_series(ring), 1);
  CU_ASSERT_DOUBLE_EQUAL(at(ring, "zoo.large", T0, 4 * RING_STEP_MS), 3e28, 6e25);
  json_object_put(metrics);
  ring_free(ring);
}

static const struct unit_test tests[] = {
    {"steps and gaps", test_steps},
    {"an hour and no more", test_an_hour},
    {"exactness", test_exactness},
    {"clocks that jump", test_clock},
    {"what is kept", test_what_is_kept},
    {"room", test_room},
    {"places come back", test_places_come_back},
    {"odd numbers", test_odd_numbers},
};
UNIT_MAIN("console: ring", tests)
