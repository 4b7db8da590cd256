/* SPDX-License-Identifier: ISC */
/* What is counted per client address, and which addresses are proxies. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "net/internal.h"

enum { BUCKETS = 1024, BURST_S = 4 };

/* An address as 16 bytes, IPv4 in its mapped form. */
struct address {
  unsigned char bytes[16];
};

struct network {
  struct address address;
  unsigned bits;
};

struct mui_peer {
  struct mui_peer *next;
  struct mui_net_peers *peers;
  struct address key; /* IPv6: the /64 */
  uint32_t connections;
  double tokens;
  int64_t filled_ns;
};

struct mui_net_peers {
  struct mui_net *net;
  struct mui_peer *buckets[BUCKETS];
  uint64_t seed[2];
  struct network *trusted;
  size_t trusted_count;
  unsigned swept; /* the next bucket to sweep */
};

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_ipv4(const struct address *address)
{
  return memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

static bool parse(const char *text, struct address *out)
{
  if (inet_pton(AF_INET6, text, out->bytes) == 1)
    return true;
  memcpy(out->bytes, mapped, sizeof mapped);
  return inet_pton(AF_INET, text, out->bytes + 12) == 1;
}

static void print(const struct address *address, char *out)
{
  if (is_ipv4(address))
    inet_ntop(AF_INET, address->bytes + 12, out, 46);
  else
    inet_ntop(AF_INET6, address->bytes, out, 46);
}

void mui_address_text(const void *sockaddr, char *out)
{
  const struct sockaddr *any = sockaddr;
  struct address address = {{0}};
  if (any->sa_family == AF_INET6) {
    memcpy(address.bytes, &((const struct sockaddr_in6 *)sockaddr)->sin6_addr, 16);
  } else if (any->sa_family == AF_INET) {
    memcpy(address.bytes, mapped, sizeof mapped);
    memcpy(address.bytes + 12, &((const struct sockaddr_in *)sockaddr)->sin_addr, 4);
  }
  print(&address, out);
}

/* "10.0.0.0/8", "::1". */
static bool parse_network(const char *text, struct network *out)
{
  char copy[64];
  if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
    return false;
  char *slash = strchr(copy, '/');
  if (slash)
    *slash++ = '\0';
  if (!parse(copy, &out->address))
    return false;
  bool four = !strchr(copy, ':');
  out->bits = 128;
  if (!slash)
    return true;
  char *end;
  unsigned long bits = strtoul(slash, &end, 10);
  if (*slash < '0' || *slash > '9' || *end || bits > (four ? 32 : 128))
    return false;
  out->bits = (unsigned)bits + (four ? 96 : 0);
  return true;
}

static bool within(const struct network *network, const struct address *address)
{
  unsigned whole = network->bits / 8, rest = network->bits % 8;
  if (memcmp(network->address.bytes, address->bytes, whole) != 0)
    return false;
  unsigned char mask = (unsigned char)(0xff00 >> rest);
  return rest == 0 || ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

static bool is_trusted(const struct mui_net_peers *peers, const struct address *address)
{
  for (size_t i = 0; i < peers->trusted_count; i++)
    if (within(&peers->trusted[i], address))
      return true;
  return false;
}

int mui_net_peers_trust(struct mui_net *net, const struct mu_list *list, char *problem, size_t problem_size)
{
  const char *const *texts = list->items;
  struct network *trusted = calloc(list->count + 1, sizeof *trusted);
  if (!trusted) {
    snprintf(problem, problem_size, "out of memory");
    return MU_ENOMEM;
  }
  for (size_t i = 0; i < list->count; i++) {
    if (parse_network(texts[i], &trusted[i]))
      continue;
    snprintf(problem, problem_size, "trusted_proxies: \"%s\" is neither an address nor a network", texts[i]);
    free(trusted);
    return MU_EINVAL;
  }
  free(net->peers->trusted);
  net->peers->trusted = trusted;
  net->peers->trusted_count = list->count;
  return 0;
}

/* ---- counting -------------------------------------------------------------------------------- */

static void refill(struct mui_peer *peer, int64_t now_ns)
{
  double rate = (double)peer->peers->net->limits.connects_per_second;
  peer->tokens += rate * (double)(now_ns - peer->filled_ns) / 1e9;
  if (peer->tokens > rate * BURST_S)
    peer->tokens = rate * BURST_S;
  peer->filled_ns = now_ns;
}

int mui_peer_connect(struct mui_net *net, const char *text, struct mui_peer **out)
{
  struct mui_net_peers *peers = net->peers;
  struct address key;
  *out = NULL;
  if (!parse(text, &key))
    return MU_EINVAL;
  if (is_trusted(peers, &key))
    return 0;
  if (!is_ipv4(&key))
    memset(key.bytes + 8, 0, 8);
  struct mui_peer **bucket = &peers->buckets[mui_hash(peers->seed, &key, sizeof key) % BUCKETS];
  struct mui_peer *peer = *bucket;
  while (peer && memcmp(&peer->key, &key, sizeof key) != 0)
    peer = peer->next;
  int64_t now = mu_mono_ns();
  if (!peer) {
    peer = calloc(1, sizeof *peer);
    if (!peer)
      return MU_ENOMEM;
    *peer = (struct mui_peer){.next = *bucket, .peers = peers, .key = key, .filled_ns = now};
    peer->tokens = (double)net->limits.connects_per_second * BURST_S;
    *bucket = peer;
  }
  if (net->limits.max_connections_per_peer && peer->connections >= net->limits.max_connections_per_peer)
    return MU_ELIMIT;
  if (net->limits.connects_per_second) {
    refill(peer, now);
    if (peer->tokens < 1)
      return MU_ELIMIT;
    peer->tokens -= 1;
  }
  peer->connections++;
  *out = peer;
  return 0;
}

void mui_net_peers_fill(struct mui_net *net)
{
  for (size_t i = 0; i < BUCKETS; i++)
    for (struct mui_peer *peer = net->peers->buckets[i]; peer; peer = peer->next)
      peer->tokens = (double)net->limits.connects_per_second * BURST_S;
}

void mui_peer_release(struct mui_peer *peer)
{
  if (peer)
    peer->connections--;
}

/* Forgets, a part of the table at a time, who has left and may connect at full speed again. */
void mui_net_peers_tick(struct mui_net *net, int64_t now_ns)
{
  struct mui_net_peers *peers = net->peers;
  double full = (double)net->limits.connects_per_second * BURST_S;
  for (unsigned i = 0; i < BUCKETS / 8; i++) {
    struct mui_peer **at = &peers->buckets[peers->swept++ % BUCKETS];
    while (*at) {
      struct mui_peer *peer = *at;
      refill(peer, now_ns);
      if (peer->connections || peer->tokens < full) {
        at = &peer->next;
        continue;
      }
      *at = peer->next;
      free(peer);
    }
  }
}

/* ---- proxies --------------------------------------------------------------------------------- */

/* As proxies write it: an address, "[v6]", and both with a port. */
static bool parse_hop(char *text, struct address *out)
{
  text += strspn(text, " \t");
  text[strcspn(text, " \t")] = '\0';
  char *colon = strchr(text, ':');
  if (*text == '[') {
    char *end = strchr(++text, ']');
    if (!end || (end[1] != '\0' && end[1] != ':'))
      return false;
    *end = '\0';
  } else if (colon && !strchr(colon + 1, ':')) {
    *colon = '\0';
  }
  return parse(text, out);
}

bool mui_net_proxied(const struct mui_session *session)
{
  struct address address;
  return parse(session->address, &address) && is_trusted(session->net->peers, &address);
}

void mui_net_client_address(struct mui_session *session, struct lws *wsi, char *out)
{
  struct mui_net_peers *peers = session->net->peers;
  struct address address;
  snprintf(out, 64, "%s", session->address);
  char list[MUI_HEAD_MAX + 1]; /* all that the library takes: a client must not push its address out of sight */
  if (!mui_net_proxied(session) || !mui_header(wsi, "x-forwarded-for", list, sizeof list, NULL))
    return;
  /* From the right, each hop was written by the one before it: the first that is no proxy of ours is the client. */
  for (size_t end = strlen(list); end > 0;) {
    size_t start = end;
    while (start > 0 && list[start - 1] != ',')
      start--;
    list[end] = '\0';
    if (!parse_hop(list + start, &address))
      return;
    print(&address, out);
    if (!is_trusted(peers, &address))
      return;
    end = start > 0 ? start - 1 : 0;
  }
}

int mui_net_peers_init(struct mui_net *net)
{
  net->peers = calloc(1, sizeof *net->peers);
  if (!net->peers)
    return MU_ENOMEM;
  net->peers->net = net;
  return mu_random(net->peers->seed, sizeof net->peers->seed);
}

void mui_net_peers_fini(struct mui_net *net)
{
  if (!net->peers)
    return;
  for (size_t i = 0; i < BUCKETS; i++)
    while (net->peers->buckets[i]) {
      struct mui_peer *peer = net->peers->buckets[i];
      net->peers->buckets[i] = peer->next;
      free(peer);
    }
  free(net->peers->trusted);
  free(net->peers);
  net->peers = NULL;
}
