/* SPDX-License-Identifier: ISC */
/* Cards of dashboards. Errors are {"error":"text"}. */
#include <muster/json.h>
#include <stdlib.h>
#include <string.h>

#include "rest_wide.h"

enum { CARDS_MAX = 500 /* per user */, JSON_MAX = 16000 /* bytes of config and of position */ };

#define CARD "id, user_id, endpoint_id, device_id, card_type, data_key, title, config, position, created_at, updated_at"

static const struct mu_rest_field card_fields[] = {
    IS("id", STRING),       IS("userId", STRING),   MAY("endpointId", STRING), MAY("deviceId", STRING),
    IS("cardType", STRING), MAY("dataKey", STRING), IS("title", STRING),       IS("config", OBJECT),
    IS("position", OBJECT), IS("createdAt", TIME),  IS("updatedAt", TIME),
};

static int no_card(mu_http *request)
{
  return mu_rest_error(request, 404, "CARD_NOT_FOUND",
                       MU_WORDS("There is no such card of yours", "卡片不存在或不属于当前用户"));
}

static int no_place(mu_http *request, bool device)
{
  return device ? rest_no_device(request) : rest_no_endpoint(request);
}

/* ---- show ------------------------------------------------------------------------------------ */

static int on_cards(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  struct json_object *body = json_object_new_object();
  if (rest_add(body, "cards", rest_rows(result, card_fields, MU_COUNT(card_fields))))
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int list_cards(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct query query = QUERY_INIT;
  query_value(&query, "SELECT " CARD " FROM visualization_cards WHERE user_id = ?", mu_value_text(user));
  query_text_field(&query, request, "endpointId", " AND endpoint_id = ?");
  query_text_field(&query, request, "deviceId", " AND device_id = ?");
  query_value(&query, " ORDER BY created_at, id LIMIT ?", mu_value_int(CARDS_MAX));
  return query_read(self, request, &query, on_cards, NULL);
}

static int on_card(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return result->rows ? mu_rest_answer(request, 0, rest_row(result, 0, card_fields, MU_COUNT(card_fields)))
                      : no_card(request);
}

static int read_card(struct relay *relay, mu_http *request, struct mu_str id)
{
  const struct mu_value values[] = {mu_value_str(id), mu_value_text(rest_user(relay, request))};
  return rest_read(relay, request, REST_SQL("SELECT " CARD " FROM visualization_cards WHERE id = ? AND user_id = ?"),
                   REST_VALUES(values), on_card, NULL);
}

static int get_card(void *self, mu_http *request)
{
  return rest_user(self, request) ? read_card(self, request, mu_rest_param(request, "id")) : 0;
}

/* ---- make and change ------------------------------------------------------------------------- */

/* A card being made (new) or changed. */
struct card {
  char id[WIDE_ID_SIZE];
  bool is_new;
  mu_text *config, *position;
};

static void release_card(void *kept)
{
  struct card *card = kept;
  mu_text_unref(card->config);
  mu_text_unref(card->position);
}

/* The text of an object; `preset` when there is none and one is needed. False: answered. */
static bool take_object(mu_http *request, const char *field, bool needed, mu_text **out, int *answer)
{
  struct json_object *value = mu_rest_value(request, field);
  *out = value ? mu_json_text(value) : needed ? mu_text_new("{}", 2) : NULL;
  *answer = 0;
  if (!*out)
    *answer = value || needed ? MU_ENOMEM : 0;
  else if (mu_text_len(*out) > JSON_MAX)
    *answer = mu_rest_invalid(request, field, MU_WORDS("must have at most 16000 bytes", "不能超过 16000 字节"));
  return *answer == 0 && (!*out || mu_text_len(*out) <= JSON_MAX);
}

static int on_written(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct card *card = kept;
  if (result->error == MU_EREFUSED && card->is_new)
    return mu_rest_error(request, 400, "CARD_LIMIT_REACHED",
                         MU_WORDS("You have 500 cards, which is the most", "卡片数量已达上限"));
  if (result->error == MU_EREFUSED)
    return no_card(request);
  if (result->error != 0) /* what it names was deleted in between */
    return no_place(request, mu_rest_text(request, "deviceId") != NULL);
  return read_card(relay, request, mu_str(card->id));
}

static int insert_card(struct relay *relay, mu_http *request, const struct card *card, void *kept)
{
  struct mu_value now = mu_value_time(mu_now_ms()), user = mu_value_text(rest_user(relay, request));
  const struct mu_value values[] = {
      mu_value_text(card->id),
      user,
      mu_value_text(mu_rest_text(request, "endpointId")),
      mu_value_text(mu_rest_text(request, "deviceId")),
      mu_value_text(mu_rest_text(request, "cardType")),
      mu_value_text(mu_rest_text(request, "dataKey")),
      mu_value_text(mu_rest_text(request, "title")),
      mu_value_str(mu_text_str(card->config)),
      mu_value_str(mu_text_str(card->position)),
      now,
      now,
      user,
      mu_value_int(CARDS_MAX),
  };
#define INSERT "INSERT INTO visualization_cards (" CARD ") SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
#define ROOM "WHERE (SELECT COUNT(*) FROM visualization_cards c WHERE c.user_id = ?) < ?"
  const struct mu_statement statement = REST_STATEMENT(REST_SQL2(INSERT ROOM, INSERT "FROM DUAL " ROOM), values, 1);
  return rest_write(relay, request, &statement, 1, NULL, on_written, kept);
}

static void set_text(struct query *query, mu_http *request, const char *field, const char *text)
{
  if (mu_rest_given(request, field))
    query_value(query, text, mu_value_text(mu_rest_text(request, field)));
}

static int update_card(struct relay *relay, mu_http *request, const struct card *card, void *kept)
{
  struct query query = QUERY_INIT;
  query_value(&query, "UPDATE visualization_cards SET updated_at = ?", mu_value_time(mu_now_ms()));
  set_text(&query, request, "endpointId", ", endpoint_id = ?");
  set_text(&query, request, "deviceId", ", device_id = ?");
  set_text(&query, request, "cardType", ", card_type = ?");
  set_text(&query, request, "dataKey", ", data_key = ?");
  set_text(&query, request, "title", ", title = ?");
  if (card->config)
    query_value(&query, ", config = ?", mu_value_str(mu_text_str(card->config)));
  if (card->position)
    query_value(&query, ", position = ?", mu_value_str(mu_text_str(card->position)));
  query_value(&query, " WHERE id = ?", mu_value_text(card->id));
  query_value(&query, " AND user_id = ?", mu_value_text(rest_user(relay, request)));
  return query_write(relay, request, &query, 1, NULL, on_written, kept);
}

static int write_card(struct relay *relay, mu_http *request, void *kept)
{
  const struct card *card = kept;
  return card->is_new ? insert_card(relay, request, card, kept) : update_card(relay, request, card, kept);
}

/* Whether what the card shows is the caller's: endpoint and device, each NULL when it is not. */
static int on_places(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  if (mu_rest_text(request, "endpointId") && mu_result_at(result, 0, 0)->type == MU_VALUE_NULL)
    return no_place(request, false);
  if (mu_rest_text(request, "deviceId") && mu_result_at(result, 0, 1)->type == MU_VALUE_NULL)
    return no_place(request, true);
  return write_card(relay, request, kept);
}

static int take_card(struct relay *relay, mu_http *request, bool is_new)
{
  const char *user = rest_user(relay, request);
  if (!user)
    return 0;
  struct card *card = rest_keep(sizeof *card, release_card);
  if (!card)
    return MU_ENOMEM;
  int answer = 0;
  card->is_new = is_new;
  if (!take_object(request, "config", is_new, &card->config, &answer) ||
      !take_object(request, "position", is_new, &card->position, &answer)) {
    rest_drop(card);
    return answer;
  }
  struct mu_str id = mu_rest_param(request, "id");
  if (is_new ? relay_uuid(card->id) != 0 : id.len >= sizeof card->id) {
    rest_drop(card);
    return is_new ? MU_EIO : no_card(request);
  }
  if (!is_new)
    memcpy(card->id, id.at, id.len);
  const char *endpoint = mu_rest_text(request, "endpointId"), *device = mu_rest_text(request, "deviceId");
  if (!endpoint && !device)
    return write_card(relay, request, card);
  /* The device must be of that endpoint, when both are named. */
  const struct mu_value values[] = {mu_value_text(endpoint),        mu_value_text(user),
                                    mu_value_text(device),          mu_value_text(user),
                                    mu_value_int(endpoint == NULL), mu_value_text(endpoint)};
  return rest_read(
      relay, request,
      REST_SQL("SELECT (SELECT id FROM endpoints WHERE id = ? AND user_id = ?), (SELECT d.id FROM devices d "
               "JOIN endpoints e ON e.id = d.endpoint_id WHERE d.id = ? AND e.user_id = ? AND "
               "(? = 1 OR e.id = ?))"),
      REST_VALUES(values), on_places, card);
}

static int post_card(void *self, mu_http *request)
{
  return take_card(self, request, true);
}

static int put_card(void *self, mu_http *request)
{
  return take_card(self, request, false);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static int on_deleted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error != 0)
    return no_card(request);
  struct json_object *body = json_object_new_object();
  const char *message = mu_rest_words(request, MU_WORDS("Card deleted successfully", "卡片已删除"));
  if (rest_add(body, "success", json_object_new_boolean(true)) &&
      rest_add(body, "message", json_object_new_string(message)))
    return mu_rest_answer(request, 0, body);
  json_object_put(body);
  return MU_ENOMEM;
}

static int delete_card(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  const struct mu_statement statement =
      REST_STATEMENT(REST_SQL("DELETE FROM visualization_cards WHERE id = ? AND user_id = ?"), values, 1);
  return rest_write(self, request, &statement, 1, NULL, on_deleted, NULL);
}

/* ---- routes ---------------------------------------------------------------------------------- */

#define PLACE                                                                                                          \
  {.name = "endpointId",                                                                                               \
   .also = "endpoint_id",                                                                                              \
   .type = MU_REST_STRING,                                                                                             \
   .flags = MU_REST_NULLABLE,                                                                                          \
   .min = 1,                                                                                                           \
   .max = 191,                                                                                                         \
   .help = "One of the caller's endpoints"},                                                                           \
  {                                                                                                                    \
    .name = "deviceId", .also = "device_id", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .min = 1, .max = 191,  \
    .help = "A device of the caller's, by its id"                                                                      \
  }
#define CARD_BODY(needed)                                                                                              \
  {.name = "cardType", .also = "card_type", .type = MU_REST_STRING, .flags = needed, .min = 1, .max = 50},             \
      {.name = "dataKey", .also = "data_key", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .max = 100},          \
      {.name = "title", .type = MU_REST_STRING, .flags = needed, .min = 1, .max = 100},                                \
      {.name = "config", .type = MU_REST_OBJECT, .help = "At most 16000 bytes; default: {}"},                          \
  {                                                                                                                    \
    .name = "position", .type = MU_REST_OBJECT, .help = "At most 16000 bytes; default: {}"                             \
  }

static const struct mu_rest_field list_query[] = {
    {.name = "endpointId", .also = "endpoint_id", .type = MU_REST_STRING, .help = "Only cards of this endpoint"},
    {.name = "deviceId", .also = "device_id", .type = MU_REST_STRING, .help = "Only cards of this device"}};
static const struct mu_rest_field post_body[] = {PLACE, CARD_BODY(MU_REST_REQUIRED)};
static const struct mu_rest_field put_body[] = {PLACE, CARD_BODY(0)};
static const struct mu_rest_field list_answer[] = {IS("cards", ARRAY, .fields = MU_REST_FIELDS(card_fields))};
static const struct mu_rest_field delete_answer[] = {IS("success", BOOLEAN), IS("message", STRING)};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/visualization/cards", USER, list_cards, .summary = "The caller's cards, oldest first",
            .query = MU_REST_FIELDS(list_query), .answer = MU_REST_FIELDS(list_answer), .errors = MU_REST_ERRORS_TEXT),
    MU_REST(POST, "/api/visualization/cards", USER, post_card, .summary = "Makes a card; at most 500 per user",
            .body = MU_REST_FIELDS(post_body), .answer = MU_REST_FIELDS(card_fields), .status = 201,
            .errors = MU_REST_ERRORS_TEXT),
    MU_REST(GET, "/api/visualization/cards/:id", USER, get_card, .summary = "One of the caller's cards",
            .owner = "card", .answer = MU_REST_FIELDS(card_fields), .errors = MU_REST_ERRORS_TEXT),
    MU_REST(PUT, "/api/visualization/cards/:id", USER, put_card, .summary = "Changes what is given of a card",
            .owner = "card", .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(card_fields),
            .errors = MU_REST_ERRORS_TEXT),
    MU_REST(PATCH, "/api/visualization/cards/:id", USER, put_card, .summary = "As PUT", .owner = "card",
            .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(card_fields), .errors = MU_REST_ERRORS_TEXT),
    MU_REST(DELETE, "/api/visualization/cards/:id", USER, delete_card, .summary = "Deletes a card", .owner = "card",
            .answer = MU_REST_FIELDS(delete_answer), .errors = MU_REST_ERRORS_TEXT),
};

const struct rest_part rest_cards_part = REST_PART(routes);
