/* SPDX-License-Identifier: ISC */
/* Paths → routes. A server has a few dozen: a list sorted by preference is all it takes. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/internal.h"

struct mui_router {
  struct mui_route *first; /* exact ones first, then prefixes from long to short */
};

struct mui_router *mui_router_new(void)
{
  return calloc(1, sizeof(struct mui_router));
}

static void free_route(struct mui_route *route)
{
  free(route->path);
  free(route);
}

/* The instance stops, or the router goes. */
static void revoke_route(struct mui_resource *resource)
{
  struct mui_route *route = (struct mui_route *)resource;
  mui_resource_del(resource);
  /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): freed ones are not in the list */
  for (struct mui_route **at = &route->router->first; *at; at = &(*at)->next)
    if (*at == route) {
      *at = route->next;
      break;
    }
  if (route->gone)
    route->gone(route);
  free_route(route);
}

void mui_router_free(struct mui_router *router)
{
  if (!router)
    return;
  while (router->first)
    revoke_route(&router->first->resource); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  free(router);
}

/* Nothing that a request line could not hold, and no '*' or '?' but the one at the end. Strips that. */
static bool take_path(struct mui_route *route)
{
  char *path = route->path;
  size_t len = path ? strlen(path) : 0;
  if (len == 0 || path[0] != '/')
    return false;
  route->prefix = path[len - 1] == '*';
  if (route->prefix) {
    path[--len] = '\0';
    if (path[len - 1] != '/')
      return false;
  }
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)path[i] <= ' ' || path[i] == 0x7f || strchr("*?#%", path[i]))
      return false;
  return true;
}

static bool before(const struct mui_route *a, const struct mui_route *b)
{
  if (a->prefix != b->prefix)
    return b->prefix;
  return a->prefix && strlen(a->path) > strlen(b->path);
}

int mui_router_add(struct mui_router *router, mu_instance *in, struct mui_route *route)
{
  static_assert(offsetof(struct mui_route, resource) == 0, "revoke_route() casts");
  if (!take_path(route)) {
    mu_log(in, MU_LOG_ERROR, "route \"%s\": a path begins with '/', and a prefix ends in \"/*\"",
           route->path ? route->path : "");
    free_route(route);
    return MU_EINVAL;
  }
  for (const struct mui_route *other = router->first; other; other = other->next) {
    bool overlap = route->methods == 0 || other->methods == 0 || (route->methods & other->methods);
    if (other->prefix != route->prefix || !overlap || strcmp(other->path, route->path) != 0)
      continue;
    mu_log(in, MU_LOG_ERROR, "path %s%s is claimed by both %s and %s", route->path, route->prefix ? "*" : "",
           other->in->name, in->name);
    free_route(route);
    return MU_EEXIST;
  }
  struct mui_route **at = &router->first;
  while (*at && !before(route, *at))
    at = &(*at)->next;
  route->next = *at;
  *at = route;
  route->router = router;
  route->in = in;
  mui_resource_add(in, &route->resource, revoke_route);
  return 0;
}

static bool matches(const struct mui_route *route, struct mu_str path)
{
  size_t len = strlen(route->path);
  return (route->prefix ? path.len >= len : path.len == len) && memcmp(path.at, route->path, len) == 0;
}

enum mui_found mui_router_find(const struct mui_router *router, struct mu_str path, unsigned method,
                               const struct mui_listener *listener, struct mui_route **route, unsigned *allowed)
{
  const struct mui_route *best = NULL; /* the first that knows the path; others may serve further methods of it */
  unsigned methods = 0;
  for (struct mui_route *at = router->first; at; at = at->next) {
    if (!matches(at, path) || (listener && !mui_listener_serves(listener, at->in)))
      continue;
    if (best && strlen(at->path) != strlen(best->path))
      break;
    if (at->methods == method || (at->methods & method)) {
      *route = at;
      return MUI_ROUTE_FOUND;
    }
    best = at;
    methods |= at->methods;
  }
  if (allowed)
    *allowed = methods;
  return best ? MUI_ROUTE_METHOD : MUI_ROUTE_NONE;
}
