/* SPDX-License-Identifier: ISC */
/* REST APIs: tables of plugins become routes. What contradicts itself is refused here, not at a request. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <muster/log.h>
#include "net/rest.h"

enum { MAX_BODY = 100 * 1024, IGNORED_BODY = 1024, MAX_DEPTH = 8, MAX_REPEAT = 255 };

#define FIELD_LEAST (offsetof(struct mu_rest_field, words) + sizeof(struct mu_words))
#define ROUTE_LEAST (offsetof(struct mu_rest_route, rate) + sizeof(struct mu_rest_rate))

/* Who declares the tables that are being compiled. */
struct compiler {
  mu_instance *in;
  size_t field_size;
  const char *path;
};

static int contradicts(const struct compiler *c, const char *field, const char *what)
{
  mu_log(c->in, MU_LOG_ERROR, "REST route %s%s%s: %s", c->path, field ? ", " : "", field ? field : "", what);
  return MU_EINVAL;
}

/* ---- fields ---------------------------------------------------------------------------------- */

void mui_rest_table_free(struct mui_rest_table *table)
{
  for (size_t i = 0; i < table->count; i++) {
    struct mui_rest_field *field = &table->fields[i];
    if (field->pattern) {
      regfree(field->pattern);
      free(field->pattern);
    }
    mui_rest_table_free(&field->members);
  }
  free(table->fields);
}

/*
 * The library's matcher needs time that grows with the text alone, unless an expression looks back at what it matched; and memory that
 * grows with the repetitions written out.
 */
static bool is_tame(const char *pattern)
{
  for (const char *at = pattern; *at; at++) {
    if (*at == '\\') {
      if (at[1] == '\0' || (at[1] >= '0' && at[1] <= '9'))
        return false;
      at++;
    } else if (*at == '{' && (strtoul(at + 1, NULL, 10) > MAX_REPEAT ||
                              (strchr(at, ',') && strtoul(strchr(at, ',') + 1, NULL, 10) > MAX_REPEAT))) {
      return false;
    }
  }
  return true;
}

static int compile_pattern(const struct compiler *c, struct mui_rest_field *field)
{
  const char *pattern = field->is.pattern;
  if (!is_tame(pattern))
    return contradicts(c, field->is.name, "its pattern looks back, or repeats more than 255 times");
  size_t size = strlen(pattern) + 5;
  MU_AUTO_FREE char *whole = malloc(size);
  field->pattern = calloc(1, sizeof *field->pattern);
  if (!whole || !field->pattern)
    return MU_ENOMEM;
  snprintf(whole, size, "^(%s)$", pattern);
  if (regcomp(field->pattern, whole, REG_EXTENDED | REG_NOSUB) == 0)
    return 0;
  free(field->pattern);
  field->pattern = NULL;
  return contradicts(c, field->is.name, "its pattern is no POSIX extended regular expression");
}

static int check_field(const struct compiler *c, const struct mu_rest_field *is, bool query)
{
  bool text = is->type == MU_REST_STRING;
  if (!is->name || !*is->name)
    return contradicts(c, NULL, "a field has no name");
  if (is->type > MU_REST_ARRAY || is->item > MU_REST_ARRAY)
    return contradicts(c, is->name, "it has no type that exists");
  if (isnan(is->min) || isnan(is->max) || is->min > is->max)
    return contradicts(c, is->name, "min is more than max");
  if (!text && (is->one_of || is->pattern || is->check))
    return contradicts(c, is->name, "words, patterns and checks are for strings");
  if (is->one_of && !is->one_of[0])
    return contradicts(c, is->name, "no word is allowed");
  if (is->fields.count && is->type != MU_REST_OBJECT && is->type != MU_REST_ARRAY)
    return contradicts(c, is->name, "only objects and arrays have members");
  if (query &&
      (is->type == MU_REST_OBJECT || is->fields.count || (is->type == MU_REST_ARRAY && is->item >= MU_REST_OBJECT)))
    return contradicts(c, is->name, "a query cannot say that");
  return 0;
}

static bool is_taken(const struct mui_rest_table *table, const char *name)
{
  for (size_t i = 0; i < table->count; i++)
    if (strcmp(table->fields[i].is.name, name) == 0 ||
        (table->fields[i].is.also && strcmp(table->fields[i].is.also, name) == 0))
      return true;
  return false;
}

static int compile_table(const struct compiler *c, struct mu_rest_fields declared, bool query, unsigned depth,
                         struct mui_rest_table *table)
{
  if (declared.count == 0)
    return 0;
  if (depth > MAX_DEPTH || !declared.table)
    return contradicts(c, NULL, "a table of fields is not there, or too deep");
  table->fields = calloc(declared.count, sizeof *table->fields);
  if (!table->fields)
    return MU_ENOMEM;
  for (size_t i = 0; i < declared.count; i++) {
    struct mui_rest_field *field = &table->fields[i];
    const char *from = (const char *)declared.table + i * c->field_size;
    memcpy(&field->is, from, c->field_size < sizeof field->is ? c->field_size : sizeof field->is);
    int error = check_field(c, &field->is, query);
    if (!error && (is_taken(table, field->is.name) || (field->is.also && is_taken(table, field->is.also))))
      error = contradicts(c, field->is.name, "two fields have this name");
    table->count++;
    if (!error && field->is.pattern)
      error = compile_pattern(c, field);
    if (!error)
      error = compile_table(c, field->is.fields, query, depth + 1, &field->members);
    if (error)
      return error;
  }
  return 0;
}

int mui_rest_compile(mu_instance *in, struct mu_rest_fields declared, size_t field_size, const char *path,
                     struct mui_rest_table *table)
{
  struct compiler c = {.in = in, .field_size = field_size, .path = path};
  return compile_table(&c, declared, false, 1, table);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static int check_route(const struct compiler *c, const struct mu_rest_route *is)
{
  unsigned method = is->method;
  if (method != MU_HTTP_GET && method != MU_HTTP_POST && method != MU_HTTP_PUT && method != MU_HTTP_PATCH &&
      method != MU_HTTP_DELETE)
    return contradicts(c, NULL, "it has no method");
  if (is->access < MU_ACCESS_PUBLIC || is->access > MU_ACCESS_ADMIN)
    return contradicts(c, NULL, "it has no access rule");
  if (!is->handle)
    return contradicts(c, NULL, "nobody handles it");
  size_t len = strlen(is->path);
  if (is->path[0] != '/' || is->path[len - 1] == '*')
    return contradicts(c, NULL, "a path begins with '/', and is no prefix");
  if (method == MU_HTTP_GET && (is->body.count || is->max_body))
    return contradicts(c, NULL, "GET has no body");
  if (is->owner && (is->access == MU_ACCESS_PUBLIC || !strstr(is->path, "/:")))
    return contradicts(c, NULL, "only what a parameter names can have an owner, and only somebody can be one");
  if (is->status != 0 && (is->status < 200 || is->status > 299))
    return contradicts(c, NULL, "its status is no success");
  if (is->errors > MU_REST_ERRORS_TEXT)
    return contradicts(c, NULL, "it has no form of errors that exists");
  if (is->rate.count && (!is->rate.window_s || !is->rate.name))
    return contradicts(c, NULL, "its rate limit has no name or no window");
  return 0;
}

static int join_rate(const struct compiler *c, struct mui_rest_row *row)
{
  struct mui_rest_set *set = row->set;
  bool same;
  if (!row->is.rate.count)
    return 0;
  for (struct mui_rest_rate *rate = set->rates; rate; rate = *mui_rest_rate_next(rate)) {
    if (!mui_rest_rate_is(rate, &row->is.rate, &same))
      continue;
    row->rate = rate;
    return same ? 0 : contradicts(c, NULL, "another route has the same rate limit with other numbers");
  }
  row->rate = mui_rest_rate_new(&row->is.rate);
  if (!row->rate)
    return MU_ENOMEM;
  *mui_rest_rate_next(row->rate) = set->rates;
  set->rates = row->rate;
  return 0;
}

static int compile_row(struct mui_rest_set *set, const struct mu_rest_api *api, size_t n)
{
  struct mui_rest_row *row = &set->rows[n];
  struct compiler c = {.in = set->in, .field_size = api->field_size};
  memcpy(&row->is, (const char *)api->routes + n * api->route_size,
         api->route_size < sizeof row->is ? api->route_size : sizeof row->is);
  row->set = set;
  c.path = row->is.path;
  if (!c.path || !*c.path) {
    c.path = "?";
    return contradicts(&c, NULL, "it has no path");
  }
  int error = check_route(&c, &row->is);
  if (!error)
    error = compile_table(&c, row->is.query, true, 1, &row->query);
  if (!error)
    error = compile_table(&c, row->is.body, false, 1, &row->body);
  if (!error)
    error = compile_table(&c, row->is.answer, false, 1, &row->answer);
  for (size_t i = 0; !error && i < row->query.count; i++)
    if (is_taken(&row->body, row->query.fields[i].is.name))
      error = contradicts(&c, row->query.fields[i].is.name, "both body and query have it");
  return error ? error : join_rate(&c, row);
}

static void free_set(struct mui_rest_set *set)
{
  for (size_t i = 0; i < set->count; i++) {
    mui_rest_table_free(&set->rows[i].query);
    mui_rest_table_free(&set->rows[i].body);
    mui_rest_table_free(&set->rows[i].answer);
  }
  while (set->rates) {
    struct mui_rest_rate *rate = set->rates;
    set->rates = *mui_rest_rate_next(rate);
    mui_rest_rate_free(rate);
  }
  free(set->rows);
  free(set);
}

static void forget_description(struct mui_net_rest *rest)
{
  mu_text_unref(rest->description);
  rest->description = NULL;
  rest->described_for = NULL;
}

/* The instance stops; its routes, registered later, are gone already. */
static void revoke_set(struct mui_resource *resource)
{
  struct mui_rest_set *set = (struct mui_rest_set *)resource;
  struct mui_net_rest *rest = set->in->runtime->net->rest;
  mui_resource_del(resource);
  for (struct mui_rest_set **at = &rest->sets; *at; at = &(*at)->next)
    if (*at == set) {
      *at = set->next;
      break;
    }
  forget_description(rest);
  free_set(set);
}

static int add_routes(struct mui_rest_set *set, void *self)
{
  for (size_t i = 0; i < set->count; i++) {
    struct mui_rest_row *row = &set->rows[i];
    size_t max_body = row->is.max_body                ? row->is.max_body
                      : row->body.count               ? MAX_BODY
                      : row->is.method == MU_HTTP_GET ? 0
                                                      : IGNORED_BODY;
    struct mu_http_route route = {.size = sizeof route,
                                  .path = row->is.path,
                                  .methods = row->is.method,
                                  .access = row->is.access,
                                  .max_body = max_body,
                                  .handle = row->is.handle};
    int error = mui_http_route_add(set->in, &route, self, NULL, row, NULL);
    if (error)
      return error;
  }
  return 0;
}

/* ---- the description ------------------------------------------------------------------------- */

static int on_describe(void *self, mu_http *request)
{
  struct mui_net *net = self;
  struct mui_net_rest *rest = net->rest;
  const struct mui_listener *listener = mui_session_of(request->wsi)->listener;
  if (!rest->description || rest->described_for != listener) {
    forget_description(rest);
    rest->description = mui_rest_describe(net, listener);
    rest->described_for = listener;
  }
  if (!rest->description)
    return MU_ENOMEM;
  return mu_http_answer(request, 200, "application/json; charset=utf-8", rest->description);
}

static int offer_description(struct mui_net *net)
{
  static const struct mu_http_route route = {.size = sizeof route,
                                             .path = "/api/openapi.json",
                                             .methods = MU_HTTP_GET,
                                             .access = MU_ACCESS_PUBLIC,
                                             .handle = on_describe};
  if (net->rest->described)
    return 0;
  int error = mu_http_route(net->runtime->core, &route, net);
  net->rest->described = error == 0;
  return error;
}

int mu_rest_serve(mu_instance *in, const struct mu_rest_api *api, void *self)
{
  struct mui_net *net = in->runtime->net;
  if (!net || api->size < offsetof(struct mu_rest_api, field_size) + sizeof api->field_size ||
      api->route_size < ROUTE_LEAST || api->field_size < FIELD_LEAST || !api->routes || !api->title) {
    mu_log(in, MU_LOG_ERROR, "a REST API needs a server around it, a title, routes and sizes");
    return MU_EINVAL;
  }
  struct mui_rest_set *set = calloc(1, sizeof *set);
  if (!set || !(set->rows = calloc(api->count + 1, sizeof *set->rows))) {
    free(set);
    return MU_ENOMEM;
  }
  set->in = in;
  set->title = api->title;
  int error = 0;
  for (size_t i = 0; !error && i < api->count; i++) {
    set->count++;
    error = compile_row(set, api, i);
  }
  if (error) {
    free_set(set);
    return error;
  }
  struct mui_rest_set **end = &net->rest->sets;
  while (*end)
    end = &(*end)->next;
  *end = set;
  forget_description(net->rest);
  mui_resource_add(in, &set->resource, revoke_set);
  error = add_routes(set, self);
  return error ? error : offer_description(net);
}

/* Another may get its memory, and would be described as this one was. */
void mui_net_rest_unlisten(struct mui_net *net, const struct mui_listener *listener)
{
  if (net->rest && net->rest->described_for == listener)
    forget_description(net->rest);
}

int mui_net_rest_init(struct mui_net *net)
{
  net->rest = calloc(1, sizeof *net->rest);
  return net->rest ? 0 : MU_ENOMEM;
}

void mui_net_rest_fini(struct mui_net *net)
{
  if (!net->rest)
    return;
  forget_description(net->rest);
  free(net->rest);
  net->rest = NULL;
}
