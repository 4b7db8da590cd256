/* SPDX-License-Identifier: ISC */
#include <errno.h>

#include "collector.h"
#include "disk.h"
#include "mounts.h"

#define GB (1024.0 * 1024.0 * 1024.0)

static char asked[8192]; /* the paths whose room was asked for, below the root */
static size_t root_len;

/* Blocks of 1 MB: a made-up size for each mount point. */
static int fake_statvfs(const char *path, struct statvfs *fs)
{
  static const struct {
    const char *path;
    fsblkcnt_t blocks, free, available;
  } sizes[] = {{"/", 100 * 1024, 60 * 1024, 50 * 1024},
               {"/boot/efi", 1024, 1024, 1024},
               {"/home", 200 * 1024, 50 * 1024, 50 * 1024},
               {"/tank", 310 * 1024, 300 * 1024, 300 * 1024},
               {"/tank/vm", 400 * 1024, 300 * 1024, 300 * 1024},
               {"/var/lib/my \\odd\tdisk", 10 * 1024, 20 * 1024, (fsblkcnt_t)-5},
               {"/mnt/nfs", 1000 * 1024, 0, 0},
               {"/empty", 0, 0, 0},
               {"/huge", UINT64_MAX, 5, 5}};
  path += root_len;
  snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s\n", path);
  memset(fs, 0, sizeof(*fs));
  for (size_t i = 0; i < MU_COUNT(sizes); i++)
    if (strcmp(path, sizes[i].path) == 0) {
      *fs = (struct statvfs){.f_bsize = 4096,
                             .f_frsize = 1024 * 1024,
                             .f_blocks = sizes[i].blocks,
                             .f_bfree = sizes[i].free,
                             .f_bavail = sizes[i].available};
      return 0;
    }
  errno = EIO;
  return -1;
}

static void open_with(struct rig *rig, const char *tree)
{
  rig_open(rig, tree);
  root_len = strlen(rig->root);
  asked[0] = '\0';
}

static void start(struct rig *rig)
{
  rig_init(rig);
  disk_set_statvfs(rig->self, fake_statvfs);
}

static void recorded_machine(void)
{
  struct rig rig;
  open_with(&rig, "machine");
  rig_init(&rig); /* the real statvfs(), of the copy's root */
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "disks"), 1);
  struct json_object *row = rig_row(&rig, "disks", "path", "/");
  CU_ASSERT_PTR_NOT_NULL_FATAL(row);
  CU_ASSERT(row_number(row, "total") > 0);
  /* One disk and all disks together are one thing, so their figures are one. */
  static const char *const same[] = {"total", "used", "free", "used_percent"};
  for (size_t i = 0; i < MU_COUNT(same); i++)
    CU_ASSERT_EQUAL(row_number(row, same[i]), rig_number(&rig, same[i]));
  CU_ASSERT(isnan(row_number(row, "read_speed")));
  rig_close(&rig);
}

static void each_device_once(void)
{
  struct rig rig;
  open_with(&rig, "server");
  start(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "disks"), 5);
  struct json_object *root = rig_row(&rig, "disks", "device", "/dev/sda2");
  CU_ASSERT_PTR_NOT_NULL_FATAL(root);
  CU_ASSERT_PTR_EQUAL(root, rig_row(&rig, "disks", "path", "/"));
  CU_ASSERT_EQUAL(row_number(root, "total"), 100 * GB);
  CU_ASSERT_EQUAL(row_number(root, "used"), 40 * GB);
  CU_ASSERT_EQUAL(row_number(root, "free"), 50 * GB);
  CHECK_NEAR(row_number(root, "used_percent"), 100.0 * 40 / 90);
  /* btrfs: subvolumes, one of them with a number of its own. */
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "disks", "path", "/home"));
  CU_ASSERT_PTR_NULL(rig_row(&rig, "disks", "path", "/mnt/other"));
  /* zfs: the pool once, with what all its data sets use; a snapshot is not asked. */
  struct json_object *pool = rig_row(&rig, "disks", "device", "tank");
  CU_ASSERT_EQUAL(row_number(pool, "used"), 110 * GB);
  CU_ASSERT_EQUAL(row_number(pool, "free"), 300 * GB);
  CU_ASSERT_EQUAL(row_number(pool, "total"), 410 * GB);
  CU_ASSERT_PTR_NULL(strstr(asked, ".zfs"));
  /* Escapes; more free than there is. */
  struct json_object *odd = rig_row(&rig, "disks", "path", "/var/lib/my \\odd\tdisk");
  CU_ASSERT_EQUAL(row_number(odd, "used"), 0);
  CU_ASSERT_EQUAL(row_number(odd, "used_percent"), 0);
  /* Broken and empty ones do not end it, network mounts are never touched. */
  CU_ASSERT_PTR_NOT_NULL(strstr(asked, "/broken\n"));
  CU_ASSERT_PTR_NULL(rig_row(&rig, "disks", "path", "/broken"));
  CU_ASSERT_PTR_NULL(rig_row(&rig, "disks", "path", "/empty"));
  CU_ASSERT_PTR_NULL(strstr(asked, "/mnt/nfs"));
  CU_ASSERT_PTR_NULL(strstr(asked, "/snap"));
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), (100 + 1 + 200 + 410 + 10) * GB);
  CU_ASSERT_EQUAL(rig_number(&rig, "used"), (40 + 0 + 150 + 110 + 0) * GB);
  CU_ASSERT_EQUAL(rig_number(&rig, "free"), (50 + 1 + 50 + 300 + 0) * GB);
  CHECK_NEAR(rig_number(&rig, "used_percent"), 100.0 * 300 / 701);
  rig_close(&rig);
}

static void rates(void)
{
  struct rig rig;
  open_with(&rig, "server");
  start(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  rig_put(&rig, "/proc/diskstats",
          "   8       2 sda2 50 0 20010 1 50 1 40100 1 0 1 1\n"  /* by number */
          " 259       1 nvme0n1p1 1 0 1002 1 1 1 2004 1 0 1 1\n" /* btrfs: by name */
          " 253       0 dm-0 1 0 10 1 1 1 4040 1 0 1 1\n");      /* went back */
  CU_ASSERT_EQUAL(rig_collect(&rig, 2), 0);
  struct json_object *row = rig_row(&rig, "disks", "path", "/");
  CU_ASSERT_EQUAL(row_number(row, "read_speed"), 10 * 512 / 2);
  CU_ASSERT_EQUAL(row_number(row, "write_speed"), 100 * 512 / 2);
  row = rig_row(&rig, "disks", "path", "/home");
  CU_ASSERT_EQUAL(row_number(row, "read_speed"), 512);
  CU_ASSERT_EQUAL(row_number(row, "write_speed"), 1024);
  row = rig_row(&rig, "disks", "fstype", "xfs");
  CU_ASSERT_EQUAL(row_number(row, "read_speed"), 0);
  CU_ASSERT_EQUAL(row_number(row, "write_speed"), 40 * 512 / 2);
  /* Its line has gone: no rate, and none over the gap when it comes back. */
  CU_ASSERT(isnan(row_number(rig_row(&rig, "disks", "path", "/boot/efi"), "read_speed")));
  CU_ASSERT(isnan(row_number(rig_row(&rig, "disks", "device", "tank"), "read_speed")));
  rig_put(&rig, "/proc/diskstats", "   8       1 sda1 1 0 99999 1 1 1 99999 1 0 1 1\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT(isnan(row_number(rig_row(&rig, "disks", "path", "/boot/efi"), "read_speed")));
  /* No time has passed. */
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT(isnan(row_number(rig_row(&rig, "disks", "path", "/boot/efi"), "read_speed")));
  rig_close(&rig);
}

static void mounts_change(void)
{
  struct rig rig;
  open_with(&rig, "server");
  start(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  rig_put(&rig, "/proc/1/mountinfo", "27 1 8:2 / / rw - ext4 /dev/sda2 rw\n40 27 9:9 / /huge rw - ext4 /dev/md9 rw\n");
  rig_put(&rig, "/proc/diskstats", "   8       2 sda2 50 0 20010 1 50 1 40100 1 0 1 1\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "disks"), 2);
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "disks", "path", "/"), "read_speed"), 10 * 512);
  /* A size that no 64 bits hold stays a number. */
  CU_ASSERT(rig_number(&rig, "total") > 9e18);
  CU_ASSERT(rig_number(&rig, "used_percent") <= 100);
  /* Where the first process may not be looked at, our own list serves. */
  rig_put(&rig, "/proc/1/mountinfo", NULL);
  rig_put(&rig, "/proc/self/mountinfo", "27 1 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_count(&rig, "disks"), 1);
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "disks", "path", "/boot/efi"));
  rig_close(&rig);
}

static void nothing_to_report(void)
{
  struct rig rig;
  open_with(&rig, NULL);
  start(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), MU_ENOENT);
  rig_put(&rig, "/proc/self/mountinfo",
          "1 1 0:1 / /proc rw - proc proc rw\n44 27 8:4 / /empty rw - ext4 /dev/sda4 rw\n");
  CU_ASSERT_EQUAL(rig_collect(&rig, 1), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "total"), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "free"), 0);
  CU_ASSERT_EQUAL(rig_number(&rig, "used_percent"), 0);
  CU_ASSERT_PTR_NOT_NULL(rig_get(&rig, "disks"));
  CU_ASSERT_EQUAL(rig_count(&rig, "disks"), 0);
  rig_close(&rig);
}

static void patterns(void)
{
  static const char *const include[] = {"/", "/mnt/*", "/tank*"}, *const exclude[] = {"/tank/*"},
                           *const types[] = {"nfs*"};
  struct rig rig;
  open_with(&rig, "server");
  struct disk_config *config = rig.config, saved = *config;
  config->include = (struct mu_list){include, 3};
  config->exclude = (struct mu_list){exclude, 1};
  config->include_types = (struct mu_list){types, 1};
  start(&rig);
  CU_ASSERT_EQUAL(rig_collect(&rig, 0), 0);
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "disks", "path", "/"));
  CU_ASSERT_PTR_NOT_NULL(rig_row(&rig, "disks", "path", "/mnt/nfs"));
  CU_ASSERT_PTR_NULL(rig_row(&rig, "disks", "path", "/boot/efi"));
  CU_ASSERT_EQUAL(row_number(rig_row(&rig, "disks", "device", "tank"), "used"), 10 * GB);
  *config = saved;
  rig_close(&rig);
}

/* Straight into the parser. */
static void hostile_mountinfo(void)
{
  static const char *const texts[] = {"",
                                      "\n\n",
                                      "1",
                                      "1 2",
                                      "1 2 3:4",
                                      "1 2 3:4 / ",
                                      "1 2 3:4 / /x rw -",
                                      "1 2 3:4 / /x rw - ext4",
                                      "1 2 3:4 / relative rw - ext4 /dev/x rw",
                                      "1 2 :4 / /x rw - ext4 /dev/x",
                                      "1 2 99999999999999999999:4 / /x rw a b c",
                                      "- - - - - - - - -"};
  struct disks *disks = calloc(1, sizeof(*disks));
  const struct disk_config config = {{0}, {0}, {0}, {0}};
  CU_ASSERT_PTR_NOT_NULL_FATAL(disks);
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    CU_ASSERT_EQUAL(mounts_parse(disks, texts[i], NULL, &config), 0);
    CU_ASSERT_EQUAL(disks->count, 0);
  }
  /* Escapes that are none, and one of NUL. */
  CU_ASSERT_EQUAL(mounts_parse(disks, "1 2 3:4 / /a\\040\\9\\04\\000\\777\\ rw - ext4 /dev/x rw", NULL, &config), 0);
  CU_ASSERT_EQUAL_FATAL(disks->count, 1);
  CU_ASSERT_STRING_EQUAL(disks->list[0].path, "/a \\9\\04\\000\\777\\");
  /* More devices than anybody reads of. */
  struct mu_buf many = MU_BUF_INIT;
  for (unsigned i = 0; i < DISKS_MAX + 50; i++)
    mu_buf_printf(&many, "1 2 8:%u / /d%u rw - ext4 /dev/d%u rw\n", i, i, i);
  CU_ASSERT_EQUAL(mounts_parse(disks, many.at, NULL, &config), 0);
  CU_ASSERT_EQUAL(disks->count, DISKS_MAX);
  mu_buf_free(&many);
  mounts_clear(disks);
  free(disks);
}

static const struct unit_test tests[] = {
    {"a recorded machine", recorded_machine}, {"each device once", each_device_once},   {"rates", rates},
    {"mounts change", mounts_change},         {"nothing to report", nothing_to_report}, {"patterns", patterns},
    {"hostile mountinfo", hostile_mountinfo},
};
UNIT_MAIN("disk", tests)
