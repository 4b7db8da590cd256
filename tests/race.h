/* SPDX-License-Identifier: ISC */
/* Some programs that do the same thing at the same moment. */
#ifndef TESTS_RACE_H
#define TESTS_RACE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

struct race {
  atomic_uint begun;
  unsigned programs;
};

/* What each of them does: it prepares, waits at race_begins, and tells whether it won. */
typedef bool race_run(struct race *race, void *context);

/* Everybody is here, however often it is asked. A processor is kept meanwhile, to be as close as can be. */
static inline void race_begins(struct race *race)
{
  unsigned round = atomic_fetch_add(&race->begun, 1) / race->programs;
  for (unsigned turns = 0; atomic_load(&race->begun) < (round + 1) * race->programs; turns++)
    if (turns > 100000)
      sched_yield();
}

/* How many won; -1: one of them crashed. */
static inline int race(unsigned programs, race_run *run, void *context)
{
  struct race *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CU_ASSERT_PTR_NOT_EQUAL_FATAL(shared, MAP_FAILED);
  shared->programs = programs;
  int winners = 0;
  fflush(stdout);
  for (unsigned i = 0; i < programs; i++) {
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0)
      _exit(run(shared, context) ? 0 : 1);
  }
  for (unsigned i = 0; i < programs; i++) {
    int status;
    CU_ASSERT_FATAL(wait(&status) > 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
      winners = -100;
    winners += WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  munmap(shared, sizeof *shared);
  return winners < 0 ? -1 : winners;
}

#endif
