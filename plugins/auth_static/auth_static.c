/* SPDX-License-Identifier: ISC */
/*
 * Machines that the configuration names, each with a secret (auth/1 for MU_CREDENTIAL_SERVER), and users with API keys
 * (MU_CREDENTIAL_API_KEY, MU_CREDENTIAL_KNOWN).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "entries.h"

struct self {
  mu_instance *in;
  struct entries *entries;
  struct users *users;
  struct mu_service machines; /* api NULL: nobody keeps machines */
  mu_event_type *revoked;
  mu_counter *granted, *refused, *unknown, *unknown_key, *taken_back;
};

static const struct mu_option server_options[] = {
    {.key = "id",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, id),
     .flags = MU_OPT_REQUIRED,
     .help = "Name of the machine, as it says it in X-SERVER-ID.",
     .max = LONGEST_ID},
    {.key = "secret",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, secret),
     .flags = MU_OPT_REQUIRED | MU_OPT_SECRET,
     .help = "What the machine proves itself with, in X-AUTH-SECRET.",
     .max = LONGEST_SECRET},
    {.key = "name",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, name),
     .help = "Shown instead of what the machine calls itself.",
     .max = 128},
    {.key = "group",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, group),
     .help = "Shown instead of what the machine says.",
     .max = 128},
    {.key = "country",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, country),
     .help = "Two letters; shown instead of what the machine says.",
     .max = 16},
    {.key = "location",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, location),
     .help = "Where the machine is; shown instead of what it says.",
     .max = 128},
    {.key = "owner",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct server, owner),
     .help = "Id of the user whose machine this is; absent: the operator's.",
     .max = 128},
    {.key = "public",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct server, is_public),
     .preset = "true",
     .help = "Shown where nobody logged in."},
};

static const struct mu_option user_options[] = {
    {.key = "id",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct user, id),
     .flags = MU_OPT_REQUIRED,
     .help = "Id of the user, as the `owner` of machines names it.",
     .max = LONGEST_USER},
    {.key = "name",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct user, name),
     .help = "For people; absent: the id.",
     .max = 128},
    {.key = "admin",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct user, admin),
     .preset = "false",
     .help = "An administrator of this server, not only of its own machines."},
    {.key = "api_keys",
     .type = MU_OPT_STRINGS,
     .offset = offsetof(struct user, api_keys),
     .flags = MU_OPT_SECRET,
     .help = "What the user and its machines log in with; several, so that one can be replaced without a break.",
     .max = 64},
};

static const struct mu_option options[] = {
    {.key = "servers",
     .type = MU_OPT_GROUPS,
     .offset = offsetof(struct config, servers),
     .help = "The machines that may report.",
     .fields = MU_OPTIONS(server_options),
     .item_size = sizeof(struct server)},
    {.key = "users",
     .type = MU_OPT_GROUPS,
     .offset = offsetof(struct config, users),
     .help = "The users who may log in with an API key.",
     .fields = MU_OPTIONS(user_options),
     .item_size = sizeof(struct user)},
};

static void judge_server(struct self *self, const struct mu_credential *credential, struct mu_auth_answer *answer)
{
  const struct entry *entry = NULL;
  answer->verdict = entries_judge(self->entries, credential->id, credential->secret, &entry);
  if (answer->verdict == MU_AUTH_GRANTED)
    answer->principal = entry->principal;
  else if (answer->verdict == MU_AUTH_REFUSED) {
    mu_count(self->refused, 1);
    answer->reason = "wrong secret";
  } else {
    mu_count(self->unknown, 1);
    answer->reason = "unknown id";
  }
}

static void judge_key(struct self *self, const struct mu_credential *credential, struct mu_auth_answer *answer)
{
  answer->principal = users_by_key(self->users, credential->secret);
  if (answer->principal)
    answer->verdict = MU_AUTH_GRANTED;
  else {
    mu_count(self->unknown_key, 1);
    answer->reason = "unknown key";
  }
}

static void judge_known(struct self *self, const struct mu_credential *credential, struct mu_auth_answer *answer)
{
  answer->verdict = users_known(self->users, credential->id, credential->secret, &answer->principal);
  if (answer->verdict != MU_AUTH_GRANTED) {
    mu_count(self->taken_back, 1);
    answer->reason = answer->verdict == MU_AUTH_REFUSED ? "the key was taken back" : "the user was removed";
  }
}

static int judge(void *context, const struct mu_credential *credential, mu_auth_done done, void *done_context)
{
  struct self *self = context;
  struct mu_auth_answer answer = {.size = sizeof answer, .verdict = MU_AUTH_UNKNOWN};
  if (credential->kind == MU_CREDENTIAL_SERVER)
    judge_server(self, credential, &answer);
  else if (credential->kind == MU_CREDENTIAL_API_KEY)
    judge_key(self, credential, &answer);
  else if (credential->kind == MU_CREDENTIAL_KNOWN)
    judge_known(self, credential, &answer);
  if (answer.verdict == MU_AUTH_GRANTED)
    mu_count(self->granted, 1);
  done(done_context, &answer);
  return 0;
}

static const struct mu_auth service = {.size = sizeof(struct mu_auth),
                                       .kinds = MU_CREDENTIAL_SERVER | MU_CREDENTIAL_API_KEY | MU_CREDENTIAL_KNOWN,
                                       .judge = judge};

/* ---- machines -------------------------------------------------------------------------------- */

/* The owner may be one of the users here, who has a name. */
static void name_owner(struct self *self, const struct mu_machine_entry *entry)
{
  const struct mu_machines *machines = self->machines.api;
  const struct mu_principal *user;
  if (users_known(self->users, mu_str(entry->owner), MU_STR(""), &user) != MU_AUTH_GRANTED)
    return;
  const struct mu_machine *machine =
      machines->find(self->machines.self, entry->provider, entry->owner, entry->id, false);
  const struct mu_machine_facts facts = {.size = sizeof facts, .owner_name = mu_str(user->name)};
  int result = machine ? machines->describe(self->machines.self, machine, &facts) : MU_ENOENT;
  if (result != 0)
    mu_log(self->in, MU_LOG_ERROR, "machine \"%s\": its owner's name could not be set: %s", entry->id,
           mu_strerror(result));
}

static void declare(struct self *self, const struct entry *entry)
{
  const struct mu_machines *machines = self->machines.api;
  const struct server *server = entry->server;
  if (!machines)
    return;
  struct mu_machine_entry wanted = {.size = sizeof wanted,
                                    .provider = entry->principal->provider,
                                    .owner = entry->principal->owner,
                                    .id = server->id,
                                    .name = server->name,
                                    .group = server->group,
                                    .country = server->country,
                                    .location = server->location,
                                    .is_public = server->is_public};
  int result = machines->declare(self->machines.self, self->in, &wanted);
  if (result != 0)
    mu_log(self->in, MU_LOG_ERROR, "machine \"%s\" could not be declared: %s", server->id, mu_strerror(result));
  else
    name_owner(self, &wanted);
}

static void withdraw(struct self *self, const struct entry *entry)
{
  const struct mu_machines *machines = self->machines.api;
  if (machines)
    machines->withdraw(self->machines.self, self->in, entry->principal->provider, entry->principal->owner,
                       entry->server->id);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void check(const void *given, struct mu_check *report)
{
  const struct config *config = given;
  if (config->servers.count == 0 && config->users.count == 0)
    mu_check_warn(report, "servers", "there are neither servers nor users: everybody is refused");
  entries_check(config, report);
  users_check(&config->users, report);
}

static int init(mu_instance *in, const void *given, void **out)
{
  const struct config *config = given;
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return MU_ENOMEM;
  self->in = in;
  int result = MU_ENOMEM;
  self->entries = entries_new(config, mu_instance_name(in));
  self->users = users_new(&config->users, mu_instance_name(in));
  self->revoked = mu_event_declare(in, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  self->granted = mu_counter_get(in, "granted");
  self->refused = mu_counter_get(in, "wrong_secret");
  self->unknown = mu_counter_get(in, "unknown_id");
  self->unknown_key = mu_counter_get(in, "unknown_key");
  self->taken_back = mu_counter_get(in, "taken_back");
  if (!self->entries || !self->users || !self->revoked)
    goto fail;
  result = mu_service_provide(in, MU_SERVICE_AUTH, &service, self);
  if (result != 0)
    goto fail;
  *out = self;
  return 0;
fail:
  entries_free(self->entries);
  users_free(self->users);
  free(self);
  return result;
}

static int start(void *context)
{
  struct self *self = context;
  int result = mu_service_get(self->in, MU_SERVICE_MACHINES, &self->machines);
  if (result != 0)
    self->machines = (struct mu_service){0};
  for (size_t i = 0; i < self->entries->count; i++)
    declare(self, &self->entries->list[i]);
  return 0;
}

static void reload_entries(struct self *self, const struct entries *before, const struct entries *now)
{
  for (size_t i = 0; i < before->count; i++) {
    const struct entry *old = &before->list[i];
    const struct entry *new = entries_find(now, old->server->id);
    bool moved = new &&strcmp(new->principal->owner, old->principal->owner) != 0;
    if (!new || moved)
      withdraw(self, old);
    if (!new || moved || strcmp(new->server->secret, old->server->secret) != 0) {
      mu_log(self->in, MU_LOG_INFO, "machine \"%s\": %s", old->server->id,
             new ? "changed, must log in again" : "removed");
      mu_event_emit(self->revoked, old->principal);
    }
  }
  for (size_t i = 0; i < now->count; i++) /* declaring again what is the same changes nothing */
    declare(self, &now->list[i]);
}

static void user_gone(void *context, const struct mu_principal *principal, const char *why)
{
  struct self *self = context;
  mu_log(self->in, MU_LOG_INFO, "user \"%s\": %s", principal->id, why);
  mu_event_emit(self->revoked, principal);
}

static int reconfigure(void *context, const void *given)
{
  struct self *self = context;
  const struct config *config = given;
  struct entries *entries = entries_new(config, mu_instance_name(self->in)), *entries_before = self->entries;
  struct users *users = users_new(&config->users, mu_instance_name(self->in)), *users_before = self->users;
  if (!entries || !users) {
    entries_free(entries);
    users_free(users);
    return MU_ENOMEM;
  }
  self->entries = entries; /* first: who is cut off and comes back at once meets the new secrets */
  self->users = users;
  reload_entries(self, entries_before, entries);
  users_compare(users_before, users, user_gone, self);
  entries_free(entries_before);
  users_free(users_before);
  return 0;
}

static void fini(void *context)
{
  struct self *self = context;
  entries_free(self->entries);
  users_free(self->users);
  free(self);
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
    .reconfigure = reconfigure,
    .fini = fini,
}};

MU_PLUGIN(.name = "auth_static", .version = "1.0.0",
          .summary = "Machines and users that the configuration names, with secrets and API keys", .licence = "ISC",
          .components = MU_COMPONENTS(components));
