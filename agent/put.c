/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "put.h"

bool put_name(int dir, const char *fresh, const char *name, bool first)
{
  if (first && linkat(dir, fresh, dir, name, 0) == 0) {
    unlinkat(dir, fresh, 0);
    return true;
  }
  if (first && errno == EEXIST)
    return false;
  return renameat(dir, fresh, dir, name) == 0; /* for the first, too: not every file system has links */
}

bool put_file(const char *path, struct mu_str text, bool first)
{
  char *fresh; /* a name of its own: another program may be about to do the same */
  if (asprintf(&fresh, "%s.XXXXXX", path) < 0)
    return false;
  int fd = mkostemp(fresh, O_CLOEXEC);
  bool made = fd >= 0;
  bool good = made && fchmod(fd, 0644) == 0 && write(fd, text.at, text.len) == (ssize_t)text.len && fsync(fd) == 0;
  if (made && close(fd) < 0)
    good = false;
  good = good && put_name(AT_FDCWD, fresh, path, first);
  int error = errno;
  if (made && !good)
    unlink(fresh);
  free(fresh);
  errno = error;
  return good;
}

bool put_folder(const char *folder)
{
  if (mkdir(folder, 0755) < 0)
    return errno == EEXIST;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); /* and not what somebody put in its place */
  bool good = fd >= 0 && fchmod(fd, 0755) == 0;
  if (fd >= 0)
    close(fd);
  return good;
}
