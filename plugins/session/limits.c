/* SPDX-License-Identifier: ISC */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

static const int64_t minute_ns = 60000000000;

int64_t bucket_wait(const struct bucket *bucket, int64_t per_minute, int64_t now_ns)
{
  int64_t wait = bucket->empty_ns - now_ns - (minute_ns - minute_ns / per_minute);
  return wait > 0 ? wait : 0;
}

void bucket_take(struct bucket *bucket, int64_t per_minute, int64_t now_ns)
{
  if (bucket->empty_ns < now_ns)
    bucket->empty_ns = now_ns;
  bucket->empty_ns += minute_ns / per_minute;
}

/* ---- by address ------------------------------------------------------------------------------ */

struct failure {
  struct failure *next;
  struct bucket bucket;
  unsigned under_way;
  struct limit_key key;
};

struct limit_key limit_key(const char *address)
{
  struct limit_key key = {{0}, 0};
  unsigned char six[16];
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, address, key.bytes) == 1) {
    key.len = 4;
  } else if (inet_pton(AF_INET6, address, six) == 1) {
    bool four = memcmp(six, mapped, sizeof mapped) == 0;
    key.len = four ? 4 : 8;
    memcpy(key.bytes, four ? six + 12 : six, key.len);
  } else {
    key.len = strnlen(address, sizeof key.bytes - 1);
    memcpy(key.bytes, address, key.len);
    key.bytes[key.len++] = 0; /* so that no text is taken for an address */
    if (key.len == 4 || key.len == 8)
      key.bytes[key.len++] = 0;
  }
  return key;
}

static struct mu_str key_str(const struct limit_key *key)
{
  return (struct mu_str){(const char *)key->bytes, key->len};
}

int failures_init(struct failures *failures, size_t most)
{
  failures->map = mu_map_new();
  failures->first = NULL;
  failures->last = &failures->first;
  failures->most = most;
  return failures->map ? 0 : MU_ENOMEM;
}

/* Takes the oldest out. */
static void drop_first(struct failures *failures)
{
  struct failure *failure = failures->first;
  failures->first = failure->next;
  if (!failure->next)
    failures->last = &failures->first;
  mu_map_del(failures->map, key_str(&failure->key));
  free(failure);
}

void failures_fini(struct failures *failures)
{
  while (failures->first)
    drop_first(failures);
  mu_map_free(failures->map);
  *failures = (struct failures){0};
}

static struct failure *find(const struct failures *failures, const char *address)
{
  struct limit_key key = limit_key(address);
  return mu_map_get(failures->map, key_str(&key));
}

unsigned failures_wait(const struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns)
{
  const struct failure *failure = find(failures, address);
  int64_t wait = failure ? bucket_wait(&failure->bucket, per_minute, now_ns) : 0;
  return (unsigned)((wait + 999999999) / 1000000000);
}

static struct failure *make(struct failures *failures, const char *address, int64_t now_ns)
{
  struct limit_key key = limit_key(address);
  struct failure *failure = mu_map_get(failures->map, key_str(&key));
  if (failure)
    return failure;
  /* Those that are paid back go first; each call clears more than it adds. */
  for (int i = 0;
       i < 2 && failures->first && failures->first->bucket.empty_ns <= now_ns && failures->first->under_way == 0; i++)
    drop_first(failures);
  if (failures->first && mu_map_count(failures->map) >= failures->most)
    drop_first(failures);
  failure = calloc(1, sizeof *failure);
  if (!failure)
    return NULL;
  failure->key = key;
  if (mu_map_add(failures->map, key_str(&failure->key), failure) != 0) {
    free(failure);
    return NULL;
  }
  *failures->last = failure;
  failures->last = &failure->next;
  return failure;
}

void failures_note(struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns)
{
  struct failure *failure = make(failures, address, now_ns);
  if (failure)
    bucket_take(&failure->bucket, per_minute, now_ns);
}

void failures_forgive(struct failures *failures, const char *address, int64_t per_minute)
{
  struct failure *failure = find(failures, address);
  if (failure)
    failure->bucket.empty_ns -= minute_ns / per_minute;
}

void failures_begin(struct failures *failures, const char *address, int64_t now_ns)
{
  struct failure *failure = make(failures, address, now_ns);
  if (failure)
    failure->under_way++;
}

void failures_end(struct failures *failures, const char *address)
{
  struct failure *failure = find(failures, address);
  if (failure && failure->under_way > 0) /* else it made room for another */
    failure->under_way--;
}

bool failures_busy(const struct failures *failures, const char *address, int64_t per_minute, int64_t now_ns)
{
  const struct failure *failure = find(failures, address);
  if (!failure || failure->bucket.empty_ns <= now_ns)
    return false;
  int64_t one_ns = minute_ns / per_minute, owed = (failure->bucket.empty_ns - now_ns + one_ns - 1) / one_ns;
  return owed + failure->under_way >= per_minute;
}
