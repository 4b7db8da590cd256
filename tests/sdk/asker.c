/* SPDX-License-Identifier: ISC */
/* A plugin that asks other servers, as a stranger would write it: hears an address on /ws-ask, says the status and the body. */
#include <stdlib.h>
#include <string.h>

#include <muster/fetch.h>
#include <muster/muster.h>

struct self {
  mu_instance *in;
  mu_fetcher *fetcher;
  mu_conn_id asking; /* one at a time is enough here */
};

static void answered(void *context, const struct mu_fetch_answer *answer)
{
  struct self *self = context;
  mu_conn *conn = mu_conn_find(self->in, self->asking);
  mu_text *text = answer->error ? mu_text_printf("%s: %s", mu_error_name(answer->error), answer->reason)
                                : mu_text_printf("%d %.*s", answer->status, (int)answer->body.len, answer->body.at);
  if (conn && text)
    mu_conn_send(conn, text);
  mu_text_unref(text);
}

static int heard(void *context, mu_conn *conn, const struct mu_message *message)
{
  struct self *self = context;
  struct mu_fetch_request request = {.size = sizeof request, .url = message->at};
  self->asking = mu_conn_get_id(conn);
  return mu_fetch(self->fetcher, &request, answered, self, NULL);
}

static int init(mu_instance *in, const void *config, void **out)
{
  (void)config;
  static const struct mu_ws_route route = {
      .size = sizeof route, .path = "/ws-ask", .origin = MU_ORIGIN_NONE, .message = heard};
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return MU_ENOMEM;
  self->in = in;
  self->fetcher = mu_fetcher_new(in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options)});
  int result = self->fetcher ? mu_ws_route(in, &route, self) : MU_ENOMEM;
  if (result == 0) {
    *out = self;
    return 0;
  }
  mu_fetcher_free(self->fetcher);
  free(self);
  return result;
}

static void fini(void *context)
{
  free(context); /* the fetcher went with the instance */
}

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .init = init, .fini = fini}};

MU_PLUGIN(.name = "asker", .version = "1.0", .summary = "asks other servers", .licence = "ISC",
          .components = MU_COMPONENTS(components));
