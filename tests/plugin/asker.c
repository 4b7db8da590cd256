/* SPDX-License-Identifier: ISC */
/*
 * Asks auth/1 and accounts/1 for tests.
 *   GET /test/asker?kind=4&id=ann&secret=…&provider=…    {"verdict":1,"id","name","role","credential","code","retry"}
 *   GET /test/asker?admin=NAME                            {"error":0,"password":"…","reason":null}
 * Adds endpoint_count, which is 7, and letters, the length of a name, to the administrators' list of users.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

struct asker {
  mu_instance *in;
  struct mu_service accounts;
};

/* One question; freed by its answer. The tests ask nothing while it stops. */
struct question {
  struct asker *asker;
  mu_http_id request;
};

static void answer(const struct question *question, struct json_object *body)
{
  mu_http *request = mu_http_find(question->asker->in, question->request);
  mu_text *text = mu_json_text(body);
  if (request)
    mu_http_answer(request, 200, "application/json", text);
  mu_text_unref(text);
  json_object_put(body);
}

static void judged(void *context, const struct mu_auth_answer *given)
{
  struct question *question = context;
  struct json_object *body = json_object_new_object();
  json_object_object_add(body, "verdict", json_object_new_int(given->verdict));
  json_object_object_add(body, "code", given->code ? json_object_new_string(given->code) : NULL);
  json_object_object_add(body, "retry", json_object_new_int((int)given->retry_after_s));
  if (given->principal) {
    json_object_object_add(body, "provider", json_object_new_string(given->principal->provider));
    json_object_object_add(body, "id", json_object_new_string(given->principal->id));
    json_object_object_add(body, "name", json_object_new_string(given->principal->name));
    json_object_object_add(body, "role", json_object_new_int(given->principal->role));
    json_object_object_add(body, "credential", json_object_new_string(given->principal->credential));
  }
  answer(question, body);
  free(question);
}

static void made(void *context, int error, const char *password, const char *reason)
{
  struct question *question = context;
  struct json_object *body = json_object_new_object();
  json_object_object_add(body, "error", json_object_new_int(error));
  json_object_object_add(body, "password", password ? json_object_new_string(password) : NULL);
  json_object_object_add(body, "reason", reason ? json_object_new_string(reason) : NULL);
  answer(question, body);
  free(question);
}

static int handle(void *self, mu_http *request)
{
  struct asker *asker = self;
  const struct mu_accounts *accounts = asker->accounts.api;
  struct mu_str kind = {0}, id = {0}, secret = {0}, provider = {0}, name = {0};
  char text[256] = "", from[64] = "";
  struct question *question = calloc(1, sizeof *question);
  if (!question)
    return MU_ENOMEM;
  *question = (struct question){asker, mu_http_get_id(request)};
  mu_http_query(request, "id", &id);
  mu_http_query(request, "secret", &secret);
  if (mu_http_query(request, "provider", &provider) && provider.len < sizeof from)
    memcpy(from, provider.at, provider.len);
  int result = MU_EINVAL;
  if (mu_http_query(request, "admin", &name) && name.len < sizeof text) {
    memcpy(text, name.at, name.len);
    result = accounts->admin(asker->accounts.self, asker->in, text, made, question);
    result = result == 0 ? MU_PENDING : result;
  } else if (mu_http_query(request, "kind", &kind) && kind.len < sizeof text) {
    memcpy(text, kind.at, kind.len);
    const struct mu_credential credential = {.size = sizeof credential,
                                             .kind = (enum mu_credential_kind)atoi(text),
                                             .id = id,
                                             .secret = secret,
                                             .peer = mu_http_peer(request),
                                             .provider = from[0] ? from : NULL};
    result = mu_auth_check(asker->in, &credential, judged, question);
  }
  if (result < 0)
    free(question);
  return result;
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  const struct mu_http_route route = {.size = sizeof route,
                                      .path = "/test/asker",
                                      .methods = MU_HTTP_GET,
                                      .access = MU_ACCESS_PUBLIC,
                                      .handle = handle};
  struct asker *asker = calloc(1, sizeof *asker);
  if (!asker)
    return MU_ENOMEM;
  asker->in = in;
  int result = mu_http_route(in, &route, asker);
  if (result != 0)
    free(asker);
  else
    *self = asker;
  return result;
}

static int start(void *self)
{
  struct asker *asker = self;
  int result = mu_service_get(asker->in, MU_SERVICE_ACCOUNTS, &asker->accounts);
  if (result != 0)
    return result;
  const struct mu_accounts *accounts = asker->accounts.api;
  result = accounts->user_count(asker->accounts.self, asker->in, "endpoint_count", "(SELECT 7)");
  if (result == 0)
    result = accounts->user_count(asker->accounts.self, asker->in, "letters", "LENGTH(users.username)");
  if (result == 0 && accounts->user_count(asker->accounts.self, asker->in, "letters", "1") != MU_EEXIST)
    result = MU_EINTERNAL;
  return result;
}

static void fini(void *self)
{
  free(self);
}

static const char *const needs[] = {MU_SERVICE_ACCOUNTS, NULL};
static const char *const wants[] = {MU_SERVICE_AUTH, NULL};

static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .needs = needs,
                                                  .wants = wants,
                                                  .init = init,
                                                  .start = start,
                                                  .fini = fini}};

MU_PLUGIN(.name = NAME, .version = "0", .summary = "asks auth/1 and accounts/1 for tests", .licence = "ISC",
          .components = MU_COMPONENTS(components));
