/* SPDX-License-Identifier: ISC */
/* Saved keys: who may read them, where they lie, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/logging.h"
#include "keys.h"
#include "unit.h"

static char base[64], folder[128], said[2048];
static bool no_links; /* as on a stick */

/* Before libc's. */
int linkat(int from, const char *old, int to, const char *new, int flags)
{
  if (!no_links)
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
  errno = EPERM;
  return -1;
}

static void listen_in(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)level;
  snprintf(said, sizeof said, "%s", line);
}

static void begin(void)
{
  strcpy(base, "/tmp/muster-keys-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(base));
  snprintf(folder, sizeof folder, "%s/a/b", base);
  said[0] = '\0';
  mui_log_sink(listen_in, NULL);
}

static void end(void)
{
  char command[100];
  mui_log_sink(NULL, NULL);
  snprintf(command, sizeof command, "rm -rf %s", base);
  CU_ASSERT_EQUAL(system(command), 0);
}

static unsigned mode_of(const char *path)
{
  struct stat info;
  return lstat(path, &info) == 0 ? info.st_mode & 07777 : 0;
}

static bool reads(const char *name, const char *expected)
{
  struct mu_buf content = MU_BUF_INIT;
  bool same = keys_read(NULL, folder, name, &content) == 0 && strcmp(content.at ? content.at : "", expected) == 0;
  mu_buf_free(&content);
  return same;
}

static int reading(const char *name)
{
  struct mu_buf content = MU_BUF_INIT;
  int error = keys_read(NULL, folder, name, &content);
  CU_ASSERT_EQUAL(content.len, 0);
  mu_buf_free(&content);
  return error;
}

static void kept_for_this_user_alone(void)
{
  char path[256], above[128];
  begin();
  mode_t before = umask(0); /* whatever it is */
  CU_ASSERT_EQUAL(reading("x.key"), MU_ENOENT);
  CU_ASSERT_EQUAL(keys_remove(NULL, folder, "x.key"), MU_ENOENT);
  CU_ASSERT_EQUAL(keys_write(NULL, folder, "x.key", MU_STR("the-key-1")), 0);
  snprintf(path, sizeof path, "%s/x.key", folder);
  snprintf(above, sizeof above, "%s/a", base);
  CU_ASSERT_EQUAL(mode_of(path), 0600);
  CU_ASSERT_EQUAL(mode_of(folder), 0700);
  CU_ASSERT_EQUAL(mode_of(above), 0700);
  umask(before);
  CU_ASSERT_TRUE(reads("x.key", "the-key-1"));
  CU_ASSERT_EQUAL(keys_write(NULL, folder, "x.key", MU_STR("the-key-2")), 0);
  CU_ASSERT_TRUE(reads("x.key", "the-key-2"));
  CU_ASSERT_EQUAL(keys_remove(NULL, folder, "x.key"), 0);
  CU_ASSERT_EQUAL(reading("x.key"), MU_ENOENT);
  CU_ASSERT_EQUAL(keys_add(NULL, folder, "x.key", MU_STR("the-key-3")), 0);
  said[0] = '\0';
  CU_ASSERT_EQUAL(keys_add(NULL, folder, "x.key", MU_STR("the-key-4")), MU_EEXIST);
  CU_ASSERT_STRING_EQUAL(said, "");
  CU_ASSERT_TRUE(reads("x.key", "the-key-3"));
  CU_ASSERT_EQUAL(mode_of(path), 0600);
  CU_ASSERT_EQUAL(keys_remove(NULL, folder, "x.key"), 0);
  /* Nothing is left behind. */
  CU_ASSERT_EQUAL(rmdir(folder), 0);
  end();
}

static void saved_where_there_are_no_links(void)
{
  begin();
  no_links = true;
  CU_ASSERT_EQUAL(keys_add(NULL, folder, "x.key", MU_STR("the-key-1")), 0);
  no_links = false;
  CU_ASSERT_STRING_EQUAL(said, "");
  CU_ASSERT_TRUE(reads("x.key", "the-key-1"));
  CU_ASSERT_EQUAL(keys_remove(NULL, folder, "x.key"), 0);
  CU_ASSERT_EQUAL(rmdir(folder), 0);
  end();
}

static void what_others_may_open_is_refused(void)
{
  char path[256];
  begin();
  CU_ASSERT_EQUAL_FATAL(keys_write(NULL, folder, "x.key", MU_STR("the-key-1")), 0);
  snprintf(path, sizeof path, "%s/x.key", folder);
  chmod(path, 0640);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "chmod 600"));
  chmod(path, 0602);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  chmod(path, 0600);
  chmod(folder, 0750);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  CU_ASSERT_PTR_NOT_NULL(strstr(said, "chmod 700"));
  CU_ASSERT_EQUAL(keys_write(NULL, folder, "x.key", MU_STR("the-key-2")), MU_EPERM);
  CU_ASSERT_EQUAL(keys_remove(NULL, folder, "x.key"), MU_EPERM);
  chmod(folder, 0700);
  CU_ASSERT_TRUE(reads("x.key", "the-key-1"));
  if (geteuid() == 0) { /* somebody else's */
    CU_ASSERT_EQUAL(chown(path, 65534, 65534), 0);
    CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "belongs to user 65534"));
    CU_ASSERT_EQUAL(chown(path, 0, 0), 0);
    CU_ASSERT_EQUAL(chown(folder, 65534, 65534), 0);
    CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  }
  CU_ASSERT_PTR_NULL(strstr(said, "the-key"));
  end();
}

static void links_and_other_things_are_refused(void)
{
  char path[256], real[256];
  begin();
  CU_ASSERT_EQUAL_FATAL(keys_write(NULL, folder, "real", MU_STR("the-key-1")), 0);
  snprintf(path, sizeof path, "%s/x.key", folder);
  CU_ASSERT_EQUAL(symlink("real", path), 0);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  /* Writing replaces the link and leaves alone where it leads. */
  CU_ASSERT_EQUAL(keys_write(NULL, folder, "x.key", MU_STR("the-key-2")), 0);
  CU_ASSERT_TRUE(reads("real", "the-key-1"));
  CU_ASSERT_TRUE(reads("x.key", "the-key-2"));
  unlink(path);
  CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  unlink(path);
  CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
  CU_ASSERT_EQUAL(reading("x.key"), MU_EPERM);
  CU_ASSERT_EQUAL(rmdir(path), 0);
  /* The folder itself. */
  snprintf(real, sizeof real, "%s/elsewhere", base);
  CU_ASSERT_EQUAL(rename(folder, real), 0);
  CU_ASSERT_EQUAL(symlink(real, folder), 0);
  CU_ASSERT_EQUAL(reading("real"), MU_EPERM);
  CU_ASSERT_EQUAL(keys_write(NULL, folder, "real", MU_STR("the-key-3")), MU_EPERM);
  unlink(folder);
  /* A file in the place of a folder above. */
  snprintf(path, sizeof path, "%s/a/b", base);
  int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  close(fd);
  snprintf(folder, sizeof folder, "%s/a/b/c", base);
  CU_ASSERT(keys_write(NULL, folder, "x.key", MU_STR("k")) < 0);
  CU_ASSERT(reading("x.key") < 0);
  end();
}

static void one_file_for_each_server(void)
{
  static const char *const servers[] = {"host:5000",  "host:500",   "host5000",     "::1:5000", "__1:5000", "1::5000",
                                        "a.b-c:5000", "a_b-c:5000", "a%5Fb-c:5000", "../x:1",   "a/b:1",    "a%2Fb:1"};
  char names[MU_COUNT(servers)][256], longer[400];
  for (size_t i = 0; i < MU_COUNT(servers); i++) {
    keys_name(servers[i], names[i]);
    CU_ASSERT_PTR_NULL(strchr(names[i], '/'));
    for (size_t j = 0; j < i; j++)
      CU_ASSERT_STRING_NOT_EQUAL(names[i], names[j]);
  }
  CU_ASSERT_STRING_EQUAL(names[0], "host_5000.key");
  memset(longer, 'a', sizeof longer);
  longer[399] = '\0';
  keys_name(longer, names[0]);
  longer[398] = 'b';
  keys_name(longer, names[1]);
  CU_ASSERT(strlen(names[0]) < 250);
  CU_ASSERT_STRING_NOT_EQUAL(names[0], names[1]);
}

static void expect_folder(const char *configured, const char *expected)
{
  char *got = keys_folder(configured);
  CU_ASSERT_STRING_EQUAL(got, expected);
  free(got);
}

static void where_they_are(void)
{
  setenv("STATE_DIRECTORY", "/state/one:/state/two", 1);
  setenv("XDG_CONFIG_HOME", "/config", 1);
  setenv("HOME", "/home/somebody", 1);
  expect_folder("/configured", "/configured");
  expect_folder(NULL, "/state/one");
  expect_folder("", "/state/one");
  unsetenv("STATE_DIRECTORY");
  expect_folder(NULL, "/config/muster");
  setenv("XDG_CONFIG_HOME", "relative", 1);
  expect_folder(NULL, "/home/somebody/.config/muster");
  unsetenv("XDG_CONFIG_HOME");
  setenv("HOME", "/nonexistent", 1);
  expect_folder(NULL, "/var/lib/muster");
}

static const struct unit_test tests[] = {
    {"kept for this user alone", kept_for_this_user_alone},
    {"saved where there are no links", saved_where_there_are_no_links},
    {"what others may open is refused", what_others_may_open_is_refused},
    {"links and other things are refused", links_and_other_things_are_refused},
    {"one file for each server", one_file_for_each_server},
    {"where they are", where_they_are},
};
UNIT_MAIN("keys", tests)
