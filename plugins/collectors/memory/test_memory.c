/* SPDX-License-Identifier: ISC */
#include "collector.h"

#define KB 1024.0
#define MB (1024.0 * 1024.0)

static void recorded_machine(void)
{
  struct rig rig;
  rig_open(&rig, "machine");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  double total = rig_number(&rig, "total"), used = rig_number(&rig, "used");
  CU_ASSERT(total > 1e9);
  CU_ASSERT(used > 0 && used < total);
  CU_ASSERT(rig_number(&rig, "available") <= total);
  CHECK_NEAR(rig_number(&rig, "used_percent"), 100.0 * used / total);
  /* No swap: 0, never NaN. */
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_total"), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_used_percent"), 0);
  rig_close(&rig);
}

static void without_the_limit(void)
{
  struct rig rig;
  rig_open(&rig, "cgroup2");
  *(bool *)rig_option(&rig, "cgroup") = false;
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 65536000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), (65536000 - 32768000 - 100000 - 9000000 - 900000) * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "available"), 49152000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_total"), 8192000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_used"), 2048000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_free"), 6144000 * KB);
  CHECK_NEAR(rig_number(&rig, "swap_used_percent"), 25.0);
  rig_close(&rig);
}

static void cgroup_v1(void)
{
  struct rig rig;
  rig_open(&rig, "cgroup1");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 1024 * MB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), 384 * MB);
  CU_ASSERT_EQUAL(rig_number(&rig, "available"), 640 * MB);
  CHECK_NEAR(rig_number(&rig, "used_percent"), 37.5);
  /* As a kernel says it where there is no limit. */
  rig_put(&rig, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 65536000 * KB);
  /* Of the group that /proc/1/cgroup names, where the host's hierarchy is seen. */
  const char *folder = "/sys/fs/cgroup/memory/docker/0123456789abcdef";
  char path[128];
  snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", folder);
  rig_put(&rig, path, "1048576\n");
  snprintf(path, sizeof(path), "%s/memory.usage_in_bytes", folder);
  rig_put(&rig, path, "524288\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), MB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), MB / 2);
  rig_close(&rig);
}

static void cgroup_v2(void)
{
  struct rig rig;
  rig_open(&rig, "cgroup2");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 2048 * MB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), 1024 * MB);
  CU_ASSERT_EQUAL(rig_number(&rig, "available"), 1024 * MB);
  /* More cache than use: floored at 0. */
  rig_put(&rig, "/sys/fs/cgroup/memory.stat", "inactive_file 99999999999\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), 0);
  rig_put(&rig, "/sys/fs/cgroup/memory.max", "max\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 65536000 * KB);
  static const char *const bad[] = {"", "0\n", "-5\n", "nonsense", "99999999999999999999999\n"};
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    rig_put(&rig, "/sys/fs/cgroup/memory.max", bad[i]);
    CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
    CU_ASSERT_EQUAL(rig_number(&rig, "total"), 65536000 * KB);
  }
  rig_close(&rig);
}

/* A limit on the agent's own service says nothing of the machine; a path that leaves the hierarchy is not followed. */
static void foreign_groups(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_put(&rig, "/proc/meminfo", "MemTotal: 1000 kB\nMemFree: 400 kB\n");
  rig_put(&rig, "/proc/self/cgroup", "0::/system.slice/agent.service\n");
  rig_put(&rig, "/proc/1/cgroup", "0::/../../etc\n");
  rig_put(&rig, "/sys/fs/cgroup/system.slice/agent.service/memory.max", "4096\n");
  rig_put(&rig, "/sys/fs/cgroup/system.slice/agent.service/memory.current", "4096\n");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 1000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), 600 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "available"), 400 * KB);
  CU_ASSERT_PTR_NULL(rig_get(&rig, "swap_total"));
  rig_close(&rig);
}

static void floored(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_put(&rig, "/proc/meminfo",
          "MemTotal: 1000 kB\nMemFree: 900 kB\nBuffers: 50 kB\nCached: 500 kB\nSReclaimable: 10 kB\n"
          "MemAvailable: 5000 kB\nSwapTotal: 10 kB\nSwapFree: 20 kB\n");
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "used_percent"), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "available"), 1000 * KB);
  CU_ASSERT_EQUAL(rig_number(&rig, "swap_used"), 0);
  /* A machine of nothing. */
  rig_put(&rig, "/proc/meminfo", "MemTotal: 0 kB\nMemFree: 0 kB\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "used_percent"), 0);
  rig_close(&rig);
}

static void broken_files(void)
{
  struct rig rig;
  rig_open(&rig, NULL);
  rig_init(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), MU_ENOENT);
  static const char *const texts[] = {"",
                                      "MemTotal:",
                                      "MemTotal: x\nMemFree: y\n",
                                      "MemTotal: 5 kB\n",
                                      "MemTotal: -5 kB\nMemFree: 1 kB\n",
                                      "MemTotal: 99999999999999999999 kB\nMemFree: 1 kB\n"};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    rig_put(&rig, "/proc/meminfo", texts[i]);
    CU_ASSERT_EQUAL(rig_collect(&rig, 1), MU_ESYNTAX);
  }
  rig_close(&rig);
}

static const struct unit_test tests[] = {
    {"a recorded machine", recorded_machine},
    {"without the limit", without_the_limit},
    {"cgroup v1", cgroup_v1},
    {"cgroup v2", cgroup_v2},
    {"foreign groups", foreign_groups},
    {"floored at 0", floored},
    {"broken files", broken_files},
};
UNIT_MAIN("memory", tests)
