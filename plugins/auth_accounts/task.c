/* SPDX-License-Identifier: ISC */
/* A request that waits: for the database, for the hasher. The client may leave meanwhile; what it began is carried out all the same. */
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

/* ---- rows ------------------------------------------------------------------------------------ */

bool person_read(const struct mu_result *result, size_t row, struct person *person)
{
  *person = (struct person){.valid_after_ms = INT64_MIN};
  if (row >= result->rows || result->columns < U_COUNT)
    return false;
  const struct mu_value *v = mu_result_at(result, row, 0);
  person->id = v[0].text;
  person->username = v[1].text;
  person->email = v[2].text;
  person->admin = v[3].integer != 0;
  person->created_ms = v[4].integer;
  person->active = v[5].integer != 0;
  person->banned = v[6].type != MU_VALUE_NULL;
  person->banned_ms = v[6].integer;
  person->banned_reason = v[7].type == MU_VALUE_TEXT ? v[7].text : (struct mu_str){NULL, 0};
  person->banned_by = v[8].type == MU_VALUE_TEXT ? v[8].text : (struct mu_str){NULL, 0};
  if (result->columns >= PERSON_COUNT) {
    person->hash = v[9].text;
    person->sessions = v[10].integer;
    if (v[11].type == MU_VALUE_TIME)
      person->valid_after_ms = v[11].integer;
    person->one_time = v[12].integer != 0;
  }
  return true;
}

void copy_text(char *to, size_t size, struct mu_str text)
{
  size_t len = text.len < size ? text.len : size - 1;
  if (len > 0)
    memcpy(to, text.at, len);
  to[len] = '\0';
}

void member(struct json_object *object, const char *name, struct json_object *value)
{
  if (!object || json_object_object_add(object, name, value) != 0)
    json_object_put(value);
}

static struct json_object *text_json(struct mu_str text)
{
  return text.at ? json_object_new_string_len(text.at, (int)text.len) : NULL;
}

static struct json_object *time_json(int64_t unix_ms)
{
  char text[25];
  mu_iso_time(unix_ms, text);
  return json_object_new_string(text);
}

struct json_object *value_json(const struct mu_value *value)
{
  switch (value->type) {
  case MU_VALUE_TEXT:
    return text_json(value->text.at ? value->text : MU_STR(""));
  case MU_VALUE_TIME:
    return time_json(value->integer);
  case MU_VALUE_INTEGER:
    return json_object_new_int64(value->integer);
  case MU_VALUE_REAL:
    return json_object_new_double(value->real);
  default:
    return NULL;
  }
}

struct json_object *person_json(const struct person *person)
{
  struct json_object *user = json_object_new_object();
  member(user, "id", text_json(person->id));
  member(user, "username", text_json(person->username));
  member(user, "email", text_json(person->email));
  member(user, "is_admin", json_object_new_boolean(person->admin));
  member(user, "created_at", time_json(person->created_ms));
  member(user, "is_active", json_object_new_boolean(person->active));
  member(user, "banned_at", person->banned ? time_json(person->banned_ms) : NULL);
  member(user, "banned_reason", text_json(person->banned_reason));
  member(user, "banned_by", text_json(person->banned_by));
  return user;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

struct task *task_new(struct self *self, mu_http *request, bool own)
{
  const struct mu_principal *who = mu_http_principal(request);
  if (own && (!who || strcmp(who->provider, mu_instance_name(self->in)) != 0 || strlen(who->id) >= ID_SIZE)) {
    mu_rest_error(request, 403, "FORBIDDEN",
                  MU_WORDS("This is for people with an account here", "仅限本服务器的账户使用"));
    return NULL;
  }
  struct task *task = calloc(1, sizeof *task);
  if (!task) {
    mu_rest_answer(request, 500, NULL);
    return NULL;
  }
  task->self = self;
  task->request = mu_http_get_id(request);
  task->now_ms = mu_now_ms();
  if (own)
    memcpy(task->user, who->id, strlen(who->id) + 1);
  task->next = self->tasks;
  task->link = &self->tasks;
  if (task->next)
    task->next->link = &task->next;
  self->tasks = task;
  return task;
}

void task_free(struct task *task)
{
  *task->link = task->next;
  if (task->next)
    task->next->link = task->link;
  json_object_put(task->body);
  mu_secret_wipe(task, sizeof *task);
  free(task);
}

void task_answer(struct task *task, int status, struct json_object *body)
{
  mu_http *request = mu_http_find(task->self->in, task->request);
  if (request)
    mu_rest_answer(request, status, body);
  else
    json_object_put(body);
  task_free(task);
}

void task_error(struct task *task, int status, const char *code, struct mu_words words)
{
  mu_http *request = mu_http_find(task->self->in, task->request);
  if (request)
    mu_rest_error(request, status, code, words);
  task_free(task);
}

static void unavailable(struct task *task)
{
  mu_http *request = mu_http_find(task->self->in, task->request);
  mu_count(task->self->unavailable, 1);
  if (request)
    mu_http_set(request, "Retry-After", "5");
  task_error(task, 503, "SERVICE_UNAVAILABLE",
             MU_WORDS("This cannot be done now; try again in a moment", "服务暂时不可用,请稍后再试"));
}

void task_failed(struct task *task, const struct mu_result *result)
{
  mu_log_limited(task->self->in, MU_LOG_WARN, "database", "a request failed: %s%s%s", mu_strerror(result->error),
                 result->reason && *result->reason ? ": " : "", result->reason ? result->reason : "");
  if (result->error == MU_EUNAVAILABLE || result->error == MU_ETIMEOUT)
    unavailable(task);
  else
    task_error(task, 500, "INTERNAL_SERVER_ERROR", MU_WORDS("An unexpected error occurred", "服务器内部错误"));
}

void task_unhashed(struct task *task, int result)
{
  if (result == MU_ECLOSED) { /* nobody waits for it */
    task_free(task);
    return;
  }
  mu_log_limited(task->self->in, MU_LOG_WARN, "hashing", "a password could not be hashed: %s", mu_strerror(result));
  unavailable(task);
}

static void on_written(void *context, const struct mu_result *result)
{
  struct task *task = context;
  task->rows(task, mu_http_find(task->self->in, task->request), result);
}

static void on_read(void *context, const struct mu_result *result)
{
  struct task *task = context;
  mu_http *request = mu_http_find(task->self->in, task->request);
  if (result->error != 0)
    task_failed(task, result);
  else if (!request)
    task_free(task);
  else
    task->rows(task, request, result);
}

/* What was not even taken. */
static int not_begun(struct task *task, int code)
{
  const struct mu_result result = {
      .size = sizeof result, .error = code == MU_ENOMEM ? MU_ENOMEM : MU_EUNAVAILABLE, .reason = mu_strerror(code)};
  task_failed(task, &result);
  return MU_PENDING;
}

int task_read(struct task *task, const struct mu_statement *statement, task_rows step)
{
  const struct mu_store *store = task->self->store.api;
  task->rows = step;
  int code = store->read(task->self->store.self, task->self->in, statement, on_read, task);
  return code == 0 ? MU_PENDING : not_begun(task, code);
}

int task_write(struct task *task, const struct mu_statement *statements, size_t count, task_rows step)
{
  const struct mu_store *store = task->self->store.api;
  task->rows = step;
  int code = store->write(task->self->store.self, task->self->in, statements, count, on_written, task);
  return code == 0 ? MU_PENDING : not_begun(task, code);
}

static void on_hashed(void *context, int result, const char *hash)
{
  struct task *task = context;
  task->hashed(task, mu_http_find(task->self->in, task->request), result, hash);
}

static bool still_wanted(void *context)
{
  const struct task *task = context;
  return mu_http_find(task->self->in, task->request) != NULL;
}

int task_verify(struct task *task, const char *password, const char *stored, task_hashed step)
{
  task->hashed = step;
  int code = hasher_verify(task->self->hasher, password, stored, still_wanted, on_hashed, task);
  if (code != 0)
    task_unhashed(task, code);
  return MU_PENDING;
}

int task_make(struct task *task, const char *password, task_hashed step)
{
  task->hashed = step;
  int code = hasher_make(task->self->hasher, password, still_wanted, on_hashed, task);
  if (code != 0)
    task_unhashed(task, code);
  return MU_PENDING;
}
