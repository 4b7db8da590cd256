/* SPDX-License-Identifier: ISC */
/* Files that are replaced, by several programs at once, too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "put.h"
#include "race.h"

enum { LENGTH = 20000, PROGRAMS = 4, TIMES = 40 };

static char base[64], path[128];
static bool no_links; /* as on a stick */

/* Before libc's. */
int linkat(int from, const char *old, int to, const char *new, int flags)
{
  if (!no_links)
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
  errno = EPERM;
  return -1;
}

static void begin(void)
{
  strcpy(base, "/tmp/muster-put-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(base));
  snprintf(path, sizeof path, "%s/some.conf", base);
}

static void end(void)
{
  char command[100];
  snprintf(command, sizeof command, "rm -rf %s", base);
  CU_ASSERT_EQUAL(system(command), 0);
}

static unsigned entries(void)
{
  unsigned count = 0;
  DIR *dir = opendir(base);
  CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
  while (readdir(dir))
    count++;
  closedir(dir);
  return count - 2;
}

static void replaced(void)
{
  struct stat info;
  begin();
  mode_t before = umask(0077);
  CU_ASSERT_TRUE(put_file(path, MU_STR("one\n"), false));
  CU_ASSERT_TRUE(put_file(path, MU_STR("other\n"), false));
  umask(before);
  CU_ASSERT_EQUAL(stat(path, &info), 0);
  CU_ASSERT_EQUAL(info.st_mode & 07777, 0644);
  CU_ASSERT_EQUAL(info.st_size, 6);
  CU_ASSERT_EQUAL(entries(), 1);
  end();
}

static void what_cannot_be_leaves_nothing(void)
{
  begin();
  CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
  CU_ASSERT_FALSE(put_file(path, MU_STR("one\n"), false));
  CU_ASSERT_EQUAL(errno, EISDIR);
  CU_ASSERT_EQUAL(entries(), 1);
  end();
}

/* Each has a text of its own, of one letter. */
static bool put_when_all_do(struct race *race, void *context)
{
  char text[LENGTH];
  memset(text, 'a' + getpid() % 26, sizeof text);
  race_begins(race);
  return put_file(path, (struct mu_str){text, sizeof text}, *(const bool *)context);
}

static void at_once(bool first, int winners)
{
  char text[LENGTH + 1];
  begin();
  for (int i = 0; i < TIMES; i++) {
    if (first)
      unlink(path);
    CU_ASSERT_EQUAL_FATAL(race(PROGRAMS, put_when_all_do, &first), winners);
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(fread(text, 1, sizeof text, file), LENGTH);
    fclose(file);
    text[LENGTH] = '\0';
    CU_ASSERT_EQUAL_FATAL(strspn(text, (char[]){text[0], '\0'}), LENGTH);
  }
  CU_ASSERT_EQUAL(entries(), 1);
  end();
}

static void replaced_at_once(void)
{
  at_once(false, PROGRAMS);
}

static void first_at_once(void)
{
  at_once(true, 1);
}

static void what_is_there_stays(void)
{
  struct stat info;
  begin();
  CU_ASSERT_TRUE(put_file(path, MU_STR("one\n"), true));
  CU_ASSERT_FALSE(put_file(path, MU_STR("other\n"), true));
  CU_ASSERT_EQUAL(errno, EEXIST);
  CU_ASSERT_EQUAL(stat(path, &info), 0);
  CU_ASSERT_EQUAL(info.st_size, 4);
  CU_ASSERT_EQUAL(info.st_mode & 07777, 0644);
  CU_ASSERT_EQUAL(entries(), 1);
  end();
}

static void put_where_there_are_no_links(void)
{
  struct stat info;
  begin();
  no_links = true;
  CU_ASSERT_TRUE(put_file(path, MU_STR("one\n"), true));
  no_links = false;
  CU_ASSERT_EQUAL(stat(path, &info), 0);
  CU_ASSERT_EQUAL(info.st_size, 4);
  CU_ASSERT_EQUAL(entries(), 1);
  end();
}

static const struct unit_test tests[] = {
    {"replaced", replaced},
    {"what cannot be leaves nothing", what_cannot_be_leaves_nothing},
    {"replaced by several programs at once", replaced_at_once},
    {"what is there stays", what_is_there_stays},
    {"put where there are no links", put_where_there_are_no_links},
    {"of several programs at once one is first", first_at_once},
};
UNIT_MAIN("put", tests)
