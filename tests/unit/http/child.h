/* SPDX-License-Identifier: ISC */
/* What the tests of http/ share: a server in a process of its own, and an instance with a loop. */
#ifndef TESTS_HTTP_CHILD_H
#define TESTS_HTTP_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <muster/fetch.h>
#include "base/logging.h"
#include "loop/loop.h"
#include "unit.h"

enum { CHILD_PORTS = 5 };

/* It ends when its standard input does. */
struct child {
  pid_t pid;
  int input;
  char folder[64]; /* its own, and removed with it */
};

static struct mui_runtime runtime;
static mu_instance *in;

/* `script` beside this file says its ports on its first line. False: it did not start. */
static inline bool child_run(struct child *child, const char *script, unsigned *const ports[CHILD_PORTS])
{
  int input[2], output[2];
  char path[512];
  snprintf(path, sizeof path, SOURCE_DIR "/tests/unit/http/%s", script);
  strcpy(child->folder, "/tmp/muster-http-XXXXXX");
  if (!mkdtemp(child->folder) || pipe(input) || pipe(output))
    return false;
  child->pid = fork();
  if (child->pid == 0) {
    dup2(input[0], 0);
    dup2(output[1], 1);
    close(input[1]);
    close(output[0]);
    /* By its path: by its name it would take the libraries of another one that is found first. */
    execl("/usr/bin/python3", "/usr/bin/python3", path, child->folder, (char *)NULL);
    _exit(127);
  }
  close(input[0]);
  close(output[1]);
  child->input = input[1];
  FILE *lines = fdopen(output[0], "r");
  bool ok = lines != NULL;
  for (size_t i = 0; i < CHILD_PORTS && ok; i++)
    ok = fscanf(lines, "%u", ports[i]) == 1;
  if (lines)
    fclose(lines);
  if (!ok)
    fprintf(stderr, "%s did not start\n", script);
  return ok;
}

static inline void child_end(struct child *child)
{
  close(child->input);
  waitpid(child->pid, NULL, 0);
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", child->folder);
  if (system(command) != 0)
    fprintf(stderr, "%s is left over\n", child->folder);
}

static inline void begin(unsigned workers)
{
  runtime = (struct mui_runtime){0};
  runtime.loop = mui_loop_new(workers, 1);
  in = mui_instance_new(&runtime, "one", "test");
  runtime.core = in;
  CU_ASSERT_FATAL(runtime.loop && in);
}

static inline void teardown(void)
{
  if (in)
    mui_instance_free(in);
  CU_ASSERT_EQUAL(mui_loop_free(runtime.loop), 0);
}

#endif
