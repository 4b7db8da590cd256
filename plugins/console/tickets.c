/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "tickets.h"

static void drop(struct ticket *ticket)
{
  mu_principal_unref(ticket->principal);
  mu_secret_wipe(ticket, sizeof *ticket);
}

static bool same_user(const struct mu_principal *a, const struct mu_principal *b)
{
  return strcmp(a->provider, b->provider) == 0 && strcmp(a->id, b->id) == 0;
}

static int make_text(char text[TICKET_TEXT + 1])
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  unsigned char random[TICKET_TEXT];
  int error = mu_random(random, sizeof random);
  for (size_t i = 0; error == 0 && i < sizeof random; i++)
    text[i] = digits[random[i] & 63];
  text[TICKET_TEXT] = '\0';
  mu_secret_wipe(random, sizeof random);
  return error;
}

/* A place: a free one, an expired one, or this user's oldest if he has too many. */
static struct ticket *place_for(struct tickets *tickets, const struct mu_principal *principal, int64_t now_ns)
{
  struct ticket *free_place = NULL, *oldest = NULL;
  size_t own = 0;
  for (size_t i = 0; i < TICKETS_MAX; i++) {
    struct ticket *ticket = &tickets->at[i];
    if (ticket->principal && now_ns >= ticket->until_ns)
      drop(ticket);
    if (!ticket->principal) {
      free_place = free_place ? free_place : ticket;
    } else if (same_user(ticket->principal, principal)) {
      own++;
      oldest = oldest && oldest->until_ns <= ticket->until_ns ? oldest : ticket;
    }
  }
  if (own < TICKETS_EACH)
    return free_place;
  drop(oldest);
  return oldest;
}

int tickets_new(struct tickets *tickets, const struct mu_principal *principal, int64_t now_ns,
                char text[TICKET_TEXT + 1])
{
  if (!tickets->at && !(tickets->at = calloc(TICKETS_MAX, sizeof *tickets->at)))
    return MU_ENOMEM;
  struct ticket *ticket = place_for(tickets, principal, now_ns);
  if (!ticket)
    return MU_ELIMIT;
  int error = make_text(text);
  if (error)
    return error;
  memcpy(ticket->text, text, sizeof ticket->text);
  ticket->until_ns = now_ns + TICKET_LIFE_S * INT64_C(1000000000);
  ticket->principal = mu_principal_ref(principal);
  return 0;
}

const struct mu_principal *tickets_take(struct tickets *tickets, struct mu_str text, int64_t now_ns)
{
  if (!tickets->at || text.len != TICKET_TEXT)
    return NULL;
  for (size_t i = 0; i < TICKETS_MAX; i++) {
    struct ticket *ticket = &tickets->at[i];
    if (!ticket->principal || !mu_secret_equal(text, (struct mu_str){ticket->text, TICKET_TEXT}))
      continue;
    const struct mu_principal *principal = now_ns < ticket->until_ns ? mu_principal_ref(ticket->principal) : NULL;
    drop(ticket);
    return principal;
  }
  return NULL;
}

void tickets_revoke(struct tickets *tickets, const struct mu_principal *revoked)
{
  for (size_t i = 0; tickets->at && i < TICKETS_MAX; i++) {
    struct ticket *ticket = &tickets->at[i];
    if (!ticket->principal || !same_user(ticket->principal, revoked))
      continue;
    if (!revoked->credential[0] || strcmp(revoked->credential, ticket->principal->credential) == 0)
      drop(ticket);
  }
}

void tickets_free(struct tickets *tickets)
{
  for (size_t i = 0; tickets->at && i < TICKETS_MAX; i++)
    if (tickets->at[i].principal)
      drop(&tickets->at[i]);
  free(tickets->at);
  tickets->at = NULL;
}
