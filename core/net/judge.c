/* SPDX-License-Identifier: ISC */
/* Judging a request by its head: what is refused, and with which words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <muster/log.h>
#include "net/exchange.h"
#include "net/rest.h"

/* A header that the library knows. Several of one name are joined with ','. False: none, or longer than fits. */
static bool known_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
  int len = lws_hdr_total_length(wsi, token);
  return len > 0 && (size_t)len < size && lws_hdr_copy(wsi, out, (int)size, token) > 0;
}

void mui_http_decline(struct mu_http *request, int status, const char *code, const char *message)
{
  request->state = MUI_REQUEST_RUNNING;
  mu_http_error(request, status, code, message);
}

void mui_http_refuse(struct mu_http *request, int status, const char *code, const char *message)
{
  request->close = true;
  mui_http_decline(request, status, code, message);
}

static bool judge_version(struct mu_http *request, bool *old)
{
  char version[16];
  /* The library decodes the URL while it looks for the line's end, which %0A and %0D then are. */
  if (lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP) <= 0) {
    mui_http_refuse(request, 400, "bad_path",
                    "the request line names no HTTP version, or its URL has a line break (%0A, %0D)");
    return false;
  }
  if (!known_header(request->wsi, WSI_TOKEN_HTTP, version, sizeof version))
    version[0] = '\0';
  *old = strncmp(version, "HTTP/1.0", 8) == 0;
  if (*old || strncmp(version, "HTTP/1.1", 8) == 0)
    return true;
  mui_http_refuse(request, 505, "bad_version", "only HTTP/1.0 and HTTP/1.1 are spoken here");
  return false;
}

static bool judge_host(struct mu_http *request, bool old)
{
  char host[300];
  int len = lws_hdr_total_length(request->wsi, WSI_TOKEN_HOST);
  if (len <= 0) {
    if (old)
      return true;
    mui_http_refuse(request, 400, "bad_host", "the Host header is missing");
    return false;
  }
  if (!known_header(request->wsi, WSI_TOKEN_HOST, host, sizeof host) || strpbrk(host, ", \t/@?#\\")) {
    mui_http_refuse(request, 400, "bad_host", "the Host header is not one host");
    return false;
  }
  return true;
}

/* Decides how long the body is: `*length`; false: refused. `awaited`: without a length the library takes what follows for a body. */
static bool judge_length(struct mu_http *request, bool awaited, uint64_t *length)
{
  struct lws *wsi = request->wsi;
  bool given = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
  *length = 0;
  if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
    if (given)
      mui_http_refuse(request, 400, "bad_length", "Content-Length and Transfer-Encoding contradict each other");
    else
      mui_http_refuse(request, 411, "length_required", "a body needs a Content-Length");
    return false;
  }
  if (!given) { /* then there is no body (RFC 9112, 6.3); but nothing that follows may be parsed */
    request->close |= awaited;
    return true;
  }
  char text[24];
  bool good = known_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text) && strlen(text) <= 18;
  for (const char *at = text; good && *at; at++) {
    good = *at >= '0' && *at <= '9';
    *length = *length * 10 + (uint64_t)(*at - '0');
  }
  if (!good)
    mui_http_refuse(request, 400, "bad_length", "Content-Length must be one whole number");
  return good;
}

/* Mirrors the library's own rule, which decides in lws_http_transaction_completed(). */
static bool wants_close(struct lws *wsi)
{
  char value[64];
  if (!known_header(wsi, WSI_TOKEN_CONNECTION, value, sizeof value))
    return lws_hdr_total_length(wsi, WSI_TOKEN_CONNECTION) > 0;
  return strcasestr(value, "close") != NULL;
}

/* What is known of the path before anything is judged: it decides how even the first refusal reads. */
struct found {
  enum mui_found what;
  struct mui_route *route; /* MUI_ROUTE_METHOD: one that knows the path */
  unsigned allowed;
};

static struct found find_route(struct mu_http *request, const struct mui_session *session, int library_method)
{
  const struct mui_router *router = request->net->http_routes;
  struct mu_str path = mu_http_path(request);
  struct found found = {0};
  unsigned asked = library_method == LWSHUMETH_OPTIONS || library_method == LWSHUMETH_CONNECT ? 0 : request->method;
  found.what = mui_router_find(router, path, asked, session->listener, &found.route, &found.allowed);
  if (found.what == MUI_ROUTE_METHOD && (found.allowed & MU_HTTP_GET)) {
    /* A folder of files claims its whole prefix, but what it does not have is not there for any method. */
    struct mui_route *files = NULL;
    if (mui_router_find(router, path, MU_HTTP_GET, session->listener, &files, NULL) == MUI_ROUTE_FOUND &&
        files->files && !mui_files_have(files, path))
      found = (struct found){.what = MUI_ROUTE_NONE};
  }
  /* "/api/…" belongs to REST: what nobody serves there, not even as a file, is answered in that form. */
  if (found.what == MUI_ROUTE_FOUND && found.route->files && mui_rest_path(path) && !mui_files_have(found.route, path))
    found = (struct found){.what = MUI_ROUTE_NONE};
  return found;
}

/* "/api/things/" is "/api/things" for REST, as released clients may have it. */
static void forgive_slash(struct mu_http *request, const struct mui_session *session, int library_method,
                          struct found *found)
{
  struct mui_note *path = request->path;
  if (found->what != MUI_ROUTE_NONE || path->len < 2 || path->text[path->len - 1] != '/')
    return;
  path->len--;
  struct found shorter = find_route(request, session, library_method);
  if (shorter.what != MUI_ROUTE_NONE && shorter.route->rest)
    *found = shorter;
  else
    path->len++;
}

static bool is_rest(const struct found *found, struct mu_str path)
{
  return found->what == MUI_ROUTE_NONE ? mui_rest_path(path) : found->route->rest != NULL;
}

static void refuse_method(struct mu_http *request, int library_method, unsigned methods)
{
  static const struct {
    unsigned method;
    const char *names;
  } names[] = {{MU_HTTP_GET, "GET, HEAD, "},
               {MU_HTTP_POST, "POST, "},
               {MU_HTTP_PUT, "PUT, "},
               {MU_HTTP_PATCH, "PATCH, "},
               {MU_HTTP_DELETE, "DELETE, "}};
  char allow[64];
  size_t at = 0;
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (methods & names[i].method)
      at += (size_t)snprintf(allow + at, sizeof allow - at, "%s", names[i].names);
  snprintf(allow + at, sizeof allow - at, "OPTIONS");
  mu_http_set(request, "Allow", allow);
  if (library_method != LWSHUMETH_OPTIONS) {
    mui_http_decline(request, 405, "method_not_allowed", "this path does not know the method");
    return;
  }
  if (request->rest)
    mui_rest_preflight(request, allow);
  request->state = MUI_REQUEST_RUNNING;
  mu_http_answer(request, 204, NULL, NULL);
}

/* Takes the route; false: answered. */
static bool judge_route(struct mu_http *request, const struct found *found, int library_method)
{
  if (found->what == MUI_ROUTE_NONE) {
    mui_http_decline(request, 404, "not_found", "there is nothing at this path");
    return false;
  }
  if (found->what == MUI_ROUTE_METHOD) {
    refuse_method(request, library_method, found->allowed);
    return false;
  }
  request->route = found->route;
  if (request->rest && request->rest->row && !mui_rest_rate_judge(request))
    return false;
  return found->route->http.access == MU_ACCESS_PUBLIC || mui_bearer_judge(request);
}

/* Answers Expect ourselves. */
static void judge_expect(struct mu_http *request, bool old, bool *broken)
{
  char value[32];
  if (lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP_EXPECT) <= 0 || old)
    return;
  if (!known_header(request->wsi, WSI_TOKEN_HTTP_EXPECT, value, sizeof value) ||
      strcasecmp(value, "100-continue") != 0) {
    mui_http_refuse(request, 417, "bad_expectation", "only 100-continue may be expected");
    return;
  }
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  if (request->body_expected > 0)
    *broken = lws_write(request->wsi, (unsigned char *)(uintptr_t)go_on, sizeof go_on - 1, LWS_WRITE_HTTP) < 0;
}

/* Whether the library awaits a body with the method, whatever the headers say. */
static bool set_method(struct mu_http *request, int library_method)
{
  static const struct {
    int method;
    const char *name;
  } names[] = {{LWSHUMETH_GET, "GET"},         {LWSHUMETH_HEAD, "HEAD"},      {LWSHUMETH_POST, "POST"},
               {LWSHUMETH_PUT, "PUT"},         {LWSHUMETH_PATCH, "PATCH"},    {LWSHUMETH_DELETE, "DELETE"},
               {LWSHUMETH_OPTIONS, "OPTIONS"}, {LWSHUMETH_CONNECT, "CONNECT"}};
  request->method_name = "?";
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (names[i].method == library_method)
      request->method_name = names[i].name;
  request->head = library_method == LWSHUMETH_HEAD;
  switch (library_method) {
  case LWSHUMETH_HEAD:
  case LWSHUMETH_GET:
    request->method = MU_HTTP_GET;
    return false;
  case LWSHUMETH_POST:
    request->method = MU_HTTP_POST;
    return true;
  case LWSHUMETH_PUT:
    request->method = MU_HTTP_PUT;
    return true;
  case LWSHUMETH_PATCH:
    request->method = MU_HTTP_PATCH;
    return true;
  case LWSHUMETH_DELETE:
    request->method = MU_HTTP_DELETE;
    return false;
  default:
    return false;
  }
}

static bool few_enough(struct mu_http *request)
{
  if (request->per_peer->requests <= MUI_HTTP_MAX_PER_PEER)
    return true;
  mu_log_limited(request->net->runtime->core, MU_LOG_WARN, "http peer", "%s has %u HTTP requests in progress",
                 request->peer, request->per_peer->requests);
  mu_http_set(request, "Retry-After", "1");
  mui_http_refuse(request, 429, "too_many_requests", "too many requests in progress from this address");
  return false;
}

bool mui_http_judge(struct mu_http *request, const struct mui_session *session, int library_method)
{
  bool awaited = set_method(request, library_method);
  bool old = false, broken = false;
  uint64_t length = 0;
  struct found found = find_route(request, session, library_method);
  forgive_slash(request, session, library_method, &found);
  if (is_rest(&found, mu_http_path(request)) && !mui_rest_begin(request, session, found.route))
    return false;
  if (!few_enough(request) || !judge_version(request, &old) || !judge_host(request, old) ||
      !judge_length(request, awaited, &length))
    return true;
  request->old = old;
  request->close |= old || wants_close(request->wsi);
  if (length > 0 && request->method == MU_HTTP_GET) {
    mui_http_refuse(request, 413, "body_too_long", "this method takes no body");
  } else if (!judge_route(request, &found, library_method)) {
    request->close |= length > 0; /* its body stays unread */
  } else if (length > request->route->http.max_body) {
    mui_http_refuse(request, 413, "body_too_long", "the body is longer than this path takes");
  } else if (length > 0 && request->rest && !mui_rest_judge_type(request)) {
    return true;
  } else {
    request->body_expected = (size_t)length;
    judge_expect(request, old, &broken);
  }
  return !broken;
}
