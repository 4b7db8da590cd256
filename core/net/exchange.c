/* SPDX-License-Identifier: ISC */
/* What a handler sees of a request, and how it answers. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/exchange.h"
#include "net/rest.h"

enum { MAX_ANSWER_HEADERS = 16 * 1024 };

mu_http_id mu_http_get_id(const mu_http *request)
{
  return request->id;
}

enum mu_http_method mu_http_method(const mu_http *request)
{
  return request->method;
}

struct mu_str mu_http_path(const mu_http *request)
{
  return (struct mu_str){request->path->text, request->path->len};
}

struct mu_str mu_http_body(const mu_http *request)
{
  return (struct mu_str){request->body.at ? request->body.at : "", request->body.len};
}

const char *mu_http_peer(const mu_http *request)
{
  return request->peer;
}

bool mu_http_secure(const mu_http *request)
{
  const struct mui_session *session = request->wsi ? mui_session_of(request->wsi) : NULL;
  char scheme[16];
  return session &&
         (session->listener->tls ||
          (mui_net_proxied(session) && mui_header(request->wsi, "x-forwarded-proto", scheme, sizeof scheme, NULL) &&
           strcasecmp(scheme, "https") == 0));
}

const struct mu_principal *mu_http_principal(const mu_http *request)
{
  return request->principal;
}

/* What the accessors copy out of the library is kept by the request, though to a handler it is const. */
static struct mui_note *note(const mu_http *request, const char *text, size_t len)
{
  return mui_request_note((struct mu_http *)(uintptr_t)request, text, len);
}

bool mu_http_query(const mu_http *request, const char *name, struct mu_str *value)
{
  char text[MUI_HEAD_MAX + 1];
  int n = 0;
  if (!request->wsi || !mui_query_next(request->wsi, name, &n, text, value))
    return false;
  struct mui_note *kept = note(request, value->at, value->len);
  if (!kept)
    return false;
  *value = (struct mu_str){kept->text, kept->len};
  return true;
}

bool mu_http_header(const mu_http *request, const char *name, struct mu_str *value)
{
  char text[MUI_HEAD_MAX + 1];
  size_t len = 0;
  if (!request->wsi || !mui_header(request->wsi, name, text, sizeof text, &len))
    return false;
  struct mui_note *kept = note(request, text, len);
  if (!kept)
    return false;
  *value = (struct mu_str){kept->text, kept->len};
  return true;
}

bool mui_header_value(const char *value)
{
  for (const char *at = value; *at; at++)
    if ((unsigned char)*at < ' ' || *at == 0x7f)
      return false;
  return true;
}

int mu_http_set(mu_http *request, const char *name, const char *value)
{
  /* These the core writes, and it alone knows what is right. */
  static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                     "Date",           "Content-Type",      "X-Content-Type-Options",
                                     "Keep-Alive",     "Trailer",           "Upgrade"};
  if (!mui_is_token(mu_str(name)) || !mui_header_value(value))
    return MU_EINVAL;
  for (size_t i = 0; i < MU_COUNT(ours); i++)
    if (strcasecmp(name, ours[i]) == 0)
      return MU_EINVAL;
  if (request->headers.len + strlen(name) + strlen(value) > MAX_ANSWER_HEADERS)
    return MU_ELIMIT;
  request->has_cache_control |= strcasecmp(name, "Cache-Control") == 0;
  request->has_policy |= strcasecmp(name, "Content-Security-Policy") == 0;
  request->has_referrer_policy |= strcasecmp(name, "Referrer-Policy") == 0;
  mu_buf_printf(&request->headers, "%s: %s\r\n", name, value);
  return request->headers.failed ? MU_ENOMEM : 0;
}

int mu_http_answer(mu_http *request, int status, const char *type, mu_text *body)
{
  if (request->state != MUI_REQUEST_RUNNING || !request->wsi)
    return MU_ECLOSED;
  if (status < 200 || status > 599 || (type && !mui_header_value(type)))
    return MU_EINVAL;
  request->status = status;
  request->answer = mu_text_ref(body);
  if (type && status != 204 && status != 304)
    mu_buf_printf(&request->headers, "Content-Type: %s\r\n", type);
  request->state = MUI_REQUEST_ANSWERED;
  request->deadline_ns = 0;
  mui_request_due(request);
  return 0;
}

int mu_http_error(mu_http *request, int status, const char *code, const char *message)
{
  if (request->rest)
    return mui_rest_decline(request, status, code, message);
  struct mu_buf json = MU_BUF_INIT;
  mu_buf_adds(&json, "{\"code\":");
  mu_buf_json_string(&json, mu_str(code));
  mu_buf_adds(&json, ",\"message\":");
  mu_buf_json_string(&json, mu_str(message));
  mu_buf_adds(&json, "}");
  mu_text *body = mu_buf_take_text(&json);
  int result = mu_http_answer(request, status, body ? "application/json; charset=utf-8" : NULL, body);
  mu_text_unref(body);
  return result;
}
