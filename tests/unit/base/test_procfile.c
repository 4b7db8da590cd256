/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/sample.h>

#include "unit.h"

static char folder[64];

static void put(const char *name, const char *data, size_t len)
{
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  fwrite(data, 1, len, file);
  fclose(file);
}

static void drop(const char *name)
{
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (unlink(path) != 0)
    rmdir(path);
}

static void begin(void)
{
  strcpy(folder, "/tmp/muster-procfile-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static size_t descriptors(void)
{
  size_t n = 0;
  DIR *dir = opendir("/proc/self/fd");
  while (readdir(dir))
    n++;
  closedir(dir);
  return n;
}

static void test_again(void)
{
  begin();
  size_t before = descriptors();
  mu_procfile *file = mu_procfile_new(folder, "/stat");
  CU_ASSERT_PTR_NOT_NULL_FATAL(file);
  struct mu_str text = {"poison", 6};
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), MU_ENOENT);
  CU_ASSERT_EQUAL(text.len, 0);
  put("stat", "one", 3);
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT_STRING_EQUAL(text.at, "one");
  CU_ASSERT_EQUAL(text.len, 3);
  put("stat", "", 0); /* shorter now, the same file */
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT(text.len == 0 && text.at[0] == '\0');
  put("next", "two!", 4);
  char from[128], to[128];
  snprintf(from, sizeof from, "%s/next", folder);
  snprintf(to, sizeof to, "%s/stat", folder);
  CU_ASSERT_EQUAL(rename(from, to), 0); /* another file of this name */
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT_STRING_EQUAL(text.at, "two!");
  drop("stat");
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), MU_ENOENT);
  CU_ASSERT_EQUAL(text.len, 0);
  mu_procfile_free(file);
  mu_procfile_free(NULL);
  CU_ASSERT_EQUAL(descriptors(), before);
  rmdir(folder);
}

static void test_sizes(void)
{
  begin();
  static const size_t sizes[] = {1, 4094, 4095, 4096, 4097, 100000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 5 << 20};
  mu_procfile *file = mu_procfile_new(folder, "/big");
  char *data = malloc(5 << 20);
  for (size_t i = 0; i < 5 << 20; i++)
    data[i] = (char)('a' + i % 26);
  for (size_t i = 0; i < MU_COUNT(sizes); i++) {
    put("big", data, sizes[i]);
    struct mu_str text;
    int code = mu_procfile_read(file, &text);
    CU_ASSERT_EQUAL(code, sizes[i] > 4 << 20 ? MU_ELIMIT : 0);
    if (code == 0) {
      CU_ASSERT_EQUAL(text.len, sizes[i]);
      CU_ASSERT(memcmp(text.at, data, sizes[i]) == 0 && text.at[text.len] == '\0');
    }
  }
  put("big", "small", 5);
  struct mu_str text;
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT_STRING_EQUAL(text.at, "small");
  mu_procfile_free(file);
  free(data);
  drop("big");
  rmdir(folder);
}

static void test_no_files(void)
{
  begin();
  char path[128];
  snprintf(path, sizeof path, "%s/fifo", folder);
  CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
  struct mu_str text;
  mu_procfile *file = mu_procfile_new(folder, "/fifo"); /* must not wait for a writer */
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), MU_EIO);
  mu_procfile_free(file);
  file = mu_procfile_new(folder, "");
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), MU_EIO); /* a folder */
  mu_procfile_free(file);
  file = mu_procfile_new(folder, "/fifo/x");
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), MU_ENOENT);
  mu_procfile_free(file);
  drop("fifo");
  rmdir(folder);
}

static void test_proc(void)
{
  mu_procfile *file = mu_procfile_new("", "/proc/uptime");
  struct mu_str text;
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  double first = atof(text.at);
  usleep(50000);
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT(first > 0 && atof(text.at) > first); /* the kept descriptor gives news */
  mu_procfile_free(file);
  file = mu_procfile_new(NULL, "/proc/stat");
  CU_ASSERT_EQUAL(mu_procfile_read(file, &text), 0);
  CU_ASSERT(strncmp(text.at, "cpu ", 4) == 0);
  mu_procfile_free(file);
}

static const struct unit_test tests[] = {
    {"missing, there, shorter, replaced, gone", test_again},
    {"sizes up to the limit and over it", test_sizes},
    {"no plain files", test_no_files},
    {"/proc", test_proc},
};
UNIT_MAIN("procfiles", tests)
