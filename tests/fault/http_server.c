/* SPDX-License-Identifier: ISC */
/*
 * A server with nothing but HTTP routes, for tests that talk to it through raw sockets.
 * Usage: http_server [FOLDER [CERTIFICATE KEY]]; prints "port N" (and "tls N") and runs until SIGTERM.
 *   /echo   answers at once: "METHOD PATH tag=TAG LENGTH:BODY"; at most 4096 bytes of body
 *   /later  the same after ?ms=N
 *   /big    ?n=N bytes of 'x', at once
 *   /never  no answer
 *   /user   needs a principal
 *   /files/ the folder
 *   /api/fuzz/later   the same as REST, GET and POST, after ?ms=N; the body is {"text":…}
 *   /api/fuzz/known   the same for who has a token "N", which is found good after N ms
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/http.h>
#include <muster/log.h>
#include <muster/bus.h>
#include <muster/loop.h>
#include <muster/plugin.h>
#include <muster/rest.h>
#include "bus/bus.h"
#include "loop/loop.h"
#include "net/net.h"

static int number(const mu_http *request, const char *name)
{
  struct mu_str value;
  return mu_http_query(request, name, &value) ? atoi(value.at) : 0;
}

static int echo(void *self, mu_http *request)
{
  (void)self;
  static const char *const names[] = {[MU_HTTP_GET] = "GET",
                                      [MU_HTTP_POST] = "POST",
                                      [MU_HTTP_PUT] = "PUT",
                                      [MU_HTTP_PATCH] = "PATCH",
                                      [MU_HTTP_DELETE] = "DELETE"};
  struct mu_str tag = MU_STR(""), path = mu_http_path(request), body = mu_http_body(request);
  mu_http_query(request, "tag", &tag);
  mu_text *text = mu_text_printf("%s %.*s tag=%.*s %zu:%.*s", names[mu_http_method(request)], (int)path.len, path.at,
                                 (int)tag.len, tag.at, body.len, (int)body.len, body.at);
  int result = mu_http_answer(request, 200, "text/plain", text);
  mu_text_unref(text);
  return result;
}

struct wait {
  mu_instance *in;
  mu_http_id id;
  mu_timer *timer;
};

static void on_time(void *context)
{
  struct wait *wait = context;
  mu_http *request = mu_http_find(wait->in, wait->id);
  if (request)
    echo(NULL, request);
  mu_timer_free(wait->timer);
  free(wait);
}

static int later(void *self, mu_http *request)
{
  struct wait *wait = calloc(1, sizeof *wait);
  if (!wait)
    return MU_ENOMEM;
  wait->in = self;
  wait->id = mu_http_get_id(request);
  wait->timer = mu_timer_new(wait->in, on_time, wait);
  mu_timer_start(wait->timer, (uint64_t)number(request, "ms"), 0);
  return MU_PENDING;
}

static int big(void *self, mu_http *request)
{
  (void)self;
  int n = number(request, "n");
  char *data;
  mu_text *text = n < 0 || n > 64 << 20 ? NULL : mu_text_alloc((size_t)n, &data);
  if (!text)
    return MU_ENOMEM;
  memset(data, 'x', (size_t)n);
  int result = mu_http_answer(request, 200, "text/plain", text);
  mu_text_unref(text);
  return result;
}

static int never(void *self, mu_http *request)
{
  (void)self, (void)request;
  return MU_PENDING;
}

/* ---- REST ------------------------------------------------------------------------------------ */

static void say_rest(mu_http *request)
{
  const char *tag = mu_rest_text(request, "tag"), *text = mu_rest_text(request, "text");
  const struct mu_principal *principal = mu_http_principal(request);
  mu_text *body = mu_text_printf("{\"tag\":\"%s\",\"text\":\"%s\",\"user\":\"%s\"}", tag ? tag : "", text ? text : "",
                                 principal ? principal->id : "");
  mu_http_answer(request, 200, "application/json", body);
  mu_text_unref(body);
}

static void on_rest_time(void *context)
{
  struct wait *wait = context;
  mu_http *request = mu_http_find(wait->in, wait->id);
  if (request)
    say_rest(request);
  mu_timer_free(wait->timer);
  free(wait);
}

static int rest_later(void *self, mu_http *request)
{
  int64_t ms = mu_rest_int(request, "ms", 0);
  if (ms == 0) {
    say_rest(request);
    return 0;
  }
  struct wait *wait = calloc(1, sizeof *wait);
  if (!wait)
    return MU_ENOMEM;
  *wait = (struct wait){.in = self, .id = mu_http_get_id(request)};
  wait->timer = mu_timer_new(wait->in, on_rest_time, wait);
  mu_timer_start(wait->timer, (uint64_t)ms, 0);
  return MU_PENDING;
}

static const struct mu_rest_field rest_query[] = {
    {.name = "tag", .type = MU_REST_STRING, .max = 100},
    {.name = "ms", .type = MU_REST_INTEGER, .min = 0, .max = 1000},
};
static const struct mu_rest_field rest_body[] = {
    {.name = "text", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .min = 0, .max = 4096},
};
#define SHARED .query = MU_REST_FIELDS(rest_query)
static const struct mu_rest_route rest_routes[] = {
    MU_REST(GET, "/api/fuzz/later", PUBLIC, rest_later, SHARED),
    MU_REST(POST, "/api/fuzz/later", PUBLIC, rest_later, SHARED, .body = MU_REST_FIELDS(rest_body), .max_body = 4200),
    MU_REST(GET, "/api/fuzz/known", USER, rest_later, SHARED),
    MU_REST(POST, "/api/fuzz/known", USER, rest_later, SHARED, .body = MU_REST_FIELDS(rest_body), .max_body = 4200),
};

struct asked {
  mu_instance *in;
  mu_timer *timer;
  mu_auth_done done;
  void *context;
};

static void on_asked(void *context)
{
  struct asked *asked = context;
  const struct mu_principal *principal =
      mu_principal_new(&(struct mu_principal){.size = sizeof *principal,
                                              .provider = mu_instance_name(asked->in),
                                              .id = "known",
                                              .name = "",
                                              .role = MU_ROLE_USER,
                                              .owner = "known",
                                              .credential = ""});
  asked->done(asked->context, &(struct mu_auth_answer){.size = sizeof(struct mu_auth_answer),
                                                       .verdict = MU_AUTH_GRANTED,
                                                       .principal = principal});
  mu_principal_unref(principal);
  mu_timer_free(asked->timer);
  free(asked);
}

/* The token is the number of milliseconds that its judge takes; others are not known. */
static int judge(void *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct asked *asked = calloc(1, sizeof *asked);
  if (!asked || credential->secret.len == 0 || *credential->secret.at < '0' || *credential->secret.at > '9') {
    free(asked);
    done(context, &(struct mu_auth_answer){.size = sizeof(struct mu_auth_answer), .verdict = MU_AUTH_UNKNOWN});
    return 0;
  }
  uint64_t ms = 0;
  for (size_t i = 0; i < credential->secret.len; i++)
    ms = ms * 10 + (uint64_t)(credential->secret.at[i] - '0');
  *asked = (struct asked){.in = self, .done = done, .context = context};
  if (ms == 0) {
    asked->timer = NULL;
    on_asked(asked);
    return 0;
  }
  asked->timer = mu_timer_new(asked->in, on_asked, asked);
  mu_timer_start(asked->timer, ms, 0);
  return MU_PENDING;
}

static int serve_rest(mu_instance *in)
{
  static const struct mu_auth auth = {.size = sizeof auth, .kinds = MU_CREDENTIAL_TOKEN, .judge = judge};
  struct mu_rest_api api = {.size = sizeof api,
                            .title = "Fuzz",
                            .routes = rest_routes,
                            .count = MU_COUNT(rest_routes),
                            .route_size = sizeof *rest_routes,
                            .field_size = sizeof *rest_query};
  int error = mu_service_provide(in, MU_SERVICE_AUTH, &auth, in);
  return error ? error : mu_rest_serve(in, &api, in);
}

/* ---- the program ----------------------------------------------------------------------------- */

static void stopped(void *context)
{
  mui_loop_break(context);
}

static void on_signal(void *context, int signal)
{
  (void)signal;
  struct mui_runtime *runtime = context;
  mui_net_stop(runtime->net, stopped, runtime->loop);
}

int main(int argc, char **argv)
{
  enum { ALL = MU_HTTP_GET | MU_HTTP_POST | MU_HTTP_PUT | MU_HTTP_PATCH | MU_HTTP_DELETE };
  struct mui_runtime runtime = {.node = "test", .root = ""};
  char problem[256];
  if (!(runtime.loop = mui_loop_new(1, 0)) || !(runtime.core = mui_instance_new(&runtime, "core", "core")) ||
      !(runtime.bus = mui_bus_new()) || !(runtime.net = mui_net_new(&runtime)))
    return 1;
  mu_instance *in = mui_instance_new(&runtime, "routes", "test");
  struct mu_http_route routes[] = {
      {.path = "/echo", .methods = ALL, .max_body = 4096, .handle = echo},
      {.path = "/later", .methods = ALL, .max_body = 4096, .handle = later},
      {.path = "/big", .methods = MU_HTTP_GET, .handle = big},
      {.path = "/never", .methods = MU_HTTP_GET, .handle = never},
      {.path = "/user", .methods = MU_HTTP_GET, .access = MU_ACCESS_USER, .handle = echo},
  };
  for (size_t i = 0; in && i < MU_COUNT(routes); i++) {
    routes[i].size = sizeof routes[i];
    if (!routes[i].access)
      routes[i].access = MU_ACCESS_PUBLIC;
    if (mu_http_route(in, &routes[i], in) < 0)
      return 1;
  }
  if (!in || serve_rest(in) < 0)
    return 1;
  if (argc > 1 && *argv[1]) {
    struct mu_http_files files = {
        .size = sizeof files, .prefix = "/files/", .folder = argv[1], .access = MU_ACCESS_PUBLIC};
    if (mu_http_files(in, &files) < 0)
      return 1;
  }
  struct mui_listen listen[2] = {{.address = "127.0.0.1"}, {.address = "127.0.0.1"}};
  size_t count = 1;
  if (argc > 3) {
    listen[1].tls.certificate = argv[2];
    listen[1].tls.key = argv[3];
    count = 2;
  }
  struct mui_limits limits = {
      .max_connections = 10000, .header_timeout_s = 2, .body_timeout_s = 2, .send_timeout_s = 2};
  if (mui_net_listen(runtime.net, listen, count, &limits, problem, sizeof problem) < 0) {
    fprintf(stderr, "%s\n", problem);
    return 1;
  }
  mui_loop_on_signal(runtime.loop, SIGTERM, on_signal, &runtime);
  printf("port %u\n", mui_net_port(runtime.net, 0));
  if (count > 1)
    printf("tls %u\n", mui_net_port(runtime.net, 1));
  fflush(stdout);
  mui_loop_run(runtime.loop);
  struct mui_net_stats stats;
  mui_net_read(runtime.net, &stats);
  printf("requests %llu refused %llu failed %llu\n", (unsigned long long)stats.http_requests,
         (unsigned long long)stats.http_4xx, (unsigned long long)stats.http_5xx);
  mui_instance_revoke(in);
  mui_net_free(runtime.net);
  mui_instance_free(in);
  mui_instance_revoke(runtime.core);
  mui_bus_free(runtime.bus);
  mui_loop_free(runtime.loop);
  mui_instance_free(runtime.core);
  return 0;
}
