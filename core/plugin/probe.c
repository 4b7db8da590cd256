/* SPDX-License-Identifier: ISC */
/*
 * The probe: a child of ours, this program executed again, loads a plugin first. A truncated file (SIGBUS), a crashing, ending
 * or hanging constructor ends the child and becomes a refusal. A bare fork of a threaded process would not be safe.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/internal.h"

#define DEADLINE_MS 5000
#define AT_ONCE 8
#define CHILD_FD 3
#define VERDICTS_MAX 512
/* A refusal is good for this long only: a missing library may be there later. */
#define REFUSAL_NS (INT64_C(10) * 1000000000)

extern char **environ;

struct child {
  struct mui_candidate *candidate;
  pid_t pid;
  int out;
  int64_t until_ns;
  size_t len;
  char said[MUI_WHY_SIZE / 2];
};

/* ---- verdicts -------------------------------------------------------------------------------- */

static bool recall(struct mui_host *host, struct mui_candidate *candidate)
{
  bool found = false;
  pthread_mutex_lock(&host->lock);
  for (size_t i = 0; i < host->verdicts_count && !found; i++) {
    const struct mui_verdict *verdict = &host->verdicts[i];
    if (!mui_stamp_equal(&verdict->stamp, &candidate->stamp))
      continue;
    if (!verdict->ok && mu_mono_ns() - verdict->at_ns > REFUSAL_NS)
      continue;
    found = true;
    candidate->probed = verdict->ok;
    memcpy(candidate->why, verdict->why, sizeof(candidate->why));
  }
  pthread_mutex_unlock(&host->lock);
  return found;
}

static void remember(struct mui_host *host, const struct mui_candidate *candidate)
{
  pthread_mutex_lock(&host->lock);
  struct mui_verdict *verdict = NULL;
  for (size_t i = 0; i < host->verdicts_count && !verdict; i++)
    if (mui_stamp_equal(&host->verdicts[i].stamp, &candidate->stamp))
      verdict = &host->verdicts[i];
  if (!verdict && host->verdicts_count == VERDICTS_MAX)
    host->verdicts_count = 0;
  if (!verdict) {
    struct mui_verdict *grown = realloc(host->verdicts, (host->verdicts_count + 1) * sizeof(*grown));
    if (grown) {
      host->verdicts = grown;
      verdict = &grown[host->verdicts_count++];
    }
  }
  if (verdict) {
    *verdict = (struct mui_verdict){.stamp = candidate->stamp, .ok = candidate->probed, .at_ns = mu_mono_ns()};
    memcpy(verdict->why, candidate->why, sizeof(verdict->why));
  }
  pthread_mutex_unlock(&host->lock);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static int spawn(const struct mui_host *host, struct child *child)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return errno;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  /* The plugin may lie on any of the numbers that are set here, so it goes to its place by a high one. */
  int high = fcntl(child->candidate->fd, F_DUPFD_CLOEXEC, 64);
  int out = fcntl(ends[1], F_DUPFD_CLOEXEC, 64);
  int error = high < 0 || out < 0 ? errno : 0;
  if (error == 0) {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, high, CHILD_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_FD + 1);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    /* muster-agent --join as root is another user for a while: with two users the loader would pass over $ORIGIN. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP |
                                              POSIX_SPAWN_RESETIDS);
    char number[16];
    snprintf(number, sizeof(number), "%d", CHILD_FD);
    char *argv[] = {host->program, (char *)"--probe-plugin", number, NULL};
    error = posix_spawn(&child->pid, host->program, &actions, &attributes, argv, environ);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (high >= 0)
    close(high);
  if (out >= 0)
    close(out);
  close(ends[1]);
  if (error) {
    close(ends[0]);
    return error;
  }
  child->out = ends[0];
  child->until_ns = mu_mono_ns() + INT64_C(1000000) * DEADLINE_MS;
  return 0;
}

static void read_some(struct child *child)
{
  char rest[256];
  size_t room = sizeof(child->said) - 1 - child->len;
  ssize_t n = room ? read(child->out, child->said + child->len, room) : read(child->out, rest, sizeof(rest));
  if (n > 0 && room)
    child->len += (size_t)n;
  if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
    close(child->out);
    child->out = -1;
  }
}

/* What a child's end means. */
static void conclude(struct child *child, int status)
{
  struct mui_candidate *candidate = child->candidate;
  child->said[child->len] = '\0';
  child->said[strcspn(child->said, "\n")] = '\0';
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && strncmp(child->said, "ok ", 3) == 0) {
    candidate->probed = true;
    return;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == MUI_PROBE_REFUSED && child->len > 0)
    snprintf(candidate->why, sizeof(candidate->why), "%.500s: %s", candidate->path, child->said);
  else if (WIFSIGNALED(status))
    snprintf(candidate->why, sizeof(candidate->why),
             "%s: crashed when it was loaded (signal %d, %s); expected it to load: damaged file or broken constructor",
             candidate->path, WTERMSIG(status), strsignal(WTERMSIG(status)));
  else
    snprintf(candidate->why, sizeof(candidate->why),
             "%s: ended the program when it was loaded (exit status %d); expected it to load", candidate->path,
             WEXITSTATUS(status));
}

/* True: the child is gone. */
static bool look_after(struct child *child)
{
  int status;
  pid_t got = waitpid(child->pid, &status, WNOHANG);
  if (got == 0 && mu_mono_ns() < child->until_ns)
    return false;
  if (got == 0) {
    kill(-child->pid, SIGKILL);
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
      ;
    snprintf(child->candidate->why, sizeof(child->candidate->why),
             "%s: was still loading after %d s; expected its constructor to return", child->candidate->path,
             DEADLINE_MS / 1000);
  } else {
    /* All it wrote is in the pipe now. */
    for (int i = 0; i < 64 && child->out >= 0; i++) {
      struct pollfd ready = {.fd = child->out, .events = POLLIN};
      if (poll(&ready, 1, 0) <= 0)
        break;
      read_some(child);
    }
    if (got < 0) /* somebody else reaped it: what it said must do */
      status = child->len > 0 && strncmp(child->said, "ok ", 3) == 0 ? 0 : MUI_PROBE_REFUSED << 8;
    conclude(child, status);
  }
  if (child->out >= 0)
    close(child->out);
  return true;
}

static void run(struct mui_host *host, struct mui_candidate *list, size_t count)
{
  struct child children[AT_ONCE];
  size_t running = 0, next = 0;
  while (next < count || running > 0) {
    while (next < count && running < AT_ONCE) {
      struct mui_candidate *candidate = &list[next++];
      if (candidate->fd < 0 || candidate->probed || candidate->why[0] || candidate->twin)
        continue;
      struct child *child = &children[running];
      *child = (struct child){.candidate = candidate, .out = -1};
      int error = spawn(host, child);
      if (error == 0)
        running++;
      else
        snprintf(candidate->why, sizeof(candidate->why), "%s: cannot be probed: %s: %s", candidate->path, host->program,
                 strerror(error));
    }
    struct pollfd polls[AT_ONCE];
    bool closed = false;
    for (size_t i = 0; i < running; i++) {
      polls[i] = (struct pollfd){.fd = children[i].out, .events = POLLIN};
      closed = closed || children[i].out < 0;
    }
    /* A closed pipe nearly always means that the child is about to end. */
    if (running > 0 && poll(polls, running, closed ? 1 : 50) > 0)
      for (size_t i = 0; i < running; i++)
        if (polls[i].revents)
          read_some(&children[i]);
    for (size_t i = 0; i < running;) {
      if (!look_after(&children[i])) {
        i++;
        continue;
      }
      remember(host, children[i].candidate);
      children[i] = children[--running];
    }
  }
}

void mui_probe(struct mui_host *host, struct mui_candidate *list, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    list[i].twin = false;
    for (size_t j = 0; j < i && list[i].fd >= 0; j++)
      list[i].twin = list[i].twin || (list[j].fd >= 0 && mui_stamp_equal(&list[i].stamp, &list[j].stamp));
    if (list[i].fd >= 0 && !list[i].probed)
      recall(host, &list[i]);
  }
  run(host, list, count);
  for (size_t i = 0; i < count; i++)
    if (list[i].twin && !list[i].probed && !list[i].why[0] && !recall(host, &list[i]))
      snprintf(list[i].why, sizeof(list[i].why), "%s: out of memory", list[i].path);
}

/* ---- the child ------------------------------------------------------------------------------- */

int mui_host_probe_main(int fd)
{
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* A constructor that prints must not speak for us. */
  int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 64);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (out < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0)
    return 1;
  struct mui_file file = {.fd = fd};
  char why[MUI_WHY_SIZE];
  file.handle = mui_map(fd, why, sizeof(why));
  bool ok = file.handle && mui_descriptor_read(&file, NULL, why, sizeof(why)) == 0;
  if (ok)
    dprintf(out, "ok %s %s\n", file.plugin.name, file.plugin.version);
  else
    dprintf(out, "%s\n", why);
  /* Destructors of the plugin are not of interest here. */
  _exit(ok ? 0 : MUI_PROBE_REFUSED);
}
