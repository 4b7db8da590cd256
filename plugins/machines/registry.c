/* SPDX-License-Identifier: ISC */
/* The records: made, declared, reported on, forgotten. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

#define NS_PER_MS INT64_C(1000000)
#define HELD_UP_NS (INT64_C(5000) * NS_PER_MS)
#define LONGEST_VALID_MS (UINT64_C(1000) * 3600 * 24 * 3650)

/* ---- texts ----------------------------------------------------------------------------------- */

static bool same(const char *held, struct mu_str text)
{
  return mu_str_equal(mu_str(held), text);
}

/* Replaces a held text; an empty one is NULL. *old is freed by the caller once nothing points to it. */
static int replace(char **held, struct mu_str text, char **old)
{
  char *copy = NULL;
  if (text.len > 0) {
    copy = strndup(text.at, text.len);
    if (!copy)
      return MU_ENOMEM;
  }
  *old = *held;
  *held = copy;
  return 0;
}

static const char *shown(const struct record *record, unsigned what)
{
  if (record->fixed[what])
    return record->fixed[what];
  return record->own[what] ? record->own[what] : "";
}

/* Points the public texts at what counts now. */
static void refresh(struct record *record)
{
  struct mu_machine *pub = &record->pub;
  pub->name = shown(record, SAID_NAME);
  pub->group = shown(record, SAID_GROUP);
  pub->country = shown(record, SAID_COUNTRY);
  pub->location = shown(record, SAID_LOCATION);
  pub->ip = record->ip ? record->ip : "";
  pub->is_public = pub->configured ? record->public_entry : record->public_wish;
  pub->fixed = 0;
  for (unsigned i = 0; i < SAID_COUNT; i++) /* the bits of enum mu_machine_fixed have the order of SAID_… */
    if (record->fixed[i])
      pub->fixed |= 1u << i;
}

/* Takes the non-empty (or, with `all`, every) of `texts` into `held`. Returns 1 if what is shown changed, 0, or MU_ENOMEM. */
static int say(struct record *record, char *held[SAID_COUNT], const struct mu_str texts[SAID_COUNT], bool all)
{
  int changed = 0;
  for (unsigned i = 0; i < SAID_COUNT; i++) {
    if ((texts[i].len == 0 && !all) || same(held[i], texts[i]))
      continue;
    char *old;
    const char *before = shown(record, i);
    if (replace(&held[i], texts[i], &old) != 0)
      return MU_ENOMEM;
    if (shown(record, i) == before) {
      free(old); /* hidden behind the configuration's */
      continue;
    }
    changed = 1;
    refresh(record);
    free(old);
    if (i == SAID_NAME || i == SAID_GROUP) {
      record->registry->all.sorted = false;
      record->owner->roster.sorted = false;
    }
  }
  return changed;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int make_key(struct mu_buf *key, const char *provider, const char *owner, const char *id)
{
  mu_buf_add(key, provider, strlen(provider) + 1);
  mu_buf_add(key, owner, strlen(owner) + 1);
  if (id)
    mu_buf_add(key, id, strlen(id) + 1);
  return key->failed ? MU_ENOMEM : 0;
}

static struct mu_str handle_key(const uint64_t *handle)
{
  return (struct mu_str){(const char *)handle, sizeof *handle};
}

static struct owner *find_owner(struct registry *registry, const char *provider, const char *owner_id, bool make)
{
  struct mu_buf key = MU_BUF_INIT;
  struct owner *owner = NULL;
  if (make_key(&key, provider, owner_id, NULL) != 0)
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
  refresh(record);

  if (mu_map_add(registry->records, (struct mu_str){key->at, key->len}, record) != 0)
    goto no_map;
  if (mu_map_add(registry->handles, handle_key(&pub->handle), record) != 0)
    goto no_handle;
  if (roster_add(&registry->all, ROSTER_ALL, record) != 0)
    goto no_roster;
  if (roster_add(&owner->roster, ROSTER_OWNER, record) != 0)
    goto no_owner_roster;
  if (due_set(record) != 0)
    goto no_due;
  return record;
no_due:
  roster_del(&owner->roster, ROSTER_OWNER, record);
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
  if (make_key(&key, provider, owner_id, id) != 0)
    goto out;
  record = mu_map_get(registry->records, (struct mu_str){key.at, key.len});
  if (record || !make || id[0] == '\0')
    goto out;
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
  record->pub.version++;
  due_del(record);
  roster_del(&registry->all, ROSTER_ALL, record);
  roster_del(&record->owner->roster, ROSTER_OWNER, record);
  drop_owner_if_empty(registry, record->owner);
  record->owner = NULL;
  mu_map_del(registry->handles, handle_key(&record->pub.handle));
  size_t length = (size_t)(record->pub.id - record->key) + strlen(record->pub.id) + 1;
  mu_map_del(registry->records, (struct mu_str){record->key, length});
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
  bool news = !record->pub.configured || record->public_entry != entry->is_public;
  const struct mu_str texts[SAID_COUNT] = {mu_str(entry->name), mu_str(entry->group), mu_str(entry->country),
                                           mu_str(entry->location)};
  int said = say(record, record->fixed, texts, true);
  record->declared_by = in;
  record->pub.configured = true;
  record->public_entry = entry->is_public;
  refresh(record);
  if (news || said != 0) {
    record->pub.version++;
    record_tell(record, registry->info);
  }
  return said < 0 ? said : 0;
}

void registry_undeclare(struct record *record, bool removed)
{
  record->declared_by = NULL;
  if (removed || record->pub.reports == 0) {
    registry_forget(record);
    return;
  }
  const struct mu_str none[SAID_COUNT] = {{0}};
  say(record, record->fixed, none, true); /* taking away needs no memory */
  record->pub.configured = false;
  refresh(record);
  record->pub.version++;
  if (due_set(record) != 0)
    mu_log(record->registry->in, MU_LOG_ERROR, "out of memory: machine \"%s\" will not be forgotten by itself",
           record->pub.id);
  record_tell(record, record->registry->info);
}

void registry_set_public(struct record *record, bool is_public)
{
  record->public_wish = is_public;
  if (record->gone || record->pub.configured || record->pub.is_public == is_public)
    return;
  refresh(record);
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
  int said = say(record, record->own, texts, false);
  if (said < 0)
    return said;
  if (report->ip.len > 0 && !same(record->ip, report->ip)) {
    char *old;
    if (replace(&record->ip, report->ip, &old) != 0)
      return MU_ENOMEM;
    refresh(record);
    free(old);
    said = 1;
  }
  int64_t now = mu_mono_ns();
  uint64_t valid_ms = report->valid_ms < LONGEST_VALID_MS ? report->valid_ms : LONGEST_VALID_MS;
  bool was_online = pub->online;
  record->alive_ns = now;
  record->valid_until_ns = now + (int64_t)valid_ms * NS_PER_MS;
  pub->online = true;
  if (due_set(record) != 0) {
    pub->online = was_online;
    return MU_ENOMEM;
  }
  mu_text *old = pub->text;
  pub->text = mu_text_ref(report->text);
  pub->form = report->form;
  form_drop(record);
  mu_text_unref(old);
  pub->last_report_ms = mu_now_ms();
  if (pub->first_report_ms == 0)
    pub->first_report_ms = pub->last_report_ms;
  pub->reports++;
  pub->version++;
  mu_count(registry->reports, 1);
  /* A listener may forget it: then machine.deleted is the last that is told. */
  record->refs++;
  if (!was_online)
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
  for (size_t i = 0; i < registry->all.count; i++)
    if (registry->all.items[i]->pub.online)
      registry->all.items[i]->valid_until_ns += held_ns + 1000 * NS_PER_MS;
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
  registry->timer = mu_timer_new(in, on_timer, registry);
  registry->online = mu_event_declare(in, MU_EVENT_MACHINE_ONLINE, &machine_event_ops);
  registry->report = mu_event_declare(in, MU_EVENT_MACHINE_REPORT, &machine_report_event_ops);
  registry->info = mu_event_declare(in, MU_EVENT_MACHINE_INFO, &machine_event_ops);
  registry->offline = mu_event_declare(in, MU_EVENT_MACHINE_OFFLINE, &machine_event_ops);
  registry->deleted = mu_event_declare(in, MU_EVENT_MACHINE_DELETED, &machine_event_ops);
  registry->reports = mu_counter_get(in, "reports");
  registry->full = mu_counter_get(in, "owner_full");
  registry->failed = mu_counter_get(in, "forms_failed");
  registry->forgotten = mu_counter_get(in, "forgotten");
  return registry->records && registry->owners && registry->handles && registry->timer && registry->online &&
                 registry->report && registry->info && registry->offline && registry->deleted
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
