/* SPDX-License-Identifier: ISC */
/* /api/admin: invite codes, users, bans. */
#include <string.h>

#include "accounts.h"

enum { USERS_MOST = 10000, PAGE = 20 };

/* ---- invite codes ---------------------------------------------------------------------------- */

static void codes_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  static const char *const names[] = {"id",      "code",       "expires_at",          "used_by",   "used_by_username",
                                      "used_at", "created_by", "created_by_username", "created_at"};
  (void)request;
  struct json_object *codes = json_object_new_array();
  for (size_t row = 0; row < result->rows; row++) {
    struct json_object *code = json_object_new_object();
    for (size_t i = 0; i < MU_COUNT(names); i++)
      member(code, names[i], value_json(mu_result_at(result, row, i)));
    json_object_array_add(codes, code);
  }
  task_answer(task, 200, codes);
}

int rest_codes(void *self, mu_http *request)
{
  struct task *task = task_new(self, request, false);
  if (!task)
    return 0;
  const struct mu_value values[] = {mu_value_int(USERS_MOST)};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT c.id, c.code, c.expires_at, c.used_by, u.username, c.used_at, c.created_by, m.username, "
                    "c.created_at FROM invite_codes c LEFT JOIN users u ON u.id = c.used_by "
                    "LEFT JOIN users m ON m.id = c.created_by ORDER BY c.created_at DESC, c.id LIMIT ?"),
                values, MU_ANY_ROWS);
  return task_read(task, &statement, codes_read);
}

static void code_written(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error != 0) {
    task_failed(task, result);
    return;
  }
  struct json_object *body = task->body;
  task->body = NULL;
  task_answer(task, 201, body);
}

int rest_code_new(void *self, mu_http *request)
{
  struct json_object *given = mu_rest_value(request, "expires_at");
  int64_t expires_ms = 0;
  if (given && !time_of_json(given, &expires_ms))
    return mu_rest_error(request, 400, "INVALID_DATE",
                         MU_WORDS("expires_at must be Unix seconds or an ISO 8601 time", "无效的过期时间格式"));
  struct task *task = task_new(self, request, true);
  char code[CODE_SIZE];
  if (!task)
    return 0;
  if (uuid_make(task->id) != 0 || code_make(code) != 0) {
    task_answer(task, 500, NULL);
    return MU_PENDING;
  }
  const struct mu_value values[] = {mu_value_text(task->id), mu_value_text(code),
                                    given ? mu_value_time(expires_ms) : mu_value_null(), mu_value_text(task->user),
                                    mu_value_time(task->now_ms)};
  const struct mu_statement statement = STATEMENT(
      SQL("INSERT INTO invite_codes (id, code, expires_at, created_by, created_at) VALUES (?, ?, ?, ?, ?)"), values, 1);
  static const char *const names[] = {"id", "code", "expires_at", NULL, "created_at"};
  task->body = json_object_new_object();
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (names[i])
      member(task->body, names[i], value_json(&values[i]));
  return task_write(task, &statement, 1, code_written);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void users_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  struct json_object *users = json_object_new_array();
  for (size_t row = 0; row < result->rows; row++) {
    struct person person;
    person_read(result, row, &person);
    struct json_object *user = person_json(&person);
    bool endpoints = false;
    size_t column = U_COUNT;
    /* Who adds a member may have come or gone while the database was asked: the task keeps what it asked for. */
    for (size_t i = 0; i < json_object_array_length(task->body); i++, column++) {
      const char *name = json_object_get_string(json_object_array_get_idx(task->body, i));
      endpoints = endpoints || strcmp(name, "endpoint_count") == 0;
      member(user, name, value_json(mu_result_at(result, row, column)));
    }
    if (!endpoints) /* released pages read it */
      member(user, "endpoint_count", json_object_new_int(0));
    json_object_array_add(users, user);
  }
  task_answer(task, 200, users);
}

int rest_users(void *context, mu_http *request)
{
  struct self *self = context;
  struct task *task = task_new(self, request, false);
  if (!task)
    return 0;
  struct mu_buf sql = MU_BUF_INIT;
  int64_t size = mu_rest_int(request, "page_size", USERS_MOST), page = mu_rest_int(request, "page", 1);
  task->body = json_object_new_array();
  mu_buf_adds(&sql, "SELECT " U_COLUMNS);
  for (const struct count *count = self->counts; count; count = count->next) {
    mu_buf_printf(&sql, ", %s", count->sql);
    json_object_array_add(task->body, json_object_new_string(count->member));
  }
  mu_buf_adds(&sql, " FROM users ORDER BY users.created_at DESC, users.id LIMIT ? OFFSET ?");
  const struct mu_value values[] = {mu_value_int(size), mu_value_int((page - 1) * size)};
  const struct mu_statement statement = STATEMENT(SQL(sql.failed ? "" : sql.at), values, MU_ANY_ROWS);
  int result = task_read(task, &statement, users_read);
  mu_buf_free(&sql);
  return result;
}

/* ---- ban, unban ------------------------------------------------------------------------------ */

static int read_target(struct task *task, task_rows step)
{
  const struct mu_value values[] = {mu_value_text(task->target)};
  const struct mu_statement statement =
      STATEMENT(SQL("SELECT " PERSON_COLUMNS " FROM " PERSON_TABLES " WHERE users.id = ?"), values, MU_ANY_ROWS);
  return task_read(task, &statement, step);
}

static void not_found(struct task *task)
{
  task_error(task, 404, "USER_NOT_FOUND", MU_WORDS("There is no such user", "用户不存在"));
}

static void already(struct task *task)
{
  if (task->bans)
    task_error(task, 400, "USER_ALREADY_BANNED", MU_WORDS("The user is banned already", "用户已被封禁"));
  else
    task_error(task, 400, "USER_NOT_BANNED", MU_WORDS("The user is not banned", "用户未被封禁"));
}

static void target_reread(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  if (!person_read(result, 0, &person)) {
    not_found(task);
  } else {
    struct json_object *body = json_object_new_object();
    const struct mu_words words = person.banned ? MU_WORDS("The user is banned now", "用户已封禁")
                                                : MU_WORDS("The user is no longer banned", "用户已解封");
    member(body, "message", json_object_new_string(mu_rest_words(request, words)));
    member(body, "user", person_json(&person));
    task_answer(task, 200, body);
  }
}

static void switched(struct task *task, mu_http *request, const struct mu_result *result)
{
  (void)request;
  if (result->error == MU_EREFUSED) { /* somebody else was faster */
    already(task);
    return;
  }
  if (result->error != 0) {
    task_failed(task, result);
    return;
  }
  mu_log(task->self->in, MU_LOG_INFO, "user \"%s\" was %s by user %s", task->username,
         task->bans ? "banned, and what is open is closed," : "unbanned", task->user);
  if (task->bans)
    provider_revoke(task->self, task->target, task->username, task->admin, "");
  read_target(task, target_reread);
}

/* The same values for both, in the same order. */
#define SET_BAN "UPDATE users SET banned_at = ?, banned_reason = ?, banned_by = ? WHERE id = ? AND banned_at "

static void write_switch(struct task *task, const char *reason)
{
  const struct mu_value now = mu_value_time(task->now_ms), none = mu_value_null();
  const struct mu_value target = mu_value_text(task->target), why = mu_value_text(reason),
                        by = mu_value_text(task->user);
  const struct mu_value user[] = {task->bans ? now : none, task->bans ? why : none, task->bans ? by : none, target};
  const struct mu_value log[] = {
      mu_value_text(task->id), target, mu_value_text(task->bans ? "ban" : "unban"), why, by, now};
  const struct mu_value session[] = {target, now};
  const struct mu_statement statements[] = {
      {.sql.text = task->bans ? SET_BAN "IS NULL" : SET_BAN "IS NOT NULL",
       .values = user,
       .count = MU_COUNT(user),
       .expect = 1},
      STATEMENT(SQL("INSERT INTO ban_logs (id, target_type, target_id, action, reason, operator_id, created_at) "
                    "VALUES (?, 'user', ?, ?, ?, ?, ?)"),
                log, 1),
      STATEMENT(sql_end_sessions, session, MU_ANY_ROWS), /* of a ban */
  };
  task_write(task, statements, MU_COUNT(statements) - !task->bans, switched);
}

static void target_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct person person;
  if (!person_read(result, 0, &person)) {
    not_found(task);
    return;
  }
  /* As the row spells it: MariaDB takes other spellings for the same. */
  copy_text(task->target, sizeof task->target, person.id);
  if (task->bans && strcmp(task->target, task->user) == 0)
    task_error(task, 400, "CANNOT_BAN_SELF", MU_WORDS("Nobody bans themselves", "不能封禁自己"));
  else if (person.banned == task->bans)
    already(task);
  else if (uuid_make(task->id) != 0)
    task_answer(task, 500, NULL);
  else {
    task->admin = person.admin;
    copy_text(task->username, sizeof task->username, person.username);
    write_switch(task, mu_rest_text(request, "reason"));
  }
}

static int switch_user(void *self, mu_http *request, bool bans)
{
  struct task *task = task_new(self, request, true);
  if (!task)
    return 0;
  task->bans = bans;
  copy_text(task->target, sizeof task->target, mu_rest_param(request, "id"));
  return read_target(task, target_read);
}

int rest_ban(void *self, mu_http *request)
{
  return switch_user(self, request, true);
}

int rest_unban(void *self, mu_http *request)
{
  return switch_user(self, request, false);
}

/* ---- ban logs -------------------------------------------------------------------------------- */

static void logs_read(struct task *task, mu_http *request, const struct mu_result *result)
{
  static const char *const names[] = {"id",     "target_type", "target_id", "action",
                                      "reason", "operator_id", "created_at"};
  (void)request;
  struct json_object *logs = json_object_new_array(), *body = json_object_new_object();
  for (size_t row = 0; row < result->rows; row++) {
    struct json_object *log = json_object_new_object();
    for (size_t i = 0; i < MU_COUNT(names); i++)
      member(log, names[i], value_json(mu_result_at(result, row, i)));
    json_object_array_add(logs, log);
  }
  member(body, "logs", logs);
  member(body, "total", json_object_new_int64(task->total));
  task_answer(task, 200, body);
}

/* What the filters make of it: a WHERE clause, and its values. The request is still there, so the texts are. */
struct filter {
  struct mu_buf sql;
  struct mu_value values[7];
  size_t count;
};

static void narrow(struct filter *filter, const char *sql, struct mu_value value)
{
  mu_buf_printf(&filter->sql, " %s %s", filter->count ? "AND" : "WHERE", sql);
  filter->values[filter->count++] = value;
}

/* NULL, or the parameter that is no time. */
static const char *filter_make(struct filter *filter, mu_http *request)
{
  static const char *const texts[][2] = {
      {"target_type", "target_type = ?"}, {"action", "action = ?"}, {"operator_id", "operator_id = ?"}};
  static const char *const times[][2] = {{"start_date", "created_at >= ?"}, {"end_date", "created_at <= ?"}};
  *filter = (struct filter){.sql = MU_BUF_INIT};
  mu_buf_adds(&filter->sql, "FROM ban_logs");
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    const char *text = mu_rest_text(request, texts[i][0]);
    if (text && *text)
      narrow(filter, texts[i][1], mu_value_text(text));
  }
  for (size_t i = 0; i < MU_COUNT(times); i++) {
    const char *text = mu_rest_text(request, times[i][0]);
    int64_t ms = 0;
    if (!text || !*text)
      continue;
    if (!time_of_text(mu_str(text), i == 1, &ms))
      return times[i][0];
    narrow(filter, times[i][1], mu_value_time(ms));
  }
  return NULL;
}

static void logs_counted(struct task *task, mu_http *request, const struct mu_result *result)
{
  struct filter filter;
  struct mu_buf sql = MU_BUF_INIT;
  filter_make(&filter, request);
  task->total = mu_result_at(result, 0, 0)->integer;
  int64_t size = mu_rest_int(request, "page_size", PAGE), page = mu_rest_int(request, "page", 1);
  mu_buf_printf(&sql,
                "SELECT id, target_type, target_id, action, reason, operator_id, created_at %s "
                "ORDER BY created_at DESC, id LIMIT ? OFFSET ?",
                filter.sql.failed ? "" : filter.sql.at);
  filter.values[filter.count++] = mu_value_int(size);
  filter.values[filter.count++] = mu_value_int((page - 1) * size);
  const struct mu_statement statement = {
      .sql.text = sql.failed ? "" : sql.at, .values = filter.values, .count = filter.count, .expect = MU_ANY_ROWS};
  task_read(task, &statement, logs_read);
  mu_buf_free(&sql);
  mu_buf_free(&filter.sql);
}

int rest_ban_logs(void *self, mu_http *request)
{
  struct filter filter;
  struct mu_buf sql = MU_BUF_INIT;
  const char *bad = filter_make(&filter, request);
  struct task *task = bad ? NULL : task_new(self, request, false);
  int result = 0;
  if (bad) {
    result = mu_rest_invalid(request, bad, MU_WORDS("must be an ISO 8601 time", "日期格式无效"));
  } else if (task) {
    mu_buf_printf(&sql, "SELECT COUNT(*) %s", filter.sql.failed ? "" : filter.sql.at);
    const struct mu_statement statement = {
        .sql.text = sql.failed ? "" : sql.at, .values = filter.values, .count = filter.count, .expect = MU_ANY_ROWS};
    result = task_read(task, &statement, logs_counted);
  }
  mu_buf_free(&sql);
  mu_buf_free(&filter.sql);
  return result;
}
