/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include <muster/log.h>

#include "keys.h"
#include "put.h"

enum { CONTENT_MAX = 4096, NAME_ROOM = 256, NAME_LONGEST = 200 };

/* ---- where ----------------------------------------------------------------------------------- */

static char *below(const char *folder, const char *rest)
{
  char *path;
  return asprintf(&path, "%s%s", folder, rest) < 0 ? NULL : path;
}

char *keys_folder(const char *configured)
{
  if (configured && configured[0])
    return strdup(configured);
  const char *state = getenv("STATE_DIRECTORY"), *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  if (state && state[0] == '/')
    return strndup(state, strcspn(state, ":"));
  if (config && config[0] == '/')
    return below(config, "/muster");
  const struct passwd *user = home && home[0] == '/' ? NULL : getpwuid(geteuid());
  if (user)
    home = user->pw_dir;
  if (home && home[0] == '/' && strcmp(home, "/") != 0 && strcmp(home, "/nonexistent") != 0)
    return below(home, "/.config/muster");
  return strdup("/var/lib/muster");
}

void keys_name(const char *server, char *out)
{
  size_t len = 0;
  for (const char *at = server; *at && len < NAME_LONGEST; at++) {
    unsigned char c = (unsigned char)*at;
    if (isalnum(c) || c == '.' || c == '-')
      out[len++] = (char)tolower(c);
    else if (c == ':')
      out[len++] = '_';
    else
      len += (size_t)snprintf(out + len, NAME_ROOM - len, "%%%02X", c);
  }
  if (len >= NAME_LONGEST) { /* no file's name may be that long */
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)server, strlen(server), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
      snprintf(out + 2 * i, 3, "%02x", digest[i]);
    len = 2 * sizeof(digest);
  }
  snprintf(out + len, NAME_ROOM - len, ".key");
}

/* ---- the folder ------------------------------------------------------------------------------ */

static int made_folder(const mu_instance *in, const char *folder)
{
  MU_AUTO_FREE char *path = strdup(folder);
  if (!path)
    return MU_ENOMEM;
  for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
    if (slash)
      *slash = '\0';
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
      mu_log(in, MU_LOG_ERROR, "the folder %s cannot be made: %s", path, strerror(errno));
      return errno == EACCES || errno == EPERM || errno == EROFS ? MU_EPERM : MU_EIO;
    }
    if (!slash)
      return 0; /* NOLINT(clang-analyzer-unix.Malloc): MU_AUTO_FREE frees it */
    *slash = '/';
  }
}

/* Whether it is ours alone; `what` is its path. */
static int judge(const mu_instance *in, const struct stat *info, const char *what)
{
  if (info->st_uid != geteuid())
    mu_log(in, MU_LOG_ERROR, "%s is not used: it belongs to user %lu, and this program runs as %lu", what,
           (unsigned long)info->st_uid, (unsigned long)geteuid());
  else if (info->st_mode & 077)
    mu_log(in, MU_LOG_ERROR, "%s is not used: others may open it (mode %04o); chmod %s it", what,
           (unsigned)info->st_mode & 07777, S_ISDIR(info->st_mode) ? "700" : "600");
  else
    return 0;
  return MU_EPERM;
}

/* A descriptor, or an error. */
static int open_folder(const mu_instance *in, const char *folder, bool make)
{
  struct stat info;
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    int error = make ? made_folder(in, folder) : MU_ENOENT;
    if (error)
      return error;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  if (fd < 0) {
    bool link = errno == ENOTDIR || errno == ELOOP;
    mu_log(in, MU_LOG_ERROR, "the folder %s is not used: %s", folder, link ? "a link, or no folder" : strerror(errno));
    return link || errno == EACCES ? MU_EPERM : MU_EIO;
  }
  int error = fstat(fd, &info) < 0 ? MU_EIO : judge(in, &info, folder);
  if (!error)
    return fd;
  close(fd);
  return error;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int failed(const mu_instance *in, const char *folder, const char *name, const char *what)
{
  int error = errno == ENOENT ? MU_ENOENT : errno == EACCES || errno == EPERM || errno == ELOOP ? MU_EPERM : MU_EIO;
  if (error != MU_ENOENT)
    mu_log(in, MU_LOG_ERROR, "%s/%s cannot be %s: %s", folder, name, what,
           errno == ELOOP ? "it is a link" : strerror(errno));
  return error;
}

int keys_read(const mu_instance *in, const char *folder, const char *name, struct mu_buf *content)
{
  char text[CONTENT_MAX], path[512];
  struct stat info;
  MU_AUTO_CLOSE int dir = open_folder(in, folder, false);
  if (dir < 0)
    return dir;
  MU_AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat(fd, &info) < 0)
    return failed(in, folder, name, "read");
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  if (!S_ISREG(info.st_mode)) {
    mu_log(in, MU_LOG_ERROR, "%s is not used: it is no regular file", path);
    return MU_EPERM;
  }
  int error = judge(in, &info, path);
  if (error)
    return error;
  ssize_t len = read(fd, text, sizeof(text));
  if (len < 0)
    return failed(in, folder, name, "read");
  size_t kept = (size_t)len;
  while (kept > 0 && (text[kept - 1] == '\n' || text[kept - 1] == '\r'))
    kept--;
  mu_buf_add(content, text, kept);
  mu_secret_wipe(text, sizeof(text));
  return content->failed ? MU_ENOMEM : 0;
}

static bool write_all(int fd, struct mu_str content)
{
  while (content.len > 0) {
    ssize_t written = write(fd, content.at, content.len);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return false;
    content.at += written;
    content.len -= (size_t)written;
  }
  return true;
}

/* `first`: only where nothing of that name is there, or else MU_EEXIST. */
static int write_file(const mu_instance *in, const char *folder, const char *name, struct mu_str content, bool first)
{
  char fresh[NAME_ROOM + 32];
  uint64_t random;
  MU_AUTO_CLOSE int dir = open_folder(in, folder, true);
  if (dir < 0)
    return dir;
  int error = mu_random(&random, sizeof(random));
  if (error)
    return error;
  snprintf(fresh, sizeof(fresh), ".%.200s.%016llx", name, (unsigned long long)random);
  MU_AUTO_CLOSE int fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return failed(in, folder, fresh, "made") == MU_EPERM ? MU_EPERM : MU_EIO;
  /* fchmod: whatever the umask. fsync before the rename: a crash leaves the old file or the new one, never an empty one. */
  bool good = fchmod(fd, 0600) == 0 && write_all(fd, content) && write_all(fd, MU_STR("\n")) && fsync(fd) == 0 &&
              put_name(dir, fresh, name, first);
  if (!good) {
    bool late = first && errno == EEXIST;
    if (!late)
      failed(in, folder, name, "written");
    unlinkat(dir, fresh, 0);
    return late ? MU_EEXIST : MU_EIO;
  }
  fsync(dir);
  return 0;
}

int keys_write(const mu_instance *in, const char *folder, const char *name, struct mu_str content)
{
  return write_file(in, folder, name, content, false);
}

int keys_add(const mu_instance *in, const char *folder, const char *name, struct mu_str content)
{
  return write_file(in, folder, name, content, true);
}

int keys_remove(const mu_instance *in, const char *folder, const char *name)
{
  MU_AUTO_CLOSE int dir = open_folder(in, folder, false);
  if (dir < 0)
    return dir;
  if (unlinkat(dir, name, 0) < 0)
    return failed(in, folder, name, "removed");
  fsync(dir);
  return 0;
}
