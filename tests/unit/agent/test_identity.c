/* SPDX-License-Identifier: ISC */
/* The machine's id: stays, differs, tells nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/logging.h"
#include "identity.h"
#include "race.h"

static char base[64], folder[128];
static unsigned warnings;

static void listen_in(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)line;
  warnings += level >= MU_LOG_WARN;
}

static void begin(const char *machine_id)
{
  char path[128];
  strcpy(base, "/tmp/muster-identity-XXXXXX");
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(base));
  snprintf(folder, sizeof folder, "%s/keys", base);
  snprintf(path, sizeof path, "%s/etc", base);
  mkdir(path, 0755);
  snprintf(path, sizeof path, "%s/etc/machine-id", base);
  if (machine_id) {
    FILE *file = fopen(path, "w");
    fputs(machine_id, file);
    fclose(file);
  }
  warnings = 0;
  mui_log_sink(listen_in, NULL);
}

static void end(void)
{
  char command[100];
  mui_log_sink(NULL, NULL);
  snprintf(command, sizeof command, "rm -rf %s", base);
  CU_ASSERT_EQUAL(system(command), 0);
}

static void is_uuid(const char *id)
{
  CU_ASSERT_EQUAL(strlen(id), 36);
  CU_ASSERT_EQUAL(strspn(id, "0123456789abcdef-"), 36);
  CU_ASSERT(id[8] == '-' && id[13] == '-' && id[14] == '4' && id[18] == '-' && strchr("89ab", id[19]) && id[23] == '-');
}

static void derived(void)
{
  char first[IDENTITY_SIZE], again[IDENTITY_SIZE], other[IDENTITY_SIZE];
  begin("0123456789abcdef0123456789abcdef\n");
  CU_ASSERT_EQUAL(identity_find(NULL, base, folder, first), 0);
  CU_ASSERT_EQUAL(identity_find(NULL, base, "/somewhere/else", again), 0);
  is_uuid(first);
  CU_ASSERT_STRING_EQUAL(first, again);
  /* HMAC-SHA256(that id as bytes, "muster-agent machine 1") by another program; changing it makes every machine a new one. */
  CU_ASSERT_STRING_EQUAL(first, "10736183-935a-45aa-9ce0-3e634c09bb1f");
  CU_ASSERT_EQUAL(access(folder, F_OK), -1); /* nothing needs to be saved */
  end();
  begin("0123456789abcdef0123456789abcdee");
  CU_ASSERT_EQUAL(identity_find(NULL, base, folder, other), 0);
  CU_ASSERT_STRING_NOT_EQUAL(first, other);
  end();
}

static void made_once_where_there_is_none(void)
{
  static const char *const none[] = {NULL,
                                     "",
                                     "uninitialized\n",
                                     "00000000000000000000000000000000\n",
                                     "0123456789abcdef0123456789abcde\n",
                                     "0123456789abcdef0123456789abcdef0\n",
                                     "0123456789ABCDEF0123456789abcdeg\n"};
  char last[IDENTITY_SIZE] = "";
  for (size_t i = 0; i < MU_COUNT(none); i++) {
    char first[IDENTITY_SIZE], again[IDENTITY_SIZE];
    begin(none[i]);
    CU_ASSERT_EQUAL(identity_find(NULL, base, folder, first), 0);
    CU_ASSERT_EQUAL(identity_find(NULL, base, folder, again), 0);
    is_uuid(first);
    CU_ASSERT_STRING_EQUAL(first, again);
    CU_ASSERT_STRING_NOT_EQUAL(first, last);
    CU_ASSERT_EQUAL(warnings, 0);
    strcpy(last, first);
    end();
  }
}

/* All of them have the same id, each told to the test in a place of its own. */
struct found {
  atomic_uint next;
  char ids[4][IDENTITY_SIZE];
};

static bool find_when_all_do(struct race *race, void *context)
{
  struct found *found = context;
  unsigned mine = atomic_fetch_add(&found->next, 1);
  race_begins(race);
  return identity_find(NULL, base, folder, found->ids[mine]) == 0 && warnings == 0;
}

static void agents_that_begin_at_once(void)
{
  struct found *found = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CU_ASSERT_PTR_NOT_EQUAL_FATAL(found, MAP_FAILED);
  for (int i = 0; i < 40; i++) {
    begin(NULL);
    memset(found, 0, sizeof *found);
    CU_ASSERT_EQUAL_FATAL(race(MU_COUNT(found->ids), find_when_all_do, found), MU_COUNT(found->ids));
    is_uuid(found->ids[0]);
    for (size_t n = 1; n < MU_COUNT(found->ids); n++)
      CU_ASSERT_STRING_EQUAL_FATAL(found->ids[n], found->ids[0]);
    end();
  }
  munmap(found, sizeof *found);
}

static void for_this_run_where_it_cannot_be_saved(void)
{
  char id[IDENTITY_SIZE];
  begin(NULL);
  CU_ASSERT_EQUAL(identity_find(NULL, base, "/proc/nowhere", id), 0);
  is_uuid(id);
  CU_ASSERT(warnings > 0);
  end();
}

static const struct unit_test tests[] = {
    {"derived from the machine's", derived},
    {"made once where there is none", made_once_where_there_is_none},
    {"agents that begin at once", agents_that_begin_at_once},
    {"for this run where it cannot be saved", for_this_run_where_it_cannot_be_saved},
};
UNIT_MAIN("identity", tests)
