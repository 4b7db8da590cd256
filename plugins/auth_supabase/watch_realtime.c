/* SPDX-License-Identifier: ISC */
/* Supabase's Realtime: one channel for the deletions of one table. The key is in the URL, so the URL is never logged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phoenix.h"
#include "rest.h"
#include "watch_source.h"

enum {
  HEARTBEAT_MS = 25000,
  JOIN_MS = 10000,       /* from the open link to the database's word */
  MESSAGE_MAX = 2 << 20, /* a row may be 1 MB */
  TEXT_MAX = 4096,
};

static const unsigned delays[] = {1, 2, 5, 10};

struct realtime {
  struct source source;
  mu_client *client;
  mu_timer *again;   /* to connect */
  mu_timer *joining; /* the join takes too long */
  mu_timer *heartbeat;
  struct phoenix_channel channel;
  char *url; /* with the key */
  const char *token;
  char *key, *ca_file;
  uint64_t ref, join_ref, heartbeat_ref; /* heartbeat_ref 0: answered */
  unsigned failures;
  bool replied, live, told;
  mu_counter *joins, *deleted, *nameless, *bad;
};

static void push(struct realtime *realtime, mu_text *text)
{
  if (text)
    mu_client_send(realtime->client, text);
  mu_text_unref(text);
}

/* A fresh link for each try: what the old one still had to say is of no interest. */
static void come_back(struct realtime *realtime, const char *why)
{
  uint64_t delay_ms = source_delay_ms(delays, MU_COUNT(delays), realtime->failures++);
  /* Once for each break; a server without Realtime must not fill the log. */
  mu_log(realtime->source.in, realtime->live || !realtime->told ? MU_LOG_WARN : MU_LOG_DEBUG,
         "Realtime does not tell of deleted machines now (%s); next try in %.1f s", why, (double)delay_ms / 1000);
  realtime->told = true;
  realtime->live = false;
  mu_client_free(realtime->client);
  realtime->client = NULL;
  mu_timer_stop(realtime->joining);
  mu_timer_stop(realtime->heartbeat);
  mu_timer_start(realtime->again, delay_ms, 0);
}

/* ---- what the link tells --------------------------------------------------------------------- */

static void on_open(void *self)
{
  struct realtime *realtime = self;
  realtime->join_ref = ++realtime->ref;
  realtime->heartbeat_ref = 0;
  realtime->replied = realtime->live = false;
  push(realtime, phoenix_join(&realtime->channel, realtime->join_ref, realtime->token));
  mu_timer_start(realtime->joining, JOIN_MS, 0);
  mu_timer_start(realtime->heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
}

static void on_live(struct realtime *realtime)
{
  realtime->live = true;
  realtime->told = false;
  realtime->failures = 0;
  mu_timer_stop(realtime->joining);
  mu_count(realtime->joins, 1);
  mu_log(realtime->source.in, MU_LOG_INFO, "Realtime tells of deleted rows of \"%s\"", realtime->channel.table);
  realtime->source.events.gap(realtime->source.events.self);
}

static void on_message(void *self, const char *data, size_t len, bool binary)
{
  struct realtime *realtime = self;
  struct phoenix_frame frame;
  char why[256];
  if (binary || phoenix_read(&realtime->channel, data, len, &frame) != 0) {
    mu_count(realtime->bad, 1);
    mu_log_limited(realtime->source.in, MU_LOG_WARN, "realtime frame", "Realtime sent what is no frame (%zu bytes)",
                   len);
    return;
  }
  switch (frame.kind) {
  case PHOENIX_REPLY:
    if (frame.ref && frame.ref == realtime->heartbeat_ref)
      realtime->heartbeat_ref = 0;
    if (frame.ref != realtime->join_ref)
      return;
    realtime->replied = frame.ok;
    if (frame.ok)
      return;
    snprintf(why, sizeof why, "the join was refused: %s", frame.why);
    come_back(realtime, why);
    return;
  case PHOENIX_SYSTEM:
    if (frame.ok && !realtime->live)
      on_live(realtime);
    if (frame.ok)
      return;
    snprintf(why, sizeof why, "%s; is the table in the publication supabase_realtime?", frame.why);
    come_back(realtime, why);
    return;
  case PHOENIX_CLOSED:
    if (frame.join_ref == 0 || frame.join_ref == realtime->join_ref)
      come_back(realtime, "the channel was closed");
    return;
  case PHOENIX_DELETED:
    mu_count(realtime->deleted, 1);
    realtime->source.events.gone(realtime->source.events.self, mu_str(frame.id), mu_str(frame.owner));
    return;
  case PHOENIX_NAMELESS:
    mu_count(realtime->nameless, 1);
    mu_log_limited(realtime->source.in, MU_LOG_WARN, "realtime nameless",
                   "Realtime told of a deleted row without its \"%s\"%s%s: polling", realtime->channel.id_column,
                   frame.why[0] ? ": " : "", frame.why);
    realtime->source.events.gap(realtime->source.events.self);
    return;
  default:
    return;
  }
}

static void on_closed(void *self, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  struct realtime *realtime = self;
  char why[256];
  (void)retry_ms; /* the delays here are shorter */
  if (status == 401 || status == 403)
    snprintf(why, sizeof why, "the key was refused with status %d", status);
  else if (status)
    snprintf(why, sizeof why, "the server answered with status %d", status);
  else
    snprintf(why, sizeof why, "%u%s%s", code, reason && reason[0] ? ", " : "", reason ? reason : "");
  come_back(realtime, why);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void on_again(void *context)
{
  static const struct mu_client_events events = {
      .size = sizeof events, .open = on_open, .message = on_message, .closed = on_closed};
  struct realtime *realtime = context;
  bool tls = strncmp(realtime->url, "wss", 3) == 0;
  const struct mu_client_options options = {.size = sizeof options,
                                            .url = realtime->url,
                                            .tls_ca_file = tls ? realtime->ca_file : NULL,
                                            .max_message = MESSAGE_MAX,
                                            .no_queue = true};
  realtime->client = mu_client_new(realtime->source.in, &options, &events, realtime);
  if (realtime->client)
    mu_client_start(realtime->client);
  else
    come_back(realtime, "no client could be made");
}

static void on_join_late(void *context)
{
  struct realtime *realtime = context;
  come_back(realtime, realtime->replied ? "the database's word did not come" : "the join was not answered");
}

static void on_heartbeat(void *context)
{
  struct realtime *realtime = context;
  if (realtime->heartbeat_ref) {
    come_back(realtime, "a heartbeat was not answered");
    return;
  }
  realtime->heartbeat_ref = ++realtime->ref;
  push(realtime, phoenix_heartbeat(realtime->heartbeat_ref));
}

/* ---- from start to end ----------------------------------------------------------------------- */

static void realtime_start(struct source *source)
{
  on_again(source);
}

static void realtime_stop(struct source *source)
{
  struct realtime *realtime = (struct realtime *)source;
  mu_client_free(realtime->client);
  mu_timer_free(realtime->again);
  mu_timer_free(realtime->joining);
  mu_timer_free(realtime->heartbeat);
  realtime->client = NULL;
  realtime->again = realtime->joining = realtime->heartbeat = NULL;
}

static void wipe(char *text)
{
  if (text)
    mu_secret_wipe(text, strlen(text));
  free(text);
}

static void realtime_free(struct source *source)
{
  struct realtime *realtime = (struct realtime *)source;
  wipe(realtime->url);
  wipe(realtime->key);
  free(realtime->ca_file);
  free((char *)realtime->channel.topic);
  free(realtime);
}

/* "https://PROJECT.supabase.co/" → "wss://PROJECT.supabase.co/realtime/v1/websocket?apikey=…&vsn=2.0.0" */
static char *make_url(const struct watch_config *config, const char *url, const char *key)
{
  struct mu_buf out = MU_BUF_INIT;
  bool own = config->realtime_url && config->realtime_url[0];
  const char *from = own ? config->realtime_url : url;
  bool plain = strncmp(from, "http://", 7) == 0 || strncmp(from, "ws://", 5) == 0;
  const char *rest = strstr(from, "://");
  rest = rest ? rest + 3 : from;
  size_t len = strlen(rest);
  while (len > 0 && rest[len - 1] == '/')
    len--;
  mu_buf_adds(&out, plain ? "ws://" : "wss://");
  mu_buf_add(&out, rest, len);
  mu_buf_adds(&out, own ? "?apikey=" : "/realtime/v1/websocket?apikey=");
  rest_encode(&out, mu_str(key));
  mu_buf_adds(&out, "&vsn=2.0.0");
  char *made = out.failed ? NULL : strdup(out.at);
  if (out.at)
    mu_secret_wipe(out.at, out.len);
  mu_buf_free(&out);
  return made;
}

struct source *source_realtime_new(const struct source *base, const char *url, const char *key, const char *ca_file)
{
  static const struct source_ops ops = {.start = realtime_start, .stop = realtime_stop, .free = realtime_free};
  struct realtime *realtime = calloc(1, sizeof *realtime);
  char *topic = NULL;
  if (!realtime)
    return NULL;
  realtime->source = *base;
  realtime->source.ops = &ops;
  const struct watch_config *config = base->config;
  if (asprintf(&topic, "realtime:muster:%s:%s", config->schema, config->table) < 0)
    topic = NULL;
  realtime->channel = (struct phoenix_channel){.topic = topic,
                                               .schema = config->schema,
                                               .table = config->table,
                                               .id_column = config->id_column,
                                               .owner_column = config->owner_column};
  realtime->url = make_url(config, url, key);
  realtime->key = strdup(key);
  /* A legacy key is a JWT and joins by itself; others are no tokens, and Realtime takes the one of the link. */
  realtime->token = realtime->key && strncmp(key, "sb_", 3) != 0 ? realtime->key : NULL;
  realtime->ca_file = ca_file && ca_file[0] ? strdup(ca_file) : NULL;
  realtime->again = mu_timer_new(base->in, on_again, realtime);
  realtime->joining = mu_timer_new(base->in, on_join_late, realtime);
  realtime->heartbeat = mu_timer_new(base->in, on_heartbeat, realtime);
  realtime->joins = mu_counter_get(base->in, "realtime_joins");
  realtime->deleted = mu_counter_get(base->in, "realtime_deleted");
  realtime->nameless = mu_counter_get(base->in, "realtime_nameless");
  realtime->bad = mu_counter_get(base->in, "realtime_bad_frames");
  if (!topic || !realtime->url || !realtime->key || (ca_file && ca_file[0] && !realtime->ca_file) || !realtime->again ||
      !realtime->joining || !realtime->heartbeat) {
    realtime_stop(&realtime->source);
    realtime_free(&realtime->source);
    return NULL;
  }
  return &realtime->source;
}
