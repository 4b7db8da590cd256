/* SPDX-License-Identifier: ISC */
/* People with passwords, in a store: options, and the life of an instance. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

enum { SECRET_MIN = 32, SECRET_MAX = 4096 };

#define AT(member_) .offset = offsetof(struct config, member_)

static const struct mu_option options[] = {
    {.key = "jwt_secret",
     .type = MU_OPT_STRING,
     AT(jwt_secret),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .max = SECRET_MAX,
     .help = "What login tokens are signed with, at least 32 bytes; the released server's JWT_SECRET keeps its tokens "
             "good. Another one ends all sessions."},
    {.key = "token_days",
     .type = MU_OPT_INT,
     AT(token_days),
     .preset = "7",
     .min = 1,
     .max = 365,
     .help = "Days until a login token expires."},
    {.key = "first_admin",
     .type = MU_OPT_STRING,
     AT(first_admin),
     .preset = "\"admin\"",
     .max = USERNAME_MAX,
     .help =
         "Name of the administrator that is made where there is no user at all, with a one-time password. Empty: none "
         "is made; musterd --add-admin NAME does it."},
    {.key = "password_file",
     .type = MU_OPT_STRING,
     AT(password_file),
     .max = 4000,
     .help = "Where that one-time password is written, with mode 0600, when no terminal is there to show it. Absent: "
             "admin-password in the state folder that systemd gives, or else in the working directory."},
    {.key = "attempts",
     .type = MU_OPT_INT,
     AT(attempts),
     .preset = "5",
     .min = 1,
     .max = 1000000,
     .help = "Logins and registrations together that one address may try within attempts_window; changes of a password "
             "likewise. Another number at a reload restarts this plugin and all that need it."},
    {.key = "attempts_window",
     .type = MU_OPT_INT,
     AT(attempts_window),
     .preset = "900",
     .min = 1,
     .max = 86400,
     .help = "Seconds of that window; at a reload as attempts."},
    {.key = "api_keys",
     .type = MU_OPT_INT,
     AT(api_keys),
     .preset = "20",
     .min = 1,
     .max = 1000,
     .help = "API keys that one user may have."},
    {.key = "hash_threads",
     .type = MU_OPT_INT,
     AT(hash_threads),
     .preset = "1",
     .min = 1,
     .max = 16,
     .help =
         "Passwords hashed at the same time, about 60 ms of a processor each; at most as many as there are workers."},
    {.key = "hash_queue",
     .type = MU_OPT_INT,
     AT(hash_queue),
     .preset = "64",
     .min = 1,
     .max = 10000,
     .help = "Passwords that may wait to be hashed; further logins are told to come again."},
    {.key = "watch_users",
     .type = MU_OPT_INT,
     AT(watch_users),
     .preset = "20000",
     .min = 10,
     .max = 1000000,
     .help = "Users and keys, of those let in, for whom it is watched what other programs change in the database."},
    {.key = "watch_every",
     .type = MU_OPT_FLOAT,
     AT(watch_every),
     .preset = "4",
     .min = 0.1,
     .max = 3600,
     .help = "Seconds between two looks: so long after a ban by another program a connection may stay open."},
};

static void check(const void *given, struct mu_check *check)
{
  const struct config *config = given;
  size_t len = config->jwt_secret ? strlen(config->jwt_secret) : 0;
  if (len < SECRET_MIN)
    mu_check_error(check, "jwt_secret",
                   "the secret has %zu bytes: at least %d are needed, so that tokens cannot be forged; "
                   "\"openssl rand -base64 48\" makes a good one",
                   len, SECRET_MIN);
  if (config->first_admin && config->first_admin[0] && !username_ok(mu_str(config->first_admin)))
    mu_check_error(check, "first_admin", "a name has 3 to 30 letters, digits and _");
  if (config->watch_every > 9)
    mu_check_warn(check, "watch_every", "bans by other programs are noticed after more than 10 seconds");
}

static void fini(void *context)
{
  struct self *self = context;
  while (self->tasks)
    task_free(self->tasks);
  provider_free(self);
  people_free(self);
  watch_free(self->watch);
  hasher_free(self->hasher);
  mu_token_key_free(self->key);
  mu_schema_free(self->claims);
  free(self->routes);
  free(self);
}

static int init(mu_instance *in, const void *config, void **out)
{
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return MU_ENOMEM;
  self->in = in;
  self->config = config;
  int result = MU_ENOMEM;
  self->key = mu_token_key_plain(mu_str(self->config->jwt_secret));
  self->claims = provider_claims();
  self->hasher = hasher_new(in, (size_t)self->config->hash_threads, (size_t)self->config->hash_queue);
  self->watch = watch_new(self);
  self->revoked = mu_event_declare(in, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  if (!self->key || !self->claims || !self->hasher || !self->watch || !self->revoked)
    goto fail;
  self->granted = mu_counter_get(in, "granted");
  self->refused = mu_counter_get(in, "refused");
  self->unavailable = mu_counter_get(in, "unavailable");
  self->logins = mu_counter_get(in, "logins");
  self->logins_refused = mu_counter_get(in, "logins_refused");
  self->registered = mu_counter_get(in, "registered");
  self->revocations = mu_counter_get(in, "revoked");
  self->accounts = (struct mu_accounts){.size = sizeof(struct mu_accounts),
                                        .provider = mu_instance_name(in),
                                        .admin = people_admin,
                                        .user_count = people_user_count};
  result = mu_service_provide(in, MU_SERVICE_AUTH, &provider_service, self);
  if (result == 0)
    result = mu_service_provide(in, MU_SERVICE_ACCOUNTS, &self->accounts, self);
  if (result == 0)
    result = rest_serve(self);
  if (result != 0)
    goto fail;
  *out = self;
  return 0;
fail:
  fini(self);
  return result;
}

static void migrated(void *context, const struct mu_result *result)
{
  struct self *self = context;
  if (result->error == 0)
    people_first(self);
  else
    mu_log(self->in, MU_LOG_ERROR, "the tables could not be made, and nobody can log in: %s%s%s",
           mu_strerror(result->error), result->reason && *result->reason ? ": " : "",
           result->reason ? result->reason : "");
}

static int start(void *context)
{
  struct self *self = context;
  int result = mu_service_get(self->in, MU_SERVICE_STORE, &self->store);
  if (result == 0)
    result = tables_migrate(self, migrated, self);
  if (result == 0)
    watch_start(self->watch);
  return result;
}

static bool busy(const struct self *self)
{
  return hasher_runs(self->hasher) || people_writing(self);
}

void self_idle(void *context)
{
  const struct self *self = context;
  if (self->stopping && !busy(self))
    mu_stopped(self->in);
}

/* A hash takes a moment, and what is loaded stays until it has ended; an administrator that is written has a password to be told. */
static int stop(void *context)
{
  struct self *self = context;
  self->stopping = true;
  hasher_stop(self->hasher, self_idle, self);
  return busy(self) ? MU_PENDING : 0;
}

static int reconfigure(void *context, const void *given)
{
  struct self *self = context;
  const struct config *config = given, *old = self->config;
  /* The core copied them when the routes were claimed; everything else is read where it is used. */
  if (config->attempts != old->attempts || config->attempts_window != old->attempts_window)
    return MU_RESTART;
  if (strcmp(config->jwt_secret, old->jwt_secret) != 0) {
    mu_token_key *key = mu_token_key_plain(mu_str(config->jwt_secret));
    if (!key)
      return MU_ENOMEM;
    mu_token_key_free(self->key);
    self->key = key;
    self->keys++;
    mu_log(self->in, MU_LOG_INFO, "jwt_secret is another one: everybody has to log in again");
    if (watch_end_logins(self->watch) != 0)
      mu_log(self->in, MU_LOG_ERROR, "what old logins had opened stays open: out of memory");
  }
  self->config = config;
  hasher_bounds(self->hasher, (size_t)config->hash_threads, (size_t)config->hash_queue);
  if (config->watch_every < old->watch_every || config->watch_every > old->watch_every)
    watch_start(self->watch); /* otherwise frequent reloads would put off the look for ever */
  return 0;
}

static const char *const provides[] = {MU_SERVICE_AUTH, MU_SERVICE_ACCOUNTS, NULL};
static const char *const needs[] = {MU_SERVICE_STORE, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .needs = needs,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .check = check,
    .init = init,
    .start = start,
    .reconfigure = reconfigure,
    .stop = stop,
    .fini = fini,
}};

MU_PLUGIN(.name = "auth_accounts", .version = "1.0.0",
          .summary = "Users in a database, with passwords, login tokens and API keys", .licence = "ISC",
          .components = MU_COMPONENTS(components));
