/* SPDX-License-Identifier: ISC */
/* Users, and their API keys, in a Supabase project: auth/1 for API keys, and machines whose rows are deleted there. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provider.h"
#include "watch.h"

struct config {
  const char *url;
  const char *key;
  const char *table;
  const char *column;
  const char *digest_column;
  const char *ca_file;
  int64_t cache;
  int64_t cache_unknown;
  int64_t cache_size;
  int64_t recheck;
  int64_t remember;
  int64_t at_once;
  struct watch_config machines;
};

struct self {
  mu_instance *in;
  struct provider_config provider_config;
  struct rest *rest;
  struct provider *provider;
  struct watch *watch;
};

#define AT(member) offsetof(struct config, member)
static const struct mu_option options[] = {
    {.key = "url",
     .type = MU_OPT_STRING,
     .offset = AT(url),
     .flags = MU_OPT_REQUIRED,
     .max = 1000,
     .help = "The project's address, \"https://PROJECT.supabase.co\"; plain http to this machine itself only."},
    {.key = "key",
     .type = MU_OPT_STRING,
     .offset = AT(key),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .max = 4096,
     .help = "The project's secret key (sb_secret_…), or the service_role key of older projects. Best from outside: "
             "\"env:SUPABASE_SECRET_KEY\"."},
    {.key = "table",
     .type = MU_OPT_STRING,
     .offset = AT(table),
     .preset = "\"users\"",
     .help = "Table or view with one row for each user; its column `id` names the user."},
    {.key = "column",
     .type = MU_OPT_STRING,
     .offset = AT(column),
     .preset = "\"apikey\"",
     .help = "Column with the user's API key."},
    {.key = "digest_column",
     .type = MU_OPT_STRING,
     .offset = AT(digest_column),
     .preset = "\"\"",
     .help = "Column with the key's SHA-256 in lower-case hex, \"apikey_sha256\": then the key itself never leaves "
             "this server. \"\": there is none, `column` is asked."},
    {.key = "ca_file",
     .type = MU_OPT_STRING,
     .offset = AT(ca_file),
     .preset = "\"\"",
     .help = "PEM file with the authorities that may have signed the project's certificate; \"\": the system's."},
    {.key = "cache",
     .type = MU_OPT_INT,
     .offset = AT(cache),
     .preset = "60",
     .min = 0,
     .max = 3600,
     .help = "Seconds for which a key that was found is not asked for again."},
    {.key = "cache_unknown",
     .type = MU_OPT_INT,
     .offset = AT(cache_unknown),
     .preset = "5",
     .min = 0,
     .max = 60,
     .help = "Seconds for which a key that nobody has is not asked for again."},
    {.key = "cache_size",
     .type = MU_OPT_INT,
     .offset = AT(cache_size),
     .preset = "10000",
     .min = 16,
     .max = 1000000,
     .help = "Keys that nobody has which are kept in mind."},
    {.key = "recheck",
     .type = MU_OPT_INT,
     .offset = AT(recheck),
     .preset = "300",
     .min = 1,
     .max = 86400,
     .help = "Seconds within which every key in use is asked for again; one that was taken back closes its "
             "connections."},
    {.key = "remember",
     .type = MU_OPT_INT,
     .offset = AT(remember),
     .preset = "10000",
     .min = 16,
     .max = 1000000,
     .help = "Keys in use that are kept in mind, to be asked for again; about 500 bytes each."},
    {.key = "at_once",
     .type = MU_OPT_INT,
     .offset = AT(at_once),
     .preset = "32",
     .min = 1,
     .max = 256,
     .help = "Requests to Supabase at the same time; further ones wait for their turn."},
    {.key = "machines",
     .type = MU_OPT_GROUP,
     .offset = AT(machines),
     .fields = {watch_options, WATCH_OPTION_COUNT, sizeof(struct mu_option)},
     .help = "Machines whose rows are deleted in Supabase: their sessions end."},
};

/* ---- check ----------------------------------------------------------------------------------- */

static void check_identifier(struct mu_check *check, const char *path, const char *name)
{
  if (name && !identifier_ok(name))
    mu_check_error(check, path, "\"%s\" is no plain name: letters, digits and _, at most 63, no digit first", name);
}

static void check_key(struct mu_check *check, const char *key)
{
  for (const char *at = key; *at; at++)
    if (*at <= ' ' || *at > '~') {
      mu_check_error(check, "key", "the key has a space or a character that is not ASCII: is a line end in the file?");
      return;
    }
  switch (service_key_kind(key)) {
  case SERVICE_KEY_PUBLISHABLE:
    mu_check_error(check, "key",
                   "this is the publishable (anon) key: under row-level security it finds nobody, and every API key "
                   "would be called invalid. Expected the secret key (sb_secret_…) or the service_role key");
    break;
  case SERVICE_KEY_OTHER:
    mu_check_warn(check, "key", "this is neither sb_secret_… nor a JWT: is it a key of the project?");
    break;
  case SERVICE_KEY_SECRET:
  case SERVICE_KEY_LEGACY:
    break;
  }
}

static void check(const void *given, struct mu_check *problems)
{
  const struct config *config = given;
  const char *wrong = config->url ? project_url_problem(config->url) : NULL;
  if (wrong)
    mu_check_error(problems, "url", "%s", wrong);
  if (config->key)
    check_key(problems, config->key);
  check_identifier(problems, "table", config->table);
  check_identifier(problems, "column", config->column);
  if (config->digest_column && *config->digest_column)
    check_identifier(problems, "digest_column", config->digest_column);
  if (config->ca_file && *config->ca_file && access(config->ca_file, R_OK) != 0)
    mu_check_error(problems, "ca_file", "the file \"%s\" cannot be read", config->ca_file);
  watch_check(&config->machines, problems);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void fini(void *context)
{
  struct self *self = context;
  watch_free(self->watch);
  provider_free(self->provider);
  rest_free(self->rest);
  free(self);
}

static int init(mu_instance *in, const void *given, void **out)
{
  const struct config *config = given;
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return MU_ENOMEM;
  self->in = in;
  self->provider_config = (struct provider_config){
      .lookup = {.table = config->table, .column = config->column, .digest_column = config->digest_column},
      .service_key = config->key,
      .keep_found_ms = config->cache * 1000,
      .keep_absent_ms = config->cache_unknown * 1000,
      .keep_absent_max = (size_t)config->cache_size,
      .recheck_ms = config->recheck * 1000,
      .remember = (size_t)config->remember};
  int result = MU_ENOMEM;
  self->rest = rest_new(in, &(struct rest_config){.url = config->url,
                                                  .key = config->key,
                                                  .ca_file = config->ca_file,
                                                  .at_once = (unsigned)config->at_once});
  if (!self->rest)
    goto fail;
  result = provider_new(in, &self->provider_config, self->rest, &self->provider);
  if (result != 0)
    goto fail;
  result = watch_new(in, &config->machines, self->rest, config->url, config->key, config->ca_file, &self->watch);
  if (result != 0)
    goto fail;
  result = mu_service_provide(in, MU_SERVICE_AUTH, &provider_service, self->provider);
  if (result != 0)
    goto fail;
  *out = self;
  return 0;
fail:
  fini(self);
  return result;
}

static int stop(void *context)
{
  struct self *self = context;
  watch_stop(self->watch);
  rest_stop(self->rest);
  provider_stop(self->provider);
  return 0;
}

static int start(void *context)
{
  struct self *self = context;
  struct mu_service found;
  const struct mu_service *machines = mu_service_get(self->in, MU_SERVICE_MACHINES, &found) == 0 ? &found : NULL;
  int result = rest_start(self->rest);
  if (result == 0)
    result = provider_start(self->provider, machines);
  if (result == 0)
    result = watch_start(self->watch, machines);
  if (result != 0)
    stop(self);
  return result;
}

static const char *const provides[] = {MU_SERVICE_AUTH, NULL};
static const char *const wants[] = {MU_SERVICE_MACHINES, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .wants = wants,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "auth_supabase", .version = "1.0.0", .summary = "Users and their API keys in a Supabase project",
          .licence = "ISC", .components = MU_COMPONENTS(components));
