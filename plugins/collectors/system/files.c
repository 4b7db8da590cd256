/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <muster/base.h>

#include "files.h"

static bool join(char full[PATH_MAX], const char *root, const char *path)
{
  int n = snprintf(full, PATH_MAX, "%s%s", root, path);
  return n > 0 && n < PATH_MAX;
}

long file_read(const char *root, const char *path, char *text, size_t size)
{
  char full[PATH_MAX];
  text[0] = '\0';
  /* O_NONBLOCK: a pipe in the place of the file must not hold us. */
  MU_AUTO_CLOSE int fd = join(full, root, path) ? open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
  if (fd < 0)
    return -1;
  size_t len = 0;
  while (len < size - 1) {
    ssize_t n = read(fd, text + len, size - 1 - len);
    if (n <= 0)
      break;
    len += (size_t)n;
  }
  text[len] = '\0';
  return (long)len;
}

bool file_line(const char *root, const char *path, char *line, size_t size)
{
  if (file_read(root, path, line, size) <= 0)
    return false;
  line[strcspn(line, "\r\n")] = '\0';
  size_t skip = strspn(line, " \t");
  size_t len = strlen(line + skip);
  while (len > 0 && (line[skip + len - 1] == ' ' || line[skip + len - 1] == '\t'))
    len--;
  memmove(line, line + skip, len);
  line[len] = '\0';
  return len > 0;
}

bool file_there(const char *root, const char *path)
{
  char full[PATH_MAX];
  return join(full, root, path) && access(full, F_OK) == 0;
}
