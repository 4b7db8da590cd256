/* SPDX-License-Identifier: ISC */
/* A folder for one test, and what the tests of conf/ ask of problems. */
#ifndef TESTS_CONF_FOLDER_H
#define TESTS_CONF_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/config.h"
#include "unit.h"

static char folder[64];

static inline void folder_make(void)
{
  snprintf(folder, sizeof(folder), "/tmp/muster-conf-XXXXXX");
  if (!mkdtemp(folder))
    abort();
}

static inline const char *folder_path(const char *name)
{
  static char path[256];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  return path;
}

static inline void folder_write_bytes(const char *name, const char *text, size_t len, mode_t mode)
{
  int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || write(fd, text, len) != (ssize_t)len || fchmod(fd, mode) < 0)
    abort();
  close(fd);
}

static inline void folder_write(const char *name, const char *text)
{
  folder_write_bytes(name, text, strlen(text), 0600);
}

static inline void folder_remove_below(const char *path)
{
  DIR *dir = opendir(path);
  const struct dirent *entry;
  while (dir && (entry = readdir(dir))) {
    char below[512];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    if ((size_t)snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= sizeof(below))
      continue;
    if (unlink(below) < 0)
      folder_remove_below(below);
  }
  if (dir)
    closedir(dir);
  rmdir(path);
}

static inline void folder_remove(void)
{
  folder_remove_below(folder);
}

/* Whether there is a problem at the file (in the folder) and line whose text holds all the words (ended by NULL). */
static inline bool has_problem(const struct mui_problems *problems, bool warning, const char *file, unsigned line, ...)
{
  for (size_t i = 0; i < problems->count; i++) {
    const struct mui_problem *p = &problems->list[i];
    const char *name =
        p->file && strncmp(p->file, folder, strlen(folder)) == 0 && folder[0] ? p->file + strlen(folder) + 1 : p->file;
    if (p->warning != warning || p->line != line || (file == NULL) != (name == NULL) ||
        (file && strcmp(file, name) != 0))
      continue;
    va_list words;
    va_start(words, line);
    const char *word;
    bool all = true;
    while ((word = va_arg(words, const char *)))
      all &= strstr(p->text, word) != NULL;
    va_end(words);
    if (all)
      return true;
  }
  return false;
}

/* All texts of all problems, to look for what must not be in there; to be freed. */
static inline char *all_texts(const struct mui_problems *problems)
{
  char *text = NULL;
  size_t size;
  FILE *to = open_memstream(&text, &size);
  mui_problems_print(problems, to);
  fclose(to);
  return text;
}

/* Asserts an error, and shows what there was instead. */
#define ASSERT_ERROR(problems, file, line, ...)                                                                        \
  do {                                                                                                                 \
    bool found_ = has_problem((problems), false, (file), (line), __VA_ARGS__, NULL);                                   \
    if (!found_)                                                                                                       \
      mui_problems_print((problems), stderr);                                                                          \
    CU_ASSERT(found_);                                                                                                 \
  } while (0)

#define ASSERT_NO_PROBLEM(problems)                                                                                    \
  do {                                                                                                                 \
    mui_problems_print((problems), stderr);                                                                            \
    CU_ASSERT_EQUAL((problems)->count, 0);                                                                             \
  } while (0)

#endif
