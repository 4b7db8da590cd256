/* SPDX-License-Identifier: ISC */
/* /api/server/statusInfo and /api/statistics, and the list that the snapshot shares with them. */
#include <string.h>

#include "server.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define LIST_SHARED_NS INT64_C(1000000000)
enum { LIST_SHARED_FROM = 65536 };

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

/* True: go on; otherwise the request was answered. Who must be logged in is, by the route's rule. */
static bool may_ask(struct status *status, mu_http *request)
{
  struct mu_str query = {"", 0}, authorization = {"", 0};
  if (status->config->frontend_access != ACCESS_TOKEN)
    return true;
  mu_http_query(request, "token", &query);
  mu_http_header(request, "authorization", &authorization);
  if (status_token_ok(status, query, authorization))
    return true;
  mu_count(status->pages_refused, 1);
  mu_http_error(request, 401, "unauthorized", "a token is needed");
  return false;
}

static int answer(mu_http *request, mu_text *body)
{
  int result;
  if (!body)
    return MU_ENOMEM; /* the core answers 500 */
  mu_http_set(request, "Cache-Control", "no-store");
  result = mu_http_answer(request, 200, JSON_TYPE, body);
  mu_text_unref(body);
  return result;
}

/* The list as one text. A long one is shared for a second: else each slow reader would hold a copy of its own. */
static mu_text *list_text(struct status *status)
{
  int64_t now = mu_mono_ns();
  if (status->list && now - status->list_ns < LIST_SHARED_NS)
    return mu_text_ref(status->list);
  struct mu_buf out = MU_BUF_INIT;
  mu_buf_adds(&out, "{\"code\":200,\"message\":\"success\",\"data\":");
  if (status_elements(status, &out) != 0)
    out.failed = true;
  mu_buf_adds(&out, "}");
  mu_text *text = mu_buf_take_text(&out);
  rest_forget(status, NULL);
  if (text && mu_text_len(text) >= LIST_SHARED_FROM) {
    status->list = mu_text_ref(text);
    status->list_ns = now;
  }
  return text;
}

void rest_forget(void *self, const struct mu_event *event)
{
  struct status *status = self;
  (void)event;
  mu_text_unref(status->list);
  status->list = NULL;
}

int rest_status(void *self, mu_http *request)
{
  struct status *status = self;
  return may_ask(status, request) ? answer(request, list_text(status)) : 0;
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
  if (result != 0 || ids.failed)
    out.failed = true;
  mu_buf_free(&ids);
  return answer(request, mu_buf_take_text(&out));
}
