/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "cache.h"

struct miss {
  struct miss *next, **pprev;
  int64_t till_ms;
  unsigned char digest[KEY_DIGEST];
};

struct cache {
  mu_map *by_digest;
  struct miss *oldest, **end; /* all are kept equally long: the oldest ends first */
  size_t max;
  int64_t keep_ms;
};

static struct mu_str str_of(const unsigned char digest[KEY_DIGEST])
{
  return (struct mu_str){(const char *)digest, KEY_DIGEST};
}

struct cache *cache_new(size_t max, int64_t keep_ms)
{
  struct cache *cache = calloc(1, sizeof *cache);
  if (!cache)
    return NULL;
  cache->by_digest = mu_map_new();
  cache->end = &cache->oldest;
  cache->max = max;
  cache->keep_ms = keep_ms;
  if (cache->by_digest)
    return cache;
  free(cache);
  return NULL;
}

static void drop(struct cache *cache, struct miss *miss)
{
  *miss->pprev = miss->next;
  if (miss->next)
    miss->next->pprev = miss->pprev;
  else
    cache->end = miss->pprev;
  mu_map_del(cache->by_digest, str_of(miss->digest));
  free(miss);
}

void cache_free(struct cache *cache)
{
  if (!cache)
    return;
  while (cache->oldest)
    drop(cache, cache->oldest); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mu_map_free(cache->by_digest);
  free(cache);
}

static void tidy(struct cache *cache, int64_t now_ms)
{
  /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): freed ones are not in the list */
  while (cache->oldest && cache->oldest->till_ms <= now_ms)
    drop(cache, cache->oldest);
}

void cache_add(struct cache *cache, const unsigned char digest[KEY_DIGEST], int64_t now_ms)
{
  tidy(cache, now_ms);
  cache_del(cache, digest);
  if (cache->max == 0 || cache->keep_ms <= 0)
    return;
  while (mu_map_count(cache->by_digest) >= cache->max)
    drop(cache, cache->oldest); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  struct miss *miss = calloc(1, sizeof *miss);
  if (!miss)
    return;
  memcpy(miss->digest, digest, KEY_DIGEST);
  miss->till_ms = now_ms + cache->keep_ms;
  if (mu_map_add(cache->by_digest, str_of(digest), miss) != 0) {
    free(miss);
    return;
  }
  miss->pprev = cache->end;
  *cache->end = miss;
  cache->end = &miss->next;
}

bool cache_has(struct cache *cache, const unsigned char digest[KEY_DIGEST], int64_t now_ms)
{
  tidy(cache, now_ms);
  return mu_map_get(cache->by_digest, str_of(digest)) != NULL;
}

void cache_del(struct cache *cache, const unsigned char digest[KEY_DIGEST])
{
  struct miss *miss = mu_map_get(cache->by_digest, str_of(digest));
  if (miss)
    drop(cache, miss);
}

size_t cache_count(const struct cache *cache)
{
  return mu_map_count(cache->by_digest);
}
