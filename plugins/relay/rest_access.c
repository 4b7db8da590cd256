/* SPDX-License-Identifier: ISC */
/* Who may connect to an endpoint: Muster's own addition, in a table of its own. */
#include <stdlib.h>
#include <string.h>

#include "rest.h"

enum { TOKEN_LEN = 32, ORIGINS_MAX = 50, ORIGIN_MAX = 300 };

static const char *const kinds[] = {"open", "token", "user", NULL};

struct setting {
  struct rest_change change; /* first: rest_changed() reads it */
  char token[TOKEN_LEN + 1];
  char digest[RELAY_TOKEN_DIGEST_SIZE];
};

static void release_setting(void *kept)
{
  struct setting *setting = kept;
  free(setting->change.endpoint_uuid);
  json_object_put(setting->change.body);
  mu_secret_wipe(setting, sizeof *setting);
}

/* ---- showing --------------------------------------------------------------------------------- */

/* A row: access, token's digest, origins. Or none: as it is when nobody chose. `token` NULL: it is not told. */
static struct json_object *access_json(const struct mu_result *result, const char *token)
{
  const struct mu_value *access = mu_result_at(result, 0, 0), *digest = mu_result_at(result, 0, 1);
  struct json_object *origins = rest_value(mu_result_at(result, 0, 2), MU_REST_ARRAY);
  if (!json_object_is_type(origins, json_type_array)) {
    json_object_put(origins);
    origins = json_object_new_array();
  }
  struct json_object *made = json_object_new_object();
  bool good =
      rest_add(made, "access",
               access->type == MU_VALUE_TEXT ? rest_value(access, MU_REST_STRING) : json_object_new_string("open"));
  good = rest_add(made, "allowed_origins", origins) && good;
  good = rest_add(made, "has_token", json_object_new_boolean(digest->type == MU_VALUE_TEXT)) && good;
  if (token)
    good = rest_add(made, "token", json_object_new_string(token)) && good;
  if (good)
    return rest_wrap(made);
  json_object_put(made);
  return NULL;
}

#define SELECT_ACCESS "SELECT access, token_sha256, origins FROM muster_endpoint_access WHERE endpoint_id = ?"

static int on_access(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return mu_rest_answer(request, 0, access_json(result, NULL));
}

static int on_get(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  const struct mu_value values[] = {*mu_result_at(result, 0, REST_ENDPOINT_ID)};
  return rest_read(relay, request, REST_SQL(SELECT_ACCESS), REST_VALUES(values), on_access, NULL);
}

static int get_access(void *self, mu_http *request)
{
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_get, NULL);
}

/* ---- setting --------------------------------------------------------------------------------- */

/*
 * What is not given stays. A token is made when one is asked for, or when it becomes needed and there is none. MariaDB sets members in this order and
 * reads those already set as new, SQLite reads all as old: COALESCE gives both the same.
 */
#define UPSERT_HEAD                                                                                                    \
  "INSERT INTO muster_endpoint_access (endpoint_id, access, token_sha256, origins, updated_at) VALUES (?, ?, ?, ?, "   \
  "?) "
#define UPSERT_SET                                                                                                     \
  "access = COALESCE(?, access), token_sha256 = CASE WHEN ? = 1 OR (COALESCE(?, access) = 'token' AND token_sha256 "   \
  "IS NULL) THEN ? ELSE token_sha256 END, origins = CASE WHEN ? = 1 THEN ? ELSE origins END, updated_at = ?"
static const struct mu_sql upsert_sql = {.sqlite = UPSERT_HEAD "ON CONFLICT (endpoint_id) DO UPDATE SET " UPSERT_SET,
                                         .mariadb = UPSERT_HEAD "ON DUPLICATE KEY UPDATE " UPSERT_SET};

static int on_set(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct setting *setting = kept;
  if (result->error == MU_EREFUSED || result->error == MU_ENOENT)
    return rest_no_endpoint(request);
  if (result->error)
    return result->error;
  bool new_token = mu_str_equal(mu_result_at(result, 0, 1)->text, mu_str(setting->digest));
  setting->change.body = access_json(result, new_token ? setting->token : NULL);
  return rest_refresh(relay, request, setting->change.endpoint_uuid, rest_answer_change, setting);
}

static struct setting *setting_new(const struct mu_result *result)
{
  struct setting *setting = rest_keep(sizeof *setting, release_setting);
  if (!setting)
    return NULL;
  setting->change.endpoint_uuid = rest_text(mu_result_at(result, 0, REST_ENDPOINT_ID));
  if (setting->change.endpoint_uuid && relay_random_id(setting->token, TOKEN_LEN) == 0 &&
      relay_digest(mu_str(setting->token), setting->digest) == 0)
    return setting;
  rest_drop(setting);
  return NULL;
}

static int on_put(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)kept;
  struct setting *setting = setting_new(result);
  if (!setting)
    return MU_ENOMEM;
  struct json_object *list = mu_rest_value(request, "allowed_origins");
  const char *access = mu_rest_text(request, "access");
  bool asked = mu_rest_int(request, "new_token", 0) != 0;
  bool needed = asked || (access && strcmp(access, "token") == 0);
  const struct mu_value id = *mu_result_at(result, 0, REST_ENDPOINT_ID), now = mu_value_time(mu_now_ms());
  const struct mu_value origins = mu_value_text(
      list && json_object_array_length(list) > 0 ? json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN) : NULL);
  const struct mu_value digest = mu_value_text(setting->digest);
  const struct mu_value values[] = {
      id,
      mu_value_text(access ? access : "open"),
      needed ? digest : mu_value_null(),
      origins,
      now,
      /* when there is a row */
      mu_value_text(access),
      mu_value_int(asked),
      mu_value_text(access),
      digest,
      mu_value_int(list != NULL),
      origins,
      now,
  };
  const struct mu_value shown[] = {id};
  const struct mu_statement statements[] = {
      /* MariaDB's table has no foreign key: of an endpoint that was deleted in between nothing may be left. Matched counts. */
      REST_STATEMENT(REST_SQL("UPDATE endpoints SET is_disabled = is_disabled WHERE id = ?"), shown, 1),
      REST_STATEMENT(upsert_sql, values, MU_ANY_ROWS),
      REST_STATEMENT(REST_SQL(SELECT_ACCESS), shown, MU_ANY_ROWS),
  };
  return rest_write(relay, request, statements, MU_COUNT(statements), rest_changed, on_set, setting);
}

/* "https://example.org:8443", as browsers send it; nothing that could stand for several. */
static bool is_origin(const char *text)
{
  const char *at = strstr(text, "://");
  if (strcmp(text, "null") == 0)
    return true;
  if (!at || at == text || !at[3] || strlen(text) > ORIGIN_MAX)
    return false;
  for (const char *c = text; c < at; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("+-.", *c)))
      return false;
  for (const char *c = at + 3; *c; c++)
    if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("/?#@*\\\"'", *c))
      return false;
  return true;
}

static int put_access(void *self, mu_http *request)
{
  struct json_object *list = mu_rest_value(request, "allowed_origins");
  for (size_t i = 0; list && i < json_object_array_length(list); i++)
    if (!is_origin(json_object_get_string(json_object_array_get_idx(list, i))))
      return mu_rest_invalid(
          request, "allowed_origins",
          MU_WORDS("must be origins: \"https://example.org\", with a port if need be, without a path",
                   "必须是来源列表,例如 \"https://example.org\",不含路径"));
  return rest_own_endpoint(self, request, mu_rest_param(request, "id"), on_put, NULL);
}

/* ---- routes ---------------------------------------------------------------------------------- */

#define ACCESS_FIELDS                                                                                                  \
  {.name = "access",                                                                                                   \
   .type = MU_REST_STRING,                                                                                             \
   .flags = MU_REST_REQUIRED,                                                                                          \
   .one_of = kinds,                                                                                                    \
   .help = "open: who knows the address; token: and the token; user: and is the owner"},                               \
      {.name = "allowed_origins",                                                                                      \
       .type = MU_REST_ARRAY,                                                                                          \
       .flags = MU_REST_REQUIRED,                                                                                      \
       .max = ORIGINS_MAX,                                                                                             \
       .item = MU_REST_STRING,                                                                                         \
       .help = "Pages that may connect; empty: any. Programs that are no pages send no Origin and may always"},        \
  {                                                                                                                    \
    .name = "has_token", .type = MU_REST_BOOLEAN, .flags = MU_REST_REQUIRED                                            \
  }

static const struct mu_rest_field shown_fields[] = {ACCESS_FIELDS};
static const struct mu_rest_field set_fields[] = {
    ACCESS_FIELDS,
    {.name = "token", .type = MU_REST_STRING, .help = "A token that was made just now. It is not shown again."},
};
static const struct mu_rest_field shown_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(shown_fields)},
};
static const struct mu_rest_field set_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .flags = MU_REST_REQUIRED, .fields = MU_REST_FIELDS(set_fields)},
};
static const struct mu_rest_field access_body[] = {
    {.name = "access", .type = MU_REST_STRING, .one_of = kinds},
    {.name = "allowed_origins", .type = MU_REST_ARRAY, .max = ORIGINS_MAX, .item = MU_REST_STRING},
    {.name = "new_token", .type = MU_REST_BOOLEAN, .help = "Makes a token; one from before no longer holds"},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/endpoints/:id/access", USER, get_access, .summary = "Who may connect to an endpoint",
            .owner = "endpoint", .answer = MU_REST_FIELDS(shown_answer)),
    MU_REST(PUT, "/api/endpoints/:id/access", USER, put_access,
            .summary = "Sets who may connect; what is not given stays. Open connections that no longer may are closed",
            .owner = "endpoint", .body = MU_REST_FIELDS(access_body), .answer = MU_REST_FIELDS(set_answer)),
};

const struct rest_part rest_access = REST_PART(routes);
