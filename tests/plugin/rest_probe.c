/* SPDX-License-Identifier: ISC */
/*
 * A REST API with a field of every kind, for the black-box tests; and an auth backend that judges tokens by their text:
 *   "user:ID", "admin:ID", "machine:ID" are good; "slow:ID" after 150 ms; "banned:ID" is refused with a code; "down" cannot be told now;
 *   "never" is never answered; others are not known
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <muster/muster.h>
#include <muster/rest.h>

/* Whatever waits for a timer; freed with the plugin at the latest. */
struct waiting {
  struct waiting *next, **pprev;
  struct probe *probe;
  mu_timer *timer;
  mu_auth_done done; /* a token: its judge's answer; otherwise an answer */
  void *context;
  char id[64];
  mu_http_id request;
};

struct probe {
  mu_instance *in;
  struct waiting *waiting;
};

static struct waiting *wait_for(struct probe *probe, uint64_t ms, void (*then)(void *context))
{
  struct waiting *waiting = calloc(1, sizeof *waiting);
  if (!waiting)
    return NULL;
  waiting->probe = probe;
  waiting->next = probe->waiting;
  waiting->pprev = &probe->waiting;
  if (waiting->next)
    waiting->next->pprev = &waiting->next;
  probe->waiting = waiting;
  waiting->timer = mu_timer_new(probe->in, then, waiting);
  mu_timer_start(waiting->timer, ms, 0);
  return waiting;
}

static void forget(struct waiting *waiting)
{
  *waiting->pprev = waiting->next;
  if (waiting->next)
    waiting->next->pprev = waiting->pprev;
  free(waiting);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void grant(const struct probe *probe, const char *id, enum mu_role role, mu_auth_done done, void *context)
{
  const struct mu_principal *principal =
      mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                              .provider = mu_instance_name(probe->in),
                                              .id = id,
                                              .name = id,
                                              .role = role,
                                              .owner = id,
                                              .credential = ""});
  done(context, &(struct mu_auth_answer){.size = sizeof(struct mu_auth_answer),
                                         .verdict = principal ? MU_AUTH_GRANTED : MU_AUTH_UNAVAILABLE,
                                         .principal = principal});
  mu_principal_unref(principal);
}

static void on_waited(void *context)
{
  struct waiting *waiting = context;
  grant(waiting->probe, waiting->id, MU_ROLE_USER, waiting->done, waiting->context);
  mu_timer_free(waiting->timer);
  forget(waiting);
}

static int judge(void *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct probe *probe = self;
  struct mu_auth_answer answer = {.size = sizeof answer, .verdict = MU_AUTH_UNKNOWN};
  char token[128];
  if (credential->secret.len >= sizeof token)
    goto tell;
  memcpy(token, credential->secret.at, credential->secret.len);
  token[credential->secret.len] = '\0';
  const char *id = strchr(token, ':');
  id = id ? id + 1 : "";
  if (!*id && strcmp(token, "never") != 0 && strcmp(token, "down") != 0)
    goto tell;
  if (strncmp(token, "user:", 5) == 0)
    return grant(probe, id, MU_ROLE_USER, done, context), 0;
  if (strncmp(token, "admin:", 6) == 0)
    return grant(probe, id, MU_ROLE_ADMIN, done, context), 0;
  if (strncmp(token, "machine:", 8) == 0)
    return grant(probe, id, MU_ROLE_MACHINE, done, context), 0;
  if (strcmp(token, "never") == 0)
    return MU_PENDING;
  if (strncmp(token, "slow:", 5) == 0) {
    struct waiting *waiting = wait_for(probe, 150, on_waited);
    if (!waiting)
      return MU_ENOMEM;
    waiting->done = done;
    waiting->context = context;
    snprintf(waiting->id, sizeof waiting->id, "%s", id);
    return MU_PENDING;
  }
  if (strncmp(token, "banned:", 7) == 0) {
    answer.verdict = MU_AUTH_REFUSED;
    answer.code = "USER_BANNED";
  } else if (strncmp(token, "owing:", 6) == 0) {
    answer.verdict = MU_AUTH_REFUSED;
    answer.code = "PAYMENT_DUE";
    answer.words = MU_WORDS("first the bill", "请先付款");
  } else if (strcmp(token, "down") == 0) {
    answer.verdict = MU_AUTH_UNAVAILABLE;
    answer.retry_after_s = 9;
  }
tell:
  done(context, &answer);
  return 0;
}

static const struct mu_auth auth = {.size = sizeof auth, .kinds = MU_CREDENTIAL_TOKEN, .judge = judge};

/* ---- handlers -------------------------------------------------------------------------------- */

static const char *const names[] = {"text",  "words",  "code", "whole", "number", "flag", "time",  "any",
                                    "thing", "things", "list", "maybe", "secret", "page", "query", "since"};

/* Says what it was given: {"given":{…},"param":{…},"user":…,"language":…,"secure":…}. */
static int show(void *self, mu_http *request)
{
  (void)self;
  struct json_object *answer = json_object_new_object(), *given = json_object_new_object();
  json_object_object_add(answer, "given", given);
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (mu_rest_given(request, names[i]))
      json_object_object_add(given, names[i], json_object_get(mu_rest_value(request, names[i])));
  struct json_object *params = json_object_new_object();
  json_object_object_add(answer, "param", params);
  static const char *const parameters[] = {"id", "ep", "sub", "nothing"};
  for (size_t i = 0; i < MU_COUNT(parameters); i++) {
    struct mu_str value = mu_rest_param(request, parameters[i]);
    if (value.len)
      json_object_object_add(params, parameters[i], json_object_new_string_len(value.at, (int)value.len));
  }
  const struct mu_principal *principal = mu_http_principal(request);
  json_object_object_add(answer, "user", principal ? json_object_new_string(principal->id) : NULL);
  json_object_object_add(answer, "language", json_object_new_string(mu_rest_language(request)));
  json_object_object_add(answer, "secure", json_object_new_boolean(mu_http_secure(request)));
  json_object_object_add(answer, "int", json_object_new_int64(mu_rest_int(request, "whole", -1)));
  const char *text = mu_rest_text(request, "text");
  json_object_object_add(answer, "text", text ? json_object_new_string(text) : NULL);
  return mu_rest_answer(request, 0, answer);
}

static void on_later(void *context)
{
  struct waiting *waiting = context;
  mu_http *request = mu_http_find(waiting->probe->in, waiting->request);
  if (request)
    show(NULL, request);
  mu_timer_free(waiting->timer);
  forget(waiting);
}

/* The same after ?page milliseconds. */
static int defer(void *self, mu_http *request)
{
  struct waiting *waiting = wait_for(self, (uint64_t)mu_rest_int(request, "page", 1), on_later);
  if (!waiting)
    return MU_ENOMEM;
  waiting->request = mu_http_get_id(request);
  return MU_PENDING;
}

static int fail(void *self, mu_http *request)
{
  (void)self;
  struct mu_str how = mu_rest_param(request, "how");
  if (mu_str_equal(how, MU_STR("conflict")))
    return mu_rest_error(request, 409, "USER_EXISTS", MU_WORDS("this name is taken", "用户名已存在"));
  if (mu_str_equal(how, MU_STR("invalid")))
    return mu_rest_invalid(request, "email", MU_WORDS("is no address", "邮箱格式不正确"));
  if (mu_str_equal(how, MU_STR("null")))
    return mu_rest_answer(request, 200, NULL);
  if (mu_str_equal(how, MU_STR("nothing")))
    return 0;
  if (mu_str_equal(how, MU_STR("never")))
    return MU_PENDING;
  return MU_EIO;
}

/* A route of http.h, which may use the calls of rest.h all the same. */
static int plain(void *self, mu_http *request)
{
  (void)self;
  struct mu_str how = MU_STR("");
  mu_http_query(request, "how", &how);
  if (mu_str_equal(how, MU_STR("error")))
    return mu_rest_error(request, 409, "taken", MU_WORDS("this is taken", "已存在"));
  if (mu_str_equal(how, MU_STR("invalid")))
    return mu_rest_invalid(request, "how", MU_WORDS("is no good", "无效"));
  if (mu_str_equal(how, MU_STR("answer")))
    return mu_rest_answer(request, 0, json_object_new_string(mu_rest_given(request, "how") ? "given" : "not given"));
  if (mu_str_equal(how, MU_STR("null")))
    return mu_rest_answer(request, 0, NULL);
  mu_text *text = mu_text_printf("user=%s", mu_http_principal(request) ? mu_http_principal(request)->id : "");
  int result = mu_http_answer(request, 200, "text/plain", text);
  mu_text_unref(text);
  return result;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool no_fool(struct mu_str value, struct mu_words *why)
{
  *why = MU_WORDS("must not be a fool", "不能是傻瓜");
  return !mu_str_equal_nocase(value, MU_STR("fool"));
}

static const char *const colours[] = {"red", "green", "blue", NULL};
static const struct mu_rest_field inner[] = {
    {.name = "x", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED, .min = 0, .max = 9, .help = "Where it is"},
    {.name = "when", .type = MU_REST_TIME},
};
static const struct mu_rest_field body[] = {
    {.name = "text",
     .also = "other_text",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 2,
     .max = 5,
     .check = no_fool,
     .help = "A short text"},
    {.name = "words", .type = MU_REST_STRING, .one_of = colours},
    {.name = "code",
     .type = MU_REST_STRING,
     .min = 3,
     .max = 30,
     .pattern = "[A-Za-z0-9_]+",
     .pattern_words = {"only letters, digits and underscores", "只能包含字母、数字和下划线"},
     .words = {"must be a code of 3 to 30 characters", "长度必须为 3-30 位"}},
    {.name = "whole", .type = MU_REST_INTEGER, .min = -10, .max = 10},
    {.name = "number", .type = MU_REST_NUMBER},
    {.name = "flag", .type = MU_REST_BOOLEAN},
    {.name = "time", .type = MU_REST_TIME},
    {.name = "any", .type = MU_REST_ANY, .flags = MU_REST_NULLABLE},
    {.name = "thing", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(inner)},
    {.name = "things", .type = MU_REST_ARRAY, .min = 0, .max = 3, .fields = MU_REST_FIELDS(inner)},
    {.name = "list", .type = MU_REST_ARRAY, .item = MU_REST_STRING},
    {.name = "maybe", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .max = 255},
    {.name = "secret", .type = MU_REST_STRING, .flags = MU_REST_SECRET, .min = 8, .max = 100},
};
static const struct mu_rest_field query[] = {
    {.name = "page", .type = MU_REST_INTEGER, .min = 1, .max = 1000},
    {.name = "query", .also = "q", .type = MU_REST_STRING, .max = 10},
    {.name = "flag", .type = MU_REST_BOOLEAN},
    {.name = "number", .type = MU_REST_NUMBER},
    {.name = "since", .type = MU_REST_TIME},
    {.name = "list", .type = MU_REST_ARRAY, .item = MU_REST_INTEGER, .min = 0, .max = 3},
    {.name = "words", .type = MU_REST_STRING, .one_of = colours},
};
static const struct mu_rest_field needed[] = {
    {.name = "page", .type = MU_REST_INTEGER, .flags = MU_REST_REQUIRED, .min = 1, .max = 60000},
};
static const struct mu_rest_field answer_fields[] = {
    {.name = "given", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED},
    {.name = "user", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "made_at", .type = MU_REST_TIME},
};

#define LIMIT .rate = {.name = "tries", .count = 3, .window_s = 2}

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/probe/things", PUBLIC, show, .summary = "All things", .query = MU_REST_FIELDS(query),
            .answer = MU_REST_FIELDS(answer_fields), .answer_array = true),
    MU_REST(POST, "/api/probe/things", PUBLIC, show, .summary = "A new thing", .body = MU_REST_FIELDS(body),
            .answer = MU_REST_FIELDS(answer_fields), .status = 201),
    MU_REST(GET, "/api/probe/things/:id", USER, show, .summary = "One thing", .owner = "thing"),
    MU_REST(DELETE, "/api/probe/things/:id", USER, show, .body = MU_REST_FIELDS(inner), .owner = "thing"),
    MU_REST(PUT, "/api/probe/things/special", USER, show, .summary = "The special one"),
    MU_REST(GET, "/api/probe/things/:ep/parts/:sub", USER, show),
    MU_REST(GET, "/api/probe/things/:ep/parts/first", USER, show),
    MU_REST(PATCH, "/api/probe/admin", ADMIN, show, .body = MU_REST_FIELDS(body)),
    MU_REST(POST, "/api/probe/admin/act", ADMIN, show),
    MU_REST(GET, "/api/probe/later", PUBLIC, defer, .query = MU_REST_FIELDS(needed)),
    MU_REST(POST, "/api/probe/later", USER, defer, .query = MU_REST_FIELDS(needed), .body = MU_REST_FIELDS(inner)),
    MU_REST(GET, "/api/probe/fail/:how", PUBLIC, fail),
    MU_REST(GET, "/api/probe/short/:how", USER, fail, .errors = MU_REST_ERRORS_SHORT),
    MU_REST(POST, "/api/probe/text/:how", USER, fail, .errors = MU_REST_ERRORS_TEXT, .body = MU_REST_FIELDS(inner)),
    MU_REST(POST, "/api/probe/try", PUBLIC, show, .body = MU_REST_FIELDS(inner), LIMIT),
    MU_REST(GET, "/api/probe/try", PUBLIC, show, LIMIT),
    MU_REST(POST, "/api/probe/long", PUBLIC, show, .body = MU_REST_FIELDS(body), .max_body = 1000),
};

/* ---- the plugin ------------------------------------------------------------------------------ */

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  struct probe *probe = calloc(1, sizeof *probe);
  if (!probe)
    return MU_ENOMEM;
  *self = probe;
  probe->in = in;
  struct mu_rest_api api = {.size = sizeof api,
                            .title = "Probe",
                            .routes = routes,
                            .count = MU_COUNT(routes),
                            .route_size = sizeof *routes,
                            .field_size = sizeof *body};
  struct mu_http_route route = {
      .size = sizeof route, .path = "/probe/plain", .methods = MU_HTTP_GET, .access = MU_ACCESS_USER, .handle = plain};
  int error = mu_service_provide(in, MU_SERVICE_AUTH, &auth, probe);
  if (!error)
    error = mu_http_route(in, &route, probe);
  return error ? error : mu_rest_serve(in, &api, probe);
}

static void fini(void *self)
{
  struct probe *probe = self;
  while (probe->waiting)
    forget(probe->waiting);
  free(probe);
}

static const char *const provides[] = {MU_SERVICE_AUTH, NULL};
static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .provides = provides, .init = init, .fini = fini}};

MU_PLUGIN(.name = "rest_probe", .version = "1.0", .summary = "a REST API with a field of every kind", .licence = "ISC",
          .components = MU_COMPONENTS(components));
