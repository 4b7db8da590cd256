/* SPDX-License-Identifier: ISC */
/*
 * Signals, on a thread of their own: a plugin that blocks the loop cannot keep the process from ending, and a reload or an end
 * reaches the loop as a post. The end of the terminal that the program was started at is an end.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/logging.h"
#include "program/internal.h"

#define END_MS 1900

static void watched(sigset_t *set)
{
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGHUP);
}

/* The end was asked for: the loop has its time, then the process goes without it. */
static void doom(const struct mui_run *run)
{
  struct timespec left = {END_MS / 1000, END_MS % 1000 * 1000000};
  while (nanosleep(&left, &left) < 0)
    ;
  /* No log: who blocks the loop may hold it. */
  struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT))
    dprintf(STDERR_FILENO, "%s%s: did not stop within %d ms and is ended without order\n", mui_log_mark(MU_LOG_ERROR),
            run->app.program->name, END_MS);
  if (run->app.program->doomed)
    run->app.program->doomed();
  _exit(MUI_STATUS_RUNTIME);
}

static void post(struct mui_run *run, void (*what)(void *run))
{
  pthread_mutex_lock(&run->door);
  if (!run->closed)
    mu_post(run->app.runtime.core, what, NULL, run);
  pthread_mutex_unlock(&run->door);
}

static void *guard(void *context)
{
  struct mui_run *run = context;
  sigset_t set;
  watched(&set);
  for (;;) {
    siginfo_t info;
    int number = sigwaitinfo(&set, &info);
    if (number < 0)
      continue;
    if (number == SIGHUP && !mui_hung_up(run->terminal, &info)) {
      post(run, mui_run_reload);
      continue;
    }
    post(run, mui_run_end);
    doom(run);
  }
  return NULL;
}

void mui_guard_hold(void)
{
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void mui_guard_block(void)
{
  sigset_t set;
  watched(&set);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
}

int mui_guard_start(struct mui_run *run)
{
  if (!(run->app.switches & run->app.program->stays))
    run->terminal = mui_hangup_terminal();
  pthread_mutex_init(&run->door, NULL);
  if (pthread_create(&run->guard, NULL, guard, run) != 0) {
    pthread_mutex_destroy(&run->door);
    return MU_ENOMEM;
  }
  pthread_setname_np(run->guard, "guard");
  run->guarded = true;
  return 0;
}

void mui_guard_mute(struct mui_run *run)
{
  if (!run->guarded)
    return;
  pthread_mutex_lock(&run->door);
  run->closed = true;
  pthread_mutex_unlock(&run->door);
}

void mui_guard_alarm(struct mui_run *run)
{
  mui_guard_mute(run);
  if (run->guarded)
    pthread_kill(run->guard, SIGTERM);
}

void mui_guard_stop(struct mui_run *run)
{
  if (run->guarded) {
    pthread_cancel(run->guard);
    pthread_join(run->guard, NULL);
    pthread_mutex_destroy(&run->door);
  }
  run->guarded = false;
  if (run->terminal >= 0)
    close(run->terminal);
  run->terminal = -1;
}
