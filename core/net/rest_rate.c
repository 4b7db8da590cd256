/* SPDX-License-Identifier: ISC */
/* How often an address asked: one window from its first request on, and then the next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/rest.h"

/* Beyond, who came first is forgotten: an attacker with more addresses than this needs no window. */
enum { MAX_ADDRESSES = 8192 };

struct address {
  struct address *next, **pprev; /* oldest window first */
  int64_t began_ns;
  unsigned count;
  unsigned char key[16];
};

struct mui_rest_rate {
  struct mui_rest_rate *next;
  struct mu_rest_rate is;
  mu_map *addresses;
  struct address *first, **tail;
};

struct mui_rest_rate *mui_rest_rate_new(const struct mu_rest_rate *declared)
{
  struct mui_rest_rate *rate = calloc(1, sizeof *rate);
  if (!rate)
    return NULL;
  rate->is = *declared;
  rate->tail = &rate->first;
  rate->addresses = mu_map_new();
  if (rate->addresses)
    return rate;
  free(rate);
  return NULL;
}

static void forget(struct mui_rest_rate *rate, struct address *address)
{
  *address->pprev = address->next;
  if (address->next)
    address->next->pprev = address->pprev;
  else
    rate->tail = address->pprev;
  mu_map_del(rate->addresses, (struct mu_str){(const char *)address->key, sizeof address->key});
  free(address);
}

void mui_rest_rate_free(struct mui_rest_rate *rate)
{
  if (!rate)
    return;
  while (rate->first)
    forget(rate, rate->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mu_map_free(rate->addresses);
  free(rate);
}

struct mui_rest_rate **mui_rest_rate_next(struct mui_rest_rate *rate)
{
  return &rate->next;
}

bool mui_rest_rate_is(const struct mui_rest_rate *rate, const struct mu_rest_rate *declared, bool *same)
{
  *same = rate->is.count == declared->count && rate->is.window_s == declared->window_s;
  return strcmp(rate->is.name, declared->name) == 0;
}

struct mui_rest_rated mui_rest_rate_count(struct mui_rest_rate *rate, const unsigned char key[16], int64_t now_ns)
{
  int64_t window_ns = (int64_t)rate->is.window_s * 1000000000;
  struct mui_rest_rated rated = {.left = rate->is.count - 1, .reset_s = rate->is.window_s};
  /* All windows are equally long: the first to begin is the first to end. */
  while (rate->first && now_ns - rate->first->began_ns >= window_ns)
    forget(rate, rate->first);
  struct mu_str name = {(const char *)key, 16};
  struct address *address = mu_map_get(rate->addresses, name);
  if (!address) {
    if (mu_map_count(rate->addresses) >= MAX_ADDRESSES)
      forget(rate, rate->first);
    address = calloc(1, sizeof *address);
    if (!address || mu_map_add(rate->addresses, name, address) < 0) {
      free(address);
      return rated; /* out of memory: not counted, but not refused either */
    }
    memcpy(address->key, key, sizeof address->key);
    address->began_ns = now_ns;
    address->pprev = rate->tail;
    *rate->tail = address;
    rate->tail = &address->next;
  }
  if (address->count < UINT32_MAX)
    address->count++;
  rated.refused = address->count > rate->is.count;
  rated.left = rated.refused ? 0 : rate->is.count - address->count;
  rated.reset_s = (unsigned)((window_ns - (now_ns - address->began_ns) + 999999999) / 1000000000);
  return rated;
}

static void set_number(struct mu_http *request, const char *name, unsigned value)
{
  char text[16];
  snprintf(text, sizeof text, "%u", value);
  mu_http_set(request, name, text);
}

bool mui_rest_rate_judge(struct mu_http *request)
{
  struct mui_rest_rate *rate = request->rest->row->rate;
  if (!rate)
    return true;
  struct mui_rest_rated rated = mui_rest_rate_count(rate, request->per_peer->key, mu_mono_ns());
  char policy[32];
  snprintf(policy, sizeof policy, "%u;w=%u", rate->is.count, rate->is.window_s);
  mu_http_set(request, "RateLimit-Policy", policy);
  set_number(request, "RateLimit-Limit", rate->is.count);
  set_number(request, "RateLimit-Remaining", rated.left);
  set_number(request, "RateLimit-Reset", rated.reset_s);
  if (!rated.refused)
    return true;
  mui_net_count(request->net, "rest_rate_limited");
  mu_log_limited(request->route->in, MU_LOG_INFO, "rate", "%s: more than %u requests (%s) in %u s", request->peer,
                 rate->is.count, rate->is.name, rate->is.window_s);
  set_number(request, "Retry-After", rated.reset_s);
  request->state = MUI_REQUEST_RUNNING;
  mui_rest_fail(request, 429, "RATE_LIMIT_EXCEEDED",
                MU_WORDS("too many requests; try again later", "请求过于频繁,请稍后再试"), NULL);
  return false;
}
