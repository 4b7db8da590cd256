/* SPDX-License-Identifier: ISC */
/* Whether strangers can reach an instance. */
#include <arpa/inet.h>
#include <string.h>

#include "net/listeners.h"

static bool is_loopback(const char *address)
{
  struct in_addr four;
  struct in6_addr six;
  if (strcmp(address, "localhost") == 0)
    return true;
  if (inet_pton(AF_INET, address, &four) == 1)
    return ntohl(four.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, address, &six) == 1)
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
  return false;
}

bool mu_net_public(mu_instance *in)
{
  struct mui_net *net = in->runtime->net;
  if (!net || !net->listeners)
    return false;
  for (const struct mui_listener *listener = net->listeners->first; listener; listener = listener->next)
    if (mui_listener_serves(listener, in) && !is_loopback(listener->address))
      return true;
  return false;
}
