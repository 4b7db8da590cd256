/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "lookup.h"

struct waiter {
  struct waiter *next;
  lookup_done done;
  void *context;
};

struct lookup {
  struct lookups *lookups;
  struct waiter *first, **end;
  unsigned char digest[KEY_DIGEST]; /* of kind and value: the map's key */
  enum lookup_kind kind;
  size_t len;
  char value[]; /* wiped */
};

struct lookups {
  struct rest *rest;
  const struct lookup_config *config;
  lookup_done observer;
  void *self;
  mu_map *in_flight;
};

struct lookups *lookups_new(struct rest *rest, const struct lookup_config *config, lookup_done observer, void *self)
{
  struct lookups *lookups = calloc(1, sizeof *lookups);
  if (!lookups)
    return NULL;
  *lookups = (struct lookups){rest, config, observer, self, mu_map_new()};
  if (lookups->in_flight)
    return lookups;
  free(lookups);
  return NULL;
}

static void lookup_free(struct lookup *lookup)
{
  for (struct waiter *waiter = lookup->first, *next; waiter; waiter = next) {
    next = waiter->next;
    free(waiter);
  }
  mu_secret_wipe(lookup->value, lookup->len);
  free(lookup);
}

void lookups_free(struct lookups *lookups)
{
  if (!lookups)
    return;
  size_t position = 0;
  for (struct lookup *lookup; (lookup = mu_map_next(lookups->in_flight, &position, NULL));)
    lookup_free(lookup);
  mu_map_free(lookups->in_flight);
  free(lookups);
}

/* ---- question and answer --------------------------------------------------------------------- */

static bool digested(const struct lookup_config *config)
{
  return config->digest_column && *config->digest_column;
}

static const char *key_column(const struct lookup_config *config)
{
  return digested(config) ? config->digest_column : config->column;
}

bool lookup_query(const struct lookup_config *config, enum lookup_kind kind, struct mu_str value, struct mu_buf *out)
{
  char digest[KEY_HEX];
  if (kind == LOOKUP_BY_ID)
    mu_buf_printf(out, "%s?select=id,%s&id=eq.", config->table, key_column(config));
  else
    mu_buf_printf(out, "%s?select=id&%s=eq.", config->table, key_column(config));
  if (kind == LOOKUP_BY_KEY && digested(config)) {
    if (!key_sha256(value, digest))
      return false;
    mu_buf_adds(out, digest);
  } else {
    rest_encode(out, value);
  }
  mu_buf_adds(out, "&limit=2");
  return !out->failed;
}

/* An id is a whole number or a text without control characters; as text, the same for both. */
static bool id_of(struct json_object *row, char out[LOOKUP_ID + 1])
{
  struct json_object *id = NULL;
  if (!json_object_object_get_ex(row, "id", &id))
    return false;
  if (json_object_is_type(id, json_type_int)) {
    snprintf(out, LOOKUP_ID + 1, "%s", json_object_to_json_string(id));
    return true;
  }
  if (!json_object_is_type(id, json_type_string))
    return false;
  const char *text = json_object_get_string(id);
  size_t length = (size_t)json_object_get_string_len(id);
  if (length == 0 || length > LOOKUP_ID || strlen(text) != length)
    return false;
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
      return false;
  memcpy(out, text, length + 1);
  return true;
}

/* What names the user's key of now; a user may have none. False: the answer does not say. */
static bool key_of(const struct lookup_config *config, struct json_object *row, char out[KEY_HEX])
{
  struct json_object *key = NULL;
  out[0] = '\0';
  if (!json_object_object_get_ex(row, key_column(config), &key))
    return false;
  if (!json_object_is_type(key, json_type_string) && !json_object_is_type(key, json_type_int))
    return json_object_is_type(key, json_type_null);
  struct mu_str text = mu_str(json_object_get_string(key));
  if (!digested(config))
    return key_sha256(text, out);
  if (text.len == KEY_HEX - 1)
    memcpy(out, text.at, KEY_HEX);
  return true;
}

bool lookup_mistyped(const struct lookup_config *config, enum lookup_kind kind, struct mu_str value,
                     struct json_object *error)
{
  struct json_object *message = NULL;
  struct mu_buf quoted = MU_BUF_INIT;
  char digest[KEY_HEX];
  if (kind == LOOKUP_BY_KEY && digested(config)) {
    if (!key_sha256(value, digest))
      return false;
    value = mu_str(digest);
  }
  mu_buf_adds(&quoted, "\"");
  mu_buf_add(&quoted, value.at, value.len);
  mu_buf_adds(&quoted, "\"");
  bool found =
      !quoted.failed && json_object_is_type(error, json_type_object) &&
      json_object_object_get_ex(error, "message", &message) && json_object_is_type(message, json_type_string) &&
      memmem(json_object_get_string(message), (size_t)json_object_get_string_len(message), quoted.at, quoted.len);
  if (quoted.at)
    mu_secret_wipe(quoted.at, quoted.len);
  mu_buf_free(&quoted);
  return found;
}

void lookup_judge(const struct lookup_config *config, enum lookup_kind kind, struct json_object *rows,
                  struct lookup_answer *answer)
{
  size_t count = json_object_array_length(rows);
  *answer = (struct lookup_answer){.verdict = LOOKUP_ABSENT, .why = "no such row"};
  if (count > 1) {
    answer->verdict = LOOKUP_SEVERAL;
    answer->why = "several rows";
  } else if (count == 1 && id_of(json_object_array_get_idx(rows, 0), answer->id)) {
    answer->verdict = LOOKUP_FOUND;
    answer->why = "";
  } else if (count == 1) {
    answer->verdict = LOOKUP_UNAVAILABLE;
    answer->why = "a row without a usable id";
  }
  if (answer->verdict == LOOKUP_FOUND && kind == LOOKUP_BY_ID &&
      !key_of(config, json_object_array_get_idx(rows, 0), answer->key)) {
    answer->verdict = LOOKUP_UNAVAILABLE;
    answer->why = "a row without the key's column";
  }
}

/* ---- in flight ------------------------------------------------------------------------------- */

static void on_rows(void *context, enum rest_outcome outcome, struct json_object *rows, const char *why)
{
  struct lookup *lookup = context;
  struct lookups *lookups = lookup->lookups;
  struct lookup_answer answer = {.verdict = LOOKUP_UNAVAILABLE, .why = why};
  if (outcome == REST_ROWS)
    lookup_judge(lookups->config, lookup->kind, rows, &answer);
  /* The same error may come out of the table itself, as when a view casts: that says nothing of this value. */
  struct mu_str value = {lookup->value, lookup->len};
  if (outcome == REST_MISTYPED && lookup_mistyped(lookups->config, lookup->kind, value, rows))
    answer = (struct lookup_answer){.verdict = LOOKUP_ABSENT, .why = "no row can have it"};
  struct lookup_question question = {.kind = lookup->kind, .value = {lookup->value, lookup->len}};
  memcpy(question.digest, lookup->digest, KEY_DIGEST);
  mu_map_del(lookups->in_flight, (struct mu_str){(const char *)lookup->digest, KEY_DIGEST});
  lookups->observer(lookups->self, &question, &answer);
  for (struct waiter *waiter = lookup->first; waiter; waiter = waiter->next)
    waiter->done(waiter->context, &question, &answer);
  lookup_free(lookup);
}

static struct lookup *begin(struct lookups *lookups, const struct lookup_question *question, int *result)
{
  struct mu_buf query = MU_BUF_INIT;
  struct mu_str name = {(const char *)question->digest, KEY_DIGEST};
  *result = MU_ENOMEM;
  struct lookup *lookup = calloc(1, sizeof *lookup + question->value.len + 1);
  if (!lookup)
    return NULL;
  lookup->lookups = lookups;
  lookup->end = &lookup->first;
  lookup->kind = question->kind;
  lookup->len = question->value.len;
  memcpy(lookup->digest, question->digest, KEY_DIGEST);
  if (lookup->len)
    memcpy(lookup->value, question->value.at, lookup->len);
  if (!lookup_query(lookups->config, question->kind, question->value, &query) ||
      mu_map_add(lookups->in_flight, name, lookup) != 0)
    goto fail;
  *result = rest_get(lookups->rest, query.at, on_rows, lookup);
  if (*result != 0) {
    mu_map_del(lookups->in_flight, name);
    goto fail;
  }
  mu_secret_wipe(query.at, query.len);
  mu_buf_free(&query);
  return lookup;
fail:
  if (query.at)
    mu_secret_wipe(query.at, query.len);
  mu_buf_free(&query);
  lookup_free(lookup);
  return NULL;
}

int lookups_ask(struct lookups *lookups, const struct lookup_question *question, lookup_done done, void *context)
{
  struct waiter *waiter = NULL;
  if (done) {
    waiter = calloc(1, sizeof *waiter);
    if (!waiter)
      return MU_ENOMEM;
    *waiter = (struct waiter){.done = done, .context = context};
  }
  int result = 0;
  struct lookup *lookup = mu_map_get(lookups->in_flight, (struct mu_str){(const char *)question->digest, KEY_DIGEST});
  if (!lookup)
    lookup = begin(lookups, question, &result);
  if (!lookup) {
    free(waiter);
    return result;
  }
  if (waiter) {
    *lookup->end = waiter;
    lookup->end = &waiter->next;
  }
  return 0;
}
