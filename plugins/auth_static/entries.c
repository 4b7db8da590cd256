/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entries.h"

static const char *or_empty(const char *text)
{
  return text ? text : "";
}

struct entries *entries_new(const struct config *config, const char *provider)
{
  struct entries *entries = calloc(1, sizeof *entries);
  if (!entries)
    return NULL;
  const struct server *servers = config->servers.items;
  entries->by_id = mu_map_new();
  entries->list = calloc(config->servers.count ? config->servers.count : 1, sizeof *entries->list);
  if (!entries->by_id || !entries->list || mu_random(entries->dummy, sizeof entries->dummy) != 0)
    goto fail;
  for (size_t i = 0; i < config->servers.count; i++) {
    struct entry *entry = &entries->list[entries->count];
    int result = mu_map_add(entries->by_id, mu_str(servers[i].id), entry);
    if (result == MU_EEXIST)
      continue;
    if (result != 0)
      goto fail;
    entries->count++;
    entry->server = &servers[i];
    entry->principal = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                               .provider = provider,
                                                               .id = servers[i].id,
                                                               .name = or_empty(servers[i].name),
                                                               .role = MU_ROLE_MACHINE,
                                                               .owner = or_empty(servers[i].owner)});
    if (!entry->principal)
      goto fail;
  }
  return entries;
fail:
  entries_free(entries);
  return NULL;
}

void entries_free(struct entries *entries)
{
  if (!entries)
    return;
  for (size_t i = 0; i < entries->count; i++)
    mu_principal_unref(entries->list[i].principal);
  mu_map_free(entries->by_id);
  free(entries->list);
  free(entries);
}

const struct entry *entries_find(const struct entries *entries, const char *id)
{
  return mu_map_get(entries->by_id, mu_str(id));
}

/* A secret in a field of fixed size, zeros behind it. */
static void pad(char field[LONGEST_SECRET], struct mu_str secret)
{
  memset(field, 0, LONGEST_SECRET);
  if (secret.len)
    memcpy(field, secret.at, secret.len < LONGEST_SECRET ? secret.len : LONGEST_SECRET);
}

enum mu_verdict entries_judge(const struct entries *entries, struct mu_str id, struct mu_str secret,
                              const struct entry **entry)
{
  const struct entry *found = id.len <= LONGEST_ID ? mu_map_get(entries->by_id, id) : NULL;
  struct mu_str wanted = found ? mu_str(found->server->secret) : (struct mu_str){entries->dummy, LONGEST_SECRET};
  /* Always the same number of bytes, whatever is known of the id and however long either secret is. */
  char a[LONGEST_SECRET], b[LONGEST_SECRET];
  pad(a, wanted);
  pad(b, secret);
  bool equal = mu_secret_equal((struct mu_str){a, sizeof a}, (struct mu_str){b, sizeof b});
  mu_secret_wipe(a, sizeof a);
  mu_secret_wipe(b, sizeof b);
  if (!found)
    return MU_AUTH_UNKNOWN;
  if (!equal || secret.len != wanted.len || secret.len == 0)
    return MU_AUTH_REFUSED;
  *entry = found;
  return MU_AUTH_GRANTED;
}

/* ---- check ----------------------------------------------------------------------------------- */

static void check_secret(const char *secret, const char *path, struct mu_check *check)
{
  size_t length = strlen(secret);
  if (length == 0) {
    mu_check_error(check, path, "the secret is empty");
    return;
  }
  for (size_t i = 0; i < length; i++)
    if (secret[i] <= ' ' || secret[i] > '~') {
      mu_check_error(check, path, "the secret has a character that cannot travel in a header: use visible ASCII");
      return;
    }
  if (length < SHORTEST_GOOD_SECRET)
    mu_check_warn(check, path, "the secret is shorter than %d characters: easy to guess", SHORTEST_GOOD_SECRET);
}

void entries_check(const struct config *config, struct mu_check *check)
{
  const struct server *servers = config->servers.items;
  mu_map *seen = mu_map_new();
  for (size_t i = 0; i < config->servers.count; i++) {
    char path[64];
    check_id("servers", i, servers[i].id, seen, check);
    snprintf(path, sizeof path, "servers[%zu].secret", i);
    if (servers[i].secret)
      check_secret(servers[i].secret, path, check);
    snprintf(path, sizeof path, "servers[%zu].country", i);
    const char *country = or_empty(servers[i].country);
    if (country[0] &&
        (strlen(country) != 2 || strspn(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != 2))
      mu_check_warn(check, path, "a country is two letters, as in \"CN\"");
  }
  mu_map_free(seen);
}
