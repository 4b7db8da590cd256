/* SPDX-License-Identifier: ISC */
/* What a machine says of itself, what the configuration says instead, and which of both is shown. */
#include <stdlib.h>
#include <string.h>

#include "registry.h"

static bool same(const char *held, struct mu_str text)
{
  return mu_str_equal(mu_str(held), text);
}

/* Replaces a held text; an empty one is NULL. *old is freed by the caller once nothing points to it. */
static int replace(char **held, struct mu_str text, char **old)
{
  char *copy = NULL;
  if (text.len > 0) {
    copy = strndup(text.at, text.len);
    if (!copy)
      return MU_ENOMEM;
  }
  *old = *held;
  *held = copy;
  return 0;
}

static const char *shown(const struct record *record, unsigned what)
{
  if (record->fixed[what])
    return record->fixed[what];
  return record->own[what] ? record->own[what] : "";
}

/* Points the public texts at what counts now. */
void said_refresh(struct record *record)
{
  struct mu_machine *pub = &record->pub;
  pub->name = shown(record, SAID_NAME);
  pub->group = shown(record, SAID_GROUP);
  pub->country = shown(record, SAID_COUNTRY);
  pub->location = shown(record, SAID_LOCATION);
  pub->ip = record->ip ? record->ip : "";
  pub->owner_name = record->owner_name ? record->owner_name : "";
  pub->is_public = pub->configured ? record->public_entry : record->public_wish;
  pub->fixed = 0;
  for (unsigned i = 0; i < SAID_COUNT; i++) /* the bits of enum mu_machine_fixed have the order of SAID_… */
    if (record->fixed[i])
      pub->fixed |= 1u << i;
}

int said_take(struct record *record, char *held[SAID_COUNT], const struct mu_str texts[SAID_COUNT], bool all)
{
  int changed = 0;
  for (unsigned i = 0; i < SAID_COUNT; i++) {
    if ((texts[i].len == 0 && !all) || same(held[i], texts[i]))
      continue;
    char *old;
    const char *before = shown(record, i);
    if (replace(&held[i], texts[i], &old) != 0)
      return MU_ENOMEM;
    if (shown(record, i) == before) {
      free(old); /* hidden behind the configuration's */
      continue;
    }
    changed = 1;
    said_refresh(record);
    free(old);
    if (i == SAID_NAME || i == SAID_GROUP) {
      record->registry->all.sorted = false;
      record->owner->roster.sorted = false;
    }
  }
  return changed;
}

/* A text that no configuration sets. Returns 1 if it changed, 0 (an empty one is nothing new), or MU_ENOMEM. */
static int take_one(struct record *record, char **held, struct mu_str text)
{
  if (text.len == 0 || same(*held, text))
    return 0;
  char *old;
  if (replace(held, text, &old) != 0)
    return MU_ENOMEM;
  said_refresh(record);
  free(old);
  return 1;
}

int said_own(struct record *record, const struct mu_str texts[SAID_COUNT], struct mu_str ip)
{
  int said = said_take(record, record->own, texts, false);
  if (said < 0)
    return said;
  int moved = take_one(record, &record->ip, ip);
  return moved < 0 ? moved : said | moved;
}

int registry_describe(struct record *record, const struct mu_machine_facts *given)
{
  struct mu_machine *pub = &record->pub;
  if (record->gone)
    return MU_ENOENT;
  const struct mu_str texts[SAID_COUNT] = {given->name, given->group, given->country, given->location};
  int said = said_own(record, texts, given->ip);
  int named = said < 0 ? 0 : take_one(record, &record->owner_name, given->owner_name);
  bool news = given->facts &&
              !(pub->facts && mu_str_equal((struct mu_str){mu_text_data(pub->facts), mu_text_len(pub->facts)},
                                           (struct mu_str){mu_text_data(given->facts), mu_text_len(given->facts)}));
  if (news) {
    mu_text *old = pub->facts;
    pub->facts = mu_text_ref(given->facts);
    mu_text_unref(old);
  }
  bool itself = given->facts || given->ip.len > 0;
  for (unsigned i = 0; i < SAID_COUNT; i++)
    itself |= texts[i].len > 0;
  if (itself) /* who the owner is others say, too */
    record_alive(record);
  pub->version++;
  if (said > 0 || named > 0 || news)
    record_tell(record, record->registry->info);
  return said < 0 ? said : named < 0 ? named : 0;
}
