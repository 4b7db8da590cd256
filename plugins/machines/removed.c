/* SPDX-License-Identifier: ISC */
/*
 * Keys of machines that were taken away on purpose, remembered for a day so that no late message brings one back. All
 * live equally long, so the oldest is always the first to go, and going through the expired ones when somebody asks
 * needs no timer.
 */
#include <stdlib.h>
#include <string.h>

#include "registry.h"

#define REMEMBERED_NS (INT64_C(24) * 3600 * 1000000000)

struct tombstone {
  struct tombstone *older, *newer;
  int64_t until_ns;
  size_t key_length;
  char key[];
};

static struct mu_str key_of(const struct tombstone *stone)
{
  return (struct mu_str){stone->key, stone->key_length};
}

static void unchain(struct removed *removed, struct tombstone *stone)
{
  *(stone->older ? &stone->older->newer : &removed->oldest) = stone->newer;
  *(stone->newer ? &stone->newer->older : &removed->newest) = stone->older;
}

static void chain(struct removed *removed, struct tombstone *stone)
{
  stone->older = removed->newest;
  stone->newer = NULL;
  *(removed->newest ? &removed->newest->newer : &removed->oldest) = stone;
  removed->newest = stone;
}

static void drop(struct removed *removed, struct tombstone *stone)
{
  mu_map_del(removed->by_key, key_of(stone));
  unchain(removed, stone);
  free(stone);
}

static void drop_oldest(struct removed *removed)
{
  struct tombstone *stone = removed->oldest;
  removed->oldest = stone->newer;
  *(removed->oldest ? &removed->oldest->older : &removed->newest) = NULL;
  mu_map_del(removed->by_key, key_of(stone));
  free(stone);
}

static void expire(struct removed *removed)
{
  int64_t now = removed->oldest ? mu_mono_ns() : 0;
  while (removed->oldest && removed->oldest->until_ns <= now)
    drop_oldest(removed);
}

bool removed_has(struct registry *registry, struct mu_str key)
{
  expire(&registry->removed);
  return mu_map_get(registry->removed.by_key, key) != NULL;
}

void removed_take_back(struct registry *registry, struct mu_str key)
{
  struct tombstone *stone = mu_map_get(registry->removed.by_key, key);
  if (stone)
    drop(&registry->removed, stone);
}

static int remember(struct removed *removed, struct mu_str key)
{
  struct tombstone *stone = mu_map_get(removed->by_key, key);
  if (stone)
    unchain(removed, stone);
  else {
    stone = malloc(sizeof *stone + key.len);
    if (!stone)
      return MU_ENOMEM;
    stone->key_length = key.len;
    memcpy(stone->key, key.at, key.len);
    if (mu_map_add(removed->by_key, key_of(stone), stone) != 0) {
      free(stone);
      return MU_ENOMEM;
    }
  }
  stone->until_ns = mu_mono_ns() + REMEMBERED_NS;
  chain(removed, stone);
  while (removed->oldest && mu_map_count(removed->by_key) > REMOVED_MOST)
    drop_oldest(removed);
  return 0;
}

int registry_remove(struct registry *registry, const char *provider, const char *owner, const char *id)
{
  struct mu_buf key = MU_BUF_INIT;
  int result = registry_key(&key, provider, owner, id);
  if (result == 0)
    result = remember(&registry->removed, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  if (result != 0)
    return result; /* and the machine stays: half a removal would be undone by its next message */
  struct record *record = registry_find(registry, provider, owner, id, false, false);
  if (record) {
    mu_count(registry->removals, 1);
    registry_forget(record);
  }
  return 0;
}

bool registry_removed(struct registry *registry, const char *provider, const char *owner, const char *id)
{
  struct mu_buf key = MU_BUF_INIT;
  bool found = registry_key(&key, provider, owner, id) == 0 && removed_has(registry, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  return found;
}

int registry_restore(struct registry *registry, const char *provider, const char *owner, const char *id)
{
  struct mu_buf key = MU_BUF_INIT;
  int result = registry_key(&key, provider, owner, id);
  if (result == 0)
    removed_take_back(registry, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  return result;
}

void removed_free_all(struct registry *registry)
{
  while (registry->removed.oldest)
    drop_oldest(&registry->removed);
  mu_map_free(registry->removed.by_key);
}
