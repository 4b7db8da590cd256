/* SPDX-License-Identifier: ISC */
/* Between the sources, the judgement and machines/1. */
#include <stdlib.h>
#include <string.h>

#include "key.h"
#include "watch_source.h"

enum { SOURCES = 3, ALARM_EVERY_MS = 600000 };

struct watch {
  mu_instance *in;
  const struct watch_config *config;
  struct deletions *deletions;
  struct source *sources[SOURCES];
  size_t source_count;
  struct source *poll; /* one of them */
  struct mu_service machines;
  const struct mu_machines *api; /* NULL: none, or stopped */
  int64_t burst_from_ns, alarmed_ns;
  size_t burst;
  mu_counter *deleted, *restored, *alarms, *unknown;
};

/* ---- options --------------------------------------------------------------------------------- */

static const char *const id_types[] = {"uuid", "integer", "text", "bigint", NULL};

#define AT(member) offsetof(struct watch_config, member)
const struct mu_option watch_options[WATCH_OPTION_COUNT] = {
    {.key = "table",
     .type = MU_OPT_STRING,
     .offset = AT(table),
     .preset = "\"machines\"",
     .max = 63,
     .help = "table or view with a row for each machine; when the row goes, the machine's session ends. \"\": none is "
             "watched"},
    {.key = "schema",
     .type = MU_OPT_STRING,
     .offset = AT(schema),
     .preset = "\"public\"",
     .min = 1,
     .max = 63,
     .help = "its schema, for Realtime; polls ask in the schema that the REST interface exposes first"},
    {.key = "id_column",
     .type = MU_OPT_STRING,
     .offset = AT(id_column),
     .preset = "\"id\"",
     .min = 1,
     .max = 63,
     .help = "column with the machine's id, its primary key"},
    {.key = "owner_column",
     .type = MU_OPT_STRING,
     .offset = AT(owner_column),
     .preset = "\"user_id\"",
     .max = 63,
     .help = "column with the owner's id as in the users' table: nobody's row stands for another user's machine. \"\": "
             "not looked at"},
    {.key = "id_type",
     .type = MU_OPT_ENUM,
     .offset = AT(id_type),
     .preset = "\"uuid\"",
     .names = id_types,
     .help =
         "the column's type: agents may call themselves anything, and machines whose id is none of this type have no "
         "row and are never asked for"},
    {.key = "poll_every",
     .type = MU_OPT_INT,
     .offset = AT(poll_every),
     .preset = "20",
     .min = 0,
     .max = 3600,
     .help = "seconds between two polls of the rows, ±20 %; 10 to 30 is sensible. 0: only at the start and after gaps "
             "of the others"},
    {.key = "realtime",
     .type = MU_OPT_BOOL,
     .offset = AT(realtime),
     .preset = "true",
     .help = "be told by Supabase's Realtime at once; the table must be in the publication supabase_realtime"},
    {.key = "realtime_url",
     .type = MU_OPT_STRING,
     .offset = AT(realtime_url),
     .max = 300,
     .help = "\"wss://host/path\" where Realtime is not at /realtime/v1/websocket of `url`"},
    {.key = "listen",
     .type = MU_OPT_STRING,
     .offset = AT(listen),
     .flags = MU_OPT_SECRET,
     .max = 1000,
     .help = "\"postgresql://user:password@host/database?sslmode=verify-full\": be told by LISTEN/NOTIFY of a "
             "PostgreSQL of one's own; see "
             "notify.sql"},
    {.key = "channel",
     .type = MU_OPT_STRING,
     .offset = AT(channel),
     .preset = "\"muster_machines\"",
     .min = 1,
     .max = 63,
     .help = "channel to LISTEN on; the notice's text is {\"id\":…,\"owner\":…}, or the machine's id alone"},
    {.key = "burst",
     .type = MU_OPT_INT,
     .offset = AT(burst),
     .preset = "10",
     .min = 1,
     .max = 1000000,
     .help = "more deletions than this within a second are worth a warning; they count all the same"},
};

/* A plain identifier: nothing that PostgREST gives a meaning to. Which may be empty, the table of options says. */
static void check_name(struct mu_check *check, const char *path, const char *name)
{
  if (name && name[0] && !identifier_ok(name))
    mu_check_error(check, path, "only letters, digits and _ may be in it, and no digit at its beginning");
}

static bool begins(const char *text, const char *with)
{
  return strncmp(text, with, strlen(with)) == 0;
}

/* The key goes there: in plain text to this machine itself only. */
static bool loopback(const char *url)
{
  const char *host = url + strlen("ws://");
  size_t len = strcspn(host, ":/?");
  if (host[0] == '[')
    return begins(host, "[::1]") && strchr(":/?", host[5]);
  return (len == 9 && (begins(host, "localhost") || begins(host, "127.0.0.1")));
}

void watch_check(const struct watch_config *config, struct mu_check *check)
{
  check_name(check, "machines.table", config->table);
  check_name(check, "machines.schema", config->schema);
  check_name(check, "machines.id_column", config->id_column);
  check_name(check, "machines.owner_column", config->owner_column);
  check_name(check, "machines.channel", config->channel);
  const char *url = config->realtime_url;
  if (url && url[0]) {
    if (!begins(url, "wss://") && !begins(url, "ws://"))
      mu_check_error(check, "machines.realtime_url", "it must begin with wss://, or with ws:// on this machine itself");
    else if (begins(url, "ws://") && !loopback(url))
      mu_check_error(check, "machines.realtime_url", "the key would travel in plain text: use wss://");
    else if (strpbrk(url, "?# "))
      mu_check_error(check, "machines.realtime_url", "it must end before any \"?\" or \"#\"");
  }
  const char *problem = config->listen && config->listen[0] ? source_listen_problem(config->listen) : NULL;
  if (problem)
    mu_check_error(check, "machines.listen", "%s", problem);
  bool events = config->realtime || (config->listen && config->listen[0]);
  if (config->poll_every == 0 && config->table && config->table[0])
    mu_check_warn(check, "machines.poll_every", "%s",
                  events ? "without polls a deletion that the others miss is noticed only when they connect again"
                         : "nothing notices deleted machines: to say so on purpose, set table = \"\"");
}

/* ---- the judgement's words ------------------------------------------------------------------- */

/* Each deletion has its line, unless there are so many that a user could fill the log with them. */
static void log_removal(struct watch *watch, const char *owner, const char *id)
{
  int64_t now_ns = mu_mono_ns();
  if (watch->burst == 0 || now_ns - watch->burst_from_ns > INT64_C(1000000000)) {
    watch->burst_from_ns = now_ns;
    watch->burst = 0;
  }
  long long most = (long long)watch->config->burst;
  if ((long long)watch->burst < most)
    mu_log(watch->in, MU_LOG_INFO, "machine \"%s\" of user \"%s\" was deleted", id, owner);
  else if ((long long)watch->burst == most)
    mu_log(watch->in, MU_LOG_WARN, "more than %lld machines were deleted within a second; the others are only counted",
           most);
  watch->burst++;
}

static void on_remove(void *self, const char *owner, const char *id)
{
  struct watch *watch = self;
  if (!watch->api)
    return;
  mu_count(watch->deleted, 1);
  log_removal(watch, owner, id);
  int error = watch->api->remove(watch->machines.self, mu_instance_name(watch->in), owner, id);
  if (error)
    mu_log(watch->in, MU_LOG_ERROR, "machine \"%s\" was deleted and cannot be removed: %s", id, mu_strerror(error));
}

static void on_restore(void *self, const char *owner, const char *id)
{
  struct watch *watch = self;
  if (!watch->api)
    return;
  mu_count(watch->restored, 1);
  mu_log_limited(watch->in, MU_LOG_INFO, "machine restored", "machine \"%s\" of user \"%s\" has a row again", id,
                 owner);
  watch->api->restore(watch->machines.self, mu_instance_name(watch->in), owner, id);
}

static void on_alarm(void *self, size_t vanished, bool again)
{
  struct watch *watch = self;
  int64_t now_ns = mu_mono_ns();
  mu_count(watch->alarms, 1);
  if (again && now_ns - watch->alarmed_ns < ALARM_EVERY_MS * INT64_C(1000000))
    return;
  watch->alarmed_ns = now_ns;
  mu_log(watch->in, MU_LOG_ERROR,
         "all %zu machines' rows vanished from \"%s\" together: that looks like lost grants or row-level security, so "
         "no machine is "
         "deleted until a row shows again",
         vanished, watch->config->table);
}

static void on_look(void *self)
{
  struct watch *watch = self;
  if (watch->poll)
    source_poll_new_ones(watch->poll);
}

/* ---- the sources' words ---------------------------------------------------------------------- */

/*
 * The database itself says that it deleted this row: certain, so it acts at once and needs no second answer. Many at once are as
 * certain (a user who leaves takes his machines along), unlike many that an answer lacks.
 */
static void on_gone(void *self, struct mu_str id, struct mu_str owner)
{
  struct watch *watch = self;
  if (!watch->api)
    return;
  if (deletions_gone(watch->deletions, id, owner, mu_now_ms()) == 0)
    mu_count(watch->unknown, 1);
}

static void on_gap(void *self)
{
  struct watch *watch = self;
  if (watch->poll)
    source_poll_all(watch->poll);
}

/* ---- machines/1 ------------------------------------------------------------------------------ */

static bool ours(const struct watch *watch, const struct mu_machine *machine)
{
  return watch->api && machine->owner[0] && strcmp(machine->provider, mu_instance_name(watch->in)) == 0;
}

static void know(struct watch *watch, const struct mu_machine *machine)
{
  if (!ours(watch, machine) ||
      watch->api->removed(watch->machines.self, machine->provider, machine->owner, machine->id))
    return; /* a late word of a machine that is gone */
  int result = deletions_know(watch->deletions, machine->owner, machine->id);
  if (result < 0)
    mu_log_limited(watch->in, MU_LOG_ERROR, "watch memory", "the row of machine \"%s\" cannot be watched: %s",
                   machine->id, mu_strerror(result));
  else if (result > 0 && watch->poll)
    source_poll_new_ones(watch->poll);
}

static void on_known(void *self, const struct mu_event *event)
{
  know(self, event->payload);
}

static void on_deleted(void *self, const struct mu_event *event)
{
  struct watch *watch = self;
  const struct mu_machine *machine = event->payload;
  if (ours(watch, machine))
    deletions_forget(watch->deletions, machine->owner, machine->id);
}

static int on_each(void *context, const struct mu_machine *machine)
{
  know(context, machine);
  return 0;
}

/* ---- from start to end ----------------------------------------------------------------------- */

int watch_new(mu_instance *in, const struct watch_config *config, struct rest *rest, const char *url, const char *key,
              const char *ca_file, struct watch **out)
{
  static const struct deletions_ops ops = {
      .remove = on_remove, .restore = on_restore, .alarm = on_alarm, .look = on_look};
  struct watch *watch = calloc(1, sizeof *watch);
  *out = watch;
  if (!watch)
    return MU_ENOMEM;
  watch->in = in;
  watch->config = config;
  watch->deleted = mu_counter_get(in, "machines_deleted");
  watch->restored = mu_counter_get(in, "machines_restored");
  watch->alarms = mu_counter_get(in, "machine_alarms");
  watch->unknown = mu_counter_get(in, "machine_events_unknown");
  if (!config->table || !config->table[0])
    return 0;
  const struct deletions_config judged = {.id = (enum deletions_id)config->id_type,
                                          .owners = config->owner_column[0] != '\0'};
  watch->deletions = deletions_new(&judged, &ops, watch);
  if (!watch->deletions)
    goto fail;
  const struct source base = {.in = in, .config = config, .events = {.self = watch, .gone = on_gone, .gap = on_gap}};
  watch->poll = watch->sources[watch->source_count] = source_poll_new(&base, watch->deletions, rest);
  if (!watch->sources[watch->source_count++])
    goto fail;
  if (config->realtime && !(watch->sources[watch->source_count++] = source_realtime_new(&base, url, key, ca_file)))
    goto fail;
  if (config->listen && config->listen[0] && !(watch->sources[watch->source_count++] = source_listen_new(&base)))
    goto fail;
  return 0;
fail:
  watch_stop(watch);
  watch_free(watch);
  *out = NULL;
  return MU_ENOMEM;
}

int watch_start(struct watch *watch, const struct mu_service *machines)
{
  if (!watch->deletions || !machines)
    return 0;
  watch->machines = *machines;
  watch->api = machines->api;
  /* After all others: a machine is watched when everybody has dealt with its coming. */
  static const char *const coming[] = {MU_EVENT_MACHINE_ONLINE, MU_EVENT_MACHINE_INFO};
  for (size_t i = 0; i < MU_COUNT(coming); i++) {
    int error = mu_event_on(watch->in, coming[i], 1000, on_known, watch);
    if (error)
      return error;
  }
  int error = mu_event_on(watch->in, MU_EVENT_MACHINE_DELETED, 1000, on_deleted, watch);
  if (error)
    return error;
  watch->api->each(watch->machines.self, NULL, NULL, on_each, watch);
  for (size_t i = 0; i < watch->source_count; i++)
    watch->sources[i]->ops->start(watch->sources[i]);
  return 0;
}

void watch_stop(struct watch *watch)
{
  if (!watch)
    return;
  watch->api = NULL;
  for (size_t i = 0; i < watch->source_count; i++)
    if (watch->sources[i])
      watch->sources[i]->ops->stop(watch->sources[i]);
}

void watch_free(struct watch *watch)
{
  if (!watch)
    return;
  for (size_t i = 0; i < watch->source_count; i++)
    if (watch->sources[i])
      watch->sources[i]->ops->free(watch->sources[i]);
  deletions_free(watch->deletions);
  free(watch);
}

uint64_t source_delay_ms(const unsigned *seconds, size_t count, unsigned n)
{
  uint32_t random = UINT32_MAX / 2;
  if (mu_random(&random, sizeof random) != 0)
    random = UINT32_MAX / 2; /* without jitter, then */
  double base = seconds[n < count ? n : count - 1] * 1000.0;
  return (uint64_t)(base * (0.8 + 0.4 * ((double)random / UINT32_MAX)));
}
