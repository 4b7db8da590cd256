/* SPDX-License-Identifier: ISC */
/* The component: service machines/1 over the registry, and what its events carry. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

static const struct mu_option options[] = {
    {.key = "max_per_owner",
     .type = MU_OPT_INT,
     .offset = offsetof(struct config, max_per_owner),
     .help = "Machines that one owner may have; entries of the configuration are not refused.",
     .preset = "1000",
     .min = 1,
     .max = 1000000},
    {.key = "forget_after_h",
     .type = MU_OPT_FLOAT,
     .offset = offsetof(struct config, forget_after_h),
     .help = "Hours after its last sign of life at which a machine that no configuration names is forgotten.",
     .preset = "24",
     .min = 0.001,
     .max = 87600},
};

/* ---- events ---------------------------------------------------------------------------------- */

static const struct mu_machine *machine_ref(const struct mu_machine *machine)
{
  ((struct record *)machine)->refs++;
  return machine;
}

static void machine_unref(const struct mu_machine *machine)
{
  record_unref((struct record *)machine);
}

static void payload_ref(const void *payload)
{
  machine_ref(payload);
}

static void payload_unref(const void *payload)
{
  machine_unref(payload);
}

static void put_string(struct mu_buf *out, const char *key, const char *value)
{
  mu_buf_printf(out, ",\"%s\":", key);
  mu_buf_json_string(out, mu_str(value));
}

static void put_machine(const struct mu_machine *m, struct mu_buf *out)
{
  mu_buf_adds(out, "{\"provider\":");
  mu_buf_json_string(out, mu_str(m->provider));
  put_string(out, "owner", m->owner);
  put_string(out, "id", m->id);
  put_string(out, "name", m->name);
  put_string(out, "group", m->group);
  put_string(out, "country", m->country);
  put_string(out, "location", m->location);
  put_string(out, "ip", m->ip);
  put_string(out, "owner_name", m->owner_name);
  mu_buf_printf(out, ",\"configured\":%s,\"public\":%s,\"online\":%s", m->configured ? "true" : "false",
                m->is_public ? "true" : "false", m->online ? "true" : "false");
  mu_buf_printf(out, ",\"linked\":%s,\"linked_ms\":%lld,\"seen_ms\":%lld", m->linked ? "true" : "false",
                (long long)m->linked_ms, (long long)m->seen_ms);
  mu_buf_printf(out, ",\"first_report_ms\":%lld,\"last_report_ms\":%lld,\"reports\":%llu",
                (long long)m->first_report_ms, (long long)m->last_report_ms, (unsigned long long)m->reports);
}

/* With the facts as they came: a JSON object. */
static int event_text(const void *payload, struct mu_buf *out)
{
  const struct mu_machine *m = payload;
  put_machine(m, out);
  if (m->facts) {
    mu_buf_adds(out, ",\"facts\":");
    mu_buf_add(out, mu_text_data(m->facts), mu_text_len(m->facts));
  }
  mu_buf_adds(out, "}");
  return out->failed ? MU_ENOMEM : 0;
}

/* With the report as it came (every form is JSON), so that another node can take it; the facts came with machine.info. */
static int report_event_text(const void *payload, struct mu_buf *out)
{
  const struct mu_machine *m = payload;
  put_machine(m, out);
  if (m->form && m->text) {
    put_string(out, "form", m->form->name);
    mu_buf_adds(out, ",\"report\":");
    mu_buf_add(out, mu_text_data(m->text), mu_text_len(m->text));
  }
  mu_buf_adds(out, "}");
  return out->failed ? MU_ENOMEM : 0;
}

const struct mu_event_ops machine_event_ops = {
    .size = sizeof(struct mu_event_ops), .version = 1, .ref = payload_ref, .unref = payload_unref, .text = event_text};
const struct mu_event_ops machine_report_event_ops = {.size = sizeof(struct mu_event_ops),
                                                      .version = 1,
                                                      .ref = payload_ref,
                                                      .unref = payload_unref,
                                                      .text = report_event_text};

/* ---- service --------------------------------------------------------------------------------- */

static int declare(void *self, mu_instance *in, const struct mu_machine_entry *entry)
{
  struct mu_machine_entry full = {0}; /* members that an older user does not state are zero */
  memcpy(&full, entry, entry->size < sizeof full ? entry->size : sizeof full);
  return registry_declare(self, in, &full);
}

static void withdraw(void *self, mu_instance *in, const char *provider, const char *owner, const char *id)
{
  struct record *record = registry_find(self, provider, owner ? owner : "", id, false, false);
  if (record && record->declared_by == in)
    registry_undeclare(record, true);
}

static const struct mu_machine *find(void *self, const char *provider, const char *owner, const char *id, bool make)
{
  struct record *record = registry_find(self, provider, owner ? owner : "", id, make, true);
  return record ? &record->pub : NULL;
}

static const struct mu_machine *by_handle(void *self, uint64_t handle)
{
  struct record *record = registry_by_handle(self, handle);
  return record ? &record->pub : NULL;
}

static int report(void *self, const struct mu_machine *machine, const struct mu_machine_report *given)
{
  (void)self;
  struct mu_machine_report full = {0};
  memcpy(&full, given, given->size < sizeof full ? given->size : sizeof full);
  if (!full.text || !full.form)
    return MU_EINVAL;
  return registry_report((struct record *)machine, &full);
}

static void set_public(void *self, const struct mu_machine *machine, bool is_public)
{
  (void)self;
  registry_set_public((struct record *)machine, is_public);
}

static void forget(void *self, const struct mu_machine *machine)
{
  (void)self;
  registry_forget((struct record *)machine);
}

static int each(void *self, const char *provider, const char *owner_id,
                int (*fn)(void *context, const struct mu_machine *machine), void *context)
{
  struct registry *registry = self;
  if (!provider)
    return roster_each(&registry->all, ROSTER_ALL, fn, context);
  struct mu_buf key = MU_BUF_INIT;
  int result = registry_key(&key, provider, owner_id ? owner_id : "", NULL);
  struct owner *owner = result == 0 ? mu_map_get(registry->owners, (struct mu_str){key.at, key.len}) : NULL;
  if (owner)
    result = roster_each(&owner->roster, ROSTER_OWNER, fn, context);
  mu_buf_free(&key);
  return result;
}

static size_t count(void *self)
{
  return ((struct registry *)self)->all.count;
}

static const mu_form *add_form(void *self, mu_instance *in, const struct mu_form_ops *ops, void *form_self)
{
  return form_add(self, in, ops, form_self);
}

static const mu_form *find_form(void *self, const char *name)
{
  return form_find(self, name);
}

static mu_text *text(void *self, const struct mu_machine *machine, const mu_form *form)
{
  (void)self;
  return form_text((struct record *)machine, form);
}

static struct json_object *metrics(void *self, const struct mu_machine *machine)
{
  (void)self;
  return form_metrics((struct record *)machine);
}

static int link_machine(void *self, const struct mu_machine *machine, bool open)
{
  (void)self;
  return registry_link((struct record *)machine, open);
}

static int seen(void *self, const struct mu_machine *machine)
{
  (void)self;
  return registry_seen((struct record *)machine);
}

static int describe(void *self, const struct mu_machine *machine, const struct mu_machine_facts *given)
{
  (void)self;
  struct mu_machine_facts full = {0};
  memcpy(&full, given, given->size < sizeof full ? given->size : sizeof full);
  return registry_describe((struct record *)machine, &full);
}

static int remove_machine(void *self, const char *provider, const char *owner, const char *id)
{
  if (!provider || !id || !id[0])
    return MU_EINVAL;
  return registry_remove(self, provider, owner ? owner : "", id);
}

static bool removed(void *self, const char *provider, const char *owner, const char *id)
{
  return registry_removed(self, provider, owner ? owner : "", id);
}

static void restore(void *self, const char *provider, const char *owner, const char *id)
{
  if (registry_restore(self, provider, owner ? owner : "", id) != 0)
    mu_log(((struct registry *)self)->in, MU_LOG_ERROR, "out of memory: machine \"%s\" stays removed", id);
}

static const struct mu_machines service = {
    .size = sizeof(struct mu_machines),
    .declare = declare,
    .withdraw = withdraw,
    .find = find,
    .by_handle = by_handle,
    .report = report,
    .set_public = set_public,
    .forget = forget,
    .each = each,
    .count = count,
    .ref = machine_ref,
    .unref = machine_unref,
    .form_add = add_form,
    .text = text,
    .metrics = metrics,
    .link = link_machine,
    .seen = seen,
    .describe = describe,
    .remove = remove_machine,
    .removed = removed,
    .restore = restore,
    .form_find = find_form,
};

/* ---- component ------------------------------------------------------------------------------- */

static int init(mu_instance *in, const void *config, void **self)
{
  struct registry *registry = calloc(1, sizeof *registry);
  if (!registry)
    return MU_ENOMEM;
  int result = registry_init(registry, in, config);
  if (result == 0)
    result = mu_service_provide(in, MU_SERVICE_MACHINES, &service, registry);
  if (result != 0) {
    registry_fini(registry);
    free(registry);
    return result;
  }
  *self = registry;
  return 0;
}

/* What is known survives a changed option: the bounds count from now on. */
static int reconfigure(void *self, const void *config)
{
  struct registry *registry = self;
  registry->config = config;
  for (size_t i = 0; i < registry->all.count; i++)
    due_set(registry->all.items[i]);
  return 0;
}

static void fini(void *self)
{
  registry_fini(self);
  free(self);
}

static const char *const provides[] = {MU_SERVICE_MACHINES, NULL};

static const struct mu_component components[] = {{
    .size = sizeof(struct mu_component),
    .kind = MU_SERVER,
    .provides = provides,
    .options = MU_OPTIONS(options),
    .config_size = sizeof(struct config),
    .init = init,
    .reconfigure = reconfigure,
    .fini = fini,
}};

MU_PLUGIN(.name = "machines", .version = "1.0.0", .summary = "What is known of every machine now", .licence = "ISC",
          .components = MU_COMPONENTS(components));
