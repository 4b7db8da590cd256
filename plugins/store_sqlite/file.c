/* SPDX-License-Identifier: ISC */
/*
 * The file, before anything uses it. It is never opened here but by SQLite: closing any other descriptor of it would take away the locks
 * that this process has on it. Only a file that is made here is opened, and nobody can have locked that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite.h"

/* Files up to this size are checked as a whole at the start; bigger ones would hold it up. */
#define CHECK_BYTES (16 << 20)

static const char read_only[] = "its file system is read-only";

static int refuse(mu_instance *in, const char *path, const char *why)
{
  mu_log(in, MU_LOG_ERROR, "the database %s cannot be used: %s", path, why);
  return MU_EREFUSED;
}

static int judge_folder(mu_instance *in, const char *path)
{
  const char *slash = strrchr(path, '/');
  char folder[4096];
  struct stat stat_folder;
  snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
  if (stat(folder, &stat_folder) != 0)
    return refuse(in, path, errno == ENOENT ? "its folder does not exist" : strerror(errno));
  if (!S_ISDIR(stat_folder.st_mode))
    return refuse(in, path, "what should be its folder is none");
  if (access(folder, W_OK | X_OK) != 0)
    return refuse(in, path,
                  errno == EROFS ? read_only
                                 : "its folder cannot be written to, and the write-ahead log lies beside it");
  return 0;
}

static int judge_mode(mu_instance *in, const char *path)
{
  struct stat file;
  bool found = stat(path, &file) == 0;
  if (!found && errno != ENOENT)
    return refuse(in, path, strerror(errno));
  if (!found) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
      close(fd);
      mu_log(in, MU_LOG_INFO, "made the database %s", path);
      return 0;
    }
    if (errno != EEXIST)
      return refuse(in, path, strerror(errno));
    /* Another server has made it in this moment, or a link is in its place. */
    if (stat(path, &file) != 0)
      return refuse(in, path, errno == ENOENT ? "it is a link to nothing" : strerror(errno));
  }
  if (!S_ISREG(file.st_mode))
    return refuse(in, path, "it is not a file");
  if (access(path, R_OK | W_OK) != 0)
    return refuse(in, path, errno == EROFS ? read_only : "it cannot be read and written");
  if ((file.st_mode & 077) && chmod(path, file.st_mode & 0700) != 0)
    mu_log(in, MU_LOG_WARN, "the database %s may be read by others, and its mode cannot be changed: %s", path,
           strerror(errno));
  return 0;
}

/* One value of a statement of ours. */
static int ask(struct link *link, const char *text, char *answer, size_t size, struct mu_store_fault *fault)
{
  sqlite3_stmt *statement = NULL;
  link->own = true;
  int code = sqlite3_prepare_v2(link->db, text, -1, &statement, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_step(statement);
  int error = code == SQLITE_ROW ? 0 : link_fail(link, code, fault);
  const char *value = error ? NULL : (const char *)sqlite3_column_text(statement, 0);
  snprintf(answer, size, "%s", value ? value : "");
  sqlite3_finalize(statement);
  link->own = false;
  return error;
}

/* Looks and changes nothing, not even by what SQLite does when the last link is closed. */
static int look_inside(struct place *place, bool whole, struct mu_store_fault *fault)
{
  void *context = NULL;
  char answer[256];
  int error = sqlite_open(place, false, &context, fault);
  if (error)
    return error;
  struct link *link = context;
  sqlite3_db_config(link->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  if (sqlite3_db_readonly(link->db, "main") == 1)
    error = mu_store_fail(fault, MU_EIO, "it can only be read");
  if (!error)
    error =
        ask(link, whole ? "PRAGMA quick_check(1)" : "SELECT COUNT(*) FROM sqlite_schema", answer, sizeof answer, fault);
  if (!error && whole && strcmp(answer, "ok") != 0)
    error = mu_store_fail(fault, MU_EIO, "it is damaged: %s", answer);
  sqlite_close(link);
  return error;
}

/* Only now is anything changed: the file gets its write-ahead log. */
static int open_once(struct place *place, struct mu_store_fault *fault)
{
  void *link = NULL;
  int error = sqlite_open(place, true, &link, fault);
  if (!error)
    sqlite_close(link);
  return error;
}

int file_judge(mu_instance *in, const struct place *place)
{
  int error = judge_folder(in, place->path);
  if (!error)
    error = judge_mode(in, place->path);
  if (error)
    return error;
  struct stat file;
  struct mu_store_fault fault = {.size = sizeof fault};
  bool whole = stat(place->path, &file) == 0 && file.st_size <= CHECK_BYTES;
  struct place own = *place;
  error = look_inside(&own, whole, &fault);
  if (!error)
    error = open_once(&own, &fault);
  /* Another process that has it locked now will not have it for long: the front waits for that. */
  if (error == MU_EBUSY) {
    mu_log(in, MU_LOG_WARN, "the database %s is locked by another process now: %s", place->path, fault.reason);
    return 0;
  }
  if (error)
    return refuse(in, place->path, fault.reason);
  mu_log(in, MU_LOG_INFO, "SQLite %s, %s, %lld KiB", sqlite3_libversion(), place->path,
         (long long)(stat(place->path, &file) == 0 ? file.st_size / 1024 : 0));
  return 0;
}
