/* SPDX-License-Identifier: ISC */
/* The judgement over polls and events; see the header. */
#include <stdlib.h>
#include <string.h>

#include "deletions.h"

enum state {
  UNASKED, /* known, no answer yet */
  ABSENT,  /* asked, and no row: released clients may have none */
  SEEN,    /* its row was there */
  GONE,    /* removed; still looked at, for the row may come back */
  GHOST,   /* the database told of the end of this owner's row, and no machine has come with it yet */
};

/* All entries of one id, as the database writes it. */
struct same {
  struct entry *first;
};

struct entry {
  struct entry *next, **pprev; /* all, the newest last */
  struct entry *chain;         /* of the same id and other owners */
  enum state state;
  bool
      told; /* the database told of its owner's row, and an answer after that has to confirm it: lacking, it is removed */
  bool
      doubted; /* the database told of some row of this id while an answer was under way, which may be older than that */
  bool due;    /* to be removed when the answer is dealt with */
  bool hit;    /* in the answer that is being dealt with */
  unsigned misses; /* SEEN: answers in a row without it */
  unsigned hits;   /* GONE: answers in a row with it */
  uint64_t batch;  /* the newest question that holds it; 0: whatever is under way says nothing of it */
  uint64_t lacked; /* the round that lacked it, while SEEN */
  int64_t since_ms;
  size_t id_len; /* within `text` */
  char text[];   /* id, NUL, owner, NUL */
};

struct deletions {
  struct deletions_config config;
  const struct deletions_ops *ops;
  void *self;
  mu_map *by_id; /* folded id → struct same */
  struct entry *first, **tail;
  struct entry *walk; /* the next one of remove_due() */
  size_t count, remembered, shown;
  uint64_t numbers, rounds;
  /* The round that is running. */
  bool running, all, failed, alarmed;
  struct entry *cursor;
  unsigned open;
  size_t visible;
  int64_t now_ms;
};

struct deletions *deletions_new(const struct deletions_config *config, const struct deletions_ops *ops, void *self)
{
  struct deletions *deletions = calloc(1, sizeof *deletions);
  if (!deletions)
    return NULL;
  deletions->config = *config;
  deletions->ops = ops;
  deletions->self = self;
  deletions->tail = &deletions->first;
  deletions->by_id = mu_map_new();
  if (!deletions->by_id) {
    free(deletions);
    return NULL;
  }
  return deletions;
}

void deletions_free(struct deletions *deletions)
{
  if (!deletions)
    return;
  for (struct entry *entry = deletions->first, *next; entry; entry = next) {
    next = entry->next;
    free(entry);
  }
  size_t position = 0;
  for (struct same *same; (same = mu_map_next(deletions->by_id, &position, NULL));)
    free(same);
  mu_map_free(deletions->by_id);
  free(deletions);
}

/* ---- ids ------------------------------------------------------------------------------------- */

static bool hex(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool uuid(struct mu_str id)
{
  if (id.len != 36)
    return false;
  for (size_t i = 0; i < id.len; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? id.at[i] != '-' : !hex(id.at[i]))
      return false;
  }
  return true;
}

/*
 * As the database writes it, so that equal text is an equal id. One that is out of the type's range is an error for all that are asked for
 * with it: then any agent could end the polls for everybody. 18 digits are within bigint.
 */
static bool integer(struct mu_str id, int64_t most)
{
  size_t from = id.len > 0 && id.at[0] == '-';
  if (id.len == from || id.len - from > 18 || (id.at[from] == '0' && (id.len > 1)))
    return false;
  int64_t value = 0;
  for (size_t i = from; i < id.len; i++) {
    if (id.at[i] < '0' || id.at[i] > '9')
      return false;
    value = value * 10 + (id.at[i] - '0');
  }
  return value <= most + (int64_t)from;
}

/* The characters of machine ids on the wire: none of them needs more than quotes within in.(…). */
static bool word(struct mu_str id)
{
  if (id.len == 0 || id.len > DELETIONS_ID_MAX)
    return false;
  for (size_t i = 0; i < id.len; i++) {
    char c = id.at[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
          c == ':' || c == '-'))
      return false;
  }
  return true;
}

bool deletions_id_valid(enum deletions_id type, struct mu_str id)
{
  switch (type) {
  case DELETIONS_UUID:
    return uuid(id);
  case DELETIONS_INTEGER:
    return integer(id, INT32_MAX);
  case DELETIONS_BIGINT:
    return integer(id, INT64_C(999999999999999999));
  case DELETIONS_TEXT:
    break;
  }
  return word(id);
}

/* The database writes a uuid in lower case, whatever it was given. */
static struct mu_str fold(const struct deletions *deletions, struct mu_str id, char *room)
{
  if (deletions->config.id != DELETIONS_UUID)
    return id;
  for (size_t i = 0; i < id.len; i++)
    room[i] = (char)(id.at[i] >= 'A' && id.at[i] <= 'F' ? id.at[i] + ('a' - 'A') : id.at[i]);
  return (struct mu_str){room, id.len};
}

/* ---- entries --------------------------------------------------------------------------------- */

static struct mu_str id_of(const struct entry *entry)
{
  return (struct mu_str){entry->text, entry->id_len};
}

static const char *owner_of(const struct entry *entry)
{
  return entry->text + entry->id_len + 1;
}

static struct entry *chain_of(const struct deletions *deletions, struct mu_str id)
{
  char room[DELETIONS_ID_MAX];
  if (!deletions_id_valid(deletions->config.id, id))
    return NULL;
  const struct same *same = mu_map_get(deletions->by_id, fold(deletions, id, room));
  return same ? same->first : NULL;
}

static struct entry *find(const struct deletions *deletions, const char *owner, struct mu_str id)
{
  struct entry *entry = chain_of(deletions, id);
  while (entry && (entry->state == GHOST || strcmp(owner_of(entry), owner) != 0 ||
                   !mu_str_equal(id_of(entry), id))) /* two spellings of a uuid are two machines */
    entry = entry->chain;
  return entry;
}

static void append(struct deletions *deletions, struct entry *entry)
{
  entry->next = NULL;
  entry->pprev = deletions->tail;
  *deletions->tail = entry;
  deletions->tail = &entry->next;
}

static void take_out(struct deletions *deletions, struct entry *entry)
{
  if (deletions->cursor == entry)
    deletions->cursor = entry->next;
  if (deletions->walk == entry)
    deletions->walk = entry->next;
  *entry->pprev = entry->next;
  if (entry->next)
    entry->next->pprev = entry->pprev;
  else
    deletions->tail = entry->pprev;
}

static struct entry *add(struct deletions *deletions, const char *owner, struct mu_str id, enum state state)
{
  char room[DELETIONS_ID_MAX];
  struct mu_str key = fold(deletions, id, room);
  struct same *same = mu_map_get(deletions->by_id, key);
  size_t owner_len = strlen(owner);
  struct entry *entry = calloc(1, sizeof *entry + id.len + 1 + owner_len + 1);
  if (!entry)
    return NULL;
  if (!same && (!(same = calloc(1, sizeof *same)) || mu_map_add(deletions->by_id, key, same) != 0)) {
    free(same);
    free(entry);
    return NULL;
  }
  entry->state = state;
  entry->id_len = id.len;
  memcpy(entry->text, id.at, id.len);
  memcpy(entry->text + id.len + 1, owner, owner_len);
  entry->chain = same->first;
  same->first = entry;
  append(deletions, entry);
  deletions->count++;
  return entry;
}

static void drop(struct deletions *deletions, struct entry *entry)
{
  char room[DELETIONS_ID_MAX];
  struct mu_str key = fold(deletions, id_of(entry), room);
  struct same *same = mu_map_get(deletions->by_id, key);
  struct entry **link = &same->first;
  while (*link != entry)
    link = &(*link)->chain;
  *link = entry->chain;
  if (!same->first)
    free(mu_map_del(deletions->by_id, key));
  take_out(deletions, entry);
  deletions->remembered -= entry->state == GONE || entry->state == GHOST;
  deletions->count--;
  free(entry);
}

/* What was removed is remembered in the order of its end. */
static void remember(struct deletions *deletions, struct entry *entry, enum state state, int64_t now_ms)
{
  entry->state = state;
  entry->since_ms = now_ms;
  entry->batch = 0; /* an answer that is under way may be older than this news */
  entry->hits = entry->misses = 0;
  entry->due = entry->told = entry->doubted = false;
  deletions->remembered++;
}

static void forget_old(struct deletions *deletions, int64_t now_ms)
{
  for (struct entry *entry = deletions->first, *next; entry; entry = next) {
    next = entry->next;
    if (entry->state != GONE && entry->state != GHOST)
      continue;
    /* A wall clock that was set back makes nobody immortal: the newest push it out. */
    if (deletions->remembered <= DELETIONS_REMEMBERED && now_ms - entry->since_ms < DELETIONS_MEMORY_MS)
      continue;
    drop(deletions, entry);
  }
}

static void removal(struct deletions *deletions, struct entry *entry, int64_t now_ms)
{
  remember(deletions, entry, GONE, now_ms);
  take_out(deletions, entry);
  append(deletions, entry);
  deletions->ops->remove(deletions->self, owner_of(entry), entry->text);
}

int deletions_know(struct deletions *deletions, const char *owner, const char *id)
{
  struct mu_str text = mu_str(id);
  if (!deletions_id_valid(deletions->config.id, text))
    return 0;
  struct entry *entry = find(deletions, owner, text);
  if (entry && entry->state != GONE)
    return 0;
  if (entry) /* somebody let it come again */
    drop(deletions, entry);
  entry = add(deletions, owner, text, UNASKED);
  if (!entry)
    return MU_ENOMEM;
  /* Another spelling of an id that is gone is no way back. */
  for (struct entry *at = chain_of(deletions, text); at; at = at->chain)
    entry->told |= (at->state == GHOST || at->state == GONE) && strcmp(owner_of(at), owner) == 0;
  return 1;
}

void deletions_forget(struct deletions *deletions, const char *owner, const char *id)
{
  struct entry *entry = find(deletions, owner, mu_str(id));
  if (entry && entry->state != GONE)
    drop(deletions, entry);
}

/*
 * What an event says of one machine. It names the owner: all of it. It does not: whoever inserts a row with another's id and deletes it
 * again makes such an event, too; so it is about this machine only when its own row was seen.
 */
static bool concerns(const struct deletions *deletions, const struct entry *entry, struct mu_str owner)
{
  if (entry->state == GONE || entry->state == GHOST)
    return false;
  if (deletions->config.owners && owner.len > 0)
    return mu_str_equal(owner, mu_str(owner_of(entry)));
  return entry->state == SEEN;
}

/* Its machine may be away, and comes back later with its old token. */
static void remember_ghost(struct deletions *deletions, struct mu_str id, struct mu_str owner, int64_t now_ms)
{
  char name[DELETIONS_OWNER_MAX + 1];
  if (!deletions->config.owners || owner.len == 0 || owner.len > DELETIONS_OWNER_MAX ||
      memchr(owner.at, '\0', owner.len))
    return;
  memcpy(name, owner.at, owner.len);
  name[owner.len] = '\0';
  for (const struct entry *entry = chain_of(deletions, id); entry; entry = entry->chain)
    if ((entry->state == GONE || entry->state == GHOST) && strcmp(owner_of(entry), name) == 0)
      return;
  struct entry *ghost = add(deletions, name, id, GHOST);
  if (ghost)
    remember(deletions, ghost, GHOST, now_ms);
}

size_t deletions_gone(struct deletions *deletions, struct mu_str id, struct mu_str owner, int64_t now_ms)
{
  size_t removed = 0;
  bool doubted = false;
  if (!deletions_id_valid(deletions->config.id, id))
    return 0;
  for (struct entry *entry = chain_of(deletions, id); entry; entry = entry->chain) {
    entry->due = concerns(deletions, entry, owner);
    if (entry->due || entry->batch == 0 || (entry->state != UNASKED && entry->state != ABSENT))
      continue;
    if (deletions->config.owners && owner.len > 0) /* another owner's row */
      continue;
    entry->doubted = doubted = true;
  }
  /* remove() may forget what it likes: begin anew each time. */
  for (bool found = true; found;) {
    found = false;
    for (struct entry *entry = chain_of(deletions, id); entry && !found; entry = entry->chain)
      if (entry->due) {
        found = true;
        removed++;
        removal(deletions, entry, now_ms);
      }
  }
  if (removed == 0)
    remember_ghost(deletions, id, owner, now_ms);
  if (deletions->remembered > DELETIONS_REMEMBERED)
    forget_old(deletions, now_ms);
  if (doubted)
    deletions->ops->look(deletions->self);
  return removed;
}

/* ---- polling --------------------------------------------------------------------------------- */

static bool wants_look(const struct entry *entry)
{
  return entry->state == UNASKED || (entry->state == SEEN && entry->told);
}

bool deletions_begin(struct deletions *deletions, bool all, int64_t now_ms)
{
  if (deletions->running)
    return false;
  if (all)
    forget_old(deletions, now_ms);
  bool any = false;
  for (struct entry *entry = deletions->first; entry && !any; entry = entry->next)
    any = all ? entry->state != GHOST : wants_look(entry);
  if (!any)
    return false;
  deletions->running = true;
  deletions->rounds++;
  deletions->all = all;
  deletions->failed = false;
  deletions->open = 0;
  deletions->visible = 0;
  deletions->now_ms = now_ms;
  deletions->cursor = deletions->first;
  return true;
}

bool deletions_running(const struct deletions *deletions)
{
  return deletions->running;
}

/* remove() may add and forget others; what is removed goes to the end of the list and is due no more. */
static void remove_due(struct deletions *deletions)
{
  deletions->walk = deletions->first;
  for (struct entry *entry; (entry = deletions->walk);) {
    deletions->walk = entry->next;
    if (entry->due)
      removal(deletions, entry, deletions->now_ms);
  }
}

/* The whole round at once: a batch alone cannot tell a deleted row from a lost grant. */
static void judge(struct deletions *deletions)
{
  size_t vanished = 0;
  for (struct entry *entry = deletions->first; entry; entry = entry->next)
    vanished += entry->state == SEEN && entry->lacked == deletions->rounds;
  if (vanished == 0) {
    deletions->alarmed &= deletions->visible == 0; /* the alarm ends when a row shows again */
    return;
  }
  bool all = deletions->visible == 0;
  bool alarm = all && vanished >= 2;
  bool doubt = all || (vanished >= DELETIONS_CROWD && vanished > deletions->visible);
  for (struct entry *entry = deletions->first; entry; entry = entry->next) {
    if (entry->state != SEEN || entry->lacked != deletions->rounds)
      continue;
    entry->misses = alarm ? 0 : entry->misses + 1;
    entry->due = entry->misses >= (doubt ? DELETIONS_ANSWERS_DOUBT : DELETIONS_ANSWERS);
  }
  bool again = deletions->alarmed;
  deletions->alarmed = alarm;
  if (alarm)
    deletions->ops->alarm(deletions->self, vanished, again);
  else
    remove_due(deletions);
}

static void end_if_over(struct deletions *deletions)
{
  if (!deletions->running || deletions->cursor || deletions->open > 0)
    return;
  if (deletions->all && !deletions->failed)
    judge(deletions);
  deletions->running = false;
  forget_old(deletions, deletions->now_ms);
}

bool deletions_next(struct deletions *deletions, struct deletions_batch *batch)
{
  batch->count = 0;
  end_if_over(deletions); /* whoever was still to be asked for may have gone */
  if (!deletions->running || !deletions->cursor)
    return false;
  batch->number = ++deletions->numbers;
  size_t bytes = 0;
  while (deletions->cursor && batch->count < DELETIONS_BATCH && bytes < DELETIONS_BATCH_BYTES - DELETIONS_ID_MAX) {
    struct entry *entry = deletions->cursor;
    deletions->cursor = entry->next;
    if (entry->state == GHOST || (!deletions->all && !wants_look(entry)))
      continue;
    entry->batch = batch->number;
    entry->doubted = false; /* this answer will be newer than that news */
    batch->ids[batch->count++] = entry->text;
    bytes += entry->id_len;
  }
  if (batch->count == 0) {
    end_if_over(deletions);
    return false;
  }
  deletions->open++;
  return true;
}

static void found_row(struct deletions *deletions, struct entry *entry)
{
  deletions->visible++;
  if (entry->state != GONE) {
    deletions->shown += entry->state != SEEN;
    entry->state = SEEN;
    entry->misses = 0;
    entry->told = entry->doubted; /* it was this owner's row; whether it is the one that went, the next look tells */
    entry->doubted = false;
    return;
  }
  if (++entry->hits < DELETIONS_ANSWERS)
    return;
  deletions->ops->restore(deletions->self, owner_of(entry), entry->text);
  drop(deletions, entry);
}

static void lacked_row(struct deletions *deletions, struct entry *entry)
{
  entry->doubted = false; /* whosever row it was */
  if (entry->state == UNASKED) {
    entry->due = entry->told;
    entry->state = ABSENT;
  } else if (entry->state == SEEN && entry->told) {
    entry->due = true;
  } else if (entry->state == SEEN) {
    entry->lacked = deletions->rounds;
  } else if (entry->state == GONE) {
    entry->hits = 0;
  }
}

int deletions_answer(struct deletions *deletions, uint64_t number, const struct deletions_row *rows, size_t count)
{
  size_t asked = 0;
  for (struct entry *entry = deletions->first; entry; entry = entry->next) {
    asked += entry->batch == number;
    entry->hit = false;
  }
  if (count > DELETIONS_BATCH) { /* whoever answered does not look at what is asked */
    deletions_failed(deletions, number);
    return MU_EINVAL;
  }
  for (size_t i = 0; i < count && asked > 0; i++)
    for (struct entry *entry = chain_of(deletions, rows[i].id); entry; entry = entry->chain)
      if (entry->batch == number && (!deletions->config.owners || mu_str_equal(rows[i].owner, mu_str(owner_of(entry)))))
        entry->hit = true;
  for (struct entry *entry = deletions->first, *next; entry; entry = next) {
    next = entry->next;
    if (entry->batch != number)
      continue;
    entry->batch = 0;
    if (entry->hit)
      found_row(deletions, entry);
    else
      lacked_row(deletions, entry);
  }
  remove_due(deletions);
  deletions->open--;
  end_if_over(deletions);
  return 0;
}

void deletions_failed(struct deletions *deletions, uint64_t number)
{
  for (struct entry *entry = deletions->first; entry; entry = entry->next)
    if (entry->batch == number)
      entry->batch = 0;
  deletions->failed = true;
  deletions->open--;
  end_if_over(deletions);
}

bool deletions_doubtful(const struct deletions *deletions)
{
  for (struct entry *entry = deletions->first; entry; entry = entry->next)
    if (entry->state == SEEN && (entry->misses > 0 || deletions->alarmed))
      return true;
  return false;
}

size_t deletions_seen(const struct deletions *deletions)
{
  size_t seen = 0;
  for (struct entry *entry = deletions->first; entry; entry = entry->next)
    seen += entry->state == SEEN;
  return seen;
}

size_t deletions_shown(const struct deletions *deletions)
{
  return deletions->shown;
}

size_t deletions_count(const struct deletions *deletions)
{
  return deletions->count;
}
