/* SPDX-License-Identifier: ISC */
/* What was asked for and is not there, for a few seconds; bounded, the oldest goes. Keyed by digests. Pure. */
#ifndef AUTH_SUPABASE_CACHE_H
#define AUTH_SUPABASE_CACHE_H

#include "key.h"

struct cache;

/* NULL: memory. */
struct cache *cache_new(size_t max, int64_t keep_ms);
void cache_free(struct cache *cache);
/* Without memory nothing is remembered. */
void cache_add(struct cache *cache, const unsigned char digest[KEY_DIGEST], int64_t now_ms);
bool cache_has(struct cache *cache, const unsigned char digest[KEY_DIGEST], int64_t now_ms);
void cache_del(struct cache *cache, const unsigned char digest[KEY_DIGEST]);
size_t cache_count(const struct cache *cache);

#endif
