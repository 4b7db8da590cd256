/* SPDX-License-Identifier: ISC */
/* Groups of devices of an endpoint: list, make, change, delete, members, and what their devices measured in a day. */
#include "rest_groups.h"

#include <stdlib.h>
#include <string.h>

enum { GROUPS_MAX = 20 /* per user */, DAY_MS = 86400000, KEYS_MAX = 1000 };

#define COUNT "(SELECT COUNT(*) FROM device_group_members m WHERE m.group_id = g.id) AS device_count"

static const struct mu_rest_field group_fields[] = {
    IS("id", STRING),           IS("user_id", STRING),       IS("endpoint_id", STRING), IS("group_name", STRING),
    MAY("description", STRING), IS("device_count", INTEGER), IS("created_at", TIME),    IS("updated_at", TIME)};
static const struct mu_rest_field listed_fields[] = {IS("id", STRING),
                                                     IS("group_name", STRING),
                                                     IS("endpoint_id", STRING),
                                                     IS("endpoint_name", STRING),
                                                     IS("device_count", INTEGER),
                                                     IS("created_at", TIME)};
static const struct mu_rest_field device_fields[] = {IS("id", STRING), IS("device_id", STRING),
                                                     IS("custom_name", STRING), IS("last_connected_at", TIME)};

int group_none(mu_http *request)
{
  return mu_rest_error(request, 404, "GROUP_NOT_FOUND", MU_WORDS("There is no such device group", "设备分组不存在"));
}

/* ---- list and show --------------------------------------------------------------------------- */

static struct json_object *listed(const struct mu_result *result, size_t row, size_t from)
{
  return rest_row_from(result, row, from, listed_fields, MU_COUNT(listed_fields));
}

static int on_groups(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  struct page page = page_of(request, 10);
  struct json_object *data = json_object_new_object(), *groups = page_list(result, listed);
  if (groups && rest_add(data, "groups", groups) && rest_add(data, "page", json_object_new_int64(page.number)) &&
      rest_add(data, "page_size", json_object_new_int64(page.size)) &&
      rest_add(data, "total", json_object_new_int64(page_total(result))))
    return mu_rest_answer(request, 0, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

static int list_groups(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct query where = QUERY_INIT, query = QUERY_INIT;
  query_value(&where, " WHERE g.user_id = ?", mu_value_text(user));
  query_text_field(&where, request, "endpoint_id", " AND g.endpoint_id = ?");
  query_page(&query, "g.id, g.group_name, g.endpoint_id, e.name AS endpoint_name, " COUNT ", g.created_at",
             "device_groups g JOIN endpoints e ON e.id = g.endpoint_id", &where, "created_at DESC, id",
             page_of(request, 10));
  query_free(&where);
  return query_read(self, request, &query, on_groups, NULL);
}

struct shown {
  struct json_object *data;
};

static void release_shown(void *kept)
{
  json_object_put(((struct shown *)kept)->data);
}

static int on_members(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  struct shown *shown = kept;
  if (!rest_add(shown->data, "device_count", json_object_new_int64((int64_t)result->rows)) ||
      !rest_add(shown->data, "devices", rest_rows(result, device_fields, MU_COUNT(device_fields))))
    return MU_ENOMEM;
  return mu_rest_answer(request, 0, rest_wrap(json_object_get(shown->data)));
}

static int on_group(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  /* device_count has its place before created_at; on_members() sets it. */
  static const struct mu_rest_field fields[] = {
      IS("id", STRING),          IS("group_name", STRING),    MAY("description", STRING),
      IS("endpoint_id", STRING), IS("endpoint_name", STRING), IS("device_count", INTEGER),
      IS("created_at", TIME)};
  struct shown *shown = kept;
  if (result->rows == 0)
    return group_none(request);
  shown->data = rest_row(result, 0, fields, MU_COUNT(fields));
  if (!shown->data)
    return MU_ENOMEM;
  const struct mu_value values[] = {*mu_result_at(result, 0, 0)};
  return rest_read(relay, request,
                   REST_SQL("SELECT d.id, d.device_id, d.custom_name, d.last_connected_at FROM device_group_members m "
                            "JOIN devices d ON d.id = m.device_id WHERE m.group_id = ? ORDER BY m.added_at, d.id "
                            "LIMIT 10000"),
                   REST_VALUES(values), on_members, kept);
}

static int get_group(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct shown *shown = rest_keep(sizeof *shown, release_shown);
  if (!shown)
    return MU_ENOMEM;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  return rest_read(
      self, request,
      REST_SQL("SELECT g.id, g.group_name, g.description, g.endpoint_id, e.name, 0, g.created_at FROM "
               "device_groups g JOIN endpoints e ON e.id = g.endpoint_id WHERE g.id = ? AND g.user_id = ?"),
      REST_VALUES(values), on_group, shown);
}

/* ---- make ------------------------------------------------------------------------------------ */

/* A group that is made or changed, and devices that are added to it. */
struct change {
  char id[WIDE_ID_SIZE];
  char **devices; /* devices.id */
  size_t count;
};

static void release_change(void *kept)
{
  struct change *change = kept;
  for (size_t i = 0; i < change->count; i++)
    free(change->devices[i]);
  free(change->devices);
}

static const char *item(struct json_object *ids, size_t i)
{
  return json_object_get_string(json_object_array_get_idx(ids, i));
}

/* How many different ids; their values into `values`. */
static size_t different(struct json_object *ids, struct mu_value values[QUERY_IN_MAX])
{
  size_t count = 0;
  for (size_t i = 0; ids && i < json_object_array_length(ids); i++) {
    bool again = false;
    for (size_t k = 0; k < count && !again; k++)
      again = mu_str_equal(values[k].text, mu_str(item(ids, i)));
    if (!again)
      values[count++] = mu_value_text(item(ids, i));
  }
  return count;
}

static bool keep_device(struct change *change, const struct mu_value *id)
{
  if (!change->devices)
    change->devices = calloc(QUERY_IN_MAX, sizeof *change->devices);
  char *copy = change->devices ? rest_text(id) : NULL;
  if (!copy)
    return false;
  change->devices[change->count++] = copy;
  return true;
}

static int on_written(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept);

#define MEMBER                                                                                                         \
  "INSERT INTO device_group_members (id, group_id, device_id, added_at) SELECT ?, g.id, d.id, ? FROM device_groups g " \
  "JOIN devices d ON d.endpoint_id = g.endpoint_id WHERE g.id = ? AND d.id = ? AND (SELECT COUNT(*) FROM "             \
  "device_group_members m WHERE m.group_id = g.id) < ?"
enum { MEMBER_VALUES = 5 };

/* `first`, then a row for each device. */
static int write_members(struct relay *relay, mu_http *request, const struct mu_statement *first, void *kept)
{
  const struct change *change = kept;
  size_t count = change->count;
  struct mu_statement *statements = calloc(count + 1, sizeof *statements);
  struct mu_value *values = calloc(count + 1, MEMBER_VALUES * sizeof *values);
  char(*ids)[RELAY_UUID_SIZE] = calloc(count + 1, sizeof *ids);
  int result = MU_ENOMEM;
  if (!statements || !values || !ids || relay_uuids(ids, count) != 0)
    goto done;
  statements[0] = *first;
  for (size_t i = 0; i < count; i++) {
    struct mu_value *v = values + i * MEMBER_VALUES;
    v[0] = mu_value_text(ids[i]);
    v[1] = mu_value_time(mu_now_ms());
    v[2] = mu_value_text(change->id);
    v[3] = mu_value_text(change->devices[i]);
    v[4] = mu_value_int(GROUP_MEMBERS_MAX);
    statements[i + 1] =
        (struct mu_statement){.sql = {.text = MEMBER}, .values = v, .count = MEMBER_VALUES, .expect = 1};
  }
  result = rest_write(relay, request, statements, count + 1, NULL, on_written, kept);
done:
  free(statements);
  free(values);
  free(ids);
  return result;
}

static int on_shown(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  return result->rows ? mu_rest_answer(request, 0, rest_wrap(rest_row(result, 0, group_fields, MU_COUNT(group_fields))))
                      : group_none(request);
}

static int show(struct relay *relay, mu_http *request, const char *id)
{
  const struct mu_value values[] = {mu_value_text(id), mu_value_text(rest_user(relay, request))};
  return rest_read(relay, request,
                   REST_SQL("SELECT g.id, g.user_id, g.endpoint_id, g.group_name, g.description, " COUNT
                            ", g.created_at, g.updated_at FROM device_groups g WHERE g.id = ? AND g.user_id = ?"),
                   REST_VALUES(values), on_shown, NULL);
}

static int full(mu_http *request)
{
  return mu_rest_error(request, 400, "GROUP_FULL",
                       MU_WORDS("A group has at most 500 devices", "每个分组最多包含 500 个设备"));
}

static int on_written(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct change *change = kept;
  bool is_new = mu_rest_param(request, "id").len == 0;
  if (result->error == MU_EREFUSED && result->failed == 0)
    return is_new ? mu_rest_error(request, 400, "GROUP_LIMIT_REACHED",
                                  MU_WORDS("You have 20 device groups, which is the most", "设备分组数量已达上限 (20)"))
                  : group_none(request);
  if (result->error == MU_EREFUSED)
    return full(request);
  if (result->error == MU_EEXIST)
    return mu_rest_error(request, 409, "CONFLICT",
                         MU_WORDS("Somebody else added the same device just now", "设备刚刚已被添加"));
  if (result->error != 0)
    return rest_no_device(request);
  return show(relay, request, change->id);
}

/* Rows: endpoint, device. */
static int insert_group(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct change *change = kept;
  struct mu_value wanted[QUERY_IN_MAX];
  if (result->rows == 0)
    return rest_no_endpoint(request);
  for (size_t row = 0; row < result->rows; row++)
    if (mu_result_at(result, row, 1)->type != MU_VALUE_NULL && !keep_device(change, mu_result_at(result, row, 1)))
      return MU_ENOMEM;
  if (change->count != different(mu_rest_value(request, "device_ids"), wanted))
    return rest_no_device(request);
  struct mu_value now = mu_value_time(mu_now_ms()), user = mu_value_text(rest_user(relay, request));
  const struct mu_value values[] = {mu_value_text(change->id),
                                    user,
                                    *mu_result_at(result, 0, 0),
                                    mu_value_text(mu_rest_text(request, "group_name")),
                                    mu_value_text(mu_rest_text(request, "description")),
                                    now,
                                    now,
                                    user,
                                    mu_value_int(GROUPS_MAX)};
#define INSERT                                                                                                         \
  "INSERT INTO device_groups (id, user_id, endpoint_id, group_name, description, created_at, updated_at) "             \
  "SELECT ?, ?, ?, ?, ?, ?, ? "
#define ROOM "WHERE (SELECT COUNT(*) FROM device_groups c WHERE c.user_id = ?) < ?"
  const struct mu_statement first = REST_STATEMENT(REST_SQL2(INSERT ROOM, INSERT "FROM DUAL " ROOM), values, 1);
  return write_members(relay, request, &first, kept);
}

static int post_group(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct change *change = rest_keep(sizeof *change, release_change);
  if (!change)
    return MU_ENOMEM;
  if (relay_uuid(change->id) != 0) {
    rest_drop(change);
    return MU_EIO;
  }
  struct mu_value wanted[QUERY_IN_MAX];
  size_t count = different(mu_rest_value(request, "device_ids"), wanted);
  struct query query = QUERY_INIT;
  query_add(&query, "SELECT e.id, ");
  if (count > 0)
    query_in(&query, "d.id FROM endpoints e LEFT JOIN devices d ON d.endpoint_id = e.id AND d.id IN ", wanted, count);
  else
    query_add(&query, "NULL FROM endpoints e");
  query_value(&query, " WHERE e.id = ?", mu_value_text(mu_rest_text(request, "endpoint_id")));
  query_value(&query, " AND e.user_id = ?", mu_value_text(user));
  return query_read(self, request, &query, insert_group, change);
}

/* ---- change and delete ----------------------------------------------------------------------- */

/* A change of the group that the path names. NULL: *answer says what the handler returns. */
static struct change *change_of(const struct relay *relay, mu_http *request, int *answer)
{
  struct mu_str id = mu_rest_param(request, "id");
  *answer = 0;
  if (!rest_user(relay, request))
    return NULL;
  struct change *change = id.len < WIDE_ID_SIZE ? rest_keep(sizeof *change, release_change) : NULL;
  if (change)
    memcpy(change->id, id.at, id.len);
  else
    *answer = id.len < WIDE_ID_SIZE ? MU_ENOMEM : group_none(request);
  return change;
}

static int put_group(void *self, mu_http *request)
{
  int answer;
  struct change *change = change_of(self, request, &answer);
  if (!change)
    return answer;
  struct query query = QUERY_INIT;
  query_value(&query, "UPDATE device_groups SET updated_at = ?", mu_value_time(mu_now_ms()));
  query_text_field(&query, request, "group_name", ", group_name = ?");
  if (mu_rest_given(request, "description"))
    query_value(&query, ", description = ?", mu_value_text(mu_rest_text(request, "description")));
  query_value(&query, " WHERE id = ?", mu_value_text(change->id));
  query_value(&query, " AND user_id = ?", mu_value_text(rest_user(self, request)));
  return query_write(self, request, &query, 1, NULL, on_written, change);
}

static int on_deleted(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay, (void)kept;
  if (result->error != 0)
    return group_none(request);
  return mu_rest_answer(request, 0, rest_message(request, MU_WORDS("The device group was deleted", "设备分组已删除")));
}

static int delete_group(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  const struct mu_statement statement =
      REST_STATEMENT(REST_SQL("DELETE FROM device_groups WHERE id = ? AND user_id = ?"), values, 1);
  return rest_write(self, request, &statement, 1, NULL, on_deleted, NULL);
}

/* ---- members --------------------------------------------------------------------------------- */

/* Rows: group, device, its membership, members in all. */
static int add_members(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct change *change = kept;
  struct mu_value wanted[QUERY_IN_MAX];
  if (result->rows == 0)
    return group_none(request);
  struct mu_str id = mu_result_at(result, 0, 0)->text;
  if (!id.at || id.len >= sizeof change->id)
    return group_none(request);
  memcpy(change->id, id.at, id.len);
  size_t found = 0;
  for (size_t row = 0; row < result->rows; row++) {
    if (mu_result_at(result, row, 1)->type == MU_VALUE_NULL)
      continue;
    found++;
    if (mu_result_at(result, row, 2)->type == MU_VALUE_NULL && !keep_device(change, mu_result_at(result, row, 1)))
      return MU_ENOMEM;
  }
  if (found != different(mu_rest_value(request, "device_ids"), wanted))
    return rest_no_device(request);
  if (mu_result_at(result, 0, 3)->integer + (int64_t)change->count > GROUP_MEMBERS_MAX)
    return full(request);
  const struct mu_value values[] = {mu_value_time(mu_now_ms()), mu_value_text(change->id),
                                    mu_value_text(rest_user(relay, request))};
  const struct mu_statement first =
      REST_STATEMENT(REST_SQL("UPDATE device_groups SET updated_at = ? WHERE id = ? AND user_id = ?"), values, 1);
  return write_members(relay, request, &first, kept);
}

static int post_members(void *self, mu_http *request)
{
  const char *user = rest_user(self, request);
  if (!user)
    return 0;
  struct change *change = rest_keep(sizeof *change, release_change);
  if (!change)
    return MU_ENOMEM;
  struct mu_value wanted[QUERY_IN_MAX];
  size_t count = different(mu_rest_value(request, "device_ids"), wanted);
  struct query query = QUERY_INIT;
  query_add(&query, "SELECT g.id, d.id, k.id, (SELECT COUNT(*) FROM device_group_members m WHERE m.group_id = g.id) "
                    "FROM device_groups g LEFT JOIN devices d ON d.endpoint_id = g.endpoint_id");
  query_in(&query, " AND d.id IN ", wanted, count);
  query_value(&query, " LEFT JOIN device_group_members k ON k.group_id = g.id AND k.device_id = d.id WHERE g.id = ?",
              mu_value_str(mu_rest_param(request, "id")));
  query_value(&query, " AND g.user_id = ?", mu_value_text(user));
  return query_read(self, request, &query, add_members, change);
}

static int delete_members(void *self, mu_http *request)
{
  int answer;
  struct change *change = change_of(self, request, &answer);
  if (!change)
    return answer;
  struct mu_value wanted[QUERY_IN_MAX];
  size_t count = different(mu_rest_value(request, "device_ids"), wanted);
  const struct mu_value touch[] = {mu_value_time(mu_now_ms()), mu_value_text(change->id),
                                   mu_value_text(rest_user(self, request))};
  struct query query = QUERY_INIT;
  query_value(&query, "DELETE FROM device_group_members WHERE group_id = ?", mu_value_text(change->id));
  query_in(&query, " AND device_id IN ", wanted, count);
  if (query.sql.failed || query.full) {
    query_free(&query);
    rest_drop(change);
    return MU_ENOMEM;
  }
  /* The first statement is the proof that the group is the caller's: without it nothing is done. */
  const struct mu_statement statements[] = {
      REST_STATEMENT(REST_SQL("UPDATE device_groups SET updated_at = ? WHERE id = ? AND user_id = ?"), touch, 1),
      {.sql = {.text = query.sql.at}, .values = query.values, .count = query.count, .expect = MU_ANY_ROWS}};
  int result = rest_write(self, request, statements, MU_COUNT(statements), NULL, on_written, change);
  query_free(&query);
  return result;
}

/* ---- data ------------------------------------------------------------------------------------ */

enum { C_KEY, C_UNIT, C_AVERAGE, C_MAX, C_MIN, C_COUNT, C_LAST };

static bool add_aggregation(struct json_object *array, const struct mu_result *result, size_t row)
{
  struct json_object *made = json_object_new_object();
  const struct mu_value *unit = mu_result_at(result, row, C_UNIT);
  bool good = rest_add(made, "data_key", rest_value(mu_result_at(result, row, C_KEY), MU_REST_STRING)) &&
              (unit->type == MU_VALUE_NULL || rest_add(made, "unit", rest_value(unit, MU_REST_STRING))) &&
              rest_add(made, "average", wide_number(wide_real(mu_result_at(result, row, C_AVERAGE), 0), true)) &&
              rest_add(made, "max", wide_number(wide_real(mu_result_at(result, row, C_MAX), 0), false)) &&
              rest_add(made, "min", wide_number(wide_real(mu_result_at(result, row, C_MIN), 0), false)) &&
              rest_add(made, "sample_count", json_object_new_int64(mu_result_at(result, row, C_COUNT)->integer));
  if (good && array && json_object_array_add(array, made) == 0)
    return true;
  json_object_put(made);
  return false;
}

static int on_data(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)relay;
  const struct group *group = kept;
  struct json_object *data = json_object_new_object(), *array = json_object_new_array();
  struct mu_value last = mu_value_null();
  bool good = array != NULL;
  for (size_t row = 0; good && row < result->rows; row++) {
    const struct mu_value *time = mu_result_at(result, row, C_LAST);
    if (last.type == MU_VALUE_NULL || time->integer > last.integer)
      last = *time;
    good = add_aggregation(array, result, row);
  }
  good = good && rest_add(data, "group_id", json_object_new_string(group->id)) &&
         rest_add(data, "device_count", json_object_new_int64(group->devices)) &&
         rest_add(data, "last_update", rest_value(&last, MU_REST_TIME)) &&
         rest_add(data, "aggregations", json_object_get(array));
  json_object_put(array);
  if (good)
    return mu_rest_answer(request, 0, rest_wrap(data));
  json_object_put(data);
  return MU_ENOMEM;
}

#define NUMBERS(number)                                                                                                \
  "SELECT d.data_key, MAX(d.unit), AVG(CASE WHEN d.data_type = 'number' THEN " number " END), "                        \
  "MAX(CASE WHEN d.data_type = 'number' THEN " number " END), "                                                        \
  "MIN(CASE WHEN d.data_type = 'number' THEN " number " END), COUNT(*), MAX(d.timestamp) AS newest_at FROM "
#define BY_KEY " GROUP BY d.data_key ORDER BY d.data_key LIMIT ?"
/* Key by key, so that the index leads to the last day; SQLite skips over the keys by itself when it has statistics. */
static const struct mu_sql data_sql = {
    .sqlite = NUMBERS("CAST(d.data_value AS REAL)") "device_group_members m JOIN device_data d ON d.device_id = "
                                                    "m.device_id WHERE m.group_id = ? AND d.timestamp >= ?" BY_KEY,
    .mariadb = NUMBERS("d.data_value + 0E0") "(SELECT v.device_id, v.data_key FROM device_group_members m JOIN "
                                             "device_data v ON v.device_id = m.device_id WHERE m.group_id = ? GROUP BY "
                                             "v.device_id, v.data_key) k JOIN device_data d ON d.device_id = "
                                             "k.device_id AND d.data_key = k.data_key WHERE d.timestamp >= ?" BY_KEY};

static int data_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct group *group = kept;
  const struct mu_value values[] = {mu_value_text(group->id), mu_value_time(mu_now_ms() - DAY_MS),
                                    mu_value_int(KEYS_MAX)};
  return rest_read(relay, request, data_sql, REST_VALUES(values), on_data, kept);
}

static int get_data(void *self, mu_http *request)
{
  return group_flushed(self, request, data_of);
}

/* ---- one of the caller's, flushed ------------------------------------------------------------- */

static void release_group(void *kept)
{
  struct group *group = kept;
  free(group->id);
  free(group->name);
  free(group->endpoint);
}

static int on_flushed(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct group *group = kept;
  return group->next(relay, request, result, kept);
}

static int on_own(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  struct group *group = kept;
  if (result->rows == 0)
    return group_none(request);
  group->id = rest_text(mu_result_at(result, 0, 0));
  group->name = rest_text(mu_result_at(result, 0, 1));
  group->endpoint = rest_text(mu_result_at(result, 0, 2));
  group->devices = mu_result_at(result, 0, 3)->integer;
  return group->id && group->name && group->endpoint ? rest_flush(relay, request, group->endpoint, on_flushed, kept)
                                                     : MU_ENOMEM;
}

int group_flushed(struct relay *relay, mu_http *request, rest_then next)
{
  const char *user = rest_user(relay, request);
  if (!user)
    return 0;
  struct group *group = rest_keep(sizeof *group, release_group);
  if (!group)
    return MU_ENOMEM;
  group->next = next;
  const struct mu_value values[] = {mu_value_str(mu_rest_param(request, "id")), mu_value_text(user)};
  return rest_read(relay, request,
                   REST_SQL("SELECT g.id, g.group_name, g.endpoint_id, " COUNT
                            " FROM device_groups g WHERE g.id = ? AND g.user_id = ?"),
                   REST_VALUES(values), on_own, group);
}

/* ---- routes ---------------------------------------------------------------------------------- */

#define DEVICE_IDS(flags_, min_)                                                                                       \
  {                                                                                                                    \
    .name = "device_ids", .also = "deviceIds", .type = MU_REST_ARRAY, .item = MU_REST_STRING, .flags = (flags_),       \
    .min = (min_), .max = QUERY_IN_MAX, .help = "Devices of the group's endpoint, by their ids"                        \
  }
static const struct mu_rest_field list_query[] = {
    PAGE_FIELDS,
    {.name = "endpoint_id", .also = "endpointId", .type = MU_REST_STRING, .help = "Only groups of this endpoint"}};
static const struct mu_rest_field post_body[] = {
    ENDPOINT_ID_FIELD,
    {.name = "group_name", .also = "groupName", .type = MU_REST_STRING, .flags = MU_REST_REQUIRED, .min = 1, .max = 50},
    {.name = "description", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .max = 200},
    DEVICE_IDS(0, 0)};
static const struct mu_rest_field put_body[] = {
    {.name = "group_name", .also = "groupName", .type = MU_REST_STRING, .min = 1, .max = 50},
    {.name = "description", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE, .max = 200}};
static const struct mu_rest_field members_body[] = {DEVICE_IDS(MU_REST_REQUIRED, 1)};

static const struct mu_rest_field list_data[] = {IS("groups", ARRAY, .fields = MU_REST_FIELDS(listed_fields)),
                                                 IS("page", INTEGER), IS("page_size", INTEGER), IS("total", INTEGER)};
static const struct mu_rest_field shown_data[] = {
    IS("id", STRING),
    IS("group_name", STRING),
    MAY("description", STRING),
    IS("endpoint_id", STRING),
    IS("endpoint_name", STRING),
    IS("device_count", INTEGER),
    IS("created_at", TIME),
    IS("devices", ARRAY, .fields = MU_REST_FIELDS(device_fields)),
};
static const struct mu_rest_field aggregation_fields[] = {
    IS("data_key", STRING),
    {.name = "unit", .type = MU_REST_STRING},
    MAY("average", NUMBER, .help = "Of numbers; 0 where there are none"),
    MAY("max", NUMBER),
    MAY("min", NUMBER),
    IS("sample_count", INTEGER, .help = "Of all values"),
};
static const struct mu_rest_field data_data[] = {
    IS("group_id", STRING), IS("device_count", INTEGER), MAY("last_update", TIME),
    IS("aggregations", ARRAY, .fields = MU_REST_FIELDS(aggregation_fields))};
static const struct mu_rest_field list_answer[] = {IN_DATA(list_data)}, group_answer[] = {IN_DATA(group_fields)},
                                  shown_answer[] = {IN_DATA(shown_data)}, data_answer[] = {IN_DATA(data_data)};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/device-groups", USER, list_groups, .summary = "The caller's device groups, newest first",
            .query = MU_REST_FIELDS(list_query), .answer = MU_REST_FIELDS(list_answer)),
    MU_REST(POST, "/api/device-groups", USER, post_group, .summary = "Makes a device group; at most 20 per user",
            .body = MU_REST_FIELDS(post_body), .answer = MU_REST_FIELDS(group_answer), .status = 201),
    MU_REST(GET, "/api/device-groups/:id", USER, get_group, .summary = "A device group with its devices",
            .owner = "group", .answer = MU_REST_FIELDS(shown_answer)),
    MU_REST(PUT, "/api/device-groups/:id", USER, put_group, .summary = "Changes what is given of a device group",
            .owner = "group", .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(group_answer)),
    MU_REST(PATCH, "/api/device-groups/:id", USER, put_group, .summary = "As PUT", .owner = "group",
            .body = MU_REST_FIELDS(put_body), .answer = MU_REST_FIELDS(group_answer)),
    MU_REST(DELETE, "/api/device-groups/:id", USER, delete_group, .summary = "Deletes a device group", .owner = "group",
            .answer = MU_REST_FIELDS(rest_message_answer)),
    MU_REST(POST, "/api/device-groups/:id/devices", USER, post_members,
            .summary = "Adds devices to a group; at most 500 in all", .owner = "group",
            .body = MU_REST_FIELDS(members_body), .answer = MU_REST_FIELDS(group_answer)),
    MU_REST(DELETE, "/api/device-groups/:id/devices", USER, delete_members,
            .summary = "Removes devices from a group; others are left out", .owner = "group",
            .body = MU_REST_FIELDS(members_body), .answer = MU_REST_FIELDS(group_answer)),
    MU_REST(GET, "/api/device-groups/:id/data", USER, get_data,
            .summary = "Average, highest and lowest value of each key in the last 24 hours; at most 1000 keys",
            .owner = "group", .answer = MU_REST_FIELDS(data_answer)),
};

const struct rest_part rest_groups_part = REST_PART(routes);
