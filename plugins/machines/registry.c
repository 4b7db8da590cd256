/* SPDX-License-Identifier: ISC */
/* The records: made, declared, reported on, forgotten. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

#define NS_PER_MS INT64_C(1000000)
#define HELD_UP_NS (INT64_C(5000) * NS_PER_MS)
#define LONGEST_VALID_MS (UINT64_C(1000) * 3600 * 24 * 3650)

/* ---- keys ------------------------------------------------------------------------------------ */

int registry_key(struct mu_buf *key, const char *provider, const char *owner, const char *id)
{
  mu_buf_add(key, provider, strlen(provider) + 1);
  mu_buf_add(key, owner, strlen(owner) + 1);
  if (id)
    mu_buf_add(key, id, strlen(id) + 1);
  return key->failed ? MU_ENOMEM : 0;
}

static struct mu_str record_key(const struct record *record)
{
  return (struct mu_str){record->key, (size_t)(record->pub.id - record->key) + strlen(record->pub.id) + 1};
}

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

static struct owner *find_owner(struct registry *registry, const char *provider, const char *owner_id, bool make)
{
  struct mu_buf key = MU_BUF_INIT;
  struct owner *owner = NULL;
  if (registry_key(&key, provider, owner_id, NULL) != 0)
    goto out;
  owner = mu_map_get(registry->owners, (struct mu_str){key.at, key.len});
  if (owner || !make)
    goto out;
  owner = calloc(1, sizeof *owner + key.len);
  if (!owner)
    goto out;
  memcpy(owner->key, key.at, key.len);
  if (mu_map_add(registry->owners, (struct mu_str){key.at, key.len}, owner) != 0) {
    free(owner);
    owner = NULL;
  }
out:
  mu_buf_free(&key);
  return owner;
}

static void drop_owner_if_empty(struct registry *registry, struct owner *owner)
{
  if (owner->roster.count > 0)
    return;
  size_t provider = strlen(owner->key) + 1;
  mu_map_del(registry->owners, (struct mu_str){owner->key, provider + strlen(owner->key + provider) + 1});
  roster_free(&owner->roster);
  free(owner);
}

/* ---- life ------------------------------------------------------------------------------------ */

void record_tell(struct record *record, mu_event_type *type)
{
  record->refs++;
  mu_event_emit(type, &record->pub);
  record_unref(record);
}

void record_alive(struct record *record)
{
  record->alive_ns = mu_mono_ns();
  record->pub.seen_ms = mu_now_ms();
}

void record_unref(struct record *record)
{
  if (--record->refs > 0)
    return;
  form_drop(record);
  free(record->made);
  mu_text_unref(record->pub.text);
  for (unsigned i = 0; i < SAID_COUNT; i++) {
    free(record->own[i]);
    free(record->fixed[i]);
  }
  free(record->ip);
  free(record->owner_name);
  mu_text_unref(record->pub.facts);
  free(record);
}

static struct record *make_record(struct registry *registry, struct mu_buf *key, const char *provider,
                                  const char *owner_id, struct owner *owner)
{
  struct record *record = calloc(1, sizeof *record + key->len);
  if (!record)
    return NULL;
  memcpy(record->key, key->at, key->len);
  record->refs = 1;
  record->registry = registry;
  record->owner = owner;
  record->alive_ns = mu_mono_ns();
  struct mu_machine *pub = &record->pub;
  pub->size = sizeof *pub;
  pub->handle = ++registry->next_handle;
  pub->provider = record->key;
  pub->owner = record->key + strlen(provider) + 1;
  pub->id = pub->owner + strlen(owner_id) + 1;
  pub->version = 1;
  said_refresh(record);

  if (mu_map_add(registry->records, (struct mu_str){key->at, key->len}, record) != 0)
    goto no_map;
  if (mu_map_add(registry->handles, handle_key(&pub->handle), record) != 0)
    goto no_handle;
  if (roster_add(&registry->all, ROSTER_ALL, record) != 0)
    goto no_roster;
  if (due_reserve(registry, registry->all.count) != 0)
    goto no_owner_roster;
  if (roster_add(&owner->roster, ROSTER_OWNER, record) != 0)
    goto no_owner_roster;
  due_set(record);
  return record;
no_owner_roster:
  roster_del(&registry->all, ROSTER_ALL, record);
no_roster:
  mu_map_del(registry->handles, handle_key(&pub->handle));
no_handle:
  mu_map_del(registry->records, (struct mu_str){key->at, key->len});
no_map:
  record_unref(record);
  return NULL;
}

struct record *registry_find(struct registry *registry, const char *provider, const char *owner_id, const char *id,
                             bool make, bool bounded)
{
  struct mu_buf key = MU_BUF_INIT;
  struct record *record = NULL;
  if (registry_key(&key, provider, owner_id, id) != 0)
    goto out;
  record = mu_map_get(registry->records, (struct mu_str){key.at, key.len});
  if (record || !make || id[0] == '\0')
    goto out;
  if (bounded && removed_has(registry, (struct mu_str){key.at, key.len})) {
    mu_count(registry->kept_out, 1);
    goto out;
  }
  struct owner *owner = find_owner(registry, provider, owner_id, true);
  if (!owner)
    goto out;
  if (bounded && owner->roster.count >= (size_t)registry->config->max_per_owner) {
    mu_count(registry->full, 1);
    mu_log_limited(registry->in, MU_LOG_WARN, "full", "machine \"%s\" refused: owner \"%s\" has %zu already", id,
                   owner_id, owner->roster.count);
  } else
    record = make_record(registry, &key, provider, owner_id, owner);
  if (!record)
    drop_owner_if_empty(registry, owner);
out:
  mu_buf_free(&key);
  return record;
}

struct record *registry_by_handle(struct registry *registry, uint64_t handle)
{
  return mu_map_get(registry->handles, handle_key(&handle));
}

void registry_forget(struct record *record)
{
  struct registry *registry = record->registry;
  if (record->gone)
    return;
  record->gone = true;
  record->declared_by = NULL;
  record->pub.configured = false;
  record->pub.online = false;
  record->pub.linked = false;
  record->links = 0;
  record->pub.version++;
  due_del(record);
  roster_del(&registry->all, ROSTER_ALL, record);
  roster_del(&record->owner->roster, ROSTER_OWNER, record);
  drop_owner_if_empty(registry, record->owner);
  record->owner = NULL;
  mu_map_del(registry->handles, handle_key(&record->pub.handle));
  mu_map_del(registry->records, record_key(record));
  mu_event_emit(registry->deleted, &record->pub);
  record_unref(record);
}

/* ---- configuration --------------------------------------------------------------------------- */

static int undeclare_if(void *context, const struct mu_machine *machine)
{
  struct record *record = (struct record *)machine;
  if (record->declared_by == context)
    registry_undeclare(record, false);
  return 0;
}

static void user_stopped(void *context, mu_instance *in)
{
  struct registry *registry = context;
  for (struct user **at = &registry->users; *at; at = &(*at)->next)
    if ((*at)->in == in) {
      struct user *user = *at;
      *at = user->next;
      free(user);
      break;
    }
  form_end(registry, in);
  roster_each(&registry->all, ROSTER_ALL, undeclare_if, in);
}

int registry_user(struct registry *registry, mu_instance *in)
{
  for (struct user *user = registry->users; user; user = user->next)
    if (user->in == in)
      return 0;
  struct user *user = calloc(1, sizeof *user);
  if (!user)
    return MU_ENOMEM;
  int result = mu_on_stop(registry->in, in, user_stopped, registry);
  if (result != 0) {
    free(user);
    return result;
  }
  user->in = in;
  user->next = registry->users;
  registry->users = user;
  return 0;
}

int registry_declare(struct registry *registry, mu_instance *in, const struct mu_machine_entry *entry)
{
  if (!entry->id || !entry->id[0] || !entry->provider)
    return MU_EINVAL;
  int result = registry_user(registry, in);
  if (result != 0)
    return result;
  /* Not bounded: what the operator wrote down, the operator wants. */
  struct record *record =
      registry_find(registry, entry->provider, entry->owner ? entry->owner : "", entry->id, true, false);
  if (!record)
    return MU_ENOMEM;
  if (record->declared_by && record->declared_by != in)
    return MU_EEXIST;
  removed_take_back(registry, record_key(record));
  bool news = !record->pub.configured || record->public_entry != entry->is_public;
  const struct mu_str texts[SAID_COUNT] = {mu_str(entry->name), mu_str(entry->group), mu_str(entry->country),
                                           mu_str(entry->location)};
  int said = said_take(record, record->fixed, texts, true);
  record->declared_by = in;
  record->pub.configured = true;
  record->public_entry = entry->is_public;
  said_refresh(record);
  if (news || said != 0) {
    record->pub.version++;
    record_tell(record, registry->info);
  }
  return said < 0 ? said : 0;
}

void registry_undeclare(struct record *record, bool removed)
{
  record->declared_by = NULL;
  if (record->links == 0 && (removed || record->pub.seen_ms == 0)) {
    registry_forget(record);
    return;
  }
  const struct mu_str none[SAID_COUNT] = {{0}};
  said_take(record, record->fixed, none, true); /* taking away needs no memory */
  record->pub.configured = false;
  said_refresh(record);
  record->pub.version++;
  due_set(record);
  record_tell(record, record->registry->info);
}

void registry_set_public(struct record *record, bool is_public)
{
  record->public_wish = is_public;
  if (record->gone || record->pub.configured || record->pub.is_public == is_public)
    return;
  said_refresh(record);
  record->pub.version++;
  record_tell(record, record->registry->info);
}

/* ---- reports --------------------------------------------------------------------------------- */

int registry_report(struct record *record, const struct mu_machine_report *report)
{
  struct registry *registry = record->registry;
  struct mu_machine *pub = &record->pub;
  if (record->gone)
    return MU_ENOENT;
  const struct mu_str texts[SAID_COUNT] = {report->name, report->group, report->country, report->location};
  int said = said_own(record, texts, report->ip);
  if (said < 0)
    return said;
  uint64_t valid_ms = report->valid_ms < LONGEST_VALID_MS ? report->valid_ms : LONGEST_VALID_MS;
  bool was_online = pub->online;
  record_alive(record);
  if (valid_ms > 0) {
    record->valid_until_ns = record->alive_ns + (int64_t)valid_ms * NS_PER_MS;
    pub->online = true;
  }
  due_set(record);
  mu_text *old = pub->text;
  pub->text = mu_text_ref(report->text);
  pub->form = report->form;
  form_drop(record);
  mu_text_unref(old);
  pub->last_report_ms = pub->seen_ms;
  if (pub->first_report_ms == 0)
    pub->first_report_ms = pub->last_report_ms;
  pub->reports++;
  pub->version++;
  mu_count(registry->reports, 1);
  /* A listener may forget it: then machine.deleted is the last that is told. */
  record->refs++;
  if (pub->online && !was_online)
    mu_event_emit(registry->online, pub);
  if (said && !record->gone)
    mu_event_emit(registry->info, pub);
  if (!record->gone)
    mu_event_emit(registry->report, pub);
  record_unref(record);
  return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/*
 * The process was held up (stopped, swapped out): what the machines said meanwhile is still unread, so this time does not count
 * against them, nor the second in which it is read. Otherwise all would go offline at once, and come back.
 */
static void pass_over(struct registry *registry, int64_t held_ns)
{
  mu_log(registry->in, MU_LOG_WARN, "held up for %lld s: no machine is offline for that",
         (long long)(held_ns / (1000 * NS_PER_MS)));
  for (size_t i = 0; i < registry->all.count; i++) {
    struct record *record = registry->all.items[i];
    /* Linked ones are not on the clock: a report that was stale before stays stale. */
    if (record->pub.online && (record->links == 0 || record->valid_until_ns > registry->expected_ns))
      record->valid_until_ns += held_ns + 1000 * NS_PER_MS;
  }
}

static void on_timer(void *context)
{
  struct registry *registry = context;
  int64_t now = mu_mono_ns();
  if (now - registry->expected_ns > HELD_UP_NS)
    pass_over(registry, now - registry->expected_ns);
  due_sweep(registry, now);
}

int registry_init(struct registry *registry, mu_instance *in, const struct config *config)
{
  registry->in = in;
  registry->config = config;
  registry->armed_ns = INT64_MAX;
  registry->records = mu_map_new();
  registry->owners = mu_map_new();
  registry->handles = mu_map_new();
  registry->removed.by_key = mu_map_new();
  registry->timer = mu_timer_new(in, on_timer, registry);
  registry->online = mu_event_declare(in, MU_EVENT_MACHINE_ONLINE, &machine_event_ops);
  registry->seen = mu_event_declare(in, MU_EVENT_MACHINE_SEEN, &machine_event_ops);
  registry->report = mu_event_declare(in, MU_EVENT_MACHINE_REPORT, &machine_report_event_ops);
  registry->info = mu_event_declare(in, MU_EVENT_MACHINE_INFO, &machine_event_ops);
  registry->offline = mu_event_declare(in, MU_EVENT_MACHINE_OFFLINE, &machine_event_ops);
  registry->deleted = mu_event_declare(in, MU_EVENT_MACHINE_DELETED, &machine_event_ops);
  registry->reports = mu_counter_get(in, "reports");
  registry->full = mu_counter_get(in, "owner_full");
  registry->failed = mu_counter_get(in, "forms_failed");
  registry->forgotten = mu_counter_get(in, "forgotten");
  registry->removals = mu_counter_get(in, "removed");
  registry->kept_out = mu_counter_get(in, "kept_out");
  return registry->records && registry->owners && registry->handles && registry->removed.by_key && registry->timer &&
                 registry->online && registry->seen && registry->report && registry->info && registry->offline &&
                 registry->deleted
             ? 0
             : MU_ENOMEM;
}

void registry_fini(struct registry *registry)
{
  for (size_t i = 0; i < registry->all.count; i++) {
    struct record *record = registry->all.items[i];
    record->gone = true;
    record->heap_at = 0;
    if (--record->owner->roster.count == 0) {
      roster_free(&record->owner->roster);
      free(record->owner);
    }
    record->owner = NULL;
    record_unref(record);
  }
  roster_free(&registry->all);
  removed_free_all(registry);
  free(registry->heap);
  form_free_all(registry);
  for (struct user *user = registry->users; user;) {
    struct user *next = user->next;
    free(user);
    user = next;
  }
  mu_map_free(registry->records);
  mu_map_free(registry->owners);
  mu_map_free(registry->handles);
}
