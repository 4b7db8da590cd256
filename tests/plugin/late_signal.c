/* SPDX-License-Identifier: ISC */
/* For LD_PRELOAD: whoever waits for a signal gets its processor back only when the thread is cancelled, or after five seconds. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static atomic_bool cancelled;

__attribute__((visibility("default"))) int pthread_cancel(pthread_t thread)
{
  union {
    void *symbol;
    int (*call)(pthread_t thread);
  } next = {.symbol = dlsym(RTLD_NEXT, "pthread_cancel")};
  int result = next.call(thread);
  atomic_store(&cancelled, true);
  return result;
}

__attribute__((visibility("default"))) int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
  union {
    void *symbol;
    int (*call)(const sigset_t *restrict set, siginfo_t *restrict info);
  } next = {.symbol = dlsym(RTLD_NEXT, "sigwaitinfo")};
  int number = next.call(set, info);
  struct timespec began, now;
  clock_gettime(CLOCK_MONOTONIC, &began);
  do /* no point of cancellation */
    clock_gettime(CLOCK_MONOTONIC, &now);
  while (!atomic_load(&cancelled) && now.tv_sec - began.tv_sec < 5);
  return number;
}
