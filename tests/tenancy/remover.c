/* SPDX-License-Identifier: ISC */
/* {"type":"test_remove","machineId":…} of an admin takes a machine of this user away, as a backend would, and lets it come again. */
#include <stddef.h>
#include <stdlib.h>

#include <muster/muster.h>

struct remover {
  mu_instance *in;
  struct mu_service machines;
};

struct request {
  struct mu_json_value id;
};

static const struct mu_field fields[] = {
    {.path = "machineId", .type = MU_FIELD_STRING, .flags = MU_FIELD_REQUIRED, .offset = offsetof(struct request, id)}};

static int on_remove(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct remover *remover = self;
  const struct mu_machines *machines = remover->machines.api;
  const struct request *request = message->fields;
  struct mu_buf id = MU_BUF_INIT, answer = MU_BUF_INIT;
  int result = mu_json_unescape(&request->id, &id);
  if (result == 0 && id.len > 0)
    result = machines->remove(remover->machines.self, peer->principal->provider, peer->principal->owner, id.at);
  if (result == 0 && id.len > 0)
    machines->restore(remover->machines.self, peer->principal->provider, peer->principal->owner, id.at);
  mu_buf_adds(&answer, "{\"type\":\"test_removed\",\"machineId\":");
  mu_buf_json_string(&answer, (struct mu_str){id.at ? id.at : "", id.len});
  mu_buf_adds(&answer, "}");
  mu_text *text = mu_buf_take_text(&answer);
  if (result == 0 && text)
    result = mu_conn_send(peer->conn, text);
  mu_text_unref(text);
  mu_buf_free(&id);
  return result;
}

static int start(void *self)
{
  struct remover *remover = self;
  struct mu_service session;
  int result = mu_service_get(remover->in, MU_SERVICE_SESSION, &session);
  if (result == 0)
    result = mu_service_get(remover->in, MU_SERVICE_MACHINES, &remover->machines);
  const struct mu_session_handler handler = {.size = sizeof handler,
                                             .type = "test_remove",
                                             .scopes = MU_SESSION_ADMIN,
                                             .fields = fields,
                                             .field_count = MU_COUNT(fields),
                                             .field_size = sizeof fields[0],
                                             .fields_size = sizeof(struct request),
                                             .message = on_remove};
  return result != 0 ? result
                     : ((const struct mu_session *)session.api)->handle(session.self, remover->in, &handler, self);
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  struct remover *remover = calloc(1, sizeof *remover);
  if (!remover)
    return MU_ENOMEM;
  remover->in = in;
  *self = remover;
  return 0;
}

static void fini(void *self)
{
  free(self);
}

static const char *const needs[] = {MU_SERVICE_MACHINES, MU_SERVICE_SESSION, NULL};
static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .needs = needs,
                                                  .init = init,
                                                  .start = start,
                                                  .fini = fini}};

MU_PLUGIN(.name = "remover", .version = "1.0", .summary = "removes machines for tests", .licence = "ISC",
          .components = MU_COMPONENTS(components));
