/* SPDX-License-Identifier: ISC */
/*
 * A key is never compared with a key: its HMAC under a random secret of this process is looked up, so how long that takes says nothing
 * of the keys that exist.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "users.h"

enum { CREDENTIAL_BYTES = 12 };

/* A user, or one of a user's keys: then the principal has a credential. */
struct granted {
  const struct mu_principal *principal;
  bool is_user;
};

struct users {
  struct granted *list;
  size_t count;
  mu_map *by_id;  /* user → struct granted */
  mu_map *by_key; /* digest of the key → struct granted */
  mu_map *by_credential;
  unsigned char secret[DIGEST_BYTES];
};

static const char *or_empty(const char *text)
{
  return text ? text : "";
}

static const char *const *keys_of(const struct user *user)
{
  return user->api_keys.items;
}

static bool digest(const unsigned char secret[DIGEST_BYTES], struct mu_str key, unsigned char out[DIGEST_BYTES])
{
  unsigned len = 0;
  return HMAC(EVP_sha256(), secret, DIGEST_BYTES, (const unsigned char *)key.at, key.len, out, &len) &&
         len == DIGEST_BYTES;
}

static struct mu_str digest_key(const unsigned char digest_of[DIGEST_BYTES])
{
  return (struct mu_str){(const char *)digest_of, DIGEST_BYTES};
}

/* Names a key without giving it away: the start of a SHA-256 over whose it is and what it is. False: memory is out. */
static bool name_credential(char out[2 * CREDENTIAL_BYTES + 1], const char *provider, const char *id, const char *key)
{
  struct mu_buf text = MU_BUF_INIT;
  unsigned char hash[EVP_MAX_MD_SIZE];
  mu_buf_adds(&text, "muster credential");
  const char *const parts[] = {provider, id, key};
  for (size_t i = 0; i < MU_COUNT(parts); i++) { /* the NULs between them keep them apart */
    mu_buf_add(&text, "", 1);
    mu_buf_adds(&text, parts[i]);
  }
  bool good = !text.failed && EVP_Digest(text.at, text.len, hash, NULL, EVP_sha256(), NULL) == 1;
  for (size_t i = 0; good && i < CREDENTIAL_BYTES; i++)
    snprintf(out + 2 * i, 3, "%02x", hash[i]);
  mu_secret_wipe(text.at, text.len);
  mu_buf_free(&text);
  return good;
}

static const struct granted *add(struct users *users, const struct user *user, const char *provider,
                                 const char *credential)
{
  struct granted *granted = &users->list[users->count];
  granted->principal = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                               .provider = provider,
                                                               .id = user->id,
                                                               .name = or_empty(user->name),
                                                               .role = user->admin ? MU_ROLE_ADMIN : MU_ROLE_USER,
                                                               .credential = credential});
  if (!granted->principal)
    return NULL;
  granted->is_user = !credential[0];
  users->count++;
  return granted;
}

/* 0, MU_EEXIST: somebody has this key already, or another error. */
static int add_key(struct users *users, const struct user *user, const char *provider, const char *key)
{
  char credential[2 * CREDENTIAL_BYTES + 1];
  unsigned char hash[DIGEST_BYTES];
  if (!digest(users->secret, mu_str(key), hash) || !name_credential(credential, provider, user->id, key))
    return MU_ENOMEM;
  if (mu_map_get(users->by_key, digest_key(hash)))
    return MU_EEXIST;
  const struct granted *granted = add(users, user, provider, credential);
  if (!granted)
    return MU_ENOMEM;
  int result = mu_map_add(users->by_key, digest_key(hash), (void *)granted);
  if (result == 0)
    result = mu_map_add(users->by_credential, mu_str(granted->principal->credential), (void *)granted);
  return result;
}

static int add_user(struct users *users, const struct user *user, const char *provider)
{
  if (mu_map_get(users->by_id, mu_str(user->id)))
    return 0;
  const struct granted *granted = add(users, user, provider, "");
  if (!granted || mu_map_add(users->by_id, mu_str(user->id), (void *)granted) != 0)
    return MU_ENOMEM;
  for (size_t i = 0; i < user->api_keys.count; i++) {
    int result = add_key(users, user, provider, keys_of(user)[i]);
    if (result != 0 && result != MU_EEXIST)
      return result;
  }
  return 0;
}

struct users *users_new(const struct mu_list *list, const char *provider)
{
  struct users *users = calloc(1, sizeof *users);
  if (!users)
    return NULL;
  const struct user *given = list->items;
  size_t most = 1;
  for (size_t i = 0; i < list->count; i++)
    most += 1 + given[i].api_keys.count;
  users->by_id = mu_map_new();
  users->by_key = mu_map_new();
  users->by_credential = mu_map_new();
  users->list = calloc(most, sizeof *users->list);
  if (!users->by_id || !users->by_key || !users->by_credential || !users->list ||
      mu_random(users->secret, sizeof users->secret) != 0)
    goto fail;
  for (size_t i = 0; i < list->count; i++)
    if (add_user(users, &given[i], provider) != 0)
      goto fail;
  return users;
fail:
  users_free(users);
  return NULL;
}

void users_free(struct users *users)
{
  if (!users)
    return;
  for (size_t i = 0; i < users->count; i++)
    mu_principal_unref(users->list[i].principal);
  mu_map_free(users->by_id);
  mu_map_free(users->by_key);
  mu_map_free(users->by_credential);
  mu_secret_wipe(users->secret, sizeof users->secret);
  free(users->list);
  free(users);
}

const struct mu_principal *users_by_key(const struct users *users, struct mu_str key)
{
  unsigned char hash[DIGEST_BYTES];
  if (key.len > LONGEST_KEY || !digest(users->secret, key, hash))
    return NULL;
  const struct granted *granted = mu_map_get(users->by_key, digest_key(hash));
  return granted ? granted->principal : NULL;
}

enum mu_verdict users_known(const struct users *users, struct mu_str id, struct mu_str credential,
                            const struct mu_principal **principal)
{
  const struct granted *user = mu_map_get(users->by_id, id);
  if (!user)
    return MU_AUTH_UNKNOWN;
  const struct granted *granted = credential.len > 0 ? mu_map_get(users->by_credential, credential) : user;
  if (!granted || !mu_str_equal(mu_str(granted->principal->id), id))
    return MU_AUTH_REFUSED;
  *principal = granted->principal;
  return MU_AUTH_GRANTED;
}

void users_compare(const struct users *before, const struct users *now,
                   void (*gone)(void *context, const struct mu_principal *principal, const char *why), void *context)
{
  for (size_t i = 0; i < before->count; i++) {
    const struct mu_principal *old = before->list[i].principal;
    const struct granted *user = mu_map_get(now->by_id, mu_str(old->id));
    /* Another role is another principal: who was let in with the old one has to come again. */
    bool same_user = user && user->principal->role == old->role;
    if (before->list[i].is_user && !same_user)
      gone(context, old, user ? "has another role" : "removed");
    else if (!before->list[i].is_user && same_user && !mu_map_get(now->by_credential, mu_str(old->credential)))
      gone(context, old, "a key was taken back");
  }
}

/* ---- check ----------------------------------------------------------------------------------- */

#define ID_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@-"

static void check_key(const char *key, const char *path, struct mu_check *check)
{
  size_t length = strlen(key);
  if (length < SHORTEST_KEY || length > LONGEST_KEY) {
    mu_check_error(check, path, "the key has %zu characters: it may have %d to %d", length, SHORTEST_KEY, LONGEST_KEY);
    return;
  }
  for (size_t i = 0; i < length; i++)
    if (key[i] <= ' ' || key[i] > '~') {
      mu_check_error(check, path, "the key has a character that is not visible ASCII");
      return;
    }
  if (length < SHORTEST_GOOD_KEY)
    mu_check_warn(check, path, "the key is shorter than %d characters: easy to guess", SHORTEST_GOOD_KEY);
}

void check_id(const char *list, size_t i, const char *id, mu_map *ids, struct mu_check *check)
{
  char path[64];
  snprintf(path, sizeof path, "%s[%zu].id", list, i);
  if (!id) /* not given: the table says so */
    return;
  if (!id[0])
    mu_check_error(check, path, "the id is empty");
  else if (strspn(id, ID_CHARACTERS) != strlen(id))
    mu_check_error(check, path, "the id \"%s\" may have letters, digits and . _ : @ - only", id);
  else if (ids && mu_map_add(ids, mu_str(id), (void *)(i + 1)) == MU_EEXIST)
    mu_check_error(check, path, "the id \"%s\" is that of %s[%zu] already", id, list,
                   (size_t)mu_map_get(ids, mu_str(id)) - 1);
}

/* Where a key was seen first. */
struct place {
  size_t user, key;
};

void users_check(const struct mu_list *list, struct mu_check *check)
{
  const struct user *users = list->items;
  size_t most = 1, count = 0;
  for (size_t i = 0; i < list->count; i++)
    most += users[i].api_keys.count;
  struct place *places = calloc(most, sizeof *places);
  mu_map *ids = mu_map_new(), *keys = mu_map_new();
  unsigned char secret[DIGEST_BYTES], hash[DIGEST_BYTES];
  bool able = places && keys && mu_random(secret, sizeof secret) == 0;
  for (size_t i = 0; i < list->count; i++) {
    char path[64];
    check_id("users", i, users[i].id, ids, check);
    snprintf(path, sizeof path, "users[%zu].api_keys", i);
    if (users[i].api_keys.count == 0)
      mu_check_warn(check, path, "the user has no key: nobody can log in");
    for (size_t j = 0; j < users[i].api_keys.count; j++) {
      const char *key = keys_of(&users[i])[j];
      snprintf(path, sizeof path, "users[%zu].api_keys[%zu]", i, j);
      check_key(key, path, check);
      if (!able || !digest(secret, mu_str(key), hash))
        continue;
      const struct place *first = mu_map_get(keys, digest_key(hash));
      if (first)
        mu_check_error(check, path, "the key is that of users[%zu].api_keys[%zu] already", first->user, first->key);
      else {
        places[count] = (struct place){i, j};
        mu_map_add(keys, digest_key(hash), &places[count++]);
      }
    }
  }
  mu_secret_wipe(secret, sizeof secret);
  mu_map_free(ids);
  mu_map_free(keys);
  free(places);
}
