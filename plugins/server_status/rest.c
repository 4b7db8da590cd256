/* SPDX-License-Identifier: ISC */
/* /api/server/statusInfo and /api/statistics, and the list that the snapshot shares with them. */
#include <string.h>

#include "server.h"

#define JSON_TYPE "application/json; charset=utf-8"

struct walk {
  struct status *status;
  struct mu_buf *out;
  size_t listed, configured, reported;
};

static int add_element(void *context, const struct mu_machine *machine)
{
  struct walk *walk = context;
  if (!machine->is_public || (!machine->configured && !machine->text))
    return 0;
  mu_text *text = walk->status->machines->text(walk->status->machines_self, machine, walk->status->element);
  if (!text)
    return 0; /* counted and logged by the service */
  mu_buf_adds(walk->out, walk->listed++ ? "," : "");
  mu_buf_add(walk->out, mu_text_data(text), mu_text_len(text));
  return 0;
}

int status_elements(struct status *status, struct mu_buf *out)
{
  struct walk walk = {.status = status, .out = out};
  mu_buf_adds(out, "[");
  int result = status->machines->each(status->machines_self, NULL, NULL, add_element, &walk);
  mu_buf_adds(out, "]");
  return result != 0 ? result : out->failed ? MU_ENOMEM : 0;
}

static int add_statistics(void *context, const struct mu_machine *machine)
{
  struct walk *walk = context;
  if (!machine->is_public)
    return 0;
  walk->configured += machine->configured;
  walk->reported += machine->text != NULL;
  if (machine->online) {
    mu_buf_adds(walk->out, walk->listed++ ? "," : "");
    mu_buf_json_string(walk->out, mu_str(machine->id));
  }
  return 0;
}

/* True: go on; otherwise the request was answered. */
static bool may_ask(struct status *status, mu_http *request)
{
  struct mu_str token;
  switch (status->config->frontend_access) {
  case ACCESS_PUBLIC:
    return true;
  case ACCESS_TOKEN:
    if (mu_http_query(request, "token", &token) && status_token_ok(status, token))
      return true;
    if (mu_http_header(request, "authorization", &token) && token.len > 7 && memcmp(token.at, "Bearer ", 7) == 0 &&
        status_token_ok(status, (struct mu_str){token.at + 7, token.len - 7}))
      return true;
    mu_count(status->pages_refused, 1);
    mu_http_error(request, 401, "unauthorized", "a token is needed");
    return false;
  default:
    mu_count(status->pages_refused, 1);
    mu_http_error(request, 401, "unauthorized", "log in first");
    return false;
  }
}

static int answer(mu_http *request, struct mu_buf *out, int result)
{
  if (result != 0)
    out->failed = true;
  mu_text *body = mu_buf_take_text(out);
  if (!body)
    return MU_ENOMEM; /* the core answers 500 */
  mu_http_set(request, "Cache-Control", "no-store");
  result = mu_http_answer(request, 200, JSON_TYPE, body);
  mu_text_unref(body);
  return result;
}

int rest_status(void *self, mu_http *request)
{
  struct status *status = self;
  if (!may_ask(status, request))
    return 0;
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"code\":200,\"message\":\"success\",\"data\":");
  int result = status_elements(status, &out);
  mu_buf_adds(&out, "}");
  return answer(request, &out, result);
}

int rest_statistics(void *self, mu_http *request)
{
  struct status *status = self;
  if (!may_ask(status, request))
    return 0;
  struct mu_buf ids = MU_BUF_INIT, out = MU_BUF_INIT;
  struct walk walk = {.status = status, .out = &ids};
  mu_buf_adds(&ids, "[");
  int result = status->machines->each(status->machines_self, NULL, NULL, add_statistics, &walk);
  mu_buf_adds(&ids, "]");
  mu_buf_printf(
      &out, "{\"code\":200,\"message\":\"success\",\"data\":{\"configServersLen\":%zu,\"onlineIds\":", walk.configured);
  mu_buf_add(&out, ids.at, ids.len);
  mu_buf_printf(&out, ",\"reportMapLen\":%zu,\"sessionMapLen\":%zu}}", walk.reported, agents_public(status));
  result = result != 0 ? result : ids.failed ? MU_ENOMEM : 0;
  mu_buf_free(&ids);
  return answer(request, &out, result);
}
