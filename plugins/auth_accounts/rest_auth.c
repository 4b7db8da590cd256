/* SPDX-License-Identifier: ISC */
/* /api/auth: who somebody is. */
#include <stdio.h>
#include <string.h>

#include "accounts.h"

static void answer_user(struct task *task, int status, struct json_object *user)
{
  struct json_object *data = json_object_new_object(), *body = json_object_new_object();
  member(data, "user", user);
  member(body, "data", data);
  task_answer(task, status, body);
}

/* {data:{token,user}}; the task's body is the user. */
static void answer_token(struct task *task)
{
  mu_text *token = provider_token(task->self, task->user, task->username, task->admin, task->sessions, task->now_ms);
  struct json_object *data = json_object_new_object(), *body = json_object_new_object();
  member(data, "token", token ? json_object_new_string(mu_text_data(token)) : NULL);
  member(data, "user", task->body);
  task->body = NULL;
  if (task->one_time)
    member(data, "password_change_required", json_object_new_boolean(true));
  member(body, "data", data);
  if (!token) {
    json_object_put(body);
    body = NULL;
  }
  task_answer(task, 200, body);
  mu_text_unref(token);
}

static int read_own(struct task *task, task_rows step)
{
  const struct mu_value values[] = {mu_value_text(task->user)};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.id = ?"), values, MU_ANY_ROWS);
  return task_read(task, &statement, step);
}

static void gone(struct task *task)
{
  task_error(task, 401, "INVALID_TOKEN", MU_WORDS("The user no longer exists", "用户不存在"));
}

/* ---- register -------------------------------------------------------------------------------- */

static void bad_code(struct task *task)
{
  task_error(task, 400, "INVALID_INVITE_CODE",
             MU_WORDS("The invite code is wrong, used or expired", "授权码无效、已使用或已过期"));
}

static void user_exists(struct task *task)
{
  task_error(task, 409, "USER_EXISTS", MU_WORDS("The username or email is taken", "用户名或邮箱已存在"));
}

static void registered(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct self *self = task->self;
  (void)request;
  if (result->error == MU_EREFUSED) {
    bad_code(task);
  } else if (result->error == MU_EEXIST) {
    user_exists(task);
  } else if (result->error != 0) {
    task_failed(task, result);
  } else {
    struct json_object *user = task->body;
    task->body = NULL;
    mu_count(self->registered, 1);
    answer_user(task, 201, user);
  }
}

static void register_hashed(struct task *task, mu_http *request, int result, const char *hash)
{
  if (result != 0 || !request) {
    task_unhashed(task, request ? result : MU_ECLOSED);
    return;
  }
  const char *username = mu_rest_text(request, "username"), *email = mu_rest_text(request, "email");
  const struct mu_value now = mu_value_time(task->now_ms), id = mu_value_text(task->id);
  const struct mu_value user[] = {
      id, mu_value_text(username), mu_value_text(email), mu_value_text(hash), mu_value_int(0), now, mu_value_int(1)};
  const struct mu_value code[] = {id, now, mu_value_text(mu_rest_text(request, "inviteCode")), now};
  const struct mu_statement statements[] = {
      STATEMENT(SQL("INSERT INTO users (id, username, email, password_hash, is_admin, created_at, is_active) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)"),
                user, 1),
      STATEMENT(SQL("UPDATE invite_codes SET used_by = ?, used_at = ? WHERE code = ? AND used_by IS NULL "
                    "AND used_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"),
                code, 1),
  };
  const struct person person = {.id = mu_str(task->id),
                                .username = mu_str(username),
                                .email = mu_str(email),
                                .active = true,
                                .created_ms = task->now_ms};
  task->body = person_json(&person);
  task_write(task, statements, MU_COUNT(statements), registered);
}

/* Before the work of hashing. Whether a name is taken is told only to who has a code. */
static void register_checked(struct task *task, mu_http *request, const struct mu_result *result)
{
  if (mu_result_at(result, 0, 0)->integer == 0)
    bad_code(task);
  else if (mu_result_at(result, 0, 1)->integer > 0)
    user_exists(task);
  else if (uuid_make(task->id) != 0)
    task_answer(task, 500, NULL);
  else
    task_make(task, mu_rest_text(request, "password"), register_hashed);
}

int rest_register(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, false);
  if (!task)
    return 0;
  const struct mu_value values[] = {mu_value_text(mu_rest_text(request, "inviteCode")), mu_value_time(task->now_ms),
                                    mu_value_text(mu_rest_text(request, "username")),
                                    mu_value_text(mu_rest_text(request, "email"))};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT (SELECT COUNT(*) FROM invite_codes WHERE code = ? AND used_by IS NULL AND used_at IS NULL "
                    "AND (expires_at IS NULL OR expires_at > ?)), "
                    "(SELECT COUNT(*) FROM users WHERE username = ? OR email = ?)"),
                values, MU_ANY_ROWS);
  return task_read(task, &statement, register_checked);
}

/* ---- login ----------------------------------------------------------------------------------- */

static void login_hashed(struct task *task, mu_http *request, int result, const char *hash)
{
  struct self *self = task->self;
  (void)hash;
  (void)request;
  if (result == MU_EREFUSED || (result == 0 && !task->active)) {
    mu_count(self->logins_refused, 1);
    task_error(task, 401, "INVALID_CREDENTIALS", MU_WORDS("Wrong username or password", "用户名或密码错误"));
  } else if (result != 0) {
    task_unhashed(task, result);
  } else if (task->banned) {
    mu_count(self->logins_refused, 1);
    task_error(task, 403, "USER_BANNED", MU_WORDS("The user is banned", "用户已被封禁"));
  } else {
    mu_count(self->logins, 1);
    answer_token(task);
  }
}

static void take_person(struct task *task, const struct person *person)
{
  copy_text(task->user, sizeof task->user, person->id);
  copy_text(task->username, sizeof task->username, person->username);
  copy_text(task->hash, sizeof task->hash, person->hash);
  task->admin = person->admin;
  task->active = person->active;
  task->banned = person->banned;
  task->one_time = person->one_time;
  task->sessions = person->sessions;
  json_object_put(task->body);
  task->body = person_json(person);
}

static void login_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  /* A name that nobody has costs the same, and answers the same. */
  bool found = person_read(result, 0, &person);
  if (found)
    take_person(task, &person);
  task_verify(task, mu_rest_text(request, "password"), found ? task->hash : NULL, login_hashed);
}

int rest_login(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, false);
  if (!task)
    return 0;
  const struct mu_value name = mu_value_text(mu_rest_text(request, "username"));
  const struct mu_value values[] = {name, name};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.username = ? OR users.email = ?"),
                values, MU_ANY_ROWS);
  return task_read(task, &statement, login_read);
}

/* ---- me, profile ----------------------------------------------------------------------------- */

static void own_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  (void)request;
  if (!person_read(result, 0, &person))
    gone(task);
  else
    answer_user(task, 200, person_json(&person));
}

int rest_me(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, true);
  return task ? read_own(task, own_read) : 0;
}

static void profile_written(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error == MU_EEXIST)
    task_error(task, 409, "EMAIL_EXISTS", MU_WORDS("The email is taken", "邮箱已被使用"));
  else if (result->error == MU_EREFUSED)
    gone(task);
  else if (result->error != 0)
    task_failed(task, result);
  else
    read_own(task, own_read);
}

int rest_profile(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, true);
  if (!task)
    return 0;
  const struct mu_value values[] = {mu_value_text(mu_rest_text(request, "email")), mu_value_text(task->user)};
  const struct mu_statement statement = STATEMENT(SQL("UPDATE users SET email = ? WHERE id = ?"), values, 1);
  return task_write(task, &statement, 1, profile_written);
}

/* ---- password -------------------------------------------------------------------------------- */

static void password_reread(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  (void)request;
  if (!person_read(result, 0, &person)) {
    gone(task);
  } else {
    take_person(task, &person);
    answer_token(task);
  }
}

static void password_written(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error == MU_EREFUSED) {
    task_error(task, 409, "CONFLICT",
               MU_WORDS("The password was changed by somebody else meanwhile", "密码已被其他会话修改"));
    return;
  }
  if (result->error != 0) {
    task_failed(task, result);
    return;
  }
  mu_log(task->self->in, MU_LOG_INFO, "user \"%s\" has another password; other sessions end", task->username);
  provider_revoke(task->self, task->user, task->username, task->admin, "");
  read_own(task, password_reread);
}

static void password_made(struct task *task, mu_http *request, int result, const char *hash)
{
  if (result != 0 || !request) {
    task_unhashed(task, request ? result : MU_ECLOSED);
    return;
  }
  /* The old hash is named: of two changes at once one is too late. */
  const struct mu_value user[] = {mu_value_text(hash), mu_value_text(task->user), mu_value_text(task->hash)};
  const struct mu_value session[] = {mu_value_text(task->user), mu_value_time(task->now_ms), mu_value_int(0)};
  const struct mu_statement statements[] = {
      STATEMENT(SQL("UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?"), user, 1),
      STATEMENT(sql_new_password, session, MU_ANY_ROWS),
  };
  task_write(task, statements, MU_COUNT(statements), password_written);
}

static void password_verified(struct task *task, mu_http *request, int result, const char *hash)
{
  (void)hash;
  if (result == MU_EREFUSED)
    task_error(task, 400, "INVALID_CREDENTIALS", MU_WORDS("The old password is wrong", "原密码错误"));
  else if (result != 0 || !request)
    task_unhashed(task, request ? result : MU_ECLOSED);
  else
    task_make(task, mu_rest_text(request, "new_password"), password_made);
}

static void password_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  if (!person_read(result, 0, &person)) {
    gone(task);
  } else {
    take_person(task, &person);
    task_verify(task, mu_rest_text(request, "old_password"), task->hash, password_verified);
  }
}

int rest_password(void *self, mu_http *request)
{
  const char *old = mu_rest_text(request, "old_password"), *new = mu_rest_text(request, "new_password");
  if (mu_str_equal(mu_str(old), mu_str(new)))
    return mu_rest_invalid(request, "new_password",
                           MU_WORDS("must be another one than the old one", "新密码不能与原密码相同"));
  struct task *task = task_new(self, request, true);
  return task ? read_own(task, password_read) : 0;
}

/* ---- API keys -------------------------------------------------------------------------------- */

static void keys_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  struct json_object *keys = json_object_new_array(), *data = json_object_new_object(),
                     *body = json_object_new_object();
  for (size_t row = 0; row < result->rows; row++) {
    struct json_object *key = json_object_new_object();
    member(key, "id", value_json(mu_result_at(result, row, 0)));
    member(key, "name", value_json(mu_result_at(result, row, 1)));
    member(key, "created_at", value_json(mu_result_at(result, row, 2)));
    member(key, "last_used_at", value_json(mu_result_at(result, row, 3)));
    json_object_array_add(keys, key);
  }
  member(data, "api_keys", keys);
  member(body, "data", data);
  task_answer(task, 200, body);
}

int rest_keys(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, true);
  if (!task)
    return 0;
  const struct mu_value values[] = {mu_value_text(task->user)};
  const struct mu_statement statement = STATEMENT(SQL("SELECT id, name, created_at, last_used_at FROM muster_api_keys "
                                                      "WHERE user_id = ? ORDER BY created_at DESC, id"),
                                                  values, MU_ANY_ROWS);
  return task_read(task, &statement, keys_read);
}

static void key_written(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error == MU_EREFUSED) {
    task_error(task, 400, "API_KEY_LIMIT_REACHED",
               MU_WORDS("There are as many API keys as one user may have", "API 密钥数量已达上限"));
  } else if (result->error != 0) {
    task_failed(task, result);
  } else {
    struct json_object *data = json_object_new_object(), *body = json_object_new_object(), *key = task->body;
    task->body = NULL;
    member(data, "api_key", key);
    member(body, "data", data);
    task_answer(task, 201, body);
  }
}

int rest_key_new(void *context, mu_http *request)
{
  struct self *self = context;
  struct task *task = task_new(self, request, true);
  char digest[DIGEST_SIZE], created[25];
  if (!task)
    return 0;
  if (uuid_make(task->id) != 0 || key_make(task->key) != 0 || !key_digest(mu_str(task->key), digest)) {
    task_answer(task, 500, NULL);
    return MU_PENDING;
  }
  const char *name = mu_rest_text(request, "name");
  mu_iso_time(task->now_ms, created);
  task->body = json_object_new_object();
  member(task->body, "id", json_object_new_string(task->id));
  member(task->body, "name", json_object_new_string(name));
  member(task->body, "key", json_object_new_string(task->key));
  member(task->body, "created_at", json_object_new_string(created));
  member(task->body, "last_used_at", NULL);
  const struct mu_value values[] = {mu_value_text(task->id),
                                    mu_value_text(task->user),
                                    mu_value_text(name),
                                    mu_value_text(digest),
                                    mu_value_time(task->now_ms),
                                    mu_value_text(task->user),
                                    mu_value_int(self->config->api_keys)};
#define KEY_INSERT(from)                                                                                               \
  "INSERT INTO muster_api_keys (id, user_id, name, digest, created_at) SELECT ?, ?, ?, ?, ?" from                      \
  " WHERE (SELECT COUNT(*) FROM muster_api_keys WHERE user_id = ?) < ?"
  const struct mu_statement statement = {.sql.sqlite = KEY_INSERT(""),
                                         .sql.mariadb = KEY_INSERT(" FROM DUAL"),
                                         .values = values,
                                         .count = MU_COUNT(values),
                                         .expect = 1};
  return task_write(task, &statement, 1, key_written);
}

static void key_deleted(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error == MU_EREFUSED) {
    task_error(task, 404, "API_KEY_NOT_FOUND", MU_WORDS("There is no such API key", "API 密钥不存在"));
    return;
  }
  if (result->error != 0) {
    task_failed(task, result);
    return;
  }
  /* As the row spells it: MariaDB takes other spellings for the same. */
  copy_text(task->target, CREDENTIAL_SIZE, mu_result_at(result, 0, 0)->text);
  provider_revoke(task->self, task->user, task->username, task->admin, task->target);
  struct json_object *body = json_object_new_object();
  mu_http *asked = mu_http_find(task->self->in, task->request);
  if (asked)
    member(body, "message",
           json_object_new_string(mu_rest_words(asked, MU_WORDS("The API key no longer holds", "API 密钥已删除"))));
  task_answer(task, 200, body);
}

int rest_key_delete(void *self, mu_http *request)
{
  const struct mu_principal *who = mu_http_principal(request);
  struct task *task = task_new(self, request, true);
  if (!task)
    return 0;
  copy_text(task->target, CREDENTIAL_SIZE, mu_rest_param(request, "id"));
  copy_text(task->username, sizeof task->username, mu_str(who->name));
  task->admin = who->role == MU_ROLE_ADMIN;
  const struct mu_value values[] = {mu_value_text(task->target), mu_value_text(task->user)};
  const struct mu_statement statements[] = {
      STATEMENT(SQL("SELECT id FROM muster_api_keys WHERE id = ? AND user_id = ?"), values, MU_ANY_ROWS),
      STATEMENT(SQL("DELETE FROM muster_api_keys WHERE id = ? AND user_id = ?"), values, 1),
  };
  return task_write(task, statements, MU_COUNT(statements), key_deleted);
}
