/* SPDX-License-Identifier: ISC */
/* The memory limit of the container that this machine is, of cgroup v2 or v1. */
#ifndef MEMORY_CGROUP_H
#define MEMORY_CGROUP_H

#include <muster/sample.h>

struct cgroup;

struct cgroup_memory {
  uint64_t limit; /* bytes */
  uint64_t used;  /* without the file cache that can go */
};

/*
 * Looks where the first process lives, not this one: a limit that a service manager puts on the agent alone says nothing of the
 * machine. NULL: memory is out. No file is opened yet.
 */
struct cgroup *cgroup_new(const char *root);
/* The tightest limit below `total`; false: there is none. */
bool cgroup_read(struct cgroup *cgroup, uint64_t total, struct cgroup_memory *memory);
void cgroup_free(struct cgroup *cgroup);

#endif
