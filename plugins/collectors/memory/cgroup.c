/* SPDX-License-Identifier: ISC */
/* cgroup v2: memory.max, memory.current, memory.stat; v1: memory.limit_in_bytes, memory.usage_in_bytes, memory.stat. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "cgroup.h"

/*
 * A container sees its own group as the root of the hierarchy or, without a cgroup namespace, at the path that /proc/1/cgroup
 * names: both places are looked at, in both versions.
 */
enum { PLACES = 4 };

struct place {
  mu_procfile *limit;
  mu_procfile *usage;
  mu_procfile *stat;
  const char *inactive; /* the line of memory.stat */
};

struct cgroup {
  struct place places[PLACES];
  size_t count;
};

static void place_free(struct place *place)
{
  mu_procfile_free(place->limit);
  mu_procfile_free(place->usage);
  mu_procfile_free(place->stat);
}

void cgroup_free(struct cgroup *cgroup)
{
  if (!cgroup)
    return;
  for (size_t i = 0; i < cgroup->count; i++)
    place_free(&cgroup->places[i]);
  free(cgroup);
}

static mu_procfile *file_new(const char *root, const char *folder, const char *path, const char *name)
{
  char full[1024];
  int n = snprintf(full, sizeof(full), "%s%s/%s", folder, path, name);
  return n > 0 && (size_t)n < sizeof(full) ? mu_procfile_new(root, full) : NULL;
}

static int add(struct cgroup *cgroup, const char *root, bool v2, const char *path)
{
  const char *folder = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  struct place *place = &cgroup->places[cgroup->count++];
  place->limit = file_new(root, folder, path, v2 ? "memory.max" : "memory.limit_in_bytes");
  place->usage = file_new(root, folder, path, v2 ? "memory.current" : "memory.usage_in_bytes");
  place->stat = file_new(root, folder, path, "memory.stat");
  place->inactive = v2 ? "inactive_file " : "total_inactive_file ";
  return place->limit && place->usage && place->stat ? 0 : MU_ENOMEM;
}

/* The path of the first process in the hierarchy with memory: of "0::/path" or "4:cpu,memory:/path". "" when it is the root. */
static void first_path(const char *text, bool v2, char *path, size_t size)
{
  path[0] = '\0';
  for (const char *line = text; *line;) {
    size_t len = strcspn(line, "\n");
    const char *names = memchr(line, ':', len);
    const char *at = names ? memchr(names + 1, ':', len - (size_t)(names + 1 - line)) : NULL;
    if (at) {
      names++;
      bool match = v2 ? line[0] == '0' && at == names : false;
      for (const char *name = names; !v2 && name < at;) {
        size_t n = strcspn(name, ",:");
        match = match || (n == 6 && memcmp(name, "memory", 6) == 0);
        name += n + 1;
      }
      at++;
      size_t n = len - (size_t)(at - line);
      /* "/../x" is a group outside of the namespace: nothing that could be looked at. */
      if (match && n > 1 && n < size && at[0] == '/' && !memmem(at, n, "/..", 3)) {
        memcpy(path, at, n);
        path[n] = '\0';
      }
    }
    line += len;
    if (*line == '\n')
      line++;
  }
}

struct cgroup *cgroup_new(const char *root)
{
  struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
  mu_procfile *file = mu_procfile_new(root, "/proc/1/cgroup");
  int error = cgroup && file ? 0 : MU_ENOMEM;
  struct mu_str text = {"", 0};
  if (!error && mu_procfile_read(file, &text))
    text = (struct mu_str){"", 0};
  for (int version = 2; version >= 1 && !error; version--) {
    char path[512];
    first_path(text.at, version == 2, path, sizeof(path));
    error = add(cgroup, root, version == 2, "");
    if (!error && path[0])
      error = add(cgroup, root, version == 2, path);
  }
  mu_procfile_free(file);
  if (error) {
    cgroup_free(cgroup);
    return NULL;
  }
  return cgroup;
}

/* A number of a file that holds nothing else; "max" is none. */
static bool read_number(mu_procfile *file, uint64_t *number)
{
  struct mu_str text;
  if (mu_procfile_read(file, &text) || text.len == 0 || text.at[0] < '0' || text.at[0] > '9')
    return false;
  *number = strtoull(text.at, NULL, 10);
  return true;
}

static uint64_t read_inactive(const struct place *place)
{
  struct mu_str text;
  if (mu_procfile_read(place->stat, &text))
    return 0;
  size_t len = strlen(place->inactive);
  for (const char *line = text.at; line && *line;) {
    if (strncmp(line, place->inactive, len) == 0)
      return strtoull(line + len, NULL, 10);
    line = strchr(line, '\n');
    if (line)
      line++;
  }
  return 0;
}

bool cgroup_read(struct cgroup *cgroup, uint64_t total, struct cgroup_memory *memory)
{
  bool found = false;
  memory->limit = total;
  for (size_t i = 0; i < cgroup->count; i++) {
    const struct place *place = &cgroup->places[i];
    uint64_t limit, usage;
    /* Without a limit v1 holds a huge number: whatever is not below the machine's memory is none. */
    if (!read_number(place->limit, &limit) || limit == 0 || limit >= memory->limit ||
        !read_number(place->usage, &usage))
      continue;
    uint64_t inactive = read_inactive(place);
    memory->limit = limit;
    memory->used = usage > inactive ? usage - inactive : 0;
    found = true;
  }
  return found;
}
