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
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/http.h>
#include <muster/log.h>
#include <muster/loop.h>
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
      !(runtime.net = mui_net_new(&runtime)))
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
  mui_loop_free(runtime.loop);
  mui_instance_free(runtime.core);
  return 0;
}
