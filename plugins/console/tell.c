/* SPDX-License-Identifier: ISC */
/*
 * Who is told what of a machine.
 *
 * A difference is made once per change, against what everybody was told last (the track), and shared. Who has not read the one before gets
 * the whole machine again.
 */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "live.h"

/* Those of one user who watch. */
struct audience {
  mu_group *group;
  char *key;
  size_t key_len;
  size_t count;
};

/* What everybody was told of a machine. */
struct track {
  struct view view;
  bool known;
};

/* ---- audiences -------------------------------------------------------------------------------- */

/* "provider\0owner"; false: out of memory. */
static bool user_key(struct mu_buf *key, const char *provider, const char *owner)
{
  mu_buf_add(key, provider, strlen(provider) + 1);
  mu_buf_adds(key, owner);
  return !key->failed;
}

static struct audience *audience_of(const struct console *console, const char *provider, const char *owner)
{
  struct mu_buf key = MU_BUF_INIT;
  struct audience *audience = NULL;
  if (user_key(&key, provider, owner))
    audience = mu_map_get(console->audiences, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  return audience;
}

static void audience_free(struct console *console, struct audience *audience)
{
  mu_map_del(console->audiences, (struct mu_str){audience->key, audience->key_len});
  mu_group_free(audience->group);
  free(audience->key);
  free(audience);
}

static int join_audience(struct watcher *watcher, const struct mu_principal *principal)
{
  struct console *console = watcher->console;
  struct audience *audience = audience_of(console, principal->provider, principal->id);
  if (!audience) {
    struct mu_buf key = MU_BUF_INIT;
    if (!(audience = calloc(1, sizeof *audience)))
      return MU_ENOMEM;
    audience->group = mu_group_new(console->in, "console user", MU_GROUP_CONFLATE);
    if (!user_key(&key, principal->provider, principal->id) || !audience->group ||
        mu_map_add(console->audiences, (struct mu_str){key.at, key.len}, audience) != 0) {
      mu_group_free(audience->group);
      mu_buf_free(&key);
      free(audience);
      return MU_ENOMEM;
    }
    audience->key = key.at;
    audience->key_len = key.len;
  }
  audience->count++;
  watcher->audience = audience;
  return mu_group_join(audience->group, watcher->conn);
}

/* Each reader is in at most one group of those that a machine can have. NULL: nobody follows it. */
static mu_group *group_of(const struct console *console, const struct mu_machine *machine)
{
  if (machine->is_public)
    return console->everyone;
  if (!machine->owner[0])
    return console->admins;
  const struct audience *audience = audience_of(console, machine->provider, machine->owner);
  return audience ? audience->group : NULL;
}

/* ---- what is told ---------------------------------------------------------------------------- */

/* Made at the first; NULL: out of memory. */
static struct track *track_of(const struct console *console, const struct mu_machine *machine)
{
  struct track *track = mu_map_get(console->tracks, machine_key(machine));
  if (track || !(track = calloc(1, sizeof *track)))
    return track;
  if (mu_map_add(console->tracks, machine_key(machine), track) == 0)
    return track;
  free(track);
  return NULL;
}

void tell_forget(struct console *console)
{
  size_t position = 0;
  struct track *track;
  struct mu_str key;
  while ((track = mu_map_next(console->tracks, &position, &key))) {
    mu_map_del(console->tracks, key);
    view_free(&track->view);
    free(track);
  }
}

struct whole {
  struct console *console;
  const struct mu_machine *machine;
};

static mu_text *whole_text(void *context)
{
  const struct whole *whole = context;
  return mu_text_ref(whole->console->api->text(whole->console->machines.self, whole->machine, whole->console->form));
}

static mu_text *gone_text(const struct mu_machine *machine)
{
  return mu_text_printf("{\"type\":\"gone\",\"key\":\"%llu\"}", (unsigned long long)machine->handle);
}

bool tell_sees(const struct watcher *watcher, const struct mu_machine *machine, bool is_public)
{
  if (watcher->stage == STAGE_FOLLOWS)
    return machine_visible(machine, mu_conn_principal(watcher->conn), is_public);
  return watcher->stage == STAGE_PLAIN && is_public;
}

/* Public or private now: for each reader by itself, which is rare. */
static void tell_each(struct console *console, const struct mu_machine *machine, bool was_public)
{
  struct whole whole = {console, machine};
  mu_text *text = whole_text(&whole), *gone = gone_text(machine);
  for (struct watcher *watcher = console->watchers, *next; watcher; watcher = next) {
    next = watcher->next; /* who is closed leaves */
    bool told = watcher->conn && (!watcher->before || watcher == snapshot_served(console));
    bool now = told && tell_sees(watcher, machine, machine->is_public);
    bool before = told && tell_sees(watcher, machine, was_public);
    if ((now && text) || (before && !now && gone))
      mu_conn_send_latest(watcher->conn, machine->handle, now ? text : gone);
  }
  mu_text_unref(text);
  mu_text_unref(gone);
}

static void tell_whole(struct console *console, const struct mu_machine *machine)
{
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  mu_group *group = group_of(console, machine);
  if (text && group)
    mu_group_publish(group, machine->handle, text);
}

/* It is in no group yet: of what changes meanwhile it is told everything, whether it has heard of the machine or not. */
static void tell_served(struct console *console, const struct mu_machine *machine)
{
  struct watcher *watcher = snapshot_served(console);
  mu_text *text = watcher && tell_sees(watcher, machine, machine->is_public)
                      ? console->api->text(console->machines.self, machine, console->form)
                      : NULL;
  if (text)
    mu_conn_send_latest(watcher->conn, machine->handle, text);
}

static void tell_plain(struct console *console, const struct mu_machine *machine)
{
  if (!machine->is_public || mu_group_count(console->plain) == 0)
    return;
  mu_text *text = console->api->text(console->machines.self, machine, console->form);
  if (text)
    mu_group_publish(console->plain, machine->handle, text);
}

static void tell_change(struct console *console, const struct mu_machine *machine, const struct view *from,
                        const struct view *to)
{
  struct whole whole = {console, machine};
  mu_group *group = group_of(console, machine);
  struct mu_buf buf = MU_BUF_INIT;
  mu_buf_printf(&buf, "{\"type\":\"change\",\"key\":\"%llu\",\"t\":%lld,\"m\":", (unsigned long long)machine->handle,
                (long long)mu_now_ms());
  bool any = view_patch(&buf, from, to);
  mu_buf_adds(&buf, "}");
  mu_text *change = any ? mu_buf_take_text(&buf) : NULL;
  bool failed = any && !change;
  mu_buf_free(&buf);
  if (change && group && mu_group_count(group) > 0)
    mu_group_change(group, machine->handle, change, whole_text, &whole);
  else if (failed)
    tell_whole(console, machine);
  if (any) {
    tell_plain(console, machine);
    tell_served(console, machine);
  }
  mu_text_unref(change);
}

/* Tells those who watch what changed since they were told last. */
void live_changed(struct console *console, const struct mu_machine *machine)
{
  if (!console->watchers)
    return;
  struct view view;
  struct track *track = track_of(console, machine);
  machine_view(console, machine, &view);
  if (!track || !track->known) {
    tell_whole(console, machine);
    tell_plain(console, machine);
    tell_served(console, machine);
  } else if (track->view.is_public != view.is_public) {
    tell_each(console, machine, track->view.is_public);
  } else {
    tell_change(console, machine, &track->view, &view);
  }
  if (track)
    track->known = view_keep(&track->view, &view) == 0;
  json_object_put(view.metrics);
}

void live_gone(struct console *console, const struct mu_machine *machine)
{
  mu_text *gone = console->watchers ? gone_text(machine) : NULL;
  mu_group *group = group_of(console, machine);
  if (gone && group)
    mu_group_publish(group, machine->handle, gone);
  if (gone && machine->is_public)
    mu_group_publish(console->plain, machine->handle, gone);
  struct watcher *served = snapshot_served(console);
  if (gone && served && tell_sees(served, machine, machine->is_public))
    mu_conn_send_latest(served->conn, machine->handle, gone);
  mu_text_unref(gone);
  struct track *track = mu_map_del(console->tracks, machine_key(machine));
  if (track)
    view_free(&track->view);
  free(track);
}

/* ---- coming and going ------------------------------------------------------------------------ */

int tell_join(struct watcher *watcher)
{
  struct console *console = watcher->console;
  const struct mu_principal *principal = mu_conn_principal(watcher->conn);
  int result = mu_group_join(watcher->stage == STAGE_PLAIN ? console->plain : console->everyone, watcher->conn);
  if (result == 0 && principal)
    result = join_audience(watcher, principal);
  if (result == 0 && principal && principal->role == MU_ROLE_ADMIN)
    result = mu_group_join(console->admins, watcher->conn);
  return result;
}

void tell_leave(struct watcher *watcher)
{
  struct audience *audience = watcher->audience;
  watcher->audience = NULL;
  if (audience && --audience->count == 0)
    audience_free(watcher->console, audience);
}

/* ---- life ------------------------------------------------------------------------------------ */

int tell_init(struct console *console)
{
  console->audiences = mu_map_new();
  console->tracks = mu_map_new();
  console->everyone = mu_group_new(console->in, "console", MU_GROUP_CONFLATE);
  console->admins = mu_group_new(console->in, "console admins", MU_GROUP_CONFLATE);
  console->plain = mu_group_new(console->in, "console plain", MU_GROUP_CONFLATE);
  bool good = console->audiences && console->tracks && console->everyone && console->admins && console->plain;
  return good ? 0 : MU_ENOMEM;
}

void tell_free(struct console *console)
{
  size_t position = 0;
  struct audience *audience;
  struct mu_str key;
  while (console->audiences && (audience = mu_map_next(console->audiences, &position, &key))) {
    mu_map_del(console->audiences, key);
    free(audience->key);
    free(audience);
  }
  if (console->tracks)
    tell_forget(console);
  mu_map_free(console->audiences);
  mu_map_free(console->tracks);
}
