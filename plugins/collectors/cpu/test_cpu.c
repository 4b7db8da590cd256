/* SPDX-License-Identifier: ISC */
#include "collector.h"

/* user nice system idle iowait irq softirq steal guest guest_nice */
static void put_stat(struct rig *rig, const char *all, const char *rest)
{
  char text[4096];
  snprintf(text, sizeof(text), "cpu  %s\n%sintr 1 2 3\nctxt 5\n", all, rest);
  rig_put(rig, "/proc/stat", text);
}

static void recorded_machine(void)
{
  struct rig rig;
  rig_open(&rig, "machine");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "percent"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "per_core"));
  CU_ASSERT_EQUAL(rig_number(&rig, "cores"), 2);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "model"), "AMD EPYC");
  CU_ASSERT(rig_number(&rig, "load1") >= 0);
  CU_ASSERT(rig_number(&rig, "load15") >= 0);
  rig_close(&rig);
}

static void busy_is_neither_idle_nor_iowait_nor_guest(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  put_stat(&rig, "100 0 100 1000 100 0 0 0 0 0", "cpu0 100 0 100 1000 100 0 0 0 0 0\n");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  /* 40 of 100 busy; 30 of the user time was a guest's: it is in user already and must not count a second time. */
  put_stat(&rig, "130 0 102 1040 120 1 3 4 30 0", "cpu0 130 0 102 1040 120 1 3 4 30 0\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CHECK_NEAR(rig_number(&rig, "percent"), 40.0);
  CU_ASSERT_EQUAL(rig_count(&rig, "per_core"), 1);
  CHECK_NEAR(json_object_get_double(json_object_array_get_idx(rig_get(&rig, "per_core"), 0)), 40.0);
  rig_close(&rig);
}

static void counters_that_go_back(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  put_stat(&rig, "1000 0 0 1000 500 0 0 0 0 0", "");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  /* iowait may go back: it moved by nothing, not by 2^64. */
  put_stat(&rig, "1050 0 0 1050 400 0 0 0 0 0", "");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CHECK_NEAR(rig_number(&rig, "percent"), 50.0);
  /* All of them went back, and nothing moved: the newest share stays, and is no NaN. */
  put_stat(&rig, "1 0 0 1 1 0 0 0 0 0", "");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CHECK_NEAR(rig_number(&rig, "percent"), 50.0);
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CHECK_NEAR(rig_number(&rig, "percent"), 50.0);
  rig_close(&rig);
}

static void many_cores_with_holes(void)
{
  struct rig rig;
  rig_open(&rig, "manycore");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "cores"), 64);
  CU_ASSERT_STRING_EQUAL(rig_text(&rig, "model"), "POWER9, altivec supported");
  CU_ASSERT_EQUAL(rig_number(&rig, "load1"), 63.5);
  /* CPU 1 goes, CPU 0 comes, CPU 2 was busy all the time. */
  put_stat(&rig, "64100 640 32000 6000000 2560 0 320 128 0 0",
           "cpu0 10 0 0 10 0 0 0 0 0 0\ncpu2 2002 10 500 90014 40 0 5 2 300 0\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "cores"), 2);
  CU_ASSERT_EQUAL(rig_count(&rig, "per_core"), 2);
  CU_ASSERT_EQUAL(json_object_get_double(json_object_array_get_idx(rig_get(&rig, "per_core"), 0)), 0);
  CHECK_NEAR(json_object_get_double(json_object_array_get_idx(rig_get(&rig, "per_core"), 1)), 100.0);
  rig_close(&rig);
}

static void per_core_can_be_left_out(void)
{
  struct rig rig;
  rig_open(&rig, "manycore");
  *(bool *)rig_option(&rig, "per_core") = false;
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  put_stat(&rig, "99999999 0 0 99999999 0 0 0 0 0 0", "");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_PTR_NOT_NULL(rig_get(&rig, "percent"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "per_core"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "cores"));
  rig_close(&rig);
}

static void broken_files(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), MU_ENOENT);
  static const char *const texts[] = {"", "\n", "cpu", "cpuset 1 2 3\n", "intr 5\n", "cpu0 1 2 3\n", "cpu\n\n"};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    rig_put(&rig, "/proc/stat", texts[i]);
    CU_ASSERT_EQUAL(rig_collect(&rig, 1), MU_ESYNTAX);
  }
  /* Huge, negative and missing columns, a CPU that cannot be: no overflow, no memory for it, no NaN. */
  rig_put(&rig, "/proc/loadavg", "nan inf 1");
  rig_put(&rig, "/proc/cpuinfo", "model name");
  put_stat(&rig, "-1 x 3", "cpu4294967295 1 2 3\ncpu99999999999999999999 1 2\ncpu8192 1\ncpu3x 1\ncpu1 5\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  put_stat(&rig, "18446744073709551615 18446744073709551615 99999999999999999999999 18446744073709551615", "cpu1 7 ");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT(rig_number(&rig, "percent") >= 0 && rig_number(&rig, "percent") <= 100);
  CU_ASSERT_EQUAL(rig_number(&rig, "cores"), 1);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "load1"));
  CU_ASSERT_PTR_NULL(rig_get(&rig, "model"));
  rig_close(&rig);
}

static const struct unit_test tests[] = {
    {"a recorded machine", recorded_machine},
    {"busy is neither idle nor iowait nor guest", busy_is_neither_idle_nor_iowait_nor_guest},
    {"counters that go back", counters_that_go_back},
    {"many cores with holes", many_cores_with_holes},
    {"per_core can be left out", per_core_can_be_left_out},
    {"broken files", broken_files},
};
UNIT_MAIN("cpu", tests)
