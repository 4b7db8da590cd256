/* SPDX-License-Identifier: ISC */
/* Samples that somebody stores: handed over in order, acknowledged after they are committed. */
#include <stddef.h>
#include <string.h>

#include "server.h"

enum { ACK_AFTER_MS = 300 };

int keeper_keep(void *self, mu_instance *in, const struct mu_session_keeper *keeper, void *keeper_self)
{
  struct server *server = self;
  struct mu_session_keeper own = {0};
  memcpy(&own, keeper, keeper->size < sizeof own ? keeper->size : sizeof own);
  if (!own.sample || !own.last)
    return MU_EINVAL;
  if (server->keeper.in) {
    mu_log(in, MU_LOG_ERROR, "%s stores samples already", mu_instance_name(server->keeper.in));
    return MU_EEXIST;
  }
  int result = dispatch_user(server, in);
  if (result != 0)
    return result;
  server->keeper.in = in;
  server->keeper.ops = own;
  server->keeper.self = keeper_self;
  return 0;
}

void keeper_forget_user(struct server *server, mu_instance *in)
{
  if (server->keeper.in == in)
    server->keeper.in = NULL;
}

void keeper_gap(struct link *link)
{
  if (!link->durable || link->hole)
    return;
  link->hole = true;
  link->hole_ns = mu_mono_ns();
}

/*
 * An acknowledgement covers everything before it. So after a sample that was not taken no later one of this connection
 * is offered: nothing above it can be stored, and the agent starts again from there.
 */
void keeper_sample(struct link *link, const struct mu_session_sample *sample)
{
  struct server *server = link->server;
  int result = link->hole ? MU_EREFUSED : server->keeper.in ? 0 : MU_EUNAVAILABLE;
  if (result == 0)
    result = server->keeper.ops.sample(server->keeper.self, sample);
  if (result >= 0)
    return;
  mu_count(server->not_kept, 1);
  if (!link->durable || link->hole)
    return;
  keeper_gap(link);
  mu_log_limited(server->in, MU_LOG_WARN, "not stored", "samples of \"%.64s\" are not stored: %s", sample->machine->id,
                 mu_strerror(result));
}

/* ---- acknowledgements ------------------------------------------------------------------------ */

static void send_ack(struct server *server, struct place *place)
{
  place->ack = false;
  mu_conn *conn = place->link && place->link->durable ? mu_conn_find(server->in, place->link->conn) : NULL;
  if (!conn)
    return; /* it hears of it when it comes back */
  struct mu_buf text = MU_BUF_INIT;
  mu_buf_adds(&text, "{\"type\":\"ack\",\"boot\":");
  mu_buf_json_string(&text, mu_str(place->ack_boot));
  mu_buf_printf(&text, ",\"seq\":%llu}", (unsigned long long)place->ack_seq);
  server_send(conn, &text);
}

void keeper_tick(void *self)
{
  struct server *server = self;
  while (server->acks) {
    struct place *place = server->acks;
    server->acks = place->next_ack;
    send_ack(server, place);
  }
}

void keeper_drop(struct server *server, struct place *place)
{
  for (struct place **at = &server->acks; *at; at = &(*at)->next_ack)
    if (*at == place) {
      *at = place->next_ack;
      return;
    }
}

void keeper_stored(void *self, const struct mu_machine *machine, const char *boot, uint64_t seq)
{
  struct server *server = self;
  struct place *place = agents_place(server, machine);
  if (!place || strlen(boot) > SESSION_BOOT_MAX)
    return;
  if (place->ack && strcmp(place->ack_boot, boot) != 0) { /* one at a time: the other run's goes now */
    keeper_drop(server, place);
    send_ack(server, place);
  }
  if (place->ack) {
    if (place->ack_seq < seq)
      place->ack_seq = seq;
    return;
  }
  memcpy(place->ack_boot, boot, strlen(boot) + 1);
  place->ack_seq = seq;
  place->ack = true;
  place->next_ack = server->acks;
  server->acks = place;
  if (!mu_timer_active(server->ack_timer))
    mu_timer_start(server->ack_timer, ACK_AFTER_MS, 0);
}
