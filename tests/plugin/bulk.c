/* SPDX-License-Identifier: ISC */
/*
 * Long messages, on /ws-bulk (the bound is large) and /ws-bulk-small (64 KiB). Who is there is in a group that conflates; "watch" moves to
 * one that does not. The first word of what is asked decides where the text goes:
 *   all KEY N LETTER       a text of N letters as the state of KEY (0: of nothing) to those that conflate
 *   stream N LETTER        the same to the watchers
 *   binary N LETTER        the same to the watchers, as a binary message
 *   me N LETTER            to the asker alone
 *   bye N LETTER           to the asker alone, who is then closed with 4000
 *   close                  everybody is closed with 4001
 *   count                  how many are there, to the asker alone
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

struct bulk {
  mu_group *state, *watchers;
  mu_conn_id everybody[256];
  size_t count;
  mu_instance *in;
};

static int opened(void *self, mu_conn *conn)
{
  struct bulk *bulk = self;
  if (bulk->count < MU_COUNT(bulk->everybody))
    bulk->everybody[bulk->count++] = mu_conn_get_id(conn);
  return mu_group_join(bulk->state, conn);
}

static mu_text *letters(size_t n, char letter)
{
  char *data;
  mu_text *text = mu_text_alloc(n, &data);
  /* Every place differs from those one fragment away. */
  for (size_t i = 0; text && i < n; i += 1000)
    memset(data + i, letter + (char)(i / 1000 % 20), n - i < 1000 ? n - i : 1000);
  return text;
}

static int heard(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct bulk *bulk = self;
  unsigned long long key = 0;
  size_t n = 0;
  char letter = 'a', what[16] = "";
  if (sscanf(message->at, "all %llu %zu %c", &key, &n, &letter) != 3)
    sscanf(message->at, "%15s %zu %c", what, &n, &letter);
  if (strcmp(what, "watch") == 0) {
    mu_group_leave(bulk->state, conn);
    return mu_group_join(bulk->watchers, conn);
  }
  if (strcmp(what, "close") == 0) {
    for (size_t i = 0; i < bulk->count; i++) {
      mu_conn *one = mu_conn_find(bulk->in, bulk->everybody[i]);
      if (one)
        mu_conn_close(one, 4001, "all of you");
    }
    bulk->count = 0;
    return 0;
  }
  mu_text *text = strcmp(what, "count") == 0
                      ? mu_text_printf("%zu", mu_group_count(bulk->state) + mu_group_count(bulk->watchers))
                      : letters(n, letter);
  if (!text)
    return MU_ENOMEM;
  if (!what[0])
    mu_group_publish(bulk->state, key, text);
  else if (strcmp(what, "stream") == 0)
    mu_group_publish(bulk->watchers, 0, text);
  else if (strcmp(what, "binary") == 0)
    mu_group_relay(bulk->watchers, text, true, NULL);
  else
    mu_conn_send(conn, text);
  if (strcmp(what, "bye") == 0)
    mu_conn_close(conn, 4000, "bye");
  mu_text_unref(text);
  return 0;
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  struct mu_ws_route route = {.size = sizeof route,
                              .path = "/ws-bulk",
                              .max_queue = 64 << 20,
                              .ping_every_s = 2,
                              .silent_after_s = 6,
                              .open = opened,
                              .message = heard};
  struct bulk *bulk = calloc(1, sizeof *bulk);
  *self = bulk;
  if (!bulk)
    return MU_ENOMEM;
  bulk->in = in;
  bulk->state = mu_group_new(in, "state", MU_GROUP_CONFLATE);
  bulk->watchers = mu_group_new(in, "watchers", MU_GROUP_DROP);
  if (!bulk->state || !bulk->watchers)
    return MU_ENOMEM;
  int error = mu_ws_route(in, &route, bulk);
  route.path = "/ws-bulk-small";
  route.max_queue = 65536;
  return error ? error : mu_ws_route(in, &route, bulk);
}

static void fini(void *self)
{
  free(self);
}

static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .init = init, .fini = fini}};

MU_PLUGIN(.name = "bulk", .version = "1.0", .summary = "long messages", .licence = "ISC",
          .components = MU_COMPONENTS(components));
