/* SPDX-License-Identifier: ISC */
/* One request in REST form: its id, language and parameters, its checks, its answers and errors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/json.h>
#include <muster/log.h>
#include "base/utf8.h"
#include "net/rest.h"

bool mui_rest_path(struct mu_str path)
{
  return path.len >= 5 && memcmp(path.at, "/api/", 5) == 0;
}

/* ---- beginning ------------------------------------------------------------------------------- */

static bool make_id(char id[13])
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned char random[12];
  if (mu_random(random, sizeof random) < 0)
    return false;
  for (size_t i = 0; i < sizeof random; i++)
    id[i] = digits[random[i] & 63];
  id[12] = '\0';
  return true;
}

/* A header of the listener's list; browsers send one Origin. */
static bool foreign_origin(struct mu_http *request, const struct mui_session *session, char *origin, size_t size)
{
  size_t len;
  if (lws_hdr_total_length(request->wsi, WSI_TOKEN_ORIGIN) <= 0 ||
      lws_hdr_fragment_length(request->wsi, WSI_TOKEN_ORIGIN, 1) > 0 ||
      !mui_header(request->wsi, "origin", origin, size, &len) || strlen(origin) != len)
    return false;
  for (char **other = session->listener->origins; other && *other; other++)
    if (mu_str_equal_nocase(mu_str(*other), mu_str(origin)))
      return true;
  return false;
}

static void set_cors(struct mu_http *request, const struct mui_session *session)
{
  char origin[300];
  mu_http_set(request, "Vary", "Origin, Accept-Language");
  if (!foreign_origin(request, session, origin, sizeof origin))
    return;
  mu_http_set(request, "Access-Control-Allow-Origin", origin);
  mu_http_set(request, "Access-Control-Allow-Credentials", "true");
  mu_http_set(request, "Access-Control-Expose-Headers",
              "X-Request-Id, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, "
              "Content-Disposition");
  request->rest->foreign = true;
}

bool mui_rest_begin(struct mu_http *request, const struct mui_session *session, const struct mui_route *route)
{
  struct mui_rest_call *call = calloc(1, sizeof *call);
  char languages[200];
  if (!call || !make_id(call->id)) {
    free(call);
    return false;
  }
  request->rest = call;
  if (mui_header(request->wsi, "accept-language", languages, sizeof languages, NULL))
    call->zh = mui_reads_chinese(languages);
  if (route && route->rest) {
    call->row = route->rest;
    call->errors = route->rest->is.errors;
    if (route->parameters)
      mui_route_parameters(route, mu_http_path(request), call->parameters);
  }
  mu_http_set(request, "X-Request-Id", call->id);
  set_cors(request, session);
  return true;
}

void mui_rest_end(struct mu_http *request)
{
  if (!request->rest)
    return;
  json_object_put(request->rest->values);
  free(request->rest);
  request->rest = NULL;
}

/* Nothing but words, commas and spaces, as a list of headers is. */
static bool is_list(const char *text)
{
  for (const char *at = text; *at; at++)
    if (!strchr("-_, ", *at) && !(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z') &&
        !(*at >= '0' && *at <= '9'))
      return false;
  return *text != '\0';
}

void mui_rest_preflight(struct mu_http *request, const char *allow)
{
  char headers[512];
  if (!request->rest->foreign)
    return;
  mu_http_set(request, "Access-Control-Allow-Methods", allow);
  mu_http_set(request, "Access-Control-Max-Age", "600");
  bool asked = mui_header(request->wsi, "access-control-request-headers", headers, sizeof headers, NULL);
  mu_http_set(request, "Access-Control-Allow-Headers",
              asked && is_list(headers) ? headers : "Authorization, Content-Type");
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* The path as it was declared: what stood in it may be a secret. */
static void account(const struct mu_http *request, int status, const char *code)
{
  mu_instance *in = request->route ? request->route->in : request->net->runtime->core;
  const char *path = request->route ? request->route->path : "/api/";
  mu_count(mu_counter_get(in, status < 500 ? "rest_refused" : "rest_failed"), 1);
  if (status >= 500)
    mu_log_limited(in, status == 503 ? MU_LOG_INFO : MU_LOG_WARN, "rest failed", "request %s, %s %s: %d %s",
                   request->rest->id, request->method_name, path, status, code);
  else if (status == 400 || status == 413 || status == 415)
    mu_log_limited(in, MU_LOG_INFO, "rest refused", "%s: request %s, %s %s: %d %s", request->peer, request->rest->id,
                   request->method_name, path, status, code);
}

int mui_rest_fail(struct mu_http *request, int status, const char *code, struct mu_words words, const char *details)
{
  const struct mui_rest_call *call = request->rest;
  const char *message = mu_rest_words(request, words);
  struct mu_buf json = MU_BUF_INIT;
  if (call->errors == MU_REST_ERRORS_TEXT) {
    mu_buf_adds(&json, "{\"error\":");
    mu_buf_json_string(&json, mu_str(message));
  } else {
    mu_buf_adds(&json, "{\"error\":{\"code\":");
    mu_buf_json_string(&json, mu_str(code));
    mu_buf_adds(&json, ",\"message\":");
    mu_buf_json_string(&json, mu_str(message));
    if (call->errors == MU_REST_ERRORS_FULL) {
      char now[25];
      mu_iso_time(mu_now_ms(), now);
      if (details)
        mu_buf_printf(&json, ",\"details\":%s", details);
      mu_buf_printf(&json, ",\"timestamp\":\"%s\",\"requestId\":\"%s\"", now, call->id);
    }
    mu_buf_adds(&json, "}");
  }
  mu_buf_adds(&json, "}");
  mu_text *body = mu_buf_take_text(&json);
  account(request, status, code);
  int result = mu_http_answer(request, status, body ? "application/json; charset=utf-8" : NULL, body);
  mu_text_unref(body);
  return result;
}

int mui_rest_decline(struct mu_http *request, int status, const char *code, const char *message)
{
  struct mu_words words;
  const char *known = mui_rest_code(code, message, &words);
  if (status != 404 || request->route)
    return mui_rest_fail(request, status, known, words, NULL);
  struct mu_str path = mu_http_path(request);
  struct mu_buf en = MU_BUF_INIT, zh = MU_BUF_INIT;
  mu_buf_printf(&en, "Route %s %.*s not found", request->method_name, (int)path.len, path.at);
  mu_buf_printf(&zh, "路径 %s %.*s 不存在", request->method_name, (int)path.len, path.at);
  if (!en.failed && !zh.failed)
    words = (struct mu_words){en.at, zh.at};
  int result = mui_rest_fail(request, status, known, words, NULL);
  mu_buf_free(&en);
  mu_buf_free(&zh);
  return result;
}

/* On a route of http.h there is only one form and one language. */
int mu_rest_error(mu_http *request, int status, const char *code, struct mu_words words)
{
  if (!request->rest)
    return mu_http_error(request, status, code, words.en);
  return mui_rest_fail(request, status, code, words, NULL);
}

int mu_rest_invalid(mu_http *request, const char *field, struct mu_words words)
{
  if (!request->rest)
    return mu_http_error(request, 400, "VALIDATION_ERROR", words.en);
  struct mui_rest_faults faults = {.zh = request->rest->zh};
  mui_rest_fault(&faults, mu_str(field), words);
  mu_buf_adds(&faults.details, "]");
  int result = mui_rest_fail(request, 400, "VALIDATION_ERROR", words, faults.details.failed ? NULL : faults.details.at);
  mu_buf_free(&faults.details);
  return result;
}

int mu_rest_answer(mu_http *request, int status, struct json_object *body)
{
  mu_text *text = body ? mu_json_text(body) : NULL;
  json_object_put(body);
  if (!text)
    return mu_http_error(request, 500, "internal_error", "the server could not answer this");
  const struct mui_rest_row *row = request->rest ? request->rest->row : NULL;
  if (status == 0)
    status = row && row->is.status ? row->is.status : 200;
  int result = mu_http_answer(request, status, "application/json; charset=utf-8", text);
  mu_text_unref(text);
  return result;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* "application/json", with parameters or without. */
static bool is_json(const char *type)
{
  size_t len = strcspn(type, "; \t");
  return mu_str_equal_nocase((struct mu_str){type, len}, MU_STR("application/json"));
}

bool mui_rest_judge_type(struct mu_http *request)
{
  char type[200];
  if (mui_header(request->wsi, "content-type", type, sizeof type, NULL) && is_json(type))
    return true;
  mui_http_refuse(request, 415, "bad_type", "a body must be application/json");
  return false;
}

/* Objects and arrays are what costs time to build: 100 kB of "{}," would hold the loop for tens of milliseconds. */
enum { MAX_CONTAINERS = 2000 };

struct shape {
  size_t containers;
  size_t members;
};

static struct shape shape_of(struct mu_str text)
{
  struct shape shape = {0};
  bool string = false;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.at[i];
    if (string && c == '\\')
      i++;
    else if (c == '"')
      string = !string;
    else if (!string && (c == '{' || c == '['))
      shape.containers++;
    else if (!string && c == ':')
      shape.members++;
  }
  return shape;
}

/* Members of all objects in it. The depth is bounded by the scan. */
static size_t members_in(struct json_object *value)
{
  size_t count = 0;
  if (json_object_is_type(value, json_type_object)) {
    json_object_object_foreach(value, name, member)
    {
      (void)name;
      count += 1 + members_in(member);
    }
  } else if (json_object_is_type(value, json_type_array)) {
    for (size_t i = 0; i < json_object_array_length(value); i++)
      count += members_in(json_object_array_get_idx(value, i));
  }
  return count;
}

static bool judge_body(struct mu_http *request, struct mui_rest_faults *faults)
{
  struct mui_rest_call *call = request->rest;
  const struct mui_rest_table *table = &call->row->body;
  struct mu_str text = mu_http_body(request);
  MU_AUTO_JSON struct json_object *body = NULL;
  const struct shape shape = shape_of(text);
  if (shape.containers > MAX_CONTAINERS) {
    mui_rest_fail(
        request, 400, "INVALID_JSON",
        MU_WORDS("the body has too many objects and arrays; not valid JSON here", "请求体包含过多的 JSON 对象或数组"),
        NULL);
    return true;
  }
  if (text.len > 0) {
    struct mu_json_error error;
    int result = mu_json_parse(text.at, text.len, &body, &error);
    if (result == MU_ENOMEM)
      return false;
    if (result < 0) {
      char en[200], zh[200];
      snprintf(en, sizeof en, "the body is not valid JSON: %s, at byte %zu", error.what, error.offset);
      snprintf(zh, sizeof zh, "请求体不是有效的 JSON(第 %zu 字节)", error.offset);
      mui_rest_fail(request, 400, "INVALID_JSON", (struct mu_words){en, zh}, NULL);
      return true;
    }
  }
  if (members_in(body) != shape.members) { /* which one counts, readers disagree on */
    mui_rest_fail(
        request, 400, "INVALID_JSON",
        MU_WORDS("the body is not valid JSON here: a member is given twice", "请求体不是有效的 JSON:成员重复"), NULL);
    return true;
  }
  if (table->count == 0)
    return true;
  if (text.len > 0 && !json_object_is_type(body, json_type_object)) {
    mui_rest_fault(faults, MU_STR(""), MU_WORDS("the body must be an object", "请求体必须是对象"));
    return true;
  }
  return mui_rest_check_body(table, body, call->values, faults);
}

/* Texts of the path reach databases and answers. */
static bool judge_parameters(struct mu_http *request)
{
  for (size_t i = 0; i < MUI_ROUTE_PARAMETERS; i++) {
    struct mu_str text = request->rest->parameters[i];
    bool good = text.len == 0 || mui_utf8_valid(text.at, text.len);
    for (size_t n = 0; good && n < text.len; n++)
      good = (unsigned char)text.at[n] >= ' ' && text.at[n] != 0x7f;
    if (good)
      continue;
    mui_http_decline(request, 400, "bad_path", "the path is not valid text");
    return false;
  }
  return true;
}

bool mui_rest_prepare(struct mu_http *request)
{
  struct mui_rest_call *call = request->rest;
  struct mui_rest_faults faults = {.details = MU_BUF_INIT, .zh = call->zh};
  call->values = json_object_new_object();
  if (!judge_parameters(request))
    return false;
  bool good = call->values && judge_body(request, &faults);
  if (good && request->state == MUI_REQUEST_RUNNING)
    good = mui_rest_check_query(&call->row->query, request, call->values, &faults);
  mu_buf_adds(&faults.details, faults.count ? "]" : "");
  if (request->state != MUI_REQUEST_RUNNING)
    good = false;
  else if (!good || faults.details.failed)
    mui_http_decline(request, 503, "out_of_memory", "try again later");
  else if (faults.count && call->errors != MU_REST_ERRORS_FULL)
    mui_rest_fail(request, 400, faults.code ? faults.code : "VALIDATION_ERROR",
                  (struct mu_words){faults.first, faults.first}, NULL);
  else if (faults.count)
    mui_rest_fail(request, 400, faults.code ? faults.code : "VALIDATION_ERROR",
                  MU_WORDS("the request's data are not valid", "请求数据验证失败"), faults.details.at);
  mu_buf_free(&faults.details);
  return request->state == MUI_REQUEST_RUNNING;
}

/* ---- for handlers ---------------------------------------------------------------------------- */

struct mu_str mu_rest_param(const mu_http *request, const char *name)
{
  const struct mui_rest_call *call = request->rest;
  const char *path = call && call->row ? call->row->is.path : "";
  size_t len = strlen(name);
  unsigned n = 0;
  for (const char *at = path; (at = strstr(at, "/:")); n++) {
    at += 2;
    if (strncmp(at, name, len) == 0 && (at[len] == '/' || at[len] == '+' || at[len] == '\0'))
      return call->parameters[n];
  }
  return (struct mu_str){"", 0};
}

struct json_object *mu_rest_value(const mu_http *request, const char *name)
{
  struct json_object *value = NULL;
  if (request->rest)
    json_object_object_get_ex(request->rest->values, name, &value);
  return value;
}

const char *mu_rest_text(const mu_http *request, const char *name)
{
  struct json_object *value = mu_rest_value(request, name);
  return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

int64_t mu_rest_int(const mu_http *request, const char *name, int64_t otherwise)
{
  struct json_object *value = mu_rest_value(request, name);
  return value ? json_object_get_int64(value) : otherwise;
}

bool mu_rest_given(const mu_http *request, const char *name)
{
  return request->rest && json_object_object_get_ex(request->rest->values, name, NULL);
}

const char *mu_rest_language(const mu_http *request)
{
  return request->rest && request->rest->zh ? "zh" : "en";
}

const char *mu_rest_words(const mu_http *request, struct mu_words words)
{
  return request->rest && request->rest->zh && words.zh ? words.zh : words.en;
}
