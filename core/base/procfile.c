/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/sample.h>

enum { FIRST_ROOM = 4096, MOST = 4 << 20 };

struct mu_procfile {
  char *path;
  int fd; /* -1: not open */
  char *data;
  size_t capacity;
};

mu_procfile *mu_procfile_new(const char *root, const char *path)
{
  mu_procfile *file = calloc(1, sizeof *file);
  if (!file)
    return NULL;
  file->fd = -1;
  if (asprintf(&file->path, "%s%s", root ? root : "", path) < 0) {
    free(file);
    return NULL;
  }
  return file;
}

static void forget(mu_procfile *file)
{
  if (file->fd >= 0)
    close(file->fd);
  file->fd = -1;
}

void mu_procfile_free(mu_procfile *file)
{
  if (!file)
    return;
  forget(file);
  free(file->path);
  free(file->data);
  free(file);
}

static int error_of(int number)
{
  switch (number) {
  case ENOENT:
  case ENOTDIR:
  case ENODEV:
  case ENXIO:
    return MU_ENOENT;
  case ENOMEM:
    return MU_ENOMEM;
  default:
    return MU_EIO;
  }
}

/* Reads from the start to the end of the open file. */
static int read_all(mu_procfile *file, size_t *len)
{
  *len = 0;
  for (;;) {
    if (file->capacity - *len < 2) {
      if (file->capacity > MOST)
        return MU_ELIMIT;
      size_t capacity = file->capacity ? file->capacity * 2 : FIRST_ROOM;
      if (capacity > MOST)
        capacity = MOST + 2; /* the limit, one byte to see that it is exceeded, the terminator */
      char *data = realloc(file->data, capacity);
      if (!data)
        return MU_ENOMEM;
      file->data = data;
      file->capacity = capacity;
    }
    ssize_t got = pread(file->fd, file->data + *len, file->capacity - *len - 1, (off_t)*len);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return error_of(errno);
    if (got == 0)
      return 0;
    *len += (size_t)got;
  }
}

int mu_procfile_read(mu_procfile *file, struct mu_str *content)
{
  *content = (struct mu_str){"", 0};
  struct stat info;
  if (file->fd >= 0 && (fstat(file->fd, &info) != 0 || info.st_nlink == 0))
    forget(file); /* replaced by another file of that name */
  size_t len = 0;
  int code = MU_EIO;
  bool kept = file->fd >= 0;
  for (int attempt = kept ? 0 : 1; attempt < 2; attempt++) {
    if (file->fd < 0) {
      /* O_NONBLOCK: a FIFO in the place of a file must not hold us */
      file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
      if (file->fd < 0)
        return error_of(errno);
    }
    code = read_all(file, &len);
    if (code == 0) {
      file->data[len] = '\0';
      *content = (struct mu_str){file->data, len};
      return 0;
    }
    forget(file); /* a device that came back needs a new descriptor */
    if (code == MU_ELIMIT || code == MU_ENOMEM)
      break;
  }
  return code;
}
