/* SPDX-License-Identifier: ISC */
/*
 * Who asks over HTTP: a bearer token, judged by auth/1. The answer may take its time; meanwhile the request waits with reading off, and is found
 * again by its id, because the client may leave.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <muster/log.h>
#include "net/rest.h"

enum { MAX_TOKEN = 4096, MAX_ASKED = 4096 };

/* One question that is out. It outlives its request. */
struct mui_asked {
  struct mui_asked *next, **pprev;
  struct mui_net_http *http;
  mu_http_id id;
};

/* The token within the header that `text` holds; empty: there is none. */
static struct mu_str read_token(const struct mu_http *request, char *text, size_t size)
{
  size_t len = 0;
  if (!request->wsi || !mui_header(request->wsi, "authorization", text, size, &len) || strlen(text) != len ||
      strncasecmp(text, "bearer", 6) != 0 || (text[6] != ' ' && text[6] != '\t'))
    return (struct mu_str){text, 0};
  char *token = text + 6 + strspn(text + 6, " \t");
  return (struct mu_str){token, strcspn(token, " \t")};
}

static void refuse(struct mu_http *request, int status, const char *code, const char *message)
{
  if (status == 401)
    mu_http_set(request, "WWW-Authenticate",
                strcmp(code, "bad_token") == 0 ? "Bearer error=\"invalid_token\"" : "Bearer");
  mui_http_decline(request, status, code, message);
}

bool mui_bearer_judge(struct mu_http *request)
{
  char text[MAX_TOKEN];
  if (lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP_AUTHORIZATION) >= (int)sizeof text) {
    refuse(request, 401, request->rest ? "bad_token" : "unauthorized", "the token is too long");
    return false;
  }
  bool given = read_token(request, text, sizeof text).len > 0;
  mu_secret_wipe(text, sizeof text);
  if (!given)
    refuse(request, 401, "unauthorized", "log in first");
  return given;
}

static void granted(struct mu_http *request, const struct mu_principal *principal)
{
  bool user = principal->role == MU_ROLE_USER || principal->role == MU_ROLE_ADMIN;
  if (!user || (request->route->http.access == MU_ACCESS_ADMIN && principal->role != MU_ROLE_ADMIN)) {
    refuse(request, 403, "forbidden", "this needs another role");
    return;
  }
  request->principal = mu_principal_ref(principal);
  request->state = MUI_REQUEST_DUE;
  request->deadline_ns = 0;
  mui_request_due(request);
}

/* The provider knows who it is, and tells the client why that is of no use. */
static void forbidden(struct mu_http *request, const char *code, struct mu_words words)
{
  if (!words.en)
    words = MU_WORDS("this user may not do that now", "该用户当前无权操作");
  if (!request->rest) {
    refuse(request, 403, "forbidden", words.en);
    return;
  }
  request->state = MUI_REQUEST_RUNNING;
  mui_rest_fail(request, 403, code, words, NULL);
}

void mui_bearer_refuse(struct mu_http *request)
{
  refuse(request, 401, request->rest ? "bad_token" : "unauthorized", "the token is not valid");
}

void mui_bearer_unknown(struct mu_http *request, unsigned retry_after_s)
{
  char after[16];
  snprintf(after, sizeof after, "%u", retry_after_s ? retry_after_s : 5);
  mu_http_set(request, "Retry-After", after);
  refuse(request, 503, "unavailable", "nobody can tell who you are just now; try again later");
}

static void free_asked(struct mui_asked *asked)
{
  *asked->pprev = asked->next;
  if (asked->next)
    asked->next->pprev = asked->pprev;
  asked->http->asked_count--;
  free(asked);
}

void mui_bearer_free_all(struct mui_net_http *http)
{
  while (http->asked)
    free_asked(http->asked); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
}

static void on_answer(void *context, const struct mu_auth_answer *answer)
{
  struct mui_asked *asked = context;
  struct mu_http *request = mui_request_of(asked->http, asked->id);
  free_asked(asked);
  if (!request || request->state != MUI_REQUEST_JUDGED || !request->route)
    return;
  switch (answer->verdict) {
  case MU_AUTH_GRANTED:
    granted(request, answer->principal);
    return;
  case MU_AUTH_UNAVAILABLE:
    mui_bearer_unknown(request, answer->retry_after_s);
    return;
  case MU_AUTH_REFUSED:
  case MU_AUTH_UNKNOWN:
    break;
  }
  if (answer->code)
    forbidden(request, answer->code, answer->words);
  else
    mui_bearer_refuse(request);
}

void mui_bearer_ask(struct mu_http *request)
{
  struct mui_net_http *http = request->net->http;
  struct mui_asked *asked = http->asked_count < MAX_ASKED ? calloc(1, sizeof *asked) : NULL;
  if (!asked) {
    mu_log_limited(request->net->runtime->core, MU_LOG_WARN, "http auth", "%zu questions to auth/1 have no answer yet",
                   http->asked_count);
    mui_bearer_unknown(request, 1);
    return;
  }
  asked->http = http;
  asked->id = request->id;
  asked->next = http->asked;
  asked->pprev = &http->asked;
  if (asked->next)
    asked->next->pprev = &asked->next;
  http->asked = asked;
  http->asked_count++;
  request->state = MUI_REQUEST_JUDGED;
  request->deadline_ns = mu_mono_ns() + (int64_t)MUI_HTTP_PENDING_S * 1000000000;
  char text[MAX_TOKEN];
  struct mu_credential credential = {.size = sizeof credential,
                                     .kind = MU_CREDENTIAL_TOKEN,
                                     .id = MU_STR(""),
                                     .secret = read_token(request, text, sizeof text),
                                     .peer = request->peer};
  /* It may be answered before this returns. */
  if (mu_auth_check(request->net->runtime->core, &credential, on_answer, asked) == MU_ECLOSED) {
    free_asked(asked);
    mui_bearer_unknown(request, 1);
  }
  mu_secret_wipe(text, sizeof text);
}
