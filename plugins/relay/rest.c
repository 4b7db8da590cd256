/* SPDX-License-Identifier: ISC */
/* The REST API's frame: its routes, and requests that wait for the database. */
#include <stdlib.h>
#include <string.h>

#include "rest.h"

static const struct rest_part *const parts[] = {&rest_endpoints,
                                                &rest_devices,
                                                &rest_access,
                                                &rest_admin,
                                                &rest_data_part,
                                                &rest_control_part,
                                                &rest_visualization_part,
                                                &rest_cards_part,
                                                &rest_alerts_part,
                                                &rest_alert_history_part,
                                                &rest_groups_part,
                                                &rest_group_control_part,
                                                &rest_export_part};

/* What is kept has this before it. */
struct keep {
  void (*release)(void *kept);
  size_t holders;
  max_align_t kept[];
};

/* A request that waits. */
struct call {
  struct task task; /* first: tasks.c frees it when the instance stops */
  mu_http_id request;
  rest_then then;
  rest_committed committed;
  void *kept;
  bool writes;
  bool whose;  /* the row says whose endpoint it is */
  bool device; /* and whether there is such a device */
};

struct rest {
  struct mu_rest_route *routes; /* all parts' */
  mu_counter *failed;
};

/* ---- what is kept ---------------------------------------------------------------------------- */

static struct keep *keep_of(void *kept)
{
  return (struct keep *)((char *)kept - offsetof(struct keep, kept));
}

void *rest_keep(size_t size, void (*release)(void *kept))
{
  struct keep *keep = calloc(1, sizeof *keep + size);
  if (!keep)
    return NULL;
  keep->release = release;
  return keep->kept;
}

void rest_drop(void *kept)
{
  if (!kept)
    return;
  struct keep *keep = keep_of(kept);
  if (keep->holders > 0) /* a call's: its own */
    return;
  if (keep->release)
    keep->release(kept);
  free(keep);
}

static void hold(void *kept)
{
  if (kept)
    keep_of(kept)->holders++;
}

static void let_go(void *kept)
{
  if (kept && --keep_of(kept)->holders == 0)
    rest_drop(kept);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void release_call(struct task *task)
{
  let_go(((struct call *)task)->kept);
}

/* NULL: out of memory, and `kept` is let go. */
static struct call *call_new(struct relay *relay, mu_http *request, rest_then then, void *kept)
{
  hold(kept);
  struct call *call = task_new(relay, sizeof *call, release_call);
  if (!call) {
    let_go(kept);
    return NULL;
  }
  call->request = mu_http_get_id(request);
  call->then = then;
  call->kept = kept;
  return call;
}

static int fail(struct relay *relay, mu_http *request, int error)
{
  bool away = error == MU_EUNAVAILABLE || error == MU_ETIMEOUT;
  mu_count(relay->rest->failed, 1);
  mu_log_limited(relay->in, away ? MU_LOG_WARN : MU_LOG_ERROR, "rest database", "a request failed in the database: %s",
                 mu_strerror(error));
  if (!away)
    return mu_rest_error(request, 500, "INTERNAL_SERVER_ERROR",
                         MU_WORDS("An unexpected error occurred", "服务器内部错误"));
  mu_http_set(request, "Retry-After", "2");
  return mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                       MU_WORDS("The database cannot be reached now, try again later", "服务暂时不可用,请稍后再试"));
}

/* What was not even taken: too much waits, or the store stops. */
static int not_taken(int error)
{
  return error == MU_ELIMIT || error == MU_ECLOSED ? MU_EUNAVAILABLE : error;
}

/* More rows, or longer ones, than the store hands over at once: the next try would end so, too. */
static int too_large(mu_http *request)
{
  return mu_rest_error(request, 400, "RESULT_TOO_LARGE",
                       MU_WORDS("This is more than one answer may hold: ask for less", "结果过大,请缩小查询范围"));
}

/* A row of REST_ENDPOINT_COLUMNS, or none. True: it is the caller's. */
static bool judge_owner(const struct call *call, mu_http *request, const struct mu_result *result)
{
  struct relay *relay = call->task.relay;
  const struct mu_principal *who = mu_http_principal(request);
  if (result->rows == 0) {
    rest_no_endpoint(request);
    return false;
  }
  struct mu_str owner = mu_result_at(result, 0, REST_ENDPOINT_USER)->text;
  if (!who || strcmp(who->provider, relay->provider) != 0 || !mu_str_equal(owner, mu_str(who->id))) {
    rest_forbidden(request);
    return false;
  }
  if (call->device && mu_result_at(result, 0, REST_DEVICE_ID)->type == MU_VALUE_NULL) {
    rest_no_device(request);
    return false;
  }
  return true;
}

static bool for_then(int error)
{
  return error == 0 || error == MU_EREFUSED || error == MU_EEXIST || error == MU_ENOENT;
}

static void on_result(void *context, const struct mu_result *result)
{
  struct call *call = context;
  struct relay *relay = call->task.relay;
  if (result->error == 0 && call->committed)
    call->committed(relay, result, call->kept);
  mu_http *request = mu_http_find(relay->in, call->request);
  if (!request) {
    task_free(call);
    return;
  }
  int answer = 0;
  if (result->error == MU_ELIMIT)
    too_large(request);
  else if (call->writes ? !for_then(result->error) : result->error != 0)
    fail(relay, request, result->error);
  else if (!call->whose || judge_owner(call, request, result))
    answer = call->then(relay, request, result, call->kept);
  if (answer < 0 && (request = mu_http_find(relay->in, call->request)))
    mu_rest_answer(request, 500, NULL);
  task_free(call);
}

/* The call was taken (0), or not. */
static int begun(struct call *call, mu_http *request, int error)
{
  if (error == 0)
    return MU_PENDING;
  struct relay *relay = call->task.relay;
  task_free(call);
  return error == MU_ENOMEM ? error : fail(relay, request, not_taken(error));
}

int rest_read(struct relay *relay, mu_http *request, struct mu_sql sql, const struct mu_value *values, size_t count,
              rest_then then, void *kept)
{
  struct call *call = call_new(relay, request, then, kept);
  if (!call)
    return MU_ENOMEM;
  return begun(call, request, relay_read(relay, sql, values, count, on_result, call));
}

int rest_write(struct relay *relay, mu_http *request, const struct mu_statement *statements, size_t count,
               rest_committed committed, rest_then then, void *kept)
{
  struct call *call = call_new(relay, request, then, kept);
  if (!call)
    return MU_ENOMEM;
  call->writes = true;
  call->committed = committed;
  return begun(call, request, relay->store->write(relay->store_self, relay->in, statements, count, on_result, call));
}

static void on_done(void *context, int error)
{
  struct mu_result result = {.size = sizeof result, .error = not_taken(error), .reason = "", .key = ""};
  on_result(context, &result);
}

int rest_flush(struct relay *relay, mu_http *request, const char *endpoint_uuid, rest_then then, void *kept)
{
  struct call *call = call_new(relay, request, then, kept);
  if (!call)
    return MU_ENOMEM;
  relay_flush(relay, endpoint_uuid, on_done, call);
  return MU_PENDING;
}

int rest_refresh(struct relay *relay, mu_http *request, const char *endpoint_uuid, rest_then then, void *kept)
{
  struct call *call = call_new(relay, request, then, kept);
  if (!call)
    return MU_ENOMEM;
  endpoint_refresh(relay, endpoint_uuid, on_done, call);
  return MU_PENDING;
}

/* ---- whose it is ----------------------------------------------------------------------------- */

int rest_no_endpoint(mu_http *request)
{
  return mu_rest_error(request, 404, "ENDPOINT_NOT_FOUND", MU_WORDS("There is no such endpoint", "端点不存在"));
}

int rest_no_device(mu_http *request)
{
  return mu_rest_error(request, 404, "DEVICE_NOT_FOUND", MU_WORDS("There is no such device", "设备不存在"));
}

int rest_forbidden(mu_http *request)
{
  return mu_rest_error(request, 403, "FORBIDDEN", MU_WORDS("This belongs to somebody else", "无权访问此资源"));
}

const char *rest_user(const struct relay *relay, mu_http *request)
{
  const struct mu_principal *who = mu_http_principal(request);
  if (who && strcmp(who->provider, relay->provider) == 0)
    return who->id;
  mu_rest_error(request, 403, "FORBIDDEN",
                MU_WORDS("This is for people with an account here", "仅限本服务器的账户使用"));
  return NULL;
}

static int read_own(struct relay *relay, mu_http *request, struct mu_sql sql, const struct mu_value *values,
                    size_t count, bool device, rest_then then, void *kept)
{
  struct call *call = call_new(relay, request, then, kept);
  if (!call)
    return MU_ENOMEM;
  call->whose = true;
  call->device = device;
  return begun(call, request, relay_read(relay, sql, values, count, on_result, call));
}

int rest_own_endpoint(struct relay *relay, mu_http *request, struct mu_str uuid, rest_then then, void *kept)
{
  const struct mu_value values[] = {mu_value_str(uuid)};
  return read_own(relay, request, REST_SQL("SELECT " REST_ENDPOINT_SELECT " FROM endpoints WHERE id = ?"),
                  REST_VALUES(values), false, then, kept);
}

int rest_own_device(struct relay *relay, mu_http *request, struct mu_str endpoint_uuid, struct mu_str device_uuid,
                    rest_then then, void *kept)
{
  const struct mu_value values[] = {mu_value_str(device_uuid), mu_value_str(endpoint_uuid)};
  if (endpoint_uuid.len > 0)
    return read_own(relay, request,
                    REST_SQL("SELECT " REST_ENDPOINT_SELECT ", " REST_DEVICE_SELECT " FROM endpoints LEFT JOIN devices "
                             "ON devices.endpoint_id = endpoints.id AND devices.id = ? WHERE endpoints.id = ?"),
                    REST_VALUES(values), true, then, kept);
  return read_own(relay, request,
                  REST_SQL("SELECT " REST_ENDPOINT_SELECT ", " REST_DEVICE_SELECT
                           " FROM devices JOIN endpoints ON endpoints.id = devices.endpoint_id WHERE devices.id = ?"),
                  values, 1, true, then, kept);
}

/* ---- changes of endpoints -------------------------------------------------------------------- */

static void release_change(void *kept)
{
  struct rest_change *change = kept;
  free(change->endpoint_uuid);
  json_object_put(change->body);
}

struct rest_change *rest_change_new(const struct mu_result *result)
{
  struct rest_change *change = rest_keep(sizeof *change, release_change);
  if (!change)
    return NULL;
  change->ms = mu_now_ms();
  change->endpoint_uuid = rest_text(mu_result_at(result, 0, REST_ENDPOINT_ID));
  if (change->endpoint_uuid)
    return change;
  rest_drop(change);
  return NULL;
}

void rest_changed(struct relay *relay, const struct mu_result *result, void *kept)
{
  const struct rest_change *change = kept;
  (void)result;
  endpoint_refresh(relay, change->endpoint_uuid, NULL, NULL);
}

int rest_answer_change(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct rest_change *change = kept;
  (void)relay, (void)result;
  return mu_rest_answer(request, 0, json_object_get(change->body));
}

/* ---- life ------------------------------------------------------------------------------------ */

int rest_init(struct relay *relay)
{
  struct rest *rest = calloc(1, sizeof *rest);
  if (!rest)
    return MU_ENOMEM;
  relay->rest = rest;
  size_t count = 0;
  for (size_t i = 0; i < MU_COUNT(parts); i++)
    count += parts[i]->count;
  rest->routes = calloc(count, sizeof *rest->routes);
  if (!rest->routes)
    return MU_ENOMEM;
  count = 0;
  for (size_t i = 0; i < MU_COUNT(parts); i++) {
    memcpy(rest->routes + count, parts[i]->routes, parts[i]->count * sizeof *rest->routes);
    count += parts[i]->count;
  }
  rest->failed = mu_counter_get(relay->in, "rest_database_failed");
  const struct mu_rest_api api = {.size = sizeof api,
                                  .title = "The relay: endpoints, devices, messages",
                                  .routes = rest->routes,
                                  .count = count,
                                  .route_size = sizeof(struct mu_rest_route),
                                  .field_size = sizeof(struct mu_rest_field)};
  return mu_rest_serve(relay->in, &api, relay);
}

int rest_start(struct relay *relay)
{
  struct mu_service service;
  int error = mu_service_get(relay->in, MU_SERVICE_ACCOUNTS, &service);
  if (error != 0)
    return error;
  const struct mu_accounts *accounts = service.api;
  return accounts->user_count(service.self, relay->in, "endpoint_count",
                              "(SELECT COUNT(*) FROM endpoints WHERE endpoints.user_id = users.id)");
}

void rest_fini(struct relay *relay)
{
  if (!relay->rest)
    return;
  free(relay->rest->routes);
  free(relay->rest);
  relay->rest = NULL;
}
