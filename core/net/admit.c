/* SPDX-License-Identifier: ISC */
/* Judging an upgrade, and refusing it with a body that says why. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/ws.h"

enum { PATH_MAX_LEN = 2048 };

/* A header or parameter that was asked for; kept until the call is over. */
struct value {
  struct value *next;
  size_t len;
  char text[];
};

struct mu_ws_request {
  struct mui_session *session;
  struct lws *wsi;
  mu_conn_id conn;
  struct mu_str path;
  struct value *values;
  char peer[64];
};

struct mu_str mu_ws_request_path(const mu_ws_request *request)
{
  return request->path;
}

const char *mu_ws_request_peer(const mu_ws_request *request)
{
  return request->peer;
}

mu_conn_id mu_ws_request_conn(const mu_ws_request *request)
{
  return request->conn;
}

static bool keep(const mu_ws_request *request, const char *text, size_t len, struct mu_str *out)
{
  mu_ws_request *owner = (mu_ws_request *)request; /* the views are the request's, whoever only reads it */
  struct value *value = malloc(sizeof *value + len + 1);
  if (!value)
    return false;
  memcpy(value->text, text, len);
  value->text[len] = '\0';
  value->len = len;
  value->next = owner->values;
  owner->values = value;
  *out = (struct mu_str){value->text, len};
  return true;
}

bool mu_ws_request_header(const mu_ws_request *request, const char *name, struct mu_str *value)
{
  char text[MUI_HEAD_MAX + 1];
  size_t len = 0;
  bool found = mui_header(request->wsi, name, text, sizeof text, &len) && keep(request, text, len, value);
  mu_secret_wipe(text, len);
  return found;
}

bool mu_ws_request_query(const mu_ws_request *request, const char *name, struct mu_str *value)
{
  char text[MUI_HEAD_MAX + 1];
  int n = 0;
  bool found = mui_query_next(request->wsi, name, &n, text, value) && keep(request, value->at, value->len, value);
  mu_secret_wipe(text, sizeof text);
  return found;
}

static void free_values(mu_ws_request *request)
{
  while (request->values) {
    struct value *value = request->values;
    request->values = value->next;
    mu_secret_wipe(value->text, value->len);
    free(value);
  }
}

static int refuse(struct lws *wsi, struct mui_session *session, const struct mu_admission *admission)
{
  struct mui_net *net = session->net;
  const char *code = admission->code ? admission->code : "refused";
  const char *message = admission->message ? admission->message : "";
  struct mu_buf body = MU_BUF_INIT, head = MU_BUF_INIT;
  mu_buf_adds(&body, "{\"code\":");
  mu_buf_json_string(&body, mu_str(code));
  mu_buf_adds(&body, ",\"message\":");
  mu_buf_json_string(&body, mu_str(message));
  mu_buf_adds(&body, "}");
  char room[LWS_PRE] = {0};
  mu_buf_add(&head, room, sizeof room);
  mu_buf_printf(&head, "HTTP/1.1 %d %s\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %zu\r\n",
                admission->status, mui_status_text(admission->status), body.len);
  if (admission->status == 426)
    mu_buf_adds(&head, "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n");
  if (admission->retry_after_s)
    mu_buf_printf(&head, "Retry-After: %u\r\n", admission->retry_after_s);
  mu_buf_adds(&head,
              "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
              "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nConnection: close\r\n\r\n");
  mu_buf_add(&head, body.at, body.len);
  if (!body.failed && !head.failed)
    lws_write(wsi, (unsigned char *)head.at + LWS_PRE, head.len - LWS_PRE, LWS_WRITE_HTTP_FINAL);
  mu_buf_free(&body);
  mu_buf_free(&head);
  mui_net_count(net, "upgrades_refused");
  return -1;
}

static int refuse_as(struct lws *wsi, struct mui_session *session, int status, const char *code, const char *message)
{
  mu_log_limited(session->net->runtime->core, MU_LOG_INFO, code, "%s: upgrade refused with %d: %s", session->address,
                 status, message);
  return refuse(wsi, session, &(struct mu_admission){.status = status, .code = code, .message = message});
}

/* A word in the comma-separated Connection header. */
static bool connection_upgrades(struct lws *wsi)
{
  char text[120]; /* what the library reads of it */
  if (!mui_header(wsi, "connection", text, sizeof text, NULL))
    return false;
  char *rest = text;
  for (char *word; (word = strsep(&rest, ","));) {
    word += strspn(word, " \t");
    word[strcspn(word, " \t")] = '\0';
    if (strcasecmp(word, "upgrade") == 0)
      return true;
  }
  return false;
}

static bool once(struct lws *wsi, enum lws_token_indexes token)
{
  return lws_hdr_total_length(wsi, token) > 0 && lws_hdr_fragment_length(wsi, token, 1) <= 0;
}

/* What the library lets through and RFC 6455 does not. NULL: sane. */
static const char *insane(struct lws *wsi, const char *protocol)
{
  if (strcasecmp(protocol, "websocket") != 0)
    return "only an upgrade to websocket is known here";
  static const enum lws_token_indexes others[] = {WSI_TOKEN_POST_URI,  WSI_TOKEN_OPTIONS_URI, WSI_TOKEN_PUT_URI,
                                                  WSI_TOKEN_PATCH_URI, WSI_TOKEN_DELETE_URI,  WSI_TOKEN_HEAD_URI,
                                                  WSI_TOKEN_CONNECT};
  for (size_t i = 0; i < MU_COUNT(others); i++)
    if (lws_hdr_total_length(wsi, others[i]) > 0)
      return "an upgrade is a GET request";
  char text[64];
  size_t len;
  if (!once(wsi, WSI_TOKEN_GET_URI))
    return "an upgrade is a GET request";
  if (!mui_header(wsi, "host", (char[270]){0}, 270, NULL) || !once(wsi, WSI_TOKEN_HOST))
    return "exactly one Host header is needed";
  if (lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP) < 0 || strcmp(text, "HTTP/1.1") != 0)
    return "an upgrade needs HTTP/1.1";
  if (!once(wsi, WSI_TOKEN_UPGRADE) || !connection_upgrades(wsi))
    return "Connection: Upgrade is missing";
  if (!once(wsi, WSI_TOKEN_KEY) || !mui_header(wsi, "sec-websocket-key", text, sizeof text, &len) || len != 24)
    return "exactly one Sec-WebSocket-Key of 24 characters is needed";
  if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 ||
      (mui_header(wsi, "content-length", text, sizeof text, NULL) && strcmp(text, "0") != 0))
    return "an upgrade has no body";
  return NULL;
}

/* "13", "1.5", and "1.2.3a", which the library takes for a bad one. */
static bool looks_like_number(struct mu_str name)
{
  size_t dots = 0;
  for (size_t i = 0; i < name.len; i++) {
    if (!isdigit((unsigned char)name.at[i]) && name.at[i] != '.')
      return false;
    dots += name.at[i] == '.';
    if (dots > 1)
      return true;
  }
  return true;
}

/*
 * Takes the first subprotocol that is offered, by giving it to the one of ours that has no name of its own (net.c). The bounds are those of
 * the library, which would cut the connection without a word. NULL: fine.
 */
static const char *take_subprotocol(struct mui_session *session, struct lws *wsi, bool any)
{
  enum { LIST_MAX = 126 };
  struct mui_net *net = session->net;
  char list[LIST_MAX + 2];
  size_t len;
  int total = lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL);
  if (total <= 0)
    return NULL;
  if (!any)
    return "no subprotocol is known here";
  if (total > LIST_MAX || !mui_header(wsi, "sec-websocket-protocol", list, sizeof list, &len) || strlen(list) != len)
    return "the list of subprotocols is too long";
  bool first = true;
  char *rest = list;
  for (char *word; (word = strsep(&rest, ","));) {
    word += strspn(word, " \t");
    struct mu_str name = {word, strcspn(word, " \t")};
    if (!mui_is_token(name) || word[name.len + strspn(word + name.len, " \t")] != '\0')
      return "Sec-WebSocket-Protocol is not a list of names";
    if (!first)
      continue;
    if (name.len >= sizeof net->subprotocol)
      return "the name of a subprotocol is too long";
    if (looks_like_number(name))
      return "a number is no name of a subprotocol";
    snprintf(net->subprotocol, sizeof net->subprotocol, "%.*s", (int)name.len, name.at);
    first = false;
  }
  return NULL;
}

static int ask_plugin(struct lws *wsi, struct mui_session *session, struct mui_route *route, struct mu_str path)
{
  mu_ws_request request = {.session = session, .wsi = wsi, .path = path};
  mui_net_client_address(session, wsi, request.peer);
  struct mu_conn *conn = mui_conn_new(session, wsi, route);
  if (!conn)
    return refuse_as(wsi, session, 503, "busy", "out of memory");
  if (strcmp(request.peer, session->address) != 0)
    conn->peer = strdup(request.peer);
  conn->pending = true;
  session->conn = conn;
  request.conn = conn->id;
  struct mu_admission admission = {0};
  int answer = 0;
  if (route->ws.admit) {
    struct mui_call call;
    mui_call_begin(&call, route->in, MUI_CB_WS_ADMIT);
    answer = route->ws.admit(route->self, &request, &admission);
    /* A refusal is an answer, not a failure of the plugin. */
    mui_call_end(&call, answer == MU_EREFUSED ? 0 : answer);
  }
  free_values(&request);
  if (answer < 0) {
    mui_conn_gone(conn);
    if (answer != MU_EREFUSED) {
      mu_log_limited(route->in, MU_LOG_WARN, "admit", "%s: admission failed: %s", request.peer, mu_strerror(answer));
      return refuse(wsi, session,
                    &(struct mu_admission){.status = 500, .code = "internal", .message = "internal error"});
    }
    if (admission.status < 400 || admission.status > 599)
      admission.status = 403;
    return refuse(wsi, session, &admission);
  }
  if (answer != MU_PENDING)
    conn->pending = false; /* else it may have been decided already */
  conn->data = admission.data;
  conn->opened = admission.data != NULL;
  if (admission.principal)
    mu_conn_set_principal(conn, admission.principal);
  return 0;
}

int mui_ws_upgrade(struct lws *wsi, struct mui_session *session, const char *protocol)
{
  struct mui_net *net = session->net;
  mui_session_requested(session);
  if (net->stopping)
    return refuse_as(wsi, session, 503, "stopping", "the server is stopping");
  if (session->conn)
    return -1;
  char text[8];
  const char *problem = insane(wsi, protocol ? protocol : "");
  if (problem)
    return refuse_as(wsi, session, 400, "bad_upgrade", problem);
  if (!mui_header(wsi, "sec-websocket-version", text, sizeof text, NULL) || strcmp(text, "13") != 0)
    return refuse_as(wsi, session, 426, "bad_version", "WebSocket version 13 is needed");
  char path[PATH_MAX_LEN];
  int len = lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI);
  if (len <= 0 || strlen(path) != (size_t)len)
    return refuse_as(wsi, session, 404, "not_found", "no such path");
  struct mui_route *route;
  struct mu_str view = {path, (size_t)len};
  if (mui_router_find(net->ws_routes, view, 0, session->listener, &route, NULL) != MUI_ROUTE_FOUND)
    return refuse_as(wsi, session, 404, "not_found", "no such path");
  if (!mui_origin_allowed(session, wsi, route->ws.origin))
    return refuse_as(wsi, session, 403, "origin", "this Origin is not allowed");
  problem = take_subprotocol(session, wsi, route->ws.any_subprotocol);
  if (problem)
    return refuse_as(wsi, session, 400, "bad_upgrade", problem);
  return ask_plugin(wsi, session, route, view);
}
