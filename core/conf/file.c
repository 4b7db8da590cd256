/* SPDX-License-Identifier: ISC */
/* Reading small files that people wrote, and paths between them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/internal.h"

/* Reads to the end; sizes from stat() are not trusted. The result has room for a NUL. */
static char *read_all(int fd, size_t max, size_t *len, char *why, size_t why_size)
{
  size_t capacity = 4096, filled = 0;
  char *data = malloc(capacity + 1);
  while (data) {
    ssize_t n = read(fd, data + filled, capacity - filled);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      snprintf(why, why_size, "%s", strerror(errno));
      break;
    }
    if (n == 0) {
      data[filled] = '\0';
      *len = filled;
      return data;
    }
    filled += (size_t)n;
    if (filled > max) {
      snprintf(why, why_size, "larger than %zu KiB", max / 1024);
      break;
    }
    if (filled == capacity) {
      /* Not realloc(): it would leave a copy of what may be a secret. */
      char *larger = malloc(2 * capacity + 1);
      if (larger)
        memcpy(larger, data, filled);
      mu_secret_wipe(data, filled);
      free(data);
      data = larger;
      capacity *= 2;
    }
  }
  if (!data)
    snprintf(why, why_size, "out of memory");
  else
    mu_secret_wipe(data, filled);
  free(data);
  return NULL;
}

char *mui_read_file(const char *path, size_t max, size_t *len, unsigned *mode, uint64_t identity[3], char *why,
                    size_t why_size)
{
  /* O_NONBLOCK: a FIFO must not hold us before it is seen to be one. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) < 0) {
    snprintf(why, why_size, "%s", strerror(errno));
    if (fd >= 0)
      close(fd);
    return NULL;
  }
  char *data = NULL;
  if (S_ISDIR(info.st_mode))
    snprintf(why, why_size, "is a folder");
  else if (!S_ISREG(info.st_mode))
    snprintf(why, why_size, "is not a regular file");
  else
    data = read_all(fd, max, len, why, why_size);
  close(fd);
  *mode = info.st_mode & 07777;
  if (identity) {
    identity[0] = (uint64_t)info.st_dev;
    identity[1] = (uint64_t)info.st_ino;
    identity[2] = info.st_uid;
  }
  return data;
}

void mui_file_trust(struct mui_problems *problems, const char *path, unsigned mode, uint64_t owner)
{
  if (mode & S_IWOTH)
    mui_problem(problems, false, path, 0, "everybody may write to this file (mode %04o); chmod o-w it", mode);
  if (owner != 0 && owner != geteuid())
    mui_problem(problems, true, path, 0,
                "belongs to user %llu, who can change it and is neither root nor the one that this program runs as",
                (unsigned long long)owner);
}

char *mui_path_join(const char *folder, const char *path)
{
  if (path[0] == '/' || !folder || strcmp(folder, ".") == 0)
    return strdup(path);
  char *joined;
  return asprintf(&joined, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", path) < 0 ? NULL : joined;
}

char *mui_path_folder(const char *path)
{
  const char *slash = strrchr(path, '/');
  if (!slash)
    return strdup(".");
  return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool mui_word_in(const char *word, const char *const *words)
{
  for (; words && *words; words++)
    if (strcmp(word, *words) == 0)
      return true;
  return false;
}
