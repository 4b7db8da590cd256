/* SPDX-License-Identifier: ISC */
/* A protocol in one file, as a stranger would write it: says back what it hears on /ws-parrot. */
#include <stdlib.h>

#include <muster/muster.h>

static int heard(void *self, mu_conn *conn, const struct mu_message *message)
{
  (void)self;
  mu_text *text = mu_text_new(message->at, message->len);
  int result = !text ? MU_ENOMEM : message->binary ? mu_conn_send_binary(conn, text) : mu_conn_send(conn, text);
  mu_text_unref(text);
  return result;
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_ws_route route = {
      .size = sizeof route, .path = "/ws-parrot", .origin = MU_ORIGIN_NONE, .binary = true, .message = heard};
  *self = NULL;
  return mu_ws_route(in, &route, NULL);
}

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .init = init}};

MU_PLUGIN(.name = "parrot", .version = "1.0", .summary = "says back what it hears", .licence = "ISC",
          .components = MU_COMPONENTS(components));
