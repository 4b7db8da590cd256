/* SPDX-License-Identifier: ISC */
/*
 * --join URL: the key is read, tried once by the very uplink that will use it, and saved; then conf.d gets that uplink. Where there is no
 * configuration at all, one is written as well.
 *
 * Started as root, everything but the last step is done as the user that the service runs as, so that the key is where the service looks for it
 * and belongs to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <muster/log.h>
#include <muster/loop.h>

#include "agent.h"
#include "base/logging.h"
#include "keys.h"
#include "put.h"
#include "terminal.h"

#define SERVICE_USER "muster"
#define SERVICE_FOLDER "/var/lib/muster" /* StateDirectory of its unit */
#define PLUGIN "session"

enum { KEY_ROOM = 1024, KEY_MIN = 8, KEY_MAX = 256, READ_MS = 60000, ANSWER_MS = 30000 };

struct join {
  struct agent *agent;
  char key[KEY_ROOM];
  size_t key_len;
  char server[300]; /* "host:port", as the uplink calls it */
  bool known;       /* the configuration has this uplink already */
  mui_config *config;
  mu_timer *patience;
  uid_t root; /* to become again for the last step */
  bool lowered;
};

/* Reading standard input: on a worker, which may outlive everything. */
struct reading {
  struct agent *agent;
  char text[KEY_ROOM];
  size_t len;
};

static void finish(struct agent *agent, int status)
{
  if (agent->ending)
    return;
  agent->ending = true;
  mui_program_end(agent->app, status);
}

MU_PRINTF(3, 4)
static void fail(struct agent *agent, int status, const char *format, ...)
{
  va_list args;
  fputs("muster-agent: --join: ", stderr);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputs("\n", stderr);
  finish(agent, status);
}

struct mu_str join_key(struct agent *agent, const char *server)
{
  snprintf(agent->join->server, sizeof(agent->join->server), "%s", server);
  return (struct mu_str){agent->join->key, agent->join->key_len};
}

void join_free(struct agent *agent)
{
  struct join *join = agent->join;
  if (!join)
    return;
  mu_secret_wipe(join->key, sizeof(join->key));
  mui_config_free(join->config);
  free(join);
  agent->join = NULL;
}

/* ---- whose key it is ------------------------------------------------------------------------- */

/* The folder's owner, or the user of the service. False: we stay who we are. */
static bool keeper(const char *folder, uid_t *uid, gid_t *gid)
{
  struct stat info;
  const struct passwd *user = getpwnam(SERVICE_USER);
  if (stat(folder, &info) == 0) {
    *uid = info.st_uid;
    *gid = info.st_gid;
    return info.st_uid != 0;
  }
  if (!user)
    return false;
  *uid = user->pw_uid;
  *gid = user->pw_gid;
  return user->pw_uid != 0;
}

/* systemd makes the folder at the first start of the service, which is later. */
static bool become_keeper(struct agent *agent)
{
  const struct agent_config *config = agent->app->config;
  uid_t uid;
  gid_t gid;
  bool chosen = (config->key_dir && config->key_dir[0]) || getenv("STATE_DIRECTORY");
  if (geteuid() != 0)
    return true;
  if (!chosen && getpwnam(SERVICE_USER)) {
    free(agent->key_folder);
    if (!(agent->key_folder = strdup(SERVICE_FOLDER)))
      return false;
  }
  if (!chosen && !getpwnam(SERVICE_USER)) {
    fprintf(stderr,
            "muster-agent: --join: there is no user \"" SERVICE_USER "\" yet, as whom the service runs: the key will "
            "be root's, and a service will not find it. sudo systemd-sysusers makes that user; then join again\n");
    return true;
  }
  if (!keeper(agent->key_folder, &uid, &gid))
    return true;
  if (mkdir(agent->key_folder, 0700) == 0 && chown(agent->key_folder, uid, gid) < 0)
    return false;
  if (setegid(gid) < 0 || seteuid(uid) < 0)
    return false;
  agent->join->lowered = true;
  return true;
}

static void become_root(struct join *join)
{
  if (!join->lowered)
    return;
  if (seteuid(join->root) < 0 || setegid(0) < 0)
    mu_log(NULL, MU_LOG_WARN, "cannot be root again: %s", strerror(errno));
  join->lowered = false;
}

/* ---- the last step: conf.d/uplink.conf, and the configuration where there is none --------------- */

/* As etc/agent.conf has them. */
const char join_preset[] = "# Written by muster-agent --join, as there was no configuration; yours from now on. Where "
                           "reports go is in conf.d/uplink.conf.\n"
                           "# Every option, with its meaning: share/muster/examples/agent.conf where Muster is "
                           "installed, and muster-agent --describe\n"
                           "\n"
                           "# What is measured, and how often, in seconds.\n"
                           "collectors = (\n"
                           "  { name = \"cpu\"; interval = 5.0; },\n"
                           "  { name = \"memory\"; interval = 5.0; },\n"
                           "  { name = \"disk\"; interval = 5.0; deadline = 4.0; },\n"
                           "  { name = \"network\"; interval = 5.0; },\n"
                           "  { name = \"system\"; interval = 5.0; }\n"
                           ");\n";

/* "FOLDER/conf.d" and "FOLDER/conf.d/uplink.conf" beside the configuration; to be freed. */
static bool paths(const struct agent *agent, char **folder, char **file)
{
  const char *path = agent->app->path, *slash = strrchr(path, '/');
  int len = slash ? (int)(slash - path) : 1;
  if (asprintf(folder, "%.*s/conf.d", len, slash ? path : ".") < 0) {
    *folder = NULL;
    return false;
  }
  if (asprintf(file, "%s/uplink.conf", *folder) < 0) {
    *file = NULL;
    return false;
  }
  return true;
}

static bool same_file(const char *a, const char *b)
{
  struct stat one, other;
  return a && stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static const char *url_of(const struct mui_item *item)
{
  const mui_setting *url = mui_setting_member(item->config, "url");
  return url ? mui_setting_string(url) : NULL;
}

/* The uplinks of the configuration that stay: not those of the file that is written anew. NULL past the end. */
static const struct mui_item *other_uplink(const struct agent *agent, const char *own, size_t *position,
                                           const char **file, unsigned *line)
{
  const struct agent_config *config = agent->app->config;
  const struct mui_item *items = config->uplinks.items;
  while (*position < config->uplinks.count) {
    const struct mui_item *item = &items[(*position)++];
    mui_setting_place(item->place, file, line);
    if (!same_file(*file, own))
      return item;
  }
  return NULL;
}

static const struct mui_item *find_configured(const struct agent *agent, const char *own)
{
  const struct mui_item *item;
  const char *file, *url;
  unsigned line;
  for (size_t n = 0; (item = other_uplink(agent, own, &n, &file, &line));)
    if (strcmp(item->name, PLUGIN) == 0 && (url = url_of(item)) && strcmp(url, agent->app->argument) == 0)
      return item;
  return NULL;
}

/* A name that no other uplink has. */
static const char *instance_name(const struct agent *agent, const char *own)
{
  const struct mui_item *item;
  const char *file;
  unsigned line;
  for (size_t n = 0; (item = other_uplink(agent, own, &n, &file, &line));)
    if (strcmp(item->instance ? item->instance : item->name, PLUGIN) == 0)
      return "joined";
  return PLUGIN;
}

static void make_text(const struct agent *agent, const char *own, struct mu_buf *out)
{
  const char *name = instance_name(agent, own);
  mu_buf_adds(out, "# Written by muster-agent --join, which writes it anew. The API key is not in here.\n"
                   "uplinks = ( { name = \"" PLUGIN "\";");
  if (strcmp(name, PLUGIN) != 0)
    mu_buf_printf(out, " instance = \"%s\";", name);
  mu_buf_printf(out, " config = { url = \"%s\"; }; } );\n", agent->app->argument);
}

/* False: it cannot be written, and the program ends. `first`: what is there stays. */
static bool write_or_fail(struct agent *agent, const char *folder, const char *file, const struct mu_buf *text,
                          bool first)
{
  if (!text->failed && put_folder(folder) && put_file(file, (struct mu_str){text->at, text->len}, first))
    return true;
  if (!text->failed && first && errno == EEXIST) {
    agent->app->made = NULL; /* somebody has written one while the key was asked for */
    return true;
  }
  fail(agent, MUI_STATUS_RUNTIME, "the server takes the key, and it is saved, but %s cannot be written: %s", file,
       strerror(text->failed ? ENOMEM : errno));
  return false;
}

static bool write_uplink(struct agent *agent, const char *folder, const char *file)
{
  struct mu_buf text = MU_BUF_INIT;
  if (agent->join->known)
    return true;
  make_text(agent, file, &text);
  bool good = write_or_fail(agent, folder, file, &text, false);
  mu_buf_free(&text);
  return good;
}

/* The folder of the configuration; to be freed. */
static char *home_of(const struct agent *agent)
{
  const char *path = agent->app->path, *slash = strrchr(path, '/');
  return slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
}

static bool write_configuration(struct agent *agent)
{
  if (!agent->app->made)
    return true;
  MU_AUTO_FREE char *folder = home_of(agent);
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, agent->app->made);
  bool good = folder && write_or_fail(agent, folder, agent->app->path, &text, true);
  if (!folder)
    fail(agent, MUI_STATUS_RUNTIME, "out of memory");
  mu_buf_free(&text);
  return good;
}

/* Where a configuration is to be made: whether it can be, before anybody is asked for a key. */
static bool may_write(struct agent *agent)
{
  if (!agent->app->made)
    return true;
  MU_AUTO_FREE char *folder = home_of(agent);
  const char *at = folder;
  if (folder && faccessat(AT_FDCWD, folder, F_OK, AT_EACCESS) < 0 && errno == ENOENT) {
    char *slash = strrchr(folder, '/'); /* the folder itself is made, what is above it is not */
    if (slash)
      slash[slash == folder ? 1 : 0] = '\0';
    at = slash ? folder : ".";
  }
  if (folder && faccessat(AT_FDCWD, at, W_OK | X_OK, AT_EACCESS) == 0)
    return true;
  fail(agent, MUI_STATUS_CONFIG, "there is no configuration at %s, and none can be written there: %s%s",
       agent->app->path, strerror(errno), geteuid() != 0 && errno == EACCES ? " (try sudo, or -c FILE)" : "");
  return false;
}

/* An uplink without a key would end the agent. */
static void warn_of_others(const struct agent *agent, const char *own)
{
  const struct mui_item *item;
  const char *file, *url;
  unsigned line;
  for (size_t n = 0; (item = other_uplink(agent, own, &n, &file, &line));)
    if (strcmp(item->name, PLUGIN) == 0 && (url = url_of(item)) && strcmp(url, agent->app->argument) != 0 &&
        !mui_setting_member(item->config, "api_key"))
      fprintf(
          stderr,
          "muster-agent: --join: %s:%u: the agent reports to this server, too, and ends if it has no API key for it: "
          "take it out if it is not wanted\n",
          file ? file : "?", line);
}

/* ---- trying it ------------------------------------------------------------------------------- */

static void on_success(struct agent *agent, const char *why)
{
  struct join *join = agent->join;
  MU_AUTO_FREE char *folder = NULL, *file = NULL;
  char name[256];
  keys_name(join->server, name);
  if (!paths(agent, &folder, &file)) {
    fail(agent, MUI_STATUS_RUNTIME, "out of memory");
    return;
  }
  if (keys_write(agent->app->runtime.core, agent->key_folder, name, (struct mu_str){join->key, join->key_len}) < 0) {
    fail(agent, MUI_STATUS_RUNTIME, "the server takes the key, but it cannot be saved in %s: see above",
         agent->key_folder);
    return;
  }
  become_root(join);
  if (!write_configuration(agent) || !write_uplink(agent, folder, file))
    return;
  warn_of_others(agent, file);
  printf("%s.\nThe key is saved in %s%s%s.\n", why, agent->key_folder,
         join->known ? ", and the configuration has this uplink already" : ", the uplink in ", join->known ? "" : file);
  if (agent->app->made)
    printf("There was no configuration: %s was written, with the usual collectors.\n", agent->app->path);
  printf("Now start the agent, or restart it if it runs.\n");
  fflush(stdout);
  finish(agent, MUI_STATUS_OK);
}

void join_attempted(struct agent *agent, int error, const char *why)
{
  if (error == 0)
    on_success(agent, why);
  else
    fail(agent, MUI_STATUS_RUNTIME, "%s. Nothing was changed", why);
}

static void on_late(void *context)
{
  fail(context, MUI_STATUS_RUNTIME, "the server does not answer within %d s. Nothing was changed", ANSWER_MS / 1000);
}

/* The uplink as it will be configured; its options, where the configuration has it already. */
static bool make_entry(struct agent *agent, struct mui_entry *entry, struct mui_problems *problems)
{
  struct join *join = agent->join;
  MU_AUTO_FREE char *folder = NULL, *file = NULL;
  if (!paths(agent, &folder, &file))
    return false;
  const struct mui_item *configured = find_configured(agent, file);
  *entry = (struct mui_entry){.kind = MU_UPLINK, .name = PLUGIN, .required = true};
  if (configured) {
    join->known = true;
    entry->config = configured->config;
    entry->place = configured->place;
    return true;
  }
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_printf(&text, "config = { url = \"%s\"; };", agent->app->argument);
  join->config = text.failed ? NULL : mui_config_load_text("--join", text.at, text.len, problems);
  mu_buf_free(&text);
  entry->config = join->config ? mui_setting_member(mui_config_root(join->config), "config") : NULL;
  entry->place = entry->config;
  return entry->config != NULL;
}

static void try_key(struct agent *agent)
{
  struct mui_entry entry;
  struct mui_problems problems = {0};
  mui_log_level(MU_LOG_ERROR); /* the rest is told here, once */
  if (!make_entry(agent, &entry, &problems)) {
    mui_problems_free(&problems);
    fail(agent, MUI_STATUS_RUNTIME, "out of memory");
    return;
  }
  const struct mui_plan plan = {.entries = &entry, .count = 1, .dirs = agent->app->plan->dirs};
  mu_timer_start(agent->join->patience, ANSWER_MS, 0);
  int result = mui_host_apply(agent->app->runtime.host, &plan, &problems, NULL, NULL);
  mui_problems_print(&problems, stderr);
  mui_problems_free(&problems);
  if (result < 0)
    finish(agent, result == MU_ECONF ? MUI_STATUS_CONFIG : MUI_STATUS_RUNTIME);
}

/* ---- the key --------------------------------------------------------------------------------- */

static void take_key(struct agent *agent, struct mu_str text)
{
  struct join *join = agent->join;
  while (text.len > 0 && strchr(" \t\r\n", text.at[text.len - 1]))
    text.len--;
  while (text.len > 0 && strchr(" \t\r\n", *text.at))
    text.at++, text.len--;
  bool good = text.len >= KEY_MIN && text.len <= KEY_MAX;
  for (size_t i = 0; i < text.len && good; i++)
    good = text.at[i] > ' ' && text.at[i] <= '~';
  if (text.len == 0) {
    fail(agent, MUI_STATUS_CONFIG,
         "no API key was given: paste it, or pipe it in: printf %%s KEY | muster-agent --join URL");
  } else if (!good) {
    fail(agent, MUI_STATUS_CONFIG, "that is no API key: it has %d to %d visible characters", KEY_MIN, KEY_MAX);
  } else {
    memcpy(join->key, text.at, text.len);
    join->key_len = text.len;
    try_key(agent);
  }
}

static void on_typed(void *context, struct mu_str secret)
{
  take_key(context, secret);
}

/* One line, or all there is. */
static int read_input(void *context)
{
  struct reading *reading = context;
  int64_t until = mu_mono_ns() + READ_MS * INT64_C(1000000);
  while (reading->len < sizeof(reading->text) && !memchr(reading->text, '\n', reading->len)) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left = (until - mu_mono_ns()) / 1000000;
    if (left <= 0 || poll(&input, 1, 200) < 0)
      break;
    if (input.revents == 0)
      continue;
    ssize_t got = read(STDIN_FILENO, reading->text + reading->len, sizeof(reading->text) - reading->len);
    if (got <= 0 && !(got < 0 && errno == EINTR))
      break;
    reading->len += got > 0 ? (size_t)got : 0;
  }
  return 0;
}

static void reading_free(struct reading *reading)
{
  mu_secret_wipe(reading, sizeof(*reading));
  free(reading);
}

static void on_read(void *context, int result)
{
  struct reading *reading = context;
  const char *newline = memchr(reading->text, '\n', reading->len);
  if (result == 0)
    take_key(reading->agent,
             (struct mu_str){reading->text, newline ? (size_t)(newline - reading->text) : reading->len});
  reading_free(reading);
}

static int read_key(struct agent *agent)
{
  mu_instance *core = agent->app->runtime.core;
  if (isatty(STDIN_FILENO))
    return terminal_ask(agent->terminal, core, "API Key: ", on_typed, agent);
  struct reading *reading = calloc(1, sizeof(*reading));
  if (!reading)
    return MU_ENOMEM;
  reading->agent = agent;
  const struct mu_job job = {
      .size = sizeof(job), .work = read_input, .done = on_read, .context = reading, .what = "standard input"};
  int result = mu_work(core, &job);
  if (result < 0)
    reading_free(reading);
  return result;
}

void join_run(struct mui_app *app)
{
  struct agent *agent = app->state;
  struct join *join = calloc(1, sizeof(*join));
  if (!join || !(join->patience = mu_timer_new(app->runtime.core, on_late, agent))) {
    free(join);
    fail(agent, MUI_STATUS_RUNTIME, "out of memory");
    return;
  }
  agent->join = join;
  join->agent = agent;
  join->root = geteuid();
  for (const char *at = app->argument; *at; at++)
    if (*at <= ' ' || *at > '~' || strchr("\"\\", *at)) {
      fail(agent, MUI_STATUS_CONFIG, "the URL must not have blanks, quotes, backslashes or anything beyond ASCII");
      return;
    }
  if (!may_write(agent))
    return;
  if (!become_keeper(agent)) {
    fail(agent, MUI_STATUS_RUNTIME, "the user of the service cannot be taken on: %s", strerror(errno));
    return;
  }
  int result = read_key(agent);
  if (result == MU_EUNAVAILABLE)
    fail(agent, MUI_STATUS_RUNTIME, "the key cannot be asked for at this terminal: pipe it in");
  else if (result < 0)
    fail(agent, MUI_STATUS_RUNTIME, "%s", mu_strerror(result));
}
