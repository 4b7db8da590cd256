/* SPDX-License-Identifier: ISC */
/* The page at /, and the channel that keeps it live: every public machine at once, then each change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>
#include <muster/muster.h>

/* Beyond all handles of machines. */
#define HELLO_KEY (UINT64_MAX - 1)
#define READY_KEY UINT64_MAX

struct config {
  const char *page;
  const char *token;
};

struct console {
  mu_instance *in;
  struct mu_service machines;
  const struct mu_machines *api;
  const mu_form *form;
  mu_group *watchers;
  mu_counter *refused;
  const struct config *config;
  mu_timer *warning;
};

static const struct mu_option options[] = {
    {.key = "page",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, page),
     .preset = "\"\"",
     .help = "folder with the page's files; empty: the one that was installed with Muster"},
    {.key = "token",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct config, token),
     .flags = MU_OPT_SECRET,
     .max = 256,
     .help = "who may watch: absent, everybody; else who opens the page as /?token=… or sends Authorization: Bearer …"},
};

/* ---- one machine as a message ---- */

/* Empty for the operator's machines. Whoever made a machine public is seen with it. */
static const char *owner_shown(const struct mu_machine *machine)
{
  return machine->owner[0] && machine->owner_name[0] ? machine->owner_name : machine->owner;
}

static int render(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct console *console = self;
  struct json_object *metrics = console->api->metrics(console->machines.self, machine);
  mu_text *metrics_text = metrics ? mu_json_text(metrics) : NULL;
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"machine\",\"key\":\"%llu\",\"id\":", (unsigned long long)machine->handle);
  mu_buf_json_string(&buf, mu_str(machine->id));
  const struct {
    const char *name;
    const char *value;
  } members[] = {{",\"name\":", machine->name},
                 {",\"group\":", machine->group},
                 {",\"country\":", machine->country},
                 {",\"location\":", machine->location},
                 {",\"owner\":", owner_shown(machine)}};
  for (size_t i = 0; i < MU_COUNT(members); i++) {
    mu_buf_adds(&buf, members[i].name);
    mu_buf_json_string(&buf, mu_str(members[i].value));
  }
  mu_buf_printf(&buf, ",\"online\":%s,\"lastSeen\":%lld,\"metrics\":", machine->online ? "true" : "false",
                (long long)machine->seen_ms);
  if (metrics_text)
    mu_buf_add(&buf, mu_text_data(metrics_text), mu_text_len(metrics_text));
  else
    mu_buf_adds(&buf, "{}");
  mu_buf_adds(&buf, "}");
  mu_text_unref(metrics_text);
  *text = mu_buf_take_text(&buf);
  return *text ? 0 : MU_ENOMEM;
}

static const struct mu_form_ops form_ops = {
    .size = sizeof form_ops, .name = "console", .render = render, .depends_on_state = true};

/* ---- changes ---- */

static void send_gone(struct console *console, const struct mu_machine *machine)
{
  mu_text *text = mu_text_printf("{\"type\":\"gone\",\"key\":\"%llu\"}", (unsigned long long)machine->handle);
  if (text)
    mu_group_publish(console->watchers, machine->handle, text);
  mu_text_unref(text);
}

static void on_change(void *self, const struct mu_event *event)
{
  struct console *console = self;
  const struct mu_machine *machine = event->payload;
  if (mu_group_count(console->watchers) == 0)
    return;
  if (!machine->is_public) {
    send_gone(console, machine);
    return;
  }
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  if (text)
    mu_group_publish(console->watchers, machine->handle, text);
}

static void on_deleted(void *self, const struct mu_event *event)
{
  struct console *console = self;
  send_gone(console, event->payload);
}

/* ---- the channel ---- */

struct snapshot {
  struct console *console;
  mu_conn *conn;
};

static int send_machine(void *context, const struct mu_machine *machine)
{
  struct snapshot *snapshot = context;
  struct console *console = snapshot->console;
  if (!machine->is_public)
    return 0;
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  return text ? mu_conn_send_latest(snapshot->conn, machine->handle, text) : 0;
}

/* Keyed: what is sent to one reader alone counts against the bound of its queue, which a long snapshot is over. */
static int send_literal(mu_conn *conn, uint64_t key, struct mu_str literal)
{
  mu_text *text = mu_text_new(literal.at, literal.len);
  int result = text ? mu_conn_send_latest(conn, key, text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

/* All machines between "hello" and "ready": what the page knew and does not see here is gone. */
static int opened(void *self, mu_conn *conn)
{
  struct console *console = self;
  struct snapshot snapshot = {console, conn};
  int result = send_literal(conn, HELLO_KEY, MU_STR("{\"type\":\"hello\"}"));
  if (result == 0)
    result = console->api->each(console->machines.self, NULL, NULL, send_machine, &snapshot);
  if (result == 0)
    result = send_literal(conn, READY_KEY, MU_STR("{\"type\":\"ready\"}"));
  return result == 0 ? mu_group_join(console->watchers, conn) : result;
}

/* The page only listens: whatever it says is no error, and changes nothing. */
static int heard(void *self, mu_conn *conn, const struct mu_message *message)
{
  (void)self, (void)conn, (void)message;
  return 0;
}

static int admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct console *console = self;
  const char *wanted = console->config->token;
  struct mu_str token;
  if (!wanted || !wanted[0])
    return 0;
  if (mu_ws_request_query(request, "token", &token) && mu_secret_equal(token, mu_str(wanted)))
    return 0;
  if (mu_ws_request_header(request, "authorization", &token) && token.len > 7 && memcmp(token.at, "Bearer ", 7) == 0 &&
      mu_secret_equal((struct mu_str){token.at + 7, token.len - 7}, mu_str(wanted)))
    return 0;
  mu_count(console->refused, 1);
  mu_log_limited(console->in, MU_LOG_WARN, "page refused", "a page from %s was refused: no token or a wrong one",
                 mu_ws_request_peer(request));
  admission->status = 401;
  admission->code = "unauthorized";
  admission->message = "a token is needed";
  return MU_EREFUSED;
}

static const struct mu_ws_route live = {
    .size = sizeof live,
    .path = "/api/console/live",
    .origin = MU_ORIGIN_SAME,
    .max_message = 1024,
    .silent_after_s = 90,
    .admit = admit,
    .open = opened,
    .message = heard,
};

/* ---- life ---- */

static int init(mu_instance *in, const void *config, void **self)
{
  const struct config *conf = config;
  MU_AUTO_FREE char *page = NULL;
  int result = MU_ENOMEM;
  struct console *console = calloc(1, sizeof *console);
  if (!console)
    return MU_ENOMEM;
  console->in = in;
  console->config = conf;
  console->refused = mu_counter_get(in, "pages_refused");
  if (conf->page[0] ? asprintf(&page, "%s", conf->page) < 0 : asprintf(&page, "%s/console", mu_share_folder(in)) < 0)
    goto fail;
  const struct mu_http_files files = {
      .size = sizeof files, .prefix = "/", .folder = page, .index = "index.html", .access = MU_ACCESS_PUBLIC};
  if ((result = mu_http_files(in, &files)) != 0 || (result = mu_ws_route(in, &live, console)) != 0)
    goto fail;
  if (!(console->watchers = mu_group_new(in, "console", MU_GROUP_CONFLATE))) {
    result = MU_ENOMEM;
    goto fail;
  }
  *self = console;
  return 0;
fail:
  free(console);
  return result;
}

static void warn_if_open(void *self)
{
  struct console *console = self;
  if (!(console->config->token && console->config->token[0]) && mu_net_public(console->in))
    mu_log(console->in, MU_LOG_WARN,
           "everybody who reaches this server sees its public machines: no token is set and a listener is not on "
           "loopback");
}

/* Listeners change after plugins. */
static void on_reloaded(void *self, const struct mu_event *event)
{
  (void)event;
  mu_timer_start(((struct console *)self)->warning, 200, 0);
}

static int start(void *self)
{
  struct console *console = self;
  int result = mu_service_get(console->in, MU_SERVICE_MACHINES, &console->machines);
  if (result != 0)
    return result;
  console->api = console->machines.api;
  if (!(console->form = console->api->form_add(console->machines.self, console->in, &form_ops, console)))
    return MU_ENOMEM;
  static const char *const changes[] = {MU_EVENT_MACHINE_ONLINE, MU_EVENT_MACHINE_SEEN, MU_EVENT_MACHINE_REPORT,
                                        MU_EVENT_MACHINE_INFO, MU_EVENT_MACHINE_OFFLINE};
  for (size_t i = 0; i < MU_COUNT(changes) && result == 0; i++)
    result = mu_event_on(console->in, changes[i], 0, on_change, console);
  if (result == 0)
    result = mu_event_on(console->in, MU_EVENT_MACHINE_DELETED, 0, on_deleted, console);
  if (result == 0)
    result = mu_event_on(console->in, MU_EVENT_CONFIG_RELOADED, 0, on_reloaded, console);
  if (result != 0)
    return result;
  if (!(console->warning = mu_timer_new(console->in, warn_if_open, console)))
    return MU_ENOMEM;
  mu_timer_start(console->warning, 200, 0);
  return 0;
}

static void fini(void *self)
{
  free(self);
}

static const char *const needs[] = {MU_SERVICE_MACHINES, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .needs = needs,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .init = init,
    .start = start,
    .fini = fini,
}};

MU_PLUGIN(.name = "console", .version = "0.1.0", .summary = "the page that shows machines live", .licence = "ISC",
          .components = MU_COMPONENTS(components));
