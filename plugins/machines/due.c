/* SPDX-License-Identifier: ISC */
/*
 * One heap and one timer for all machines. A report only moves `valid_until_ns`; its place in the heap is corrected when
 * the old time comes up, so a report costs no heap work.
 */
#include <stdlib.h>

#include "registry.h"

#define NS_PER_MS INT64_C(1000000)

/* When something happens to this machine if nothing is heard; INT64_MAX: never. */
static int64_t true_due(const struct record *record)
{
  if (record->links > 0)
    return INT64_MAX;
  if (record->pub.online)
    return record->valid_until_ns;
  if (record->pub.configured)
    return INT64_MAX;
  return record->alive_ns + (int64_t)(record->registry->config->forget_after_h * 3600e9);
}

static void put(struct registry *registry, size_t i, struct record *record)
{
  registry->heap[i] = record;
  record->heap_at = i + 1;
}

static void sift_up(struct registry *registry, size_t i)
{
  struct record *record = registry->heap[i];
  while (i > 0 && registry->heap[(i - 1) / 2]->due_ns > record->due_ns) {
    put(registry, i, registry->heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  put(registry, i, record);
}

static void sift_down(struct registry *registry, size_t i)
{
  struct record *record = registry->heap[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= registry->heap_count)
      break;
    if (child + 1 < registry->heap_count && registry->heap[child + 1]->due_ns < registry->heap[child]->due_ns)
      child++;
    if (registry->heap[child]->due_ns >= record->due_ns)
      break;
    put(registry, i, registry->heap[child]);
    i = child;
  }
  put(registry, i, record);
}

static void arm(struct registry *registry, int64_t now_ns)
{
  int64_t due = registry->heap_count ? registry->heap[0]->due_ns : INT64_MAX;
  if (due == registry->armed_ns)
    return;
  registry->armed_ns = due;
  registry->expected_ns = due > now_ns ? due : now_ns;
  if (due == INT64_MAX)
    mu_timer_stop(registry->timer);
  else /* rounded up: never before it is due */
    mu_timer_start(registry->timer, due <= now_ns ? 0 : (uint64_t)((due - now_ns) / NS_PER_MS + 1), 0);
}

int due_reserve(struct registry *registry, size_t count)
{
  if (count <= registry->heap_capacity)
    return 0;
  size_t capacity = registry->heap_capacity ? registry->heap_capacity * 2 : 64;
  if (capacity < count)
    capacity = count;
  struct record **heap = reallocarray(registry->heap, capacity, sizeof *heap);
  if (!heap)
    return MU_ENOMEM;
  registry->heap = heap;
  registry->heap_capacity = capacity;
  return 0;
}

void due_set(struct record *record)
{
  struct registry *registry = record->registry;
  int64_t due = true_due(record);
  if (!record->heap_at) {
    if (due == INT64_MAX)
      return;
    record->due_ns = due;
    put(registry, registry->heap_count++, record);
    sift_up(registry, record->heap_at - 1);
  } else if (due < record->due_ns) {
    record->due_ns = due;
    sift_up(registry, record->heap_at - 1);
  } else
    return; /* later than the heap believes: corrected when that time comes */
  if (registry->heap[0] == record)
    arm(registry, mu_mono_ns());
}

void due_del(struct record *record)
{
  struct registry *registry = record->registry;
  if (!record->heap_at)
    return;
  size_t i = record->heap_at - 1;
  record->heap_at = 0;
  struct record *last = registry->heap[--registry->heap_count];
  if (last == record)
    return;
  put(registry, i, last);
  sift_up(registry, i);
  sift_down(registry, last->heap_at - 1);
}

void due_sweep(struct registry *registry, int64_t now_ns)
{
  registry->armed_ns = INT64_MAX;
  while (registry->heap_count && registry->heap[0]->due_ns <= now_ns) {
    struct record *record = registry->heap[0];
    int64_t due = true_due(record);
    if (due > now_ns) {
      if (due == INT64_MAX)
        due_del(record);
      else {
        record->due_ns = due;
        sift_down(registry, 0);
      }
    } else if (record->pub.online) {
      record->pub.online = false;
      record->pub.version++;
      record_tell(record, registry->offline);
    } else {
      mu_count(registry->forgotten, 1);
      registry_forget(record);
    }
  }
  arm(registry, now_ns);
}
