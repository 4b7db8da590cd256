/* SPDX-License-Identifier: ISC */
/* Machines that hold a connection open: online for as long as they do, and never forgotten meanwhile. */
#include "registry.h"

static int opened(struct record *record)
{
  struct registry *registry = record->registry;
  struct mu_machine *pub = &record->pub;
  bool was_online = pub->online;
  record->links++;
  record_alive(record);
  pub->linked = true;
  pub->linked_ms = pub->seen_ms;
  pub->online = true;
  pub->version++;
  record->refs++;
  mu_event_emit(was_online ? registry->info : registry->online, pub);
  int result = record->gone ? MU_ENOENT : 0; /* a listener may forget it: then there is nothing to close */
  record_unref(record);
  return result;
}

static int closed(struct record *record)
{
  struct registry *registry = record->registry;
  struct mu_machine *pub = &record->pub;
  if (record->links == 0)
    return MU_EINVAL;
  if (--record->links > 0)
    return 0;
  record->alive_ns = mu_mono_ns(); /* forgotten so long after the end, which itself is no sign of life */
  pub->linked = false;
  pub->online = record->valid_until_ns > record->alive_ns;
  pub->version++;
  due_set(record);
  record_tell(record, pub->online ? registry->info : registry->offline);
  return 0;
}

int registry_link(struct record *record, bool open)
{
  if (record->gone)
    return MU_ENOENT;
  return open ? opened(record) : closed(record);
}

int registry_seen(struct record *record)
{
  if (record->gone)
    return MU_ENOENT;
  record_alive(record);
  record->pub.version++;
  record_tell(record, record->registry->seen);
  return 0;
}
