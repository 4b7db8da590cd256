/* SPDX-License-Identifier: ISC */
/*
 * The plugin to copy. It has two components:
 *   - a collector, loaded by muster-agent: how many files the machine has open;
 *   - a server component, loaded by musterd: says in the log when machines come and go, and takes a message type of its
 *     own on the connections of the session protocol: {"type":"note","text":…}.
 * Read top to bottom: each part says what the host does with it. docs: CONTRIBUTING.md.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

/* ---- the collector -------------------------------------------------------------------------- */

/* What the options below fill. The host owns it and everything in it. */
struct collector_config {
  bool limit;
};

/* One table: parsing, errors with file and line, --describe, and the check of example.conf come from it. */
static const struct mu_option collector_options[] = {
    {.key = "limit",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct collector_config, limit),
     .preset = "true",
     .help = "report the limit too"},
};

/* State hangs on the instance, so the plugin can be loaded twice under two names. */
struct collector {
  const struct collector_config *config;
  mu_procfile *file;
};

/* Makes the state. What is registered through `in` would be taken back by the host by itself. */
static int collector_init(mu_instance *in, const void *config, void **self)
{
  struct collector *collector = calloc(1, sizeof *collector);
  if (!collector)
    return MU_ENOMEM;
  collector->config = config;
  collector->file = mu_procfile_new(mu_host_root(in), "/proc/sys/fs/file-nr");
  if (!collector->file) {
    free(collector);
    return MU_ENOMEM;
  }
  *self = collector;
  return 0;
}

static void collector_fini(void *self)
{
  struct collector *collector = self;
  mu_procfile_free(collector->file);
  free(collector);
}

/* Called on a worker thread, once per interval, never twice at once. It may block: only this collector waits. */
static int collect(void *self, mu_sample *sample)
{
  struct collector *collector = self;
  struct mu_str text;
  int result = mu_procfile_read(collector->file, &text);
  if (result != 0)
    return result; /* counted, logged, and the last good sample stays */
  unsigned long long open_files, unused, limit;
  if (sscanf(text.at, "%llu %llu %llu", &open_files, &unused, &limit) != 3)
    return MU_ESYNTAX;
  mu_sample_uint(sample, "open_files", open_files - unused);
  if (collector->config->limit)
    mu_sample_uint(sample, "limit", limit);
  return 0;
}

static const struct mu_collector_ops collector_ops = {
    .size = sizeof collector_ops, .interval_s = 5, .collect = collect};

/* ---- the server component ------------------------------------------------------------------- */

struct listener {
  mu_instance *in;
  mu_counter *changes;
  struct mu_service session; /* api NULL: the session plugin is not loaded */
};

/* On the loop thread: never block here. The payload is borrowed. */
static void on_machine(void *self, const struct mu_event *event)
{
  struct listener *listener = self;
  const struct mu_machine *machine = event->payload;
  mu_count(listener->changes, 1);
  mu_log(listener->in, MU_LOG_INFO, "%s: %s", machine->id, machine->online ? "online" : "offline");
}

/* What a note consists of. The protocol scans each message once, against this table, and refuses what breaks it. */
struct note {
  struct mu_json_value text;
};
static const struct mu_field note_fields[] = {
    {.path = "text",
     .type = MU_FIELD_STRING,
     .flags = MU_FIELD_REQUIRED,
     .max = 200,
     .offset = offsetof(struct note, text)},
};

/* A note from an agent: say it in the log, and give it back to the machine. Everything is borrowed for the call. */
static int on_note(void *self, const struct mu_session_peer *peer, const struct mu_session_message *message)
{
  struct listener *listener = self;
  const struct mu_session *session = listener->session.api;
  const struct note *note = message->fields;
  mu_log_limited(listener->in, MU_LOG_INFO, "note", "%s: note %.*s", peer->machine->id, (int)note->text.len,
                 note->text.at);
  return session->send(listener->session.self, peer->machine, (struct mu_str){note->text.at, note->text.len});
}

/* Services of others are there from start on, if this component lists them in `needs` or `wants`. */
static int listener_start(void *self)
{
  struct listener *listener = self;
  if (mu_service_get(listener->in, MU_SERVICE_SESSION, &listener->session) != 0)
    return 0; /* wanted, not needed */
  const struct mu_session *session = listener->session.api;
  const struct mu_session_handler handler = {.size = sizeof handler,
                                             .type = "note",
                                             .scopes = MU_SESSION_AGENT,
                                             .fields = note_fields,
                                             .field_count = MU_COUNT(note_fields),
                                             .field_size = sizeof(struct mu_field),
                                             .fields_size = sizeof(struct note),
                                             .message = on_note};
  return session->handle(listener->session.self, listener->in, &handler, listener);
}

static int listener_init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  struct listener *listener = calloc(1, sizeof *listener);
  if (!listener)
    return MU_ENOMEM;
  listener->in = in;
  listener->changes = mu_counter_get(in, "changes");
  int result = mu_event_on(in, MU_EVENT_MACHINE_ONLINE, 0, on_machine, listener);
  if (result == 0)
    result = mu_event_on(in, MU_EVENT_MACHINE_OFFLINE, 0, on_machine, listener);
  if (result != 0) {
    free(listener);
    return result;
  }
  *self = listener;
  return 0;
}

static void listener_fini(void *self)
{
  free(self);
}

static const char *const listener_wants[] = {MU_SERVICE_SESSION, NULL};

/* ---- what the host sees --------------------------------------------------------------------- */

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component),
     .kind = MU_COLLECTOR,
     .options = MU_OPTIONS(collector_options),
     .config_size = sizeof(struct collector_config),
     .init = collector_init,
     .fini = collector_fini,
     .ops = &collector_ops},
    {.size = sizeof(struct mu_component),
     .kind = MU_SERVER,
     .wants = listener_wants,
     .init = listener_init,
     .start = listener_start,
     .fini = listener_fini},
};

MU_PLUGIN(.name = "example", .version = "0.1.0", .summary = "open files; comings and goings", .licence = "ISC",
          .components = MU_COMPONENTS(components));
