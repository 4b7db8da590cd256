/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "route.h"

/* Flags of a route: usable; refuses instead of forwarding (linux/route.h). */
enum { UP = 0x1, REJECT = 0x200 };

struct route {
  mu_procfile *v4;
  mu_procfile *v6;
};

struct route *route_new(const char *root)
{
  struct route *route = calloc(1, sizeof(*route));
  if (!route)
    return NULL;
  route->v4 = mu_procfile_new(root, "/proc/net/route");
  route->v6 = mu_procfile_new(root, "/proc/net/ipv6_route");
  if (!route->v4 || !route->v6) {
    route_free(route);
    return NULL;
  }
  return route;
}

void route_free(struct route *route)
{
  if (!route)
    return;
  mu_procfile_free(route->v4);
  mu_procfile_free(route->v6);
  free(route);
}

/* "eth0 00000000 010200C0 0003 0 0 100 00000000 …": interface, destination, gateway, flags, …, metric, mask. */
static bool parse_v4(const char *line, char name[32], unsigned long *metric)
{
  unsigned destination, flags, mask;
  return sscanf(line, "%31s %x %*x %x %*d %*d %lu %x", name, &destination, &flags, metric, &mask) == 5 &&
         destination == 0 && mask == 0 && (flags & UP) && !(flags & REJECT);
}

/* "destination length source length next-hop metric references uses flags interface", all but the last in hexadecimal. */
static bool parse_v6(const char *line, char name[32], unsigned long *metric)
{
  char destination[33];
  unsigned length;
  unsigned long flags;
  return sscanf(line, "%32s %x %*32s %*x %*32s %lx %*x %*x %lx %31s", destination, &length, metric, &flags, name) ==
             5 &&
         length == 0 && strspn(destination, "0") == 32 && (flags & UP) && !(flags & REJECT) && strcmp(name, "lo") != 0;
}

static bool best(mu_procfile *file, bool (*parse)(const char *, char *, unsigned long *), char *name, size_t size)
{
  struct mu_str text;
  unsigned long lowest = 0;
  bool found = false;
  if (mu_procfile_read(file, &text))
    return false;
  for (const char *line = text.at; line && *line;) {
    char candidate[32];
    unsigned long metric;
    if (parse(line, candidate, &metric) && (!found || metric < lowest)) {
      found = true;
      lowest = metric;
      snprintf(name, size, "%s", candidate);
    }
    line = strchr(line, '\n');
    if (line)
      line++;
  }
  return found;
}

void route_primary(struct route *route, char *name, size_t size)
{
  name[0] = '\0';
  if (!best(route->v4, parse_v4, name, size))
    (void)best(route->v6, parse_v6, name, size);
}
