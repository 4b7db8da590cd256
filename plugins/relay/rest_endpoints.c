/* SPDX-License-Identifier: ISC */
/* Endpoints: list, make, show, delete, how they forward; statistics and messages. */
#include <string.h>

#include "rest.h"

static const char *const modes[] = {"DIRECT", "JSON", "CUSTOM_HEADER", NULL};

const struct mu_rest_field rest_endpoint_fields[REST_ENDPOINT_FIELDS] = {
    {.name = "id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "endpoint_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .help = "The last part of its address"},
    {.name = "name", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "user_id", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
    {.name = "forwarding_mode", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .one_of = modes},
    {.name = "custom_header", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "created_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED},
    {.name = "last_active_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "is_disabled", .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED},
    {.name = "disabled_at", .type = MU_REST_TIME, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "disabled_reason", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "disabled_by", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_NULLABLE},
    {.name = "websocket_url", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED},
};

/* A Host that may stand in an address. */
static bool is_host(struct mu_str host)
{
  for (size_t i = 0; i < host.len; i++)
    if (!((host.at[i] >= 'a' && host.at[i] <= 'z') || (host.at[i] >= 'A' && host.at[i] <= 'Z') ||
          (host.at[i] >= '0' && host.at[i] <= '9') || strchr(".-:[]", host.at[i])))
      return false;
  return host.len > 0;
}

struct json_object *rest_websocket_url(const struct relay *relay, mu_http *request, struct mu_str key)
{
  struct mu_buf url = MU_BUF_INIT;
  struct mu_str host, scheme;
  mu_buf_adds(&url, relay->config->websocket_base_url);
  if (url.len == 0 && mu_http_header(request, "host", &host) && is_host(host)) {
    bool safe = mu_http_header(request, "x-forwarded-proto", &scheme) && mu_str_equal_nocase(scheme, MU_STR("https"));
    mu_buf_printf(&url, "%s%.*s", safe ? "wss://" : "ws://", (int)host.len, host.at);
  }
  mu_buf_printf(&url, "/ws/%.*s", (int)key.len, key.at);
  struct json_object *made = url.failed ? NULL : json_object_new_string_len(url.at, (int)url.len);
  mu_buf_free(&url);
  return made;
}

/* A row of REST_ENDPOINT_SELECT as E. */
static struct json_object *endpoint_json(struct relay *relay, mu_http *request, const struct mu_result *result,
                                         size_t row)
{
  struct json_object *made = rest_row(result, row, rest_endpoint_fields, REST_ENDPOINT_COLUMNS);
  struct json_object *url = rest_websocket_url(relay, request, mu_result_at(result, row, REST_ENDPOINT_KEY)->text);
  if (made && url && rest_add(made, "websocket_url", url))
    return made;
  json_object_put(made ? NULL : url);
  json_object_put(made);
  return NULL;
}

static int on_endpoint(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  return mu_rest_answer(request, 0, rest_data("endpoint", endpoint_json(relay, request, result, 0)));
}

static int get_endpoint(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_endpoint, NULL);
}

static const struct mu_rest_field endpoint_data[] = {
    {.name = "endpoint",
     .type = MU_REST_OBJECT,
     .flags = MU_REST_REQUIRED,
     .fields = MU_REST_FIELDS(rest_endpoint_fields)},
};
static const struct mu_rest_field endpoint_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(endpoint_data)},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/endpoints/:id", USER, get_endpoint, .summary = "One of the caller's endpoints",
            .owner = "endpoint", .answer = MU_REST_FIELDS(endpoint_answer)),
};

const struct rest_part rest_endpoints = REST_PART(routes);
