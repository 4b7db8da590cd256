/* SPDX-License-Identifier: ISC */
/*
 * Administrators with one-time passwords: at the first start, and when accounts/1 is asked. A password goes to whoever asked, to a
 * terminal, or into a file of mode 0600 that is complete before the user is there: never into a log.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounts.h"

struct making {
  struct making *next, **link;
  struct self *self;
  mu_instance *user; /* who asked; NULL: the first start */
  mu_accounts_made done;
  void *context;
  int64_t now_ms;
  char username[USERNAME_MAX + 1];
  char email[USERNAME_MAX + sizeof "@localhost"];
  char password[ONE_TIME_SIZE];
  char hash[PASSWORD_HASH_SIZE];
  char id[UUID_SIZE];
  bool writing;
  bool again;  /* somebody else has just made it: looked at once more */
  char *path;  /* where the password goes; NULL: the terminal */
  char *draft; /* the file that becomes `path` */
};

bool username_ok(struct mu_str name)
{
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  if (name.len < USERNAME_MIN || name.len > USERNAME_MAX)
    return false;
  for (size_t i = 0; i < name.len; i++)
    if (!name.at[i] || !strchr(allowed, name.at[i]))
      return false;
  return true;
}

static struct making *making_new(struct self *self, const char *username)
{
  struct making *making = calloc(1, sizeof *making);
  if (!making)
    return NULL;
  making->self = self;
  making->now_ms = mu_now_ms();
  snprintf(making->username, sizeof making->username, "%s", username);
  snprintf(making->email, sizeof making->email, "%s@localhost", making->username);
  if (one_time_make(making->password) != 0 || uuid_make(making->id) != 0) {
    free(making);
    return NULL;
  }
  making->next = self->makings;
  making->link = &self->makings;
  if (making->next)
    making->next->link = &making->next;
  self->makings = making;
  return making;
}

static void making_free(struct making *making)
{
  *making->link = making->next;
  if (making->next)
    making->next->link = making->link;
  if (making->draft)
    unlink(making->draft);
  free(making->draft);
  free(making->path);
  mu_secret_wipe(making, sizeof *making);
  free(making);
}

void people_free(struct self *self)
{
  while (self->makings)
    making_free(self->makings); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  while (self->counts) {
    struct count *count = self->counts;
    self->counts = count->next;
    free(count->member);
    free(count->sql);
    free(count);
  }
}

/* ---- where the first password goes ----------------------------------------------------------- */

/* The file that the options name, or one in the folder that systemd gives, or in the working directory. */
static char *password_path(const struct self *self)
{
  const char *given = self->config->password_file, *state = getenv("STATE_DIRECTORY");
  char *path = NULL, folder[PATH_MAX];
  if (given && given[0])
    return strdup(given);
  if (state && state[0] == '/') {
    size_t first = strcspn(state, ":");
    return asprintf(&path, "%.*s/admin-password", (int)first, state) < 0 ? NULL : path;
  }
  if (!getcwd(folder, sizeof folder))
    return NULL;
  return asprintf(&path, "%s/admin-password", strcmp(folder, "/") == 0 ? "" : folder) < 0 ? NULL : path;
}

/* Complete under another name, so that the right name never has half of it, nor a password that was not taken. */
static bool write_draft(struct making *making)
{
  struct self *self = making->self;
  if (asprintf(&making->draft, "%s.XXXXXX", making->path) < 0) {
    making->draft = NULL;
    return false;
  }
  int fd = mkostemp(making->draft, O_CLOEXEC);
  if (fd < 0) {
    mu_log(self->in, MU_LOG_ERROR, "the first administrator's password cannot be written to %s: %m", making->path);
    free(making->draft);
    making->draft = NULL;
    return false;
  }
  bool good = fchmod(fd, S_IRUSR | S_IWUSR) == 0 && dprintf(fd, "%s %s\n", making->username, making->password) > 0 &&
              fsync(fd) == 0;
  if (!good)
    mu_log(self->in, MU_LOG_ERROR, "the first administrator's password cannot be written to %s: %m", making->path);
  close(fd);
  return good;
}

static int terminal(void)
{
  return isatty(STDERR_FILENO) ? STDERR_FILENO : isatty(STDOUT_FILENO) ? STDOUT_FILENO : -1;
}

/* The user is there. */
static void hand_over(struct making *making)
{
  struct self *self = making->self;
  if (!making->path) {
    dprintf(terminal(),
            "\n  First start: log in as \"%s\" with the one-time password  %s\n"
            "  and choose another one. It is not shown again; musterd --add-admin makes a new one.\n\n",
            making->username, making->password);
    mu_log(self->in, MU_LOG_WARN, "administrator \"%s\" was made; the one-time password is on the terminal",
           making->username);
    return;
  }
  if (rename(making->draft, making->path) == 0) {
    mu_log(self->in, MU_LOG_WARN,
           "administrator \"%s\" was made; the one-time password is in %s: log in, choose another one, remove the file",
           making->username, making->path);
    free(making->draft);
    making->draft = NULL;
    return;
  }
  mu_log(self->in, MU_LOG_ERROR,
         "administrator \"%s\" was made, but %s cannot be written: %m; musterd --add-admin %s "
         "makes another password",
         making->username, making->path, making->username);
}

/* ---- how it goes ----------------------------------------------------------------------------- */

static void end(struct making *making, int error, const char *reason)
{
  struct self *self = making->self;
  if (making->user) {
    if (making->done)
      making->done(making->context, error, error == 0 ? making->password : NULL, reason);
  } else if (error == 0) {
    hand_over(making);
  } else if (error == MU_EEXIST) {
    mu_log(self->in, MU_LOG_INFO, "another program has made users meanwhile");
  } else if (error != MU_ECLOSED) {
    mu_log(self->in, MU_LOG_ERROR, "the first administrator could not be made: %s; musterd --add-admin %s makes one",
           reason ? reason : mu_strerror(error), making->username);
  }
  making_free(making);
}

static const char *reason_of(const struct mu_result *result)
{
  if (result->error == MU_EUNAVAILABLE)
    return result->reason && *result->reason ? result->reason : "the database cannot be reached, or is too slow";
  if (result->error == MU_ETIMEOUT)
    return "the database broke off while it committed: perhaps it is done; run it again";
  return result->reason && *result->reason ? result->reason : mu_strerror(result->error);
}

static void look_up(struct making *making);

static void on_written(void *context, const struct mu_result *result)
{
  struct making *making = context;
  struct self *self = making->self;
  making->writing = false;
  if (result->error == MU_EEXIST && making->user && !making->again) {
    making->again = true;
    look_up(making);
  } else if (result->error == 0) {
    mu_log(self->in, MU_LOG_INFO, "user \"%s\" is an administrator with a one-time password", making->username);
    end(making, 0, NULL);
  } else if (result->error == MU_EEXIST) {
    end(making, MU_EEXIST, "somebody else has that name or the address NAME@localhost");
  } else {
    end(making, result->error, reason_of(result));
  }
  self_idle(self);
}

bool people_writing(const struct self *self)
{
  for (const struct making *making = self->makings; making; making = making->next)
    if (making->writing)
      return true;
  return false;
}

static void write_making(struct making *making, const struct mu_statement *statements, size_t count)
{
  const struct mu_store *store = making->self->store.api;
  /* While it stops nobody is made whose password nobody would be told. */
  int code = making->self->stopping
                 ? MU_ECLOSED
                 : store->write(making->self->store.self, making->self->in, statements, count, on_written, making);
  making->writing = code == 0;
  if (code != 0)
    end(making, code, NULL);
}

static void insert(struct making *making)
{
  const struct mu_value user[] = {mu_value_text(making->id),
                                  mu_value_text(making->username),
                                  mu_value_text(making->email),
                                  mu_value_text(making->hash),
                                  mu_value_int(1),
                                  mu_value_time(making->now_ms),
                                  mu_value_int(1)};
  const struct mu_value session[] = {mu_value_text(making->id), mu_value_time(making->now_ms), mu_value_int(1)};
  const struct mu_statement statements[] = {
      STATEMENT(SQL("INSERT INTO users (id, username, email, password_hash, is_admin, created_at, is_active) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)"),
                user, 1),
      STATEMENT(sql_new_password, session, MU_ANY_ROWS),
  };
  write_making(making, statements, MU_COUNT(statements));
}

/* Who runs this may read the whole database: a ban or a lost right is no obstacle. */
static void reset(struct making *making, const struct person *person)
{
  char id[ID_SIZE], log_id[UUID_SIZE];
  if (person->id.len >= sizeof id || uuid_make(log_id) != 0) {
    end(making, MU_EIO, "the user's row is of no use");
    return;
  }
  memcpy(id, person->id.at, person->id.len);
  id[person->id.len] = '\0';
  const struct mu_value user[] = {mu_value_text(making->hash), mu_value_text(id)};
  const struct mu_value session[] = {mu_value_text(id), mu_value_time(making->now_ms), mu_value_int(1)};
  const struct mu_value unban[] = {mu_value_text(log_id), mu_value_text(id), mu_value_text(id),
                                   mu_value_time(making->now_ms)};
  const struct mu_statement statements[] = {
      STATEMENT(SQL("UPDATE users SET password_hash = ?, is_admin = 1, is_active = 1, banned_at = NULL, "
                    "banned_reason = NULL, banned_by = NULL WHERE id = ?"),
                user, 1),
      STATEMENT(sql_new_password, session, MU_ANY_ROWS),
      STATEMENT(SQL("INSERT INTO ban_logs (id, target_type, target_id, action, reason, operator_id, created_at) "
                    "VALUES (?, 'user', ?, 'unban', 'musterd --add-admin', ?, ?)"),
                unban, MU_ANY_ROWS),
  };
  write_making(making, statements, MU_COUNT(statements) - !person->banned);
}

static void on_user(void *context, const struct mu_result *result)
{
  struct making *making = context;
  struct person person;
  if (result->error != 0)
    end(making, result->error, reason_of(result));
  else if (!person_read(result, 0, &person))
    insert(making);
  else if (making->user)
    reset(making, &person);
  else
    end(making, MU_EEXIST, NULL);
}

static void look_up(struct making *making)
{
  struct self *self = making->self;
  const struct mu_store *store = self->store.api;
  const struct mu_value values[] = {mu_value_text(making->username)};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.username = ?"), values, MU_ANY_ROWS);
  int code = store->read(self->store.self, self->in, &statement, on_user, making);
  if (code != 0)
    end(making, code, NULL);
}

static void on_hashed(void *context, int result, const char *hash)
{
  struct making *making = context;
  if (result != 0) {
    end(making, result, "the password could not be hashed");
    return;
  }
  memcpy(making->hash, hash, sizeof making->hash);
  look_up(making);
}

static void on_count(void *context, const struct mu_result *result)
{
  struct making *making = context;
  struct self *self = making->self;
  if (result->error != 0) {
    end(making, result->error, reason_of(result));
    return;
  }
  if (result->rows > 0 || self->asked) {
    making_free(making);
    return;
  }
  if (terminal() < 0) {
    making->path = password_path(self);
    if (!making->path || !write_draft(making)) {
      end(making, MU_EIO, "there is no place for its password");
      return;
    }
  }
  int code = hasher_make(self->hasher, making->password, NULL, on_hashed, making);
  if (code != 0)
    end(making, code, NULL);
}

void people_first(struct self *self)
{
  const struct mu_store *store = self->store.api;
  const struct mu_statement statement = {.sql.text = "SELECT id FROM users LIMIT 1", .expect = MU_ANY_ROWS};
  if (!self->config->first_admin || !self->config->first_admin[0])
    return;
  struct making *making = making_new(self, self->config->first_admin);
  int code = making ? store->read(self->store.self, self->in, &statement, on_count, making) : MU_ENOMEM;
  if (code != 0) {
    mu_log(self->in, MU_LOG_ERROR, "whether there are users is not known: %s", mu_strerror(code));
    if (making)
      making_free(making);
  }
}

/* ---- accounts/1 ------------------------------------------------------------------------------ */

static void user_stopped(void *context, mu_instance *user)
{
  struct self *self = context;
  for (struct making *making = self->makings; making; making = making->next)
    if (making->user == user)
      making->done = NULL;
}

static void bad_name(void *context)
{
  end(context, MU_EINVAL, "a name has 3 to 30 letters, digits and _");
}

static void dropped(void *context)
{
  making_free(context);
}

int people_admin(void *context, mu_instance *in, const char *username, mu_accounts_made done, void *done_context)
{
  struct self *self = context;
  bool good = username && username_ok(mu_str(username));
  self->asked = true;
  struct making *making = making_new(self, good ? username : "");
  if (!making)
    return MU_ENOMEM;
  making->user = in;
  making->done = done;
  making->context = done_context;
  int code = mu_on_stop(self->in, in, user_stopped, self);
  if (code == 0)
    code = good ? hasher_make(self->hasher, making->password, NULL, on_hashed, making)
                : mu_post(self->in, bad_name, dropped, making);
  if (code != 0)
    making_free(making);
  return code;
}

static void count_stopped(void *context, mu_instance *user)
{
  struct self *self = context;
  for (struct count *count = self->counts, *next; count; count = next) {
    next = count->next;
    if (count->in != user)
      continue;
    *count->link = count->next;
    if (count->next)
      count->next->link = count->link;
    free(count->member);
    free(count->sql);
    free(count);
  }
}

int people_user_count(void *context, mu_instance *in, const char *name, const char *sql)
{
  struct self *self = context;
  struct count **last = &self->counts;
  for (; *last; last = &(*last)->next)
    if (strcmp((*last)->member, name) == 0)
      return MU_EEXIST;
  struct count *count = calloc(1, sizeof *count);
  if (!count)
    return MU_ENOMEM;
  count->in = in;
  count->member = strdup(name);
  count->sql = strdup(sql);
  int code = count->member && count->sql ? mu_on_stop(self->in, in, count_stopped, self) : MU_ENOMEM;
  if (code != 0) {
    free(count->member);
    free(count->sql);
    free(count);
    return code;
  }
  count->link = last;
  *last = count;
  return 0;
}
