/* SPDX-License-Identifier: ISC */
/*
 * Keeps samples of the session protocol in memory, so that tests see them and their acknowledgements; message types of its own and
 * everything else of the service session/1 that has a caller only here.
 *   GET /test/keeper                 what is kept, as a list
 *   GET /test/keeper?refuse=1|0      takes no samples; takes them again
 *   GET /test/keeper?hold=1|0        commits nothing; commits what waits
 *   GET /test/keeper?send=ID&payload=JSON   a message to the machines with this id; answers {"sent":result}
 *   GET /test/keeper?remove=ID       removes the machines with this id
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

enum { KEPT_MAX = 4096 };

struct kept {
  const struct mu_machine *machine;
  char boot[65];
  uint64_t seq;
  int64_t time_ms;
  mu_text *metrics;
  bool committed;
};

struct keeper {
  mu_instance *in;
  struct mu_service session, machines;
  mu_timer *commit;
  bool refuse, hold;
  struct kept kept[KEPT_MAX];
  size_t count;
};

static const struct mu_session *session_of(const struct keeper *keeper)
{
  return keeper->session.api;
}

static const struct mu_machines *machines_of(const struct keeper *keeper)
{
  return keeper->machines.api;
}

static void commit(void *self)
{
  struct keeper *keeper = self;
  for (size_t i = 0; i < keeper->count; i++)
    if (!keeper->kept[i].committed) {
      keeper->kept[i].committed = true;
      session_of(keeper)->stored(keeper->session.self, keeper->kept[i].machine, keeper->kept[i].boot,
                                 keeper->kept[i].seq);
    }
}

static int sample(void *self, const struct mu_session_sample *given)
{
  struct keeper *keeper = self;
  if (keeper->refuse || keeper->count == KEPT_MAX)
    return MU_EUNAVAILABLE;
  for (size_t i = 0; i < keeper->count; i++)
    if (keeper->kept[i].machine == given->machine && keeper->kept[i].seq == given->seq &&
        strcmp(keeper->kept[i].boot, given->boot) == 0)
      return 0;
  struct kept *kept = &keeper->kept[keeper->count++];
  *kept = (struct kept){.machine = machines_of(keeper)->ref(given->machine),
                        .seq = given->seq,
                        .time_ms = given->time_ms,
                        .metrics = mu_text_ref(given->metrics)};
  snprintf(kept->boot, sizeof kept->boot, "%s", given->boot);
  if (!keeper->hold && !mu_timer_active(keeper->commit))
    mu_timer_start(keeper->commit, 20, 0);
  return 0;
}

static int last(void *self, const struct mu_machine *machine, char *boot, uint64_t *seq)
{
  struct keeper *keeper = self;
  for (size_t i = keeper->count; i-- > 0;)
    if (keeper->kept[i].committed && keeper->kept[i].machine == machine) {
      memcpy(boot, keeper->kept[i].boot, sizeof keeper->kept[i].boot);
      *seq = keeper->kept[i].seq;
      return 0;
    }
  return MU_ENOENT;
}

/* ---- its own message types ------------------------------------------------------------------- */

struct shout_fields {
  struct mu_json_value text, times;
};

static const struct mu_field shout_fields[] = {
    {.path = "text",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_REQUIRED,
     .max = 20,
     .offset = offsetof(struct shout_fields, text)},
    {.path = "times", .type = MU_FIELD_UINT, .min = 0, .max = 9, .offset = offsetof(struct shout_fields, times)},
};

static int shout(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  (void)self;
  const struct shout_fields *fields = message->fields;
  mu_text *text = mu_text_printf("{\"type\":\"shouted\",\"scope\":%d,\"machine\":\"%s\",\"text\":%.*s,\"times\":%lld}",
                                 (int)peer->scope, peer->machine ? peer->machine->id : "", (int)fields->text.len,
                                 fields->text.at, (long long)fields->times.integer);
  int result = text ? mu_conn_send(peer->conn, text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

static int fail(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  (void)self;
  (void)peer;
  (void)message;
  return MU_EIO;
}

/* Registrations that must be refused: whichever succeeds fails the start. */
static int wrong_registrations(struct keeper *keeper)
{
  static const struct mu_field beyond[] = {{.path = "a", .type = MU_FIELD_ANY, .offset = 8}};
  static const struct mu_field with_type[] = {{.path = "type", .type = MU_FIELD_ANY, .offset = MU_FIELD_CHECK_ONLY}};
  const size_t size = sizeof(struct mu_session_handler), field_size = sizeof(struct mu_field);
  const struct {
    int want;
    struct mu_session_handler handler;
  } rows[] = {
      {MU_EEXIST, {.size = size, .type = "data", .scopes = MU_SESSION_AGENT, .message = fail}},
      {MU_EEXIST, {.size = size, .type = "shout", .scopes = MU_SESSION_AGENT, .message = fail}},
      {MU_EINVAL, {.size = size, .type = "Shout", .scopes = MU_SESSION_AGENT, .message = fail}},
      {MU_EINVAL, {.size = size, .type = "", .scopes = MU_SESSION_AGENT, .message = fail}},
      {MU_EINVAL, {.size = size, .type = NULL, .scopes = MU_SESSION_AGENT, .message = fail}},
      {MU_EINVAL, {.size = size, .type = "a_type_of_more_than_31_characters", .scopes = 1, .message = fail}},
      {MU_EINVAL, {.size = size, .type = "x", .scopes = 0, .message = fail}},
      {MU_EINVAL, {.size = size, .type = "x", .scopes = MU_SESSION_AGENT}},
      {MU_EINVAL,
       {.size = size,
        .type = "x",
        .scopes = MU_SESSION_AGENT,
        .fields = beyond,
        .field_count = 1,
        .field_size = field_size,
        .fields_size = sizeof(struct mu_json_value),
        .message = fail}},
      {MU_EINVAL,
       {.size = size,
        .type = "x",
        .scopes = MU_SESSION_AGENT,
        .fields = with_type,
        .field_count = 1,
        .field_size = field_size,
        .message = fail}},
      {MU_EINVAL, {.size = size, .type = "x", .scopes = MU_SESSION_AGENT, .fields_size = 4097, .message = fail}},
  };
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    int got = session_of(keeper)->handle(keeper->session.self, keeper->in, &rows[i].handler, keeper);
    if (got != rows[i].want) {
      mu_log(keeper->in, MU_LOG_ERROR, "registration %zu: %s", i, mu_strerror(got));
      return MU_EINTERNAL;
    }
  }
  const struct mu_session_keeper other = {.size = sizeof other, .sample = sample, .last = last};
  return session_of(keeper)->keep(keeper->session.self, keeper->in, &other, keeper) == MU_EEXIST ? 0 : MU_EINTERNAL;
}

/* ---- what tests ask -------------------------------------------------------------------------- */

struct reach {
  struct keeper *keeper;
  struct mu_str id, payload;
  bool remove;
  int result;
};

static int reach_one(void *context, const struct mu_machine *machine)
{
  struct reach *reach = context;
  struct keeper *keeper = reach->keeper;
  if (!mu_str_equal(mu_str(machine->id), reach->id))
    return 0;
  if (reach->remove)
    reach->result = machines_of(keeper)->remove(keeper->machines.self, machine->provider, machine->owner, machine->id);
  else
    reach->result = session_of(keeper)->send(keeper->session.self, machine, reach->payload);
  return 1;
}

static void list(const struct keeper *keeper, struct mu_buf *out)
{
  mu_buf_adds(out, "[");
  for (size_t i = 0; i < keeper->count; i++) {
    const struct kept *kept = &keeper->kept[i];
    mu_buf_printf(out, "%s{\"machine\":\"%s\",\"boot\":\"%s\",\"seq\":%llu,\"time\":%lld,\"metrics\":%s}", i ? "," : "",
                  kept->machine->id, kept->boot, (unsigned long long)kept->seq, (long long)kept->time_ms,
                  mu_text_data(kept->metrics));
  }
  mu_buf_adds(out, "]");
}

static int steer(void *self, mu_http *request)
{
  struct keeper *keeper = self;
  struct mu_str word;
  struct mu_buf out = MU_BUF_INIT;
  struct reach reach = {.keeper = keeper, .result = MU_ENOENT};
  if (mu_http_query(request, "refuse", &word))
    keeper->refuse = word.len > 0 && word.at[0] == '1';
  if (mu_http_query(request, "hold", &word)) {
    keeper->hold = word.len > 0 && word.at[0] == '1';
    if (!keeper->hold)
      commit(keeper);
  }
  reach.remove = mu_http_query(request, "remove", &reach.id);
  if (reach.remove ||
      (mu_http_query(request, "send", &reach.id) && mu_http_query(request, "payload", &reach.payload))) {
    machines_of(keeper)->each(keeper->machines.self, NULL, NULL, reach_one, &reach);
    mu_buf_printf(&out, "{\"sent\":%d}", reach.result);
  } else {
    list(keeper, &out);
  }
  mu_text *text = mu_buf_take_text(&out);
  mu_buf_free(&out);
  int result = text ? mu_http_answer(request, 200, "application/json; charset=utf-8", text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_http_route route = {.size = sizeof route,
                                             .path = "/test/keeper",
                                             .methods = MU_HTTP_GET,
                                             .access = MU_ACCESS_PUBLIC,
                                             .handle = steer};
  struct keeper *keeper = calloc(1, sizeof *keeper);
  if (!keeper)
    return MU_ENOMEM;
  keeper->in = in;
  keeper->commit = mu_timer_new(in, commit, keeper);
  int result = keeper->commit ? mu_http_route(in, &route, keeper) : MU_ENOMEM;
  if (result == 0)
    *self = keeper;
  else
    free(keeper);
  return result;
}

static int start(void *self)
{
  struct keeper *keeper = self;
  const struct mu_session_keeper ops = {.size = sizeof ops, .sample = sample, .last = last};
  const unsigned everybody = MU_SESSION_NOBODY | MU_SESSION_AGENT | MU_SESSION_ADMIN;
  const struct mu_session_handler handlers[] = {
      {.size = sizeof handlers[0],
       .type = "shout",
       .scopes = everybody,
       .fields = shout_fields,
       .field_count = MU_COUNT(shout_fields),
       .field_size = sizeof(struct mu_field),
       .fields_size = sizeof(struct shout_fields),
       .message = shout},
      {.size = sizeof handlers[0], .type = "fail", .scopes = MU_SESSION_AGENT | MU_SESSION_ADMIN, .message = fail},
  };
  int result = mu_service_get(keeper->in, MU_SERVICE_MACHINES, &keeper->machines);
  if (result == 0)
    result = mu_service_get(keeper->in, MU_SERVICE_SESSION, &keeper->session);
  if (result == 0)
    result = session_of(keeper)->keep(keeper->session.self, keeper->in, &ops, keeper);
  for (size_t i = 0; i < MU_COUNT(handlers) && result == 0; i++)
    result = session_of(keeper)->handle(keeper->session.self, keeper->in, &handlers[i], keeper);
  return result == 0 ? wrong_registrations(keeper) : result;
}

static void fini(void *self)
{
  struct keeper *keeper = self;
  for (size_t i = 0; i < keeper->count; i++) {
    mu_text_unref(keeper->kept[i].metrics);
    if (keeper->machines.api)
      machines_of(keeper)->unref(keeper->kept[i].machine);
  }
  free(keeper);
}

static const char *const needs[] = {MU_SERVICE_MACHINES, MU_SERVICE_SESSION, NULL};
static const struct mu_component components[] = {{.size = sizeof(struct mu_component),
                                                  .kind = MU_SERVER,
                                                  .needs = needs,
                                                  .init = init,
                                                  .start = start,
                                                  .fini = fini}};

MU_PLUGIN(.name = "keeper", .version = "1.0", .summary = "keeps samples in memory for tests", .licence = "ISC",
          .components = MU_COMPONENTS(components));
