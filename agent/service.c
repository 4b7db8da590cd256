/* SPDX-License-Identifier: ISC */
/* The service agent/1: what uplinks may ask of the program. */
#include <stdlib.h>

#include <muster/muster.h>

#include "agent.h"
#include "identity.h"
#include "keys.h"
#include "terminal.h"

static bool interactive(void *self)
{
  return !((struct agent *)self)->join && terminal_interactive(((struct agent *)self)->terminal);
}

static void say(void *self, const char *text)
{
  terminal_say(((struct agent *)self)->terminal, text);
}

static int ask(void *self, mu_instance *in, const char *prompt, mu_agent_answer done, void *context)
{
  return terminal_ask(((struct agent *)self)->terminal, in, prompt, done, context);
}

static int key_load(void *self, const char *server, struct mu_buf *key)
{
  struct agent *agent = self;
  char name[256];
  if (agent->join) {
    struct mu_str typed = join_key(agent, server);
    mu_buf_add(key, typed.at, typed.len);
    return key->failed ? MU_ENOMEM : 0;
  }
  keys_name(server, name);
  return keys_read(agent->app->runtime.core, agent->key_folder, name, key);
}

static int key_save(void *self, const char *server, struct mu_str key)
{
  const struct agent *agent = self;
  char name[256];
  keys_name(server, name);
  return keys_write(agent->app->runtime.core, agent->key_folder, name, key);
}

static int key_forget(void *self, const char *server)
{
  const struct agent *agent = self;
  char name[256];
  if (agent->join)
    return MU_ENOENT; /* it was never saved */
  keys_name(server, name);
  return keys_remove(agent->app->runtime.core, agent->key_folder, name);
}

static const char *machine_id(void *self)
{
  struct agent *agent = self;
  if (!agent->machine_id[0]) {
    const mu_instance *core = agent->app->runtime.core;
    identity_find(core, agent->app->runtime.root, agent->key_folder, agent->machine_id);
  }
  return agent->machine_id;
}

static const char *version(void *self)
{
  (void)self;
  return MUSTER_VERSION;
}

static const char *collector(void *self, size_t n)
{
  const struct slot *slot = ((struct agent *)self)->schedule.slots;
  while (slot && n-- > 0)
    slot = slot->next;
  return slot ? slot->name : NULL;
}

/* From the loop: whoever asks for the end is itself stopped by it. */
static void on_end(void *context)
{
  struct agent *agent = context;
  mui_program_end(agent->app, agent->end_status);
}

static void end(void *self, int status)
{
  struct agent *agent = self;
  if (agent->ending)
    return;
  agent->ending = true;
  agent->end_status = status;
  if (mu_post(agent->app->runtime.core, on_end, NULL, agent) < 0)
    on_end(agent);
}

static void attempted(void *self, int error, const char *why)
{
  struct agent *agent = self;
  if (agent->join && !agent->ending)
    join_attempted(agent, error, why);
}

static const struct mu_agent api = {
    .size = sizeof(api),
    .interactive = interactive,
    .say = say,
    .ask = ask,
    .key_load = key_load,
    .key_save = key_save,
    .key_forget = key_forget,
    .machine_id = machine_id,
    .version = version,
    .collector = collector,
    .end = end,
    .attempted = attempted,
};

int service_init(struct agent *agent, const char *key_dir, bool service)
{
  mu_instance *core = agent->app->runtime.core;
  agent->key_folder = keys_folder(key_dir);
  agent->terminal = terminal_new(core, service);
  if (!agent->key_folder || !agent->terminal)
    return MU_ENOMEM;
  return mu_service_provide(core, MU_SERVICE_AGENT, &api, agent);
}

void service_stop(struct agent *agent)
{
  if (agent->terminal)
    terminal_close(agent->terminal);
}

void service_free(struct agent *agent)
{
  join_free(agent);
  terminal_free(agent->terminal);
  free(agent->key_folder);
}
