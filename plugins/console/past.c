/* SPDX-License-Identifier: ISC */
/* The last hour of each machine, in memory only: a restart begins anew. Who may see it is history.c's. */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "console.h"

enum { STORED_MOST = 100000 };

/* What is kept of one machine. */
struct past {
  struct ring *ring;
  bool is_public;
  int64_t public_ms; /* since when: what was before is its owner's */
  size_t owned;      /* make_room() */
  char owner[];      /* "provider", NUL, the owner's id */
};

/* A machine that nothing is known of. A user may have made it public a moment before; the operator's are what the configuration says. */
static int64_t public_since(const struct mu_machine *machine, bool stored)
{
  return stored && machine->owner[0] ? mu_now_ms() : 0;
}

static struct past *past_new(const struct mu_machine *machine, bool stored)
{
  size_t provider = strlen(machine->provider) + 1, owner = strlen(machine->owner) + 1;
  struct past *past = calloc(1, sizeof *past + provider + owner);
  if (!past || !(past->ring = ring_new())) {
    free(past);
    return NULL;
  }
  past->is_public = machine->is_public;
  past->public_ms = public_since(machine, stored);
  memcpy(past->owner, machine->provider, provider);
  memcpy(past->owner + provider, machine->owner, owner);
  return past;
}

static void past_free(struct past *past)
{
  if (past)
    ring_free(past->ring);
  free(past);
}

static bool owned_by(const struct past *past, const char *provider, const char *owner)
{
  return strcmp(past->owner, provider) == 0 && strcmp(past->owner + strlen(past->owner) + 1, owner) == 0;
}

static bool quieter(const struct past *a, const struct past *b)
{
  return ring_newest_ms(a->ring) < ring_newest_ms(b->ring);
}

/* One that has nothing of the last hour; else the quietest of who has most, if that is more than this machine's owner has. */
static struct past *spare(const struct console *console, const struct mu_machine *machine, mu_map *owners,
                          struct mu_str *its_key)
{
  struct past *past, *most = NULL, *found = NULL;
  struct mu_str key;
  size_t own = 0;
  for (size_t position = 0; (past = mu_map_next(console->pasts, &position, &key));) {
    struct mu_str owner = {past->owner, strlen(past->owner) + 1};
    owner.len += strlen(past->owner + owner.len);
    struct past *first = mu_map_get(owners, owner);
    past->owned = 0;
    if (!first && mu_map_add(owners, owner, past) == 0)
      first = past;
    if (!first)
      return NULL;
    first->owned++;
    own += owned_by(past, machine->provider, machine->owner);
    most = most && most->owned >= first->owned ? most : first;
  }
  for (size_t position = 0; most && (past = mu_map_next(console->pasts, &position, &key));) {
    bool old = ring_newest_ms(past->ring) < mu_now_ms() - PAST_MS;
    bool theirs = owned_by(past, most->owner, most->owner + strlen(most->owner) + 1) && most->owned > own + 1;
    if ((old || theirs) && (!found || quieter(past, found))) {
      found = past;
      *its_key = key;
    }
  }
  return found;
}

/* Looking at all of them is not free, and not done for each report. */
static bool make_room(struct console *console, const struct mu_machine *machine, size_t most)
{
  int64_t now = mu_mono_ns();
  size_t count = mu_map_count(console->pasts);
  if (count < most)
    return true;
  if (now < console->look_ns)
    return false;
  console->look_ns = now + (int64_t)count * 100000; /* it takes about a thousandth of that */
  mu_map *owners = mu_map_new();
  struct mu_str key;
  struct past *past = owners ? spare(console, machine, owners, &key) : NULL;
  mu_map_free(owners);
  if (!past)
    return false;
  mu_map_del(console->pasts, key);
  past_free(past);
  return mu_map_count(console->pasts) < most;
}

void past_report(struct console *console, const struct mu_machine *machine)
{
  struct mu_str key = machine_key(machine);
  struct past *past = mu_map_get(console->pasts, key);
  int64_t now_ms = mu_now_ms();
  /* One report of each step: taking a report apart costs several times what relaying it costs. */
  if (past && !ring_due(past->ring, now_ms))
    return;
  /* Where the past is stored, only since when a machine is public is to be known, which takes next to nothing. */
  struct mu_service store;
  bool stored = history_stored(console, &store);
  size_t most = stored ? STORED_MOST : (size_t)console->config->history_machines;
  if (most == 0)
    return;
  if (!past && !make_room(console, machine, most)) {
    mu_count(console->left_out, 1);
    return;
  }
  struct json_object *metrics = stored ? NULL : console->api->metrics(console->machines.self, machine);
  if ((metrics || stored) && !past && (past = past_new(machine, stored)) &&
      mu_map_add(console->pasts, key, past) != 0) {
    past_free(past);
    past = NULL;
  }
  if (metrics && past)
    ring_take(&past->ring, metrics, now_ms);
}

void past_changed(struct console *console, const struct mu_machine *machine)
{
  struct past *past = mu_map_get(console->pasts, machine_key(machine));
  if (!past || past->is_public == machine->is_public)
    return;
  past->is_public = machine->is_public;
  past->public_ms = mu_now_ms();
}

void past_gone(struct console *console, const struct mu_machine *machine)
{
  past_free(mu_map_del(console->pasts, machine_key(machine)));
}

const struct ring *past_ring(const struct console *console, const struct mu_machine *machine)
{
  const struct past *past = mu_map_get(console->pasts, machine_key(machine));
  return past ? past->ring : NULL;
}

int64_t past_public_ms(const struct console *console, const struct mu_machine *machine)
{
  const struct past *past = mu_map_get(console->pasts, machine_key(machine));
  struct mu_service store;
  return past ? past->public_ms : public_since(machine, history_stored(console, &store));
}

void past_free_all(struct console *console)
{
  size_t position = 0;
  struct past *past;
  struct mu_str key;
  while (console->pasts && (past = mu_map_next(console->pasts, &position, &key))) {
    mu_map_del(console->pasts, key);
    past_free(past);
  }
  mu_map_free(console->pasts);
}
