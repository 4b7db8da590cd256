/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "holders.h"

enum { KEEP_MS = 48 * 3600 * 1000 };

/* The newest time a user was found. */
struct sighting {
  char id[LOOKUP_ID + 1];
  int64_t at_ms;
};

struct holders {
  struct holder *list, *last;
  mu_map *by_credential, *by_digest;
  size_t count, max;
  int64_t interval_ms;
  bool (*busy)(void *self, const char *user);
  void *self;
  struct sighting seen[2]; /* of two users, the newest first */
  bool alarm;
};

static struct mu_str str_of(const unsigned char digest[KEY_DIGEST])
{
  return (struct mu_str){(const char *)digest, KEY_DIGEST};
}

static int64_t at_least(int64_t value, int64_t least)
{
  return value > least ? value : least;
}

static int64_t at_most(int64_t value, int64_t most)
{
  return value < most ? value : most;
}

int64_t holders_tick_ms(const struct holders *holders)
{
  return at_most(at_least(holders->interval_ms / 20, 50), 1000);
}

/* Between questions for somebody who is in doubt. */
static int64_t doubt_ms(const struct holders *holders)
{
  return at_most(at_least(holders->interval_ms / 10, 100), 5000);
}

/* Those who came together are spread: within the last fifth of the interval, the first time within its second half. */
static int64_t spread(const struct holders *holders, bool first)
{
  uint32_t random = 0;
  if (mu_random(&random, sizeof random) != 0)
    random = 0;
  int64_t share = holders->interval_ms / (first ? 2 : 5);
  return holders->interval_ms - (share > 0 ? (int64_t)(random % (uint64_t)(share + 1)) : 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

struct holders *holders_new(size_t max, int64_t interval_ms, bool (*busy)(void *self, const char *user), void *self)
{
  struct holders *holders = calloc(1, sizeof *holders);
  if (!holders)
    return NULL;
  holders->by_credential = mu_map_new();
  holders->by_digest = mu_map_new();
  holders->max = max;
  holders->interval_ms = interval_ms;
  holders->busy = busy;
  holders->self = self;
  if (holders->by_credential && holders->by_digest)
    return holders;
  mu_map_free(holders->by_credential);
  mu_map_free(holders->by_digest);
  free(holders);
  return NULL;
}

static void take_out(struct holders *holders, struct holder *holder)
{
  *(holder->previous ? &holder->previous->next : &holders->list) = holder->next;
  *(holder->next ? &holder->next->previous : &holders->last) = holder->previous;
}

static void put_first(struct holders *holders, struct holder *holder)
{
  holder->previous = NULL;
  holder->next = holders->list;
  *(holders->list ? &holders->list->previous : &holders->last) = holder;
  holders->list = holder;
}

static void drop(struct holders *holders, struct holder *holder)
{
  take_out(holders, holder);
  holders->count--;
  mu_map_del(holders->by_credential, mu_str(holder->principal->credential));
  if (mu_map_get(holders->by_digest, str_of(holder->digest)) == holder)
    mu_map_del(holders->by_digest, str_of(holder->digest));
  mu_principal_unref(holder->principal);
  if (holder->key)
    mu_secret_wipe(holder->key, holder->key_len);
  free(holder->key);
  free(holder);
}

void holders_free(struct holders *holders)
{
  if (!holders)
    return;
  while (holders->list)
    drop(holders, holders->list); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mu_map_free(holders->by_credential);
  mu_map_free(holders->by_digest);
  free(holders);
}

size_t holders_count(const struct holders *holders)
{
  return holders->count;
}

struct holder *holders_by_credential(const struct holders *holders, const char *credential)
{
  return *credential ? mu_map_get(holders->by_credential, mu_str(credential)) : NULL;
}

struct holder *holders_by_digest(const struct holders *holders, const unsigned char digest[KEY_DIGEST])
{
  return mu_map_get(holders->by_digest, str_of(digest));
}

static bool is_busy(const struct holders *holders, const struct holder *holder)
{
  return holder->state != HOLDER_GONE && holders->busy && holders->busy(holders->self, holder->principal->id);
}

/* Of the 64 that were not used for longest the first that is revoked or has no machine on line, else the oldest: true. */
static bool make_room(struct holders *holders)
{
  struct holder *oldest = NULL;
  unsigned looked = 0;
  for (struct holder *holder = holders->last; holder && looked < 64; holder = holder->previous, looked++) {
    if (holder->asked)
      continue;
    if (!is_busy(holders, holder)) {
      drop(holders, holder);
      return false;
    }
    if (!oldest)
      oldest = holder;
  }
  if (oldest)
    drop(holders, oldest);
  return oldest != NULL;
}

static bool keep_key(struct holder *holder, struct mu_str key)
{
  if (key.len == 0 || holder->key)
    return true;
  holder->key = malloc(key.len);
  if (!holder->key)
    return false;
  memcpy(holder->key, key.at, key.len);
  holder->key_len = key.len;
  return true;
}

static struct holder *add(struct holders *holders, const struct mu_principal *principal, struct mu_str key,
                          const unsigned char digest[KEY_DIGEST])
{
  struct holder *holder = calloc(1, sizeof *holder);
  if (!holder)
    return NULL;
  holder->principal = mu_principal_ref(principal);
  memcpy(holder->digest, digest, KEY_DIGEST);
  if (!keep_key(holder, key) || mu_map_add(holders->by_credential, mu_str(principal->credential), holder) != 0)
    goto fail;
  if (key.len) {
    mu_map_del(holders->by_digest, str_of(digest));
    if (mu_map_add(holders->by_digest, str_of(digest), holder) != 0) {
      mu_map_del(holders->by_credential, mu_str(principal->credential));
      goto fail;
    }
  }
  put_first(holders, holder);
  holders->count++;
  return holder;
fail:
  mu_principal_unref(holder->principal);
  if (holder->key)
    mu_secret_wipe(holder->key, holder->key_len);
  free(holder->key);
  free(holder);
  return NULL;
}

static void settle(struct holder *holder, int64_t now_ms)
{
  holder->state = HOLDER_LIVE;
  holder->answers = 0;
  holder->user_found = false;
  holder->suspect_ms = 0;
  holder->found_ms = now_ms;
}

struct holder *holders_grant(struct holders *holders, const struct mu_principal *principal, struct mu_str key,
                             const unsigned char digest[KEY_DIGEST], bool found, int64_t now_ms, bool *forgot)
{
  struct holder *holder = holders_by_credential(holders, principal->credential);
  *forgot = false;
  if (holder && key.len && !holder->key) { /* known by a token until now */
    if (mu_map_add(holders->by_digest, str_of(digest), holder) == MU_ENOMEM || !keep_key(holder, key))
      return NULL;
    memcpy(holder->digest, digest, KEY_DIGEST);
  }
  if (!holder) {
    if (holders->count >= holders->max)
      *forgot = make_room(holders);
    holder = add(holders, principal, key, digest);
    if (!holder)
      return NULL;
    holder->due_ms = now_ms + spread(holders, true);
  }
  take_out(holders, holder);
  put_first(holders, holder);
  holder->used_ms = now_ms;
  if (found) {
    if (holder->state != HOLDER_LIVE)
      holder->due_ms = now_ms + spread(holders, false);
    settle(holder, now_ms);
  }
  return holder;
}

void holders_prune(struct holders *holders, int64_t now_ms)
{
  for (struct holder *holder = holders->list, *next; holder; holder = next) {
    next = holder->next;
    if (!holder->asked && now_ms - holder->used_ms > KEEP_MS && !is_busy(holders, holder))
      drop(holders, holder);
  }
}

/* ---- questions and answers ------------------------------------------------------------------- */

struct holder *holders_due(struct holders *holders, int64_t now_ms)
{
  struct holder *best = NULL;
  for (struct holder *holder = holders->list; holder; holder = holder->next)
    if (holder->state != HOLDER_GONE && !holder->asked && holder->due_ms <= now_ms &&
        (!best || holder->due_ms < best->due_ms))
      best = holder;
  return best;
}

enum lookup_kind holder_question(const struct holder *holder)
{
  return holder->key && (holder->state == HOLDER_LIVE || holder->user_found) ? LOOKUP_BY_KEY : LOOKUP_BY_ID;
}

bool holders_alarm(const struct holders *holders)
{
  return holders->alarm;
}

enum holder_event holders_seen(struct holders *holders, const char *user, int64_t now_ms)
{
  if (strcmp(holders->seen[0].id, user) != 0) {
    holders->seen[1] = holders->seen[0];
    strncpy(holders->seen[0].id, user, LOOKUP_ID);
  }
  holders->seen[0].at_ms = now_ms;
  if (!holders->alarm)
    return HOLDER_NOTHING;
  holders->alarm = false;
  return HOLDER_CALM;
}

/* Another user was found after this one was not. */
static bool others_found(const struct holders *holders, const struct holder *holder)
{
  for (size_t i = 0; i < MU_COUNT(holders->seen); i++)
    if (holders->seen[i].id[0] && strcmp(holders->seen[i].id, holder->principal->id) != 0 &&
        holders->seen[i].at_ms >= holder->suspect_ms)
      return true;
  return false;
}

static enum holder_event revoke(struct holder *holder)
{
  holder->state = HOLDER_GONE;
  return HOLDER_REVOKED;
}

/* The user's row is not there. Is nobody's? */
static enum holder_event weigh(struct holders *holders, struct holder *holder, int64_t now_ms)
{
  if (holder->answers >= 2 && others_found(holders, holder))
    return revoke(holder);
  bool alone = true;
  struct holder *witness = NULL; /* somebody else, not in doubt, not asked for the longest time */
  for (struct holder *other = holders->list; other; other = other->next) {
    if (other->state == HOLDER_GONE || strcmp(other->principal->id, holder->principal->id) == 0)
      continue;
    alone = false;
    if (other->state == HOLDER_LIVE && (!witness || other->found_ms < witness->found_ms))
      witness = other;
  }
  holder->due_ms = now_ms + doubt_ms(holders);
  if (alone)
    return holder->answers >= HOLDERS_LONE_ANSWERS ? revoke(holder) : HOLDER_NOTHING;
  if (witness) {
    witness->due_ms = at_most(witness->due_ms, now_ms);
    return HOLDER_NOTHING;
  }
  holder->due_ms = now_ms + at_most(holders->interval_ms, 6 * doubt_ms(holders));
  if (holders->alarm || holder->answers < 2)
    return HOLDER_NOTHING;
  holders->alarm = true;
  return HOLDER_ALARM;
}

static enum holder_event absent(struct holders *holders, struct holder *holder, enum lookup_kind kind, int64_t now_ms)
{
  if (holder->state == HOLDER_LIVE) {
    holder->state = HOLDER_SUSPECT;
    holder->suspect_ms = now_ms;
    holder->answers = 1;
    holder->due_ms = now_ms;
    return HOLDER_NOTHING;
  }
  if (kind == LOOKUP_BY_KEY) /* known already: what counts is the user, and then the key again */
    return holder->user_found ? revoke(holder) : HOLDER_NOTHING;
  holder->user_found = false;
  holder->answers++;
  return weigh(holders, holder, now_ms);
}

enum holder_event holders_answer(struct holders *holders, struct holder *holder, enum lookup_kind kind,
                                 enum lookup_verdict verdict, int64_t now_ms)
{
  if (holder->state == HOLDER_GONE)
    return HOLDER_NOTHING;
  if (verdict == LOOKUP_ABSENT)
    return absent(holders, holder, kind, now_ms);
  if (verdict != LOOKUP_FOUND) {
    holder->due_ms = at_least(holder->due_ms, now_ms + doubt_ms(holders));
    return HOLDER_NOTHING;
  }
  if (kind == LOOKUP_BY_ID && holder->key) { /* the user is there: is the key, too? */
    if (holder->state == HOLDER_SUSPECT) {
      holder->user_found = true;
      holder->due_ms = now_ms;
    }
    return HOLDER_NOTHING;
  }
  holder->due_ms = now_ms + spread(holders, false);
  settle(holder, now_ms);
  return HOLDER_NOTHING;
}
