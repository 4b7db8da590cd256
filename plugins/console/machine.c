/* SPDX-License-Identifier: ISC */
/* What a machine looks like, and to whom. Its text is the same for all who may see it. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "console.h"

/* Empty for the operator's machines. Whoever made a machine public is seen with it. */
static const char *owner_shown(const struct mu_machine *machine)
{
  return machine->owner[0] && machine->owner_name[0] ? machine->owner_name : machine->owner;
}

void machine_view(struct console *console, const struct mu_machine *machine, struct view *view)
{
  *view = (struct view){
      .texts = {[VIEW_ID] = machine->id,
                [VIEW_NAME] = machine->name,
                [VIEW_GROUP] = machine->group,
                [VIEW_COUNTRY] = machine->country,
                [VIEW_LOCATION] = machine->location,
                [VIEW_OWNER] = owner_shown(machine)},
      .is_public = machine->is_public,
      .online = machine->online,
      .seen_ms = machine->seen_ms,
      .metrics = json_object_get(console->api->metrics(console->machines.self, machine)),
  };
}

static int render(void *self, const struct mu_machine *machine, mu_text **text)
{
  struct view view;
  machine_view(self, machine, &view);
  mu_text *metrics = view.metrics ? mu_json_text(view.metrics) : NULL;
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"machine\",\"key\":\"%llu\"", (unsigned long long)machine->handle);
  for (int i = 0; i < VIEW_TEXTS; i++) {
    mu_buf_printf(&buf, ",\"%s\":", view_names[i]);
    mu_buf_json_string(&buf, mu_str(view.texts[i]));
  }
  mu_buf_printf(&buf, ",\"public\":%s,\"online\":%s,\"lastSeen\":%lld,\"metrics\":", view.is_public ? "true" : "false",
                view.online ? "true" : "false", (long long)view.seen_ms);
  if (metrics)
    mu_buf_add(&buf, mu_text_data(metrics), mu_text_len(metrics));
  else
    mu_buf_adds(&buf, "{}");
  mu_buf_adds(&buf, "}");
  mu_text_unref(metrics);
  json_object_put(view.metrics);
  *text = mu_buf_take_text(&buf);
  return *text ? 0 : MU_ENOMEM;
}

const struct mu_form_ops machine_form = {
    .size = sizeof machine_form, .name = "console", .render = render, .depends_on_state = true};

struct mu_str machine_key(const struct mu_machine *machine)
{
  return (struct mu_str){(const char *)&machine->handle, sizeof machine->handle};
}

bool machine_visible(const struct mu_machine *machine, const struct mu_principal *principal, bool is_public)
{
  if (is_public)
    return true;
  if (!principal)
    return false;
  if (!machine->owner[0])
    return principal->role == MU_ROLE_ADMIN;
  return (principal->role == MU_ROLE_USER || principal->role == MU_ROLE_ADMIN) &&
         strcmp(machine->provider, principal->provider) == 0 && strcmp(machine->owner, principal->id) == 0;
}
