/* SPDX-License-Identifier: ISC */
/* Entries lie in a dense array in the order of adding; a table of indexes finds them. Walking is a walk of the array. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { EMPTY = UINT32_MAX, GONE = UINT32_MAX - 1, FIRST_SLOTS = 8 };

struct entry {
  char *key; /* NULL: deleted */
  size_t len;
  uint64_t hash;
  void *value;
};

struct mu_map {
  struct entry *entries;
  uint32_t *slots;
  uint32_t slot_count; /* a power of two */
  uint32_t used;       /* entries, deleted ones included */
  uint32_t live;
  uint64_t seed[2];
};

mu_map *mu_map_new(void)
{
  mu_map *map = calloc(1, sizeof *map);
  if (!map)
    return NULL;
  if (mu_random(map->seed, sizeof map->seed) != 0) {
    free(map);
    return NULL;
  }
  return map;
}

void mu_map_free(mu_map *map)
{
  if (!map)
    return;
  for (uint32_t i = 0; i < map->used; i++)
    free(map->entries[i].key);
  free(map->entries);
  free(map->slots);
  free(map);
}

/* Makes new arrays without the deleted entries and with room for twice the live ones. */
static bool rebuild(mu_map *map)
{
  uint32_t slots = FIRST_SLOTS;
  while (slots / 2 <= map->live)
    if ((slots *= 2) > UINT32_MAX / 4)
      return false;
  struct entry *entries = calloc(slots / 2 + 1, sizeof *entries);
  uint32_t *table = malloc(slots * sizeof *table);
  if (!entries || !table) {
    free(entries);
    free(table);
    return false;
  }
  memset(table, 0xff, slots * sizeof *table);
  uint32_t n = 0;
  for (uint32_t i = 0; i < map->used; i++) {
    if (!map->entries[i].key)
      continue;
    entries[n] = map->entries[i];
    uint32_t at = (uint32_t)entries[n].hash & (slots - 1);
    while (table[at] != EMPTY)
      at = (at + 1) & (slots - 1);
    table[at] = n++;
  }
  free(map->entries);
  free(map->slots);
  map->entries = entries;
  map->slots = table;
  map->slot_count = slots;
  map->used = n;
  return true;
}

/* The slot that points to the key, or slot_count. */
static uint32_t find(const mu_map *map, struct mu_str key, uint64_t hash)
{
  if (!map->slot_count)
    return 0;
  for (uint32_t at = (uint32_t)hash & (map->slot_count - 1); map->slots[at] != EMPTY;
       at = (at + 1) & (map->slot_count - 1)) {
    if (map->slots[at] == GONE)
      continue;
    const struct entry *entry = &map->entries[map->slots[at]];
    if (entry->hash == hash && entry->len == key.len && memcmp(entry->key, key.at, key.len) == 0)
      return at;
  }
  return map->slot_count;
}

int mu_map_add(mu_map *map, struct mu_str key, void *value)
{
  uint64_t hash = mui_hash(map->seed, key.at, key.len);
  if (map->slot_count && find(map, key, hash) != map->slot_count)
    return MU_EEXIST;
  char *copy = malloc(key.len + 1);
  if (!copy)
    return MU_ENOMEM;
  if (map->used >= map->slot_count / 2 && !rebuild(map)) {
    free(copy);
    return MU_ENOMEM;
  }
  memcpy(copy, key.len ? key.at : "", key.len);
  copy[key.len] = '\0';
  uint32_t at = (uint32_t)hash & (map->slot_count - 1);
  while (map->slots[at] != EMPTY && map->slots[at] != GONE)
    at = (at + 1) & (map->slot_count - 1);
  map->slots[at] = map->used;
  map->entries[map->used++] = (struct entry){copy, key.len, hash, value};
  map->live++;
  return 0;
}

void *mu_map_get(const mu_map *map, struct mu_str key)
{
  uint32_t at = find(map, key, mui_hash(map->seed, key.at, key.len));
  return at == map->slot_count ? NULL : map->entries[map->slots[at]].value;
}

void *mu_map_del(mu_map *map, struct mu_str key)
{
  uint32_t at = find(map, key, mui_hash(map->seed, key.at, key.len));
  if (at == map->slot_count)
    return NULL;
  struct entry *entry = &map->entries[map->slots[at]];
  map->slots[at] = GONE;
  free(entry->key);
  entry->key = NULL;
  map->live--;
  return entry->value;
}

size_t mu_map_count(const mu_map *map)
{
  return map->live;
}

void *mu_map_next(const mu_map *map, size_t *position, struct mu_str *key)
{
  while (*position < map->used) {
    const struct entry *entry = &map->entries[(*position)++];
    if (!entry->key)
      continue;
    if (key)
      *key = (struct mu_str){entry->key, entry->len};
    return entry->value;
  }
  return NULL;
}
