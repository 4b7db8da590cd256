/* SPDX-License-Identifier: ISC */
/* Machines in the order of group, name, id, without a sort per change. */
#include <stdlib.h>
#include <string.h>

#include "registry.h"

static int compare(const void *a, const void *b)
{
  const struct mu_machine *x = &(*(struct record *const *)a)->pub;
  const struct mu_machine *y = &(*(struct record *const *)b)->pub;
  int order = strcmp(x->group, y->group);
  if (order == 0)
    order = strcmp(x->name, y->name);
  if (order == 0)
    order = strcmp(x->id, y->id);
  /* Equal in all three: different owners. Handles make the order total, so that cards never jump. */
  if (order == 0)
    order = x->handle < y->handle ? -1 : x->handle > y->handle;
  return order;
}

int roster_add(struct roster *roster, int which, struct record *record)
{
  if (roster->count == roster->capacity) {
    size_t capacity = roster->capacity ? roster->capacity * 2 : 16;
    struct record **items = reallocarray(roster->items, capacity, sizeof *items);
    if (!items)
      return MU_ENOMEM;
    roster->items = items;
    roster->capacity = capacity;
  }
  record->place[which] = roster->count;
  roster->items[roster->count++] = record;
  roster->sorted = false;
  return 0;
}

void roster_del(struct roster *roster, int which, struct record *record)
{
  size_t place = record->place[which];
  struct record *last = roster->items[--roster->count];
  if (last != record) {
    roster->items[place] = last;
    last->place[which] = place;
    roster->sorted = false;
  }
}

static void sort(struct roster *roster, int which)
{
  if (roster->sorted)
    return;
  qsort(roster->items, roster->count, sizeof *roster->items, compare);
  for (size_t i = 0; i < roster->count; i++)
    roster->items[i]->place[which] = i;
  roster->sorted = true;
}

int roster_each(struct roster *roster, int which, int (*fn)(void *context, const struct mu_machine *machine),
                void *context)
{
  if (roster->count == 0)
    return 0;
  sort(roster, which);
  /* A copy with references: the callback may forget machines, declare more, or walk again. */
  size_t count = roster->count;
  struct record **items = malloc(count * sizeof *items);
  if (!items)
    return MU_ENOMEM;
  for (size_t i = 0; i < count; i++) {
    items[i] = roster->items[i];
    items[i]->refs++;
  }
  int result = 0;
  for (size_t i = 0; i < count; i++) {
    if (result == 0 && !items[i]->gone)
      result = fn(context, &items[i]->pub);
    record_unref(items[i]);
  }
  free(items);
  return result;
}

void roster_free(struct roster *roster)
{
  free(roster->items);
  *roster = (struct roster){0};
}
