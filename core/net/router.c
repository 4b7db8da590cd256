/* SPDX-License-Identifier: ISC */
/* Paths → routes. A server has a few dozen: a list sorted by preference is all it takes. */
#include <assert.h>
#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/internal.h"

struct mui_router {
  struct mui_route *first; /* exact ones, then those with parameters, then prefixes from long to short */
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

/* The segment that begins at *at, which moves on to the next '/' or to the end. */
static struct mu_str segment(const char **at)
{
  const char *begin = **at == '/' ? *at + 1 : *at;
  *at = begin + strcspn(begin, "/");
  return (struct mu_str){begin, (size_t)(*at - begin)};
}

static bool is_parameter(struct mu_str text)
{
  return text.len > 0 && text.at[0] == ':';
}

/* Parameters are ":" and a word; the last segment may be ":word+". Sets `parameters` and `rest_of_path`. */
static bool take_parameters(struct mui_route *route)
{
  if (!route->rest)
    return true;
  for (const char *at = route->path; *at;) {
    struct mu_str text = segment(&at);
    if (!is_parameter(text))
      continue;
    route->rest_of_path = !*at && text.at[text.len - 1] == '+';
    text.len -= route->rest_of_path;
    for (size_t i = 1; i < text.len; i++)
      if (!isalnum((unsigned char)text.at[i]) && text.at[i] != '_')
        return false;
    if (text.len == 1 || ++route->parameters > MUI_ROUTE_PARAMETERS)
      return false;
  }
  return route->parameters == 0 || !route->prefix;
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
  return take_parameters(route);
}

/* Where the two first differ in kind, `a` has the literal segment. */
static bool more_literal(const struct mui_route *a, const struct mui_route *b)
{
  for (const char *x = a->path, *y = b->path; *x && *y;) {
    bool left = is_parameter(segment(&x)), right = is_parameter(segment(&y));
    if (left != right)
      return right;
  }
  return false;
}

static bool before(const struct mui_route *a, const struct mui_route *b)
{
  if (a->prefix != b->prefix)
    return b->prefix;
  if (a->prefix)
    return strlen(a->path) > strlen(b->path);
  if (a->rest_of_path != b->rest_of_path)
    return b->rest_of_path;
  if (!a->parameters != !b->parameters)
    return b->parameters;
  return a->parameters && more_literal(a, b);
}

/* The same requests match both, whatever their parameters are called. */
static bool same_path(const struct mui_route *a, const struct mui_route *b)
{
  if (a->prefix != b->prefix || a->parameters != b->parameters)
    return false;
  if (a->parameters == 0)
    return strcmp(a->path, b->path) == 0;
  const char *x = a->path, *y = b->path;
  while (*x && *y) {
    struct mu_str left = segment(&x), right = segment(&y);
    if (is_parameter(left) != is_parameter(right) || (!is_parameter(left) && !mu_str_equal(left, right)))
      return false;
  }
  return !*x && !*y;
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
    if (!overlap || !same_path(other, route))
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

bool mui_route_parameters(const struct mui_route *route, struct mu_str path, struct mu_str *values)
{
  const char *declared = route->path, *given = path.at, *end = path.at + path.len;
  unsigned n = 0;
  while (*declared && given < end) {
    struct mu_str name = segment(&declared);
    if (*given == '/')
      given++;
    bool whole = route->rest_of_path && !*declared;
    const char *slash = whole ? NULL : memchr(given, '/', (size_t)(end - given));
    struct mu_str value = {given, (size_t)((slash ? slash : end) - given)};
    given += value.len;
    if (whole && value.len > 1 && value.at[value.len - 1] == '/')
      value.len--; /* "/api/things/" is "/api/things" */
    if (!is_parameter(name)) {
      if (!mu_str_equal(name, value))
        return false;
    } else if (value.len == 0) {
      return false;
    } else if (values) {
      values[n++] = value;
    }
  }
  return !*declared && given == end;
}

static size_t slashes(const char *text, size_t len)
{
  size_t count = 0;
  for (size_t i = 0; i < len; i++)
    count += text[i] == '/';
  return count;
}

static bool matches(const struct mui_route *route, struct mu_str path, unsigned method)
{
  /* Below what it names there are other routes' paths: of these it says nothing for methods that it does not serve. */
  if (route->rest_of_path && method && !(route->methods & method) &&
      slashes(path.at, path.len) > slashes(route->path, strlen(route->path)))
    return false;
  if (route->parameters)
    return mui_route_parameters(route, path, NULL);
  size_t len = strlen(route->path);
  return (route->prefix ? path.len >= len : path.len == len) && memcmp(path.at, route->path, len) == 0;
}

enum mui_found mui_router_find(const struct mui_router *router, struct mu_str path, unsigned method,
                               const struct mui_listener *listener, struct mui_route **route, unsigned *allowed)
{
  struct mui_route *best = NULL; /* the first that knows the path; others may serve further methods of it */
  unsigned methods = 0;
  for (struct mui_route *at = router->first; at; at = at->next) {
    if (!matches(at, path, method) || (listener && !mui_listener_serves(listener, at->in)))
      continue;
    if (best && at->prefix && (!best->prefix || strlen(at->path) != strlen(best->path)))
      break;
    if (at->methods == method || (at->methods & method)) {
      *route = at;
      return MUI_ROUTE_FOUND;
    }
    if (!best)
      best = at;
    methods |= at->methods;
  }
  if (best)
    *route = best;
  if (allowed)
    *allowed = methods;
  return best ? MUI_ROUTE_METHOD : MUI_ROUTE_NONE;
}
