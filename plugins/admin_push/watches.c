/* SPDX-License-Identifier: ISC */
/*
 * A connection leaves its group by itself and tells nobody here, so what is left of it is swept up later: the map of
 * connections when it has doubled, a watch without members at its owner's next event or at the sweep.
 */
#include <stdlib.h>
#include <string.h>

#include "watches.h"

enum { LOOK_FROM = 64 };

static struct mu_str id_key(const mu_conn_id *id)
{
  return (struct mu_str){(const char *)id, sizeof *id};
}

static struct mu_str key_of(const struct watch *watch)
{
  return (struct mu_str){watch->key, watch->key_length};
}

static int owner_key(struct mu_buf *key, const char *provider, const char *owner)
{
  mu_buf_add(key, provider, strlen(provider) + 1);
  mu_buf_adds(key, owner);
  return key->failed ? MU_ENOMEM : 0;
}

static void watch_free(struct watch *watch)
{
  mu_text_unref(watch->list);
  free(watch);
}

int watches_init(struct watches *watches, mu_instance *in)
{
  *watches = (struct watches){.in = in, .by_owner = mu_map_new(), .conns = mu_map_new(), .look_from = LOOK_FROM};
  return watches->by_owner && watches->conns ? 0 : MU_ENOMEM;
}

void watches_fini(struct watches *watches)
{
  size_t position = 0;
  for (struct watch *watch; watches->by_owner && (watch = mu_map_next(watches->by_owner, &position, NULL));)
    watch_free(watch);
  mu_map_free(watches->by_owner);
  mu_map_free(watches->conns);
}

static void sweep(struct watches *watches)
{
  struct mu_str key;
  size_t position = 0;
  while (mu_map_next(watches->conns, &position, &key)) {
    mu_conn_id id;
    memcpy(&id, key.at, sizeof id);
    if (!mu_conn_find(watches->in, id))
      mu_map_del(watches->conns, id_key(&id));
  }
  position = 0;
  for (struct watch *watch; (watch = mu_map_next(watches->by_owner, &position, NULL));)
    if (mu_group_count(watch->group) == 0) {
      mu_map_del(watches->by_owner, key_of(watch));
      mu_group_free(watch->group);
      watch_free(watch);
    }
  size_t left = mu_map_count(watches->conns);
  watches->look_from = left * 2 < LOOK_FROM ? LOOK_FROM : left * 2;
}

struct watch *watches_of(struct watches *watches, const char *provider, const char *owner)
{
  if (mu_map_count(watches->by_owner) == 0)
    return NULL;
  struct mu_buf key = MU_BUF_INIT;
  struct watch *watch = NULL;
  if (owner_key(&key, provider, owner) == 0)
    watch = mu_map_get(watches->by_owner, (struct mu_str){key.at, key.len});
  mu_buf_free(&key);
  if (!watch || mu_group_count(watch->group) > 0)
    return watch;
  mu_text_unref(watch->list); /* nobody keeps it up to date from here on */
  watch->list = NULL;
  return NULL;
}

static struct watch *make(struct watches *watches, const struct mu_principal *principal)
{
  struct mu_buf key = MU_BUF_INIT;
  struct watch *watch = NULL;
  if (owner_key(&key, principal->provider, principal->owner) != 0)
    goto end;
  watch = mu_map_get(watches->by_owner, (struct mu_str){key.at, key.len});
  if (watch)
    goto end;
  watch = calloc(1, sizeof *watch + key.len);
  if (!watch)
    goto end;
  watch->key_length = key.len;
  memcpy(watch->key, key.at, key.len);
  watch->group = mu_group_new(watches->in, "admins", MU_GROUP_CONFLATE);
  if (watch->group && mu_map_add(watches->by_owner, key_of(watch), watch) == 0)
    goto end;
  mu_group_free(watch->group);
  free(watch);
  watch = NULL;
end:
  mu_buf_free(&key);
  return watch;
}

int watches_join(struct watches *watches, mu_conn *conn, struct watch **watch)
{
  const struct mu_principal *principal = mu_conn_principal(conn);
  if (!principal || !principal->owner[0]) /* the operator's machines are nobody's to watch from outside */
    return MU_EREFUSED;
  if (mu_map_count(watches->conns) >= watches->look_from)
    sweep(watches);
  *watch = make(watches, principal);
  if (!*watch)
    return MU_ENOMEM;
  mu_conn_id id = mu_conn_get_id(conn);
  const struct watch *before = mu_map_get(watches->conns, id_key(&id));
  if (before)
    return before == *watch ? 0 : MU_EREFUSED; /* never two owners' news on one connection */
  int result = mu_map_add(watches->conns, id_key(&id), *watch);
  if (result == 0 && (result = mu_group_join((*watch)->group, conn)) != 0)
    mu_map_del(watches->conns, id_key(&id));
  return result;
}

void watches_send_away(struct watches *watches)
{
  struct mu_str key;
  size_t position = 0;
  while (mu_map_next(watches->conns, &position, &key)) {
    mu_conn_id id;
    memcpy(&id, key.at, sizeof id);
    mu_conn *conn = mu_conn_find(watches->in, id);
    if (conn)
      mu_conn_close(conn, MU_CLOSE_GOING_AWAY, "the configuration changed");
  }
}
