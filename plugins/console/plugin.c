/* SPDX-License-Identifier: ISC */
/* The web console: its pages, its API, and the channel that keeps them live. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"

enum { TOKEN_MIN = 16 };

static const struct mu_option options[] = {
    {.key = "page",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct console_config, page),
     .preset = "\"\"",
     .help = "Folder with the page's files. Empty: the one that was installed with Muster."},
    {.key = "token",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct console_config, token),
     .flags = MU_OPT_SECRET,
     .max = 256,
     .help =
         "Who may watch without a login. Absent: everybody; else who gives this token, of 16 characters or more, to "
         "the page, or sends it as Authorization: Bearer …"},
    {.key = "public_status",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct console_config, public_status),
     .preset = "true",
     .help = "Whether public machines are shown to people who did not log in."},
    {.key = "agent_url",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct console_config, agent_url),
     .preset = "\"\"",
     .max = 2048,
     .help = "Where agents report, for \"Add a machine\": \"wss://host/\". Empty: the page's own host."},
    {.key = "history_machines",
     .type = MU_OPT_INT,
     .offset = offsetof(struct console_config, history_machines),
     .preset = "1000",
     .min = 0,
     .max = 100000,
     .help = "So many machines' last hour is kept in memory, at most 32 KiB each. 0: none."},
};

static void check(const void *given, struct mu_check *check)
{
  const struct console_config *config = given;
  bool agents = config->agent_url && config->agent_url[0];
  if (agents && strncmp(config->agent_url, "ws://", 5) != 0 && strncmp(config->agent_url, "wss://", 6) != 0)
    mu_check_error(check, "agent_url", "it must begin with wss:// or ws://");
  else if (agents && strpbrk(config->agent_url, " \t'\"\\@?#"))
    mu_check_error(
        check, "agent_url",
        "it must have no blanks, quotes, backslashes, users, passwords or parameters: everybody is shown it");
  if (config->token && config->token[0] && strlen(config->token) < TOKEN_MIN)
    mu_check_error(check, "token", "shorter than %d characters: it could be guessed", TOKEN_MIN);
  if (config->token && !config->public_status)
    mu_check_warn(check, "token", "nobody is asked for it: public_status is false, so only who logs in sees machines");
}

/* ---- pages ----------------------------------------------------------------------------------- */

#define POLICY                                                                                                         \
  "default-src 'self'; base-uri 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "              \
  "object-src 'none'"

/* Where the pages were not built: the API is there all the same. */
static int no_page(void *self, mu_http *request)
{
  static const char page[] =
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>Muster</title>\n"
      "<h1>Muster is running, without its web console</h1>\n"
      "<p>The pages were not built, since Node.js 18 or npm was missing. Install both, run <code>cmake --build</code> "
      "again, and restart the server; or name a folder with the pages: <code>page</code> in the options of "
      "<code>console</code>.</p>\n"
      "<p>The API is here: <a href=\"/api/openapi.json\">/api/openapi.json</a></p></html>\n";
  (void)self;
  mu_text *body = mu_text_new(page, sizeof page - 1);
  if (!body)
    return MU_ENOMEM;
  mu_http_set(request, "Cache-Control", "no-cache");
  mu_http_set(request, "Content-Security-Policy", POLICY);
  mu_http_set(request, "Referrer-Policy", "no-referrer");
  mu_http_set(request, "X-Frame-Options", "DENY");
  int result = mu_http_answer(request, 200, "text/html; charset=utf-8", body);
  mu_text_unref(body);
  return result;
}

static int serve_pages(struct console *console)
{
  const char *configured = console->config->page;
  MU_AUTO_FREE char *folder = NULL;
  MU_AUTO_FREE char *index = NULL;
  if (asprintf(&folder, "%s%s", configured[0] ? configured : mu_share_folder(console->in),
               configured[0] ? "" : "/console") < 0) {
    folder = NULL;
    return MU_ENOMEM;
  }
  if (asprintf(&index, "%s/index.html", folder) < 0) {
    index = NULL;
    return MU_ENOMEM;
  }
  if (!configured[0] && access(index, R_OK) != 0) {
    const struct mu_http_route route = {
        .size = sizeof route, .path = "/", .methods = MU_HTTP_GET, .access = MU_ACCESS_PUBLIC, .handle = no_page};
    mu_log(console->in, MU_LOG_WARN,
           "there are no pages in %s: they are built where Node.js 18 and npm are; the API is served without them",
           folder);
    return mu_http_route(console->in, &route, console);
  }
  const struct mu_http_files files = {.size = sizeof files,
                                      .prefix = "/",
                                      .folder = folder,
                                      .index = "index.html",
                                      .access = MU_ACCESS_PUBLIC,
                                      .content_security_policy = POLICY};
  return mu_http_files(console->in, &files);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_change(void *self, const struct mu_event *event)
{
  past_changed(self, event->payload);
  live_changed(self, event->payload);
}

static void on_report(void *self, const struct mu_event *event)
{
  past_changed(self, event->payload);
  past_report(self, event->payload);
  live_changed(self, event->payload);
}

static void on_deleted(void *self, const struct mu_event *event)
{
  past_gone(self, event->payload);
  live_gone(self, event->payload);
}

static void on_revoked(void *self, const struct mu_event *event)
{
  tickets_revoke(&((struct console *)self)->tickets, event->payload);
}

static void warn_if_open(void *self)
{
  struct console *console = self;
  if (live_open(console) && mu_net_public(console->in))
    mu_log(console->in, MU_LOG_WARN,
           "everybody who reaches this server sees its public machines: no token is set, public_status is on, and a "
           "listener is not on loopback");
}

/* Listeners change after plugins. */
static void on_reloaded(void *self, const struct mu_event *event)
{
  (void)event;
  mu_timer_start(((struct console *)self)->warning, 200, 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fini(void *self)
{
  struct console *console = self;
  live_free(console);
  history_free(console);
  past_free_all(console);
  tickets_free(&console->tickets);
  free(console);
}

static int init(mu_instance *in, const void *config, void **self)
{
  struct console *console = calloc(1, sizeof *console);
  if (!console)
    return MU_ENOMEM;
  console->in = in;
  console->config = config;
  console->refused = mu_counter_get(in, "pages_refused");
  console->tickets_refused = mu_counter_get(in, "tickets_refused");
  console->left_out = mu_counter_get(in, "history_left_out");
  int result = (console->pasts = mu_map_new()) ? live_init(console) : MU_ENOMEM;
  if (result == 0)
    result = serve_pages(console);
  if (result == 0)
    result = rest_serve(console);
  if (result == 0)
    result = mu_ws_route(in, &live_route, console);
  if (result == 0) {
    *self = console;
    return 0;
  }
  fini(console);
  return result;
}

static int start(void *self)
{
  struct console *console = self;
  int result = mu_service_get(console->in, MU_SERVICE_MACHINES, &console->machines);
  if (result != 0)
    return result;
  console->api = console->machines.api;
  if (!(console->form = console->api->form_add(console->machines.self, console->in, &machine_form, console)))
    return MU_ENOMEM;
  static const struct {
    const char *name;
    mu_event_fn fn;
  } listened[] = {{MU_EVENT_MACHINE_ONLINE, on_change},  {MU_EVENT_MACHINE_SEEN, on_change},
                  {MU_EVENT_MACHINE_REPORT, on_report},  {MU_EVENT_MACHINE_INFO, on_change},
                  {MU_EVENT_MACHINE_OFFLINE, on_change}, {MU_EVENT_MACHINE_DELETED, on_deleted},
                  {MU_EVENT_AUTH_REVOKED, on_revoked},   {MU_EVENT_CONFIG_RELOADED, on_reloaded}};
  for (size_t i = 0; i < MU_COUNT(listened) && result == 0; i++)
    result = mu_event_on(console->in, listened[i].name, 0, listened[i].fn, console);
  if (result != 0)
    return result;
  if (!(console->warning = mu_timer_new(console->in, warn_if_open, console)))
    return MU_ENOMEM;
  mu_timer_start(console->warning, 200, 0);
  return 0;
}

static int stop(void *self)
{
  live_stop(self);
  return 0;
}

static const char *const needs[] = {MU_SERVICE_MACHINES, MU_SERVICE_HOST, NULL};
static const char *const wants[] = {MU_SERVICE_AUTH, MU_SERVICE_HISTORY, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .needs = needs,
    .wants = wants,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct console_config),
    .check = check,
    .init = init,
    .start = start,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "console", .version = "1.0.0",
          .summary = "The web console: machines live, plugins, and what other plugins add", .licence = "ISC",
          .components = MU_COMPONENTS(components));
