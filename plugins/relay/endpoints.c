/* SPDX-License-Identifier: ISC */
/* Endpoints in memory: looked up once, joined, read again when something changed. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

enum {
  LOOKUPS_MAX = 1024, /* of different endpoints at a time */
  LINGER_S = 30,      /* in memory after the last use */
  POLL_MS = 4000,     /* other programs' changes take effect within 10 s, the database's time included */
  AT_ONCE = 64,       /* endpoints in one question */
  TRIES = 3,          /* a change while it was read */
};

#define COLUMNS                                                                                                        \
  "SELECT e.id, e.endpoint_id, e.name, e.user_id, e.forwarding_mode, e.custom_header, e.is_disabled, e.disabled_at, "  \
  "e.disabled_reason, u.banned_at, u.is_active, a.access, a.token_sha256, a.origins FROM endpoints e "                 \
  "JOIN users u ON u.id = e.user_id LEFT JOIN muster_endpoint_access a ON a.endpoint_id = "
/* The released tables' collation is theirs. */
#define ID_LITE "e.id "
#define ID_MARIADB "CONVERT(e.id USING utf8mb4) COLLATE utf8mb4_bin "
#define ROWS_8 "?,?,?,?,?,?,?,?,"
#define ROWS_64 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 ROWS_8 "?,?,?,?,?,?,?,?"

enum column {
  C_ID,
  C_KEY,
  C_NAME,
  C_USER,
  C_MODE,
  C_HEADER,
  C_DISABLED,
  C_DISABLED_AT,
  C_DISABLED_REASON,
  C_BANNED_AT,
  C_ACTIVE,
  C_ACCESS,
  C_TOKEN,
  C_ORIGINS,
};

static const struct mu_sql by_key_sql = {.sqlite = COLUMNS ID_LITE "WHERE e.endpoint_id = ?",
                                         .mariadb = COLUMNS ID_MARIADB "WHERE e.endpoint_id = ?"};
static const struct mu_sql by_id_sql = {.sqlite = COLUMNS ID_LITE "WHERE e.id IN (" ROWS_64 ")",
                                        .mariadb = COLUMNS ID_MARIADB "WHERE e.id IN (" ROWS_64 ")"};

/* A look-up that connections wait for. */
struct lookup {
  struct task task;
  char key[16];
  uint64_t epoch;
  unsigned tries;
  mu_conn_id *waiting;
  size_t count, capacity;
};

struct lookups {
  mu_map *by_key;
  mu_counter *refused;
};

/* Endpoints that are read again. */
struct reading {
  struct task task;
  struct endpoint *endpoints[AT_ONCE]; /* held */
  size_t count;
  uint64_t epoch;
  unsigned tries;
  /* What their connections are closed with, unless the rows know better; VERDICT_WELCOME: they stay. */
  enum verdict verdict;
  relay_done done;
  void *context;
};

/* ---- memory ------------------------------------------------------------------------------------- */

static void free_list(char **list)
{
  for (char **at = list; list && *at; at++)
    free(*at);
  free(list);
}

static void free_endpoint(struct endpoint *endpoint)
{
  alerts_unload(endpoint);
  devices_fini(endpoint);
  pending_free(endpoint);
  free_list(endpoint->origins);
  free(endpoint->uuid);
  free(endpoint->key);
  free(endpoint->name);
  free(endpoint->user_id);
  free(endpoint->header);
  free(endpoint->disabled_reason);
  free(endpoint);
}

static void take_out(struct endpoint *endpoint)
{
  struct relay *relay = endpoint->relay;
  if (mu_map_get(relay->by_key, mu_str(endpoint->key)) == endpoint)
    mu_map_del(relay->by_key, mu_str(endpoint->key));
  if (mu_map_get(relay->by_uuid, mu_str(endpoint->uuid)) == endpoint)
    mu_map_del(relay->by_uuid, mu_str(endpoint->uuid));
}

static void drop_endpoint(struct endpoint *endpoint)
{
  take_out(endpoint);
  *endpoint->at = endpoint->next;
  if (endpoint->next)
    endpoint->next->at = endpoint->at;
  mu_group_free(endpoint->group);
  free_endpoint(endpoint);
}

void endpoint_hold(struct endpoint *endpoint)
{
  endpoint->held++;
}

void endpoint_release(struct endpoint *endpoint)
{
  endpoint->held--;
  endpoint->used_ns = mu_mono_ns();
}

struct endpoint *relay_endpoint(const struct relay *relay, const char *endpoint_uuid)
{
  return mu_map_get(relay->by_uuid, mu_str(endpoint_uuid));
}

static struct endpoint *new_endpoint(struct relay *relay, struct mu_str uuid, struct mu_str key)
{
  struct endpoint *endpoint = calloc(1, sizeof *endpoint);
  if (!endpoint)
    return NULL;
  endpoint->relay = relay;
  endpoint->uuid = strndup(uuid.at, uuid.len);
  endpoint->key = strndup(key.at, key.len);
  endpoint->devices = mu_map_new();
  endpoint->used_ns = mu_mono_ns();
  if (!endpoint->uuid || !endpoint->key || !endpoint->devices)
    goto fail;
  endpoint->group = mu_group_new(relay->in, "endpoint", MU_GROUP_DROP);
  if (!endpoint->group)
    goto fail;
  if (mu_map_add(relay->by_key, key, endpoint) != 0 || mu_map_add(relay->by_uuid, uuid, endpoint) != 0) {
    take_out(endpoint);
    mu_group_free(endpoint->group);
    goto fail;
  }
  endpoint->next = relay->endpoints;
  endpoint->at = &relay->endpoints;
  if (endpoint->next)
    endpoint->next->at = &endpoint->next;
  relay->endpoints = endpoint;
  return endpoint;
fail:
  devices_fini(endpoint);
  free(endpoint->uuid);
  free(endpoint->key);
  free(endpoint);
  return NULL;
}

/* ---- rows --------------------------------------------------------------------------------------- */

static bool set_text(char **to, const struct mu_value *value, bool *changed)
{
  struct mu_str text = value->type == MU_VALUE_TEXT ? value->text : MU_STR("");
  if (*to && mu_str_equal(mu_str(*to), text))
    return true;
  char *copy = strndup(text.len ? text.at : "", text.len);
  if (!copy)
    return false;
  free(*to);
  *to = copy;
  *changed = true;
  return true;
}

/* A JSON array of texts; what is none allows no page. */
static char **read_origins(const struct mu_value *value)
{
  if (value->type != MU_VALUE_TEXT || value->text.len == 0)
    return calloc(1, sizeof(char *));
  MU_AUTO_JSON struct json_object *list = NULL;
  bool good =
      mu_json_parse(value->text.at, value->text.len, &list, NULL) == 0 && json_object_is_type(list, json_type_array);
  size_t count = good ? json_object_array_length(list) : 1;
  char **origins = calloc(count + 1, sizeof *origins);
  for (size_t i = 0; origins && i < count; i++) {
    const char *origin = good ? json_object_get_string(json_object_array_get_idx(list, i)) : NULL;
    if (!(origins[i] = strdup(origin ? origin : "?"))) {
      free_list(origins);
      return NULL;
    }
  }
  return origins;
}

static bool same_list(char *const *a, char *const *b)
{
  while (*a && *b && strcmp(*a, *b) == 0)
    a++, b++;
  return !*a && !*b;
}

/* The rule that lets people in. *changed: what was proved before need not hold any more. */
static bool set_access(struct endpoint *endpoint, const struct mu_result *result, size_t row, bool *changed)
{
  static const char *const words[] = {
      [RELAY_ACCESS_OPEN] = "open", [RELAY_ACCESS_TOKEN] = "token", [RELAY_ACCESS_USER] = "user"};
  const struct mu_value *word = mu_result_at(result, row, C_ACCESS), *digest = mu_result_at(result, row, C_TOKEN);
  enum relay_access access = word->type == MU_VALUE_NULL ? RELAY_ACCESS_OPEN : RELAY_ACCESS_USER;
  for (size_t i = 0; i < MU_COUNT(words); i++)
    if (word->type == MU_VALUE_TEXT && mu_str_equal(word->text, mu_str(words[i])))
      access = (enum relay_access)i;
  char token[RELAY_TOKEN_DIGEST_SIZE] = "";
  if (digest->type == MU_VALUE_TEXT && digest->text.len == sizeof token - 1)
    memcpy(token, digest->text.at, digest->text.len);
  char **origins = read_origins(mu_result_at(result, row, C_ORIGINS));
  if (!origins)
    return false;
  bool first = !endpoint->origins;
  *changed = !first && (access != endpoint->access || strcmp(token, endpoint->token_digest) != 0 ||
                        !same_list(origins, endpoint->origins));
  endpoint->access = access;
  memcpy(endpoint->token_digest, token, sizeof token);
  free_list(endpoint->origins);
  endpoint->origins = origins;
  return true;
}

static bool apply_row(struct endpoint *endpoint, const struct mu_result *result, size_t row)
{
  bool changed = false, rules = false;
  const struct mu_value *mode = mu_result_at(result, row, C_MODE);
  if (!set_text(&endpoint->name, mu_result_at(result, row, C_NAME), &changed) ||
      !set_text(&endpoint->user_id, mu_result_at(result, row, C_USER), &changed) ||
      !set_text(&endpoint->header, mu_result_at(result, row, C_HEADER), &changed) ||
      !set_text(&endpoint->disabled_reason, mu_result_at(result, row, C_DISABLED_REASON), &changed) ||
      !set_access(endpoint, result, row, &rules))
    return false;
  if (mode->type != MU_VALUE_TEXT || !relay_mode_of(mode->text, &endpoint->mode))
    endpoint->mode = RELAY_DIRECT;
  endpoint->disabled = mu_result_at(result, row, C_DISABLED)->integer != 0;
  endpoint->disabled_ms = mu_result_at(result, row, C_DISABLED_AT)->integer;
  endpoint->banned = mu_result_at(result, row, C_BANNED_AT)->type != MU_VALUE_NULL ||
                     mu_result_at(result, row, C_ACTIVE)->integer == 0;
  enum verdict verdict = endpoint_verdict(endpoint);
  if (verdict != VERDICT_WELCOME)
    channels_dismiss(endpoint, verdict);
  else if (rules && endpoint->access != RELAY_ACCESS_OPEN)
    channels_dismiss(endpoint, VERDICT_RULES);
  else if (rules && endpoint->origins[0])
    channels_dismiss(endpoint, VERDICT_RULES);
  return true;
}

static void is_gone(struct endpoint *endpoint)
{
  if (endpoint->gone)
    return;
  endpoint->gone = true;
  take_out(endpoint); /* the same id may be given again */
  channels_dismiss(endpoint, VERDICT_NO_ENDPOINT);
}

/* ---- looking up ---------------------------------------------------------------------------------- */

static void release_lookup(struct task *task)
{
  free(((struct lookup *)task)->waiting);
}

static int ask_key(struct lookup *lookup);

static void tell_waiting(struct lookup *lookup, struct endpoint *endpoint, enum verdict verdict)
{
  struct relay *relay = lookup->task.relay;
  mu_map_del(relay->lookups->by_key, mu_str(lookup->key));
  if (endpoint)
    endpoint_hold(endpoint);
  for (size_t i = 0; i < lookup->count; i++)
    channel_found(relay, lookup->waiting[i], endpoint, verdict);
  if (endpoint)
    endpoint_release(endpoint);
  task_free(lookup);
}

static void found(void *context, const struct mu_result *result)
{
  struct lookup *lookup = context;
  struct relay *relay = lookup->task.relay;
  if (result->error != 0) {
    mu_log_limited(relay->in, MU_LOG_WARN, "lookup", "an endpoint could not be looked up: %s: %s",
                   mu_strerror(result->error), result->reason);
    tell_waiting(lookup, NULL, VERDICT_INTERNAL);
    return;
  }
  if (lookup->epoch != relay->epoch && lookup->tries++ < TRIES && ask_key(lookup) == 0)
    return;
  const struct mu_value *key = mu_result_at(result, 0, C_KEY), *uuid = mu_result_at(result, 0, C_ID);
  /* The released tables compare without looking at case; an id that is a credential is compared exactly. */
  if (result->rows == 0 || !mu_str_equal(key->text, mu_str(lookup->key))) {
    tell_waiting(lookup, NULL, VERDICT_NO_ENDPOINT);
    return;
  }
  struct endpoint *endpoint = mu_map_get(relay->by_key, key->text);
  struct endpoint *other = mu_map_get(relay->by_uuid, uuid->text);
  if (other && other != endpoint) /* its address was changed */
    is_gone(other);
  bool fresh = !endpoint;
  if (fresh)
    endpoint = new_endpoint(relay, uuid->text, key->text);
  if (!endpoint || !apply_row(endpoint, result, 0)) {
    if (fresh && endpoint)
      drop_endpoint(endpoint);
    tell_waiting(lookup, NULL, VERDICT_INTERNAL);
    return;
  }
  if (fresh)
    alerts_load(endpoint);
  tell_waiting(lookup, endpoint, VERDICT_WELCOME);
}

static int ask_key(struct lookup *lookup)
{
  struct relay *relay = lookup->task.relay;
  const struct mu_value values[] = {mu_value_text(lookup->key)};
  lookup->epoch = relay->epoch;
  return relay_read(relay, by_key_sql, values, MU_COUNT(values), found, lookup);
}

static bool wait_for(struct lookup *lookup, mu_conn_id conn)
{
  if (lookup->count == lookup->capacity) {
    size_t capacity = lookup->capacity ? lookup->capacity * 2 : 4;
    mu_conn_id *waiting = realloc(lookup->waiting, capacity * sizeof *waiting);
    if (!waiting)
      return false;
    lookup->waiting = waiting;
    lookup->capacity = capacity;
  }
  lookup->waiting[lookup->count++] = conn;
  return true;
}

int endpoints_look_up(struct relay *relay, const char *key, mu_conn_id conn)
{
  struct lookup *lookup = mu_map_get(relay->lookups->by_key, mu_str(key));
  if (lookup)
    return wait_for(lookup, conn) ? 0 : MU_ENOMEM;
  if (mu_map_count(relay->lookups->by_key) >= LOOKUPS_MAX) {
    mu_count(relay->lookups->refused, 1);
    return MU_ELIMIT;
  }
  lookup = task_new(relay, sizeof *lookup, release_lookup);
  if (!lookup)
    return MU_ENOMEM;
  strncpy(lookup->key, key, sizeof lookup->key - 1);
  int result = wait_for(lookup, conn) ? mu_map_add(relay->lookups->by_key, mu_str(key), lookup) : MU_ENOMEM;
  if (result == 0 && (result = ask_key(lookup)) != 0)
    mu_map_del(relay->lookups->by_key, mu_str(key));
  if (result != 0)
    task_free(lookup);
  return result;
}

/* ---- reading again ------------------------------------------------------------------------------- */

static int ask_again(struct reading *reading);

static void end_reading(struct reading *reading, int error)
{
  if (reading->done)
    reading->done(reading->context, error);
  for (size_t i = 0; i < reading->count; i++)
    endpoint_release(reading->endpoints[i]);
  task_free(reading);
}

static void read_again(void *context, const struct mu_result *result)
{
  struct reading *reading = context;
  struct relay *relay = reading->task.relay;
  if (result->error == 0 && reading->epoch != relay->epoch && reading->tries++ < TRIES && ask_again(reading) == 0)
    return;
  if (result->error != 0)
    mu_log_limited(relay->in, MU_LOG_WARN, "refresh", "endpoints could not be read again: %s: %s",
                   mu_strerror(result->error), result->reason);
  for (size_t i = 0; i < reading->count; i++) {
    struct endpoint *endpoint = reading->endpoints[i];
    bool there = false;
    for (size_t row = 0; row < result->rows && !there; row++) {
      there = mu_str_equal(mu_result_at(result, row, C_ID)->text, mu_str(endpoint->uuid)) &&
              mu_str_equal(mu_result_at(result, row, C_KEY)->text, mu_str(endpoint->key));
      if (there && !apply_row(endpoint, result, row))
        mu_log_limited(relay->in, MU_LOG_WARN, "refresh", "out of memory");
    }
    if (result->error == 0 && !there)
      is_gone(endpoint);
    if (reading->verdict != VERDICT_WELCOME)
      channels_dismiss(endpoint, reading->verdict);
  }
  end_reading(reading, result->error);
}

static int ask_again(struct reading *reading)
{
  struct relay *relay = reading->task.relay;
  struct mu_value values[AT_ONCE];
  for (size_t i = 0; i < AT_ONCE; i++)
    values[i] = mu_value_text(reading->endpoints[i < reading->count ? i : 0]->uuid);
  reading->epoch = relay->epoch;
  return relay_read(relay, by_id_sql, values, AT_ONCE, read_again, reading);
}

static struct reading *new_reading(struct relay *relay)
{
  return task_new(relay, sizeof(struct reading), NULL);
}

/* When it cannot be asked: whoever must go goes. */
static void begin_reading(struct reading *reading)
{
  int result = ask_again(reading);
  if (result == 0)
    return;
  for (size_t i = 0; i < reading->count && reading->verdict != VERDICT_WELCOME; i++)
    channels_dismiss(reading->endpoints[i], reading->verdict);
  end_reading(reading, result);
}

static void add_to_reading(struct reading *reading, struct endpoint *endpoint)
{
  endpoint_hold(endpoint);
  reading->endpoints[reading->count++] = endpoint;
}

void endpoint_refresh(struct relay *relay, const char *endpoint_uuid, relay_done done, void *context)
{
  relay->epoch++;
  struct endpoint *endpoint = relay_endpoint(relay, endpoint_uuid);
  struct reading *reading = endpoint ? new_reading(relay) : NULL;
  if (!reading) {
    if (done)
      done(context, endpoint ? MU_ENOMEM : 0);
    return;
  }
  reading->done = done;
  reading->context = context;
  add_to_reading(reading, endpoint);
  begin_reading(reading);
}

void endpoint_gone(struct relay *relay, const char *endpoint_uuid)
{
  relay->epoch++;
  struct endpoint *endpoint = relay_endpoint(relay, endpoint_uuid);
  if (endpoint)
    is_gone(endpoint);
}

/* All (`user_id` NULL) or a user's. */
static void read_all(struct relay *relay, const char *user_id, enum verdict verdict)
{
  struct reading *reading = NULL;
  struct endpoint *next;
  for (struct endpoint *endpoint = relay->endpoints; endpoint; endpoint = next) {
    next = endpoint->next;
    if (endpoint->gone || (user_id && strcmp(endpoint->user_id, user_id) != 0))
      continue;
    if (!reading && !(reading = new_reading(relay)))
      return;
    reading->verdict = verdict;
    add_to_reading(reading, endpoint);
    if (reading->count == AT_ONCE) {
      begin_reading(reading);
      reading = NULL;
    }
  }
  if (reading)
    begin_reading(reading);
}

/* A ban, a new password: whoever is connected goes, with the reason that the rows give. */
static void revoked(void *self, const struct mu_event *event)
{
  struct relay *relay = self;
  const struct mu_principal *principal = event->payload;
  if (!principal || principal->credential[0] || strcmp(principal->provider, relay->provider) != 0)
    return;
  relay->epoch++;
  read_all(relay, principal->id, VERDICT_REVOKED);
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void poll_rows(void *context)
{
  struct relay *relay = context;
  int64_t idle = mu_mono_ns() - LINGER_S * 1000000000LL;
  struct endpoint *next;
  for (struct endpoint *endpoint = relay->endpoints; endpoint; endpoint = next) {
    next = endpoint->next;
    if (!endpoint->channels && !endpoint->held && !pending_any(endpoint) && mu_map_count(endpoint->devices) == 0 &&
        (endpoint->gone || endpoint->used_ns < idle))
      drop_endpoint(endpoint);
  }
  read_all(relay, NULL, VERDICT_WELCOME);
  devices_poll(relay);
}

int endpoints_init(struct relay *relay)
{
  relay->lookups = calloc(1, sizeof *relay->lookups);
  if (!relay->lookups)
    return MU_ENOMEM;
  relay->lookups->by_key = mu_map_new();
  relay->lookups->refused = mu_counter_get(relay->in, "lookups_refused");
  relay->poll = mu_timer_new(relay->in, poll_rows, relay);
  return relay->lookups->by_key && relay->poll ? 0 : MU_ENOMEM;
}

int endpoints_start(struct relay *relay)
{
  mu_timer_start(relay->poll, POLL_MS, POLL_MS);
  return mu_event_on(relay->in, MU_EVENT_AUTH_REVOKED, 0, revoked, relay);
}

/* The groups are gone already. */
void endpoints_fini(struct relay *relay)
{
  while (relay->endpoints) {
    struct endpoint *endpoint = relay->endpoints;
    relay->endpoints = endpoint->next;
    free_endpoint(endpoint);
  }
  if (relay->lookups)
    mu_map_free(relay->lookups->by_key);
  free(relay->lookups);
}
