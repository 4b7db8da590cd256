/* SPDX-License-Identifier: ISC */
/* Plugin files: found by name in flat folders, opened once, judged by owner and mode. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/internal.h"

bool mui_stamp_equal(const struct mui_stamp *a, const struct mui_stamp *b)
{
  return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
         a->mtime.tv_nsec == b->mtime.tv_nsec;
}

bool mui_name_valid(const char *name)
{
  if (!name || name[0] < 'a' || name[0] > 'z')
    return false;
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return name[len] == '\0' && len <= MUI_NAME_MAX;
}

/* Only root and the user that runs us may be able to change code that we are going to run. */
static bool judge(const struct stat *st, const char *what, const char *path, char *why)
{
  uid_t user = geteuid();
  if (st->st_uid != 0 && st->st_uid != user) {
    snprintf(why, MUI_WHY_SIZE, "%s: the %s belongs to uid %u; expected root or uid %u", path, what,
             (unsigned)st->st_uid, (unsigned)user);
    return false;
  }
  if (st->st_mode & (S_IWGRP | S_IWOTH)) {
    snprintf(why, MUI_WHY_SIZE, "%s: the %s can be written by %s (mode %04o); expected its owner only", path, what,
             st->st_mode & S_IWOTH ? "others" : "its group", (unsigned)(st->st_mode & 07777));
    return false;
  }
  return true;
}

/* True: the search is over, the file is there, for good or bad. */
static bool find_in(struct mui_candidate *out, const char *dir, const char *file, int *dir_errno)
{
  MU_AUTO_CLOSE int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    *dir_errno = errno;
    return false;
  }
  struct stat st;
  if (fstatat(folder, file, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
    return false;
  if (asprintf(&out->path, "%s/%s", dir, file) < 0) {
    out->path = NULL;
    snprintf(out->why, sizeof(out->why), "%s: out of memory", file);
    return true;
  }
  struct stat folder_st;
  if (fstat(folder, &folder_st) < 0 || !judge(&folder_st, "folder of this file", out->path, out->why))
    return true;
  /* Not blocking: a FIFO of that name must not hold us up. */
  int fd = openat(folder, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ELOOP)
      snprintf(out->why, sizeof(out->why), "%s: is a symbolic link; expected a regular file", out->path);
    else
      snprintf(out->why, sizeof(out->why), "%s: cannot be opened: %s", out->path, strerror(errno));
    return true;
  }
  if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
    snprintf(out->why, sizeof(out->why), "%s: is no regular file; expected a shared object", out->path);
    close(fd);
    return true;
  }
  if (!judge(&st, "file", out->path, out->why)) {
    close(fd);
    return true;
  }
  out->fd = fd;
  out->stamp = (struct mui_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
  return true;
}

void mui_find(struct mui_candidate *out, const char *name, const char *const *dirs)
{
  *out = (struct mui_candidate){.fd = -1};
  if (!mui_name_valid(name)) {
    snprintf(out->why, sizeof(out->why),
             "\"%.64s\" cannot be a plugin's name; expected [a-z][a-z0-9_]*, at most %d characters", name ? name : "",
             MUI_NAME_MAX);
    return;
  }
  snprintf(out->name, sizeof(out->name), "%s", name);
  char file[MUI_NAME_MAX + 4];
  snprintf(file, sizeof(file), "%s.so", name);
  struct mu_buf places = MU_BUF_INIT;
  for (size_t i = 0; dirs && dirs[i]; i++) {
    int dir_errno = 0;
    if (find_in(out, dirs[i], file, &dir_errno))
      goto out;
    mu_buf_printf(&places, "%s%s", i ? ", " : "", dirs[i]);
    if (dir_errno)
      mu_buf_printf(&places, " (%s)", strerror(dir_errno));
  }
  char **names = mui_find_names(dirs);
  const char *near = names ? mui_suggest(name, (const char *const *)names) : NULL;
  snprintf(out->why, sizeof(out->why), "plugin \"%s\" was not found in %s%s%s%s", name,
           places.at && places.len ? places.at : "plugin_dirs, which is empty", near ? "; did you mean \"" : "",
           near ? near : "", near ? "\"?" : "");
  mui_names_free(names);
out:
  mu_buf_free(&places);
}

void mui_candidate_fini(struct mui_candidate *candidate)
{
  if (candidate->fd >= 0)
    close(candidate->fd);
  candidate->fd = -1;
  free(candidate->path);
  candidate->path = NULL;
}

static int compare(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(char ***names, size_t *count, const char *file)
{
  size_t len = strlen(file);
  if (len <= 3 || strcmp(file + len - 3, ".so") != 0)
    return true;
  char *name = strndup(file, len - 3);
  if (!name)
    return false;
  bool known = !mui_name_valid(name);
  for (size_t i = 0; i < *count && !known; i++)
    known = strcmp((*names)[i], name) == 0;
  char **grown = known ? NULL : realloc(*names, (*count + 2) * sizeof(**names));
  if (!grown) {
    free(name);
    return known;
  }
  grown[(*count)++] = name;
  grown[*count] = NULL;
  *names = grown;
  return true;
}

char **mui_find_names(const char *const *dirs)
{
  size_t count = 0;
  char **names = calloc(1, sizeof(*names));
  for (size_t i = 0; names && dirs && dirs[i]; i++) {
    DIR *folder = opendir(dirs[i]);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
      if (!add_name(&names, &count, entry->d_name))
        break;
    if (folder)
      closedir(folder);
  }
  if (names && count > 1)
    qsort(names, count, sizeof(*names), compare);
  return names;
}

void mui_names_free(char **names)
{
  for (size_t i = 0; names && names[i]; i++)
    free(names[i]);
  free(names);
}
