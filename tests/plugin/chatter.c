/* SPDX-License-Identifier: ISC */
/* A channel on /ws-chat: any subprotocol is fine, and what one says, text or binary, goes to all others. "close me" closes. */
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

static int opened(void *self, mu_conn *conn)
{
  return mu_group_join(self, conn);
}

static int heard(void *self, mu_conn *conn, const struct mu_message *message)
{
  static const char leave[] = "close me";
  if (message->len == sizeof leave - 1 && memcmp(message->at, leave, message->len) == 0) {
    mu_conn_close(conn, MU_CLOSE_POLICY, "as you say");
    return 0;
  }
  mu_text *text = mu_text_new(message->at, message->len);
  if (!text)
    return MU_ENOMEM;
  mu_group_relay(self, text, message->binary, conn);
  mu_text_unref(text);
  return 0;
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_ws_route route = {.size = sizeof route,
                                           .path = "/ws-chat",
                                           .origin = MU_ORIGIN_ANY,
                                           .max_message = 1 << 20,
                                           .max_queue = 4 << 20,
                                           .binary = true,
                                           .any_subprotocol = true,
                                           .open = opened,
                                           .message = heard};
  mu_group *group = mu_group_new(in, "chat", MU_GROUP_DROP);
  *self = group;
  return group ? mu_ws_route(in, &route, group) : MU_ENOMEM;
}

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .init = init}};

MU_PLUGIN(.name = "chatter", .version = "1.0", .summary = "everybody hears the others", .licence = "ISC",
          .components = MU_COMPONENTS(components));
