/* SPDX-License-Identifier: ISC */
/* A group's device data as a file. The text is made by a worker: it may be long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "rest_groups.h"

enum { DAY_MS = 86400000, PATIENCE_MS = 20000 };
enum { C_DEVICE, C_NAME, C_KEY, C_TEXT, C_TYPE, C_TIME };

/* Everything a worker needs; it belongs to nobody else meanwhile. */
struct export
{
  mu_instance *in;
  mu_http_id request;
  bool csv;
  struct export_value *values;
  size_t count;
  char *bytes;
  struct mu_buf head, out; /* JSON: what stands before the records */
  char file[80];
};

static void export_free(void *context, int result)
{
  (void)result;
  struct export *export = context;
  mu_buf_free(&export->head);
  mu_buf_free(&export->out);
  free(export->values);
  free(export->bytes);
  free(export);
}

static int work(void *context)
{
  struct export *export = context;
  mu_buf_add(&export->out, export->head.at, export->head.len);
  int result = export->csv ? export_csv(export->values, export->count, &export->out)
                           : export_json(export->values, export->count, &export->out);
  if (!export->csv)
    mu_buf_adds(&export->out, "}}");
  return result == 0 && export->out.failed ? MU_ENOMEM : result;
}

static int too_large(mu_http *request)
{
  return mu_rest_error(request, 400, "EXPORT_TOO_LARGE",
                       MU_WORDS("There are more than 50000 values or 1000 keys: take a shorter time",
                                "数据过多 (超过 50000 条或 1000 个键),请缩短时间范围"));
}

static void answer(struct export *export, mu_http *request, int result)
{
  char disposition[128];
  mu_text *text = result == 0 ? mu_buf_take_text(&export->out) : NULL;
  if (result == MU_ELIMIT) {
    too_large(request);
  } else if (result == MU_ETIMEOUT) {
    mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                  MU_WORDS("The server has too much to do, try again later", "服务繁忙,请稍后再试"));
  } else if (!text) {
    mu_rest_error(request, 500, "INTERNAL_SERVER_ERROR", MU_WORDS("An unexpected error occurred", "服务器内部错误"));
  } else {
    snprintf(disposition, sizeof disposition, "attachment; filename=\"%s\"", export->file);
    mu_http_set(request, "Content-Disposition", disposition);
    mu_http_answer(request, 200, export->csv ? "text/csv; charset=utf-8" : "application/json; charset=utf-8", text);
  }
  mu_text_unref(text);
}

static void done(void *context, int result)
{
  struct export *export = context;
  if (result != MU_ECLOSED) {
    mu_http *request = mu_http_find(export->in, export->request);
    if (request)
      answer(export, request, result);
  }
  if (result != MU_ETIMEOUT)
    export_free(export, 0);
}

/* ---- what is exported ------------------------------------------------------------------------- */

static struct mu_str put(char **to, struct mu_str text)
{
  struct mu_str kept = {*to, text.len};
  if (text.len > 0)
    memcpy(*to, text.at, text.len);
  *to += text.len;
  return kept;
}

static bool copy_values(struct export *export, const struct mu_result *result)
{
  size_t len = 0;
  for (size_t row = 0; row < result->rows; row++)
    for (size_t column = C_DEVICE; column < C_TIME; column++)
      len += mu_result_at(result, row, column)->text.len;
  export->values = calloc(result->rows + 1, sizeof *export->values);
  export->bytes = malloc(len + 1);
  if (!export->values || !export->bytes)
    return false;
  char *to = export->bytes;
  for (size_t row = 0; row < result->rows; row++)
    export->values[export->count++] = (struct export_value){
        .device = put(&to, mu_result_at(result, row, C_DEVICE)->text),
        .name = put(&to, mu_result_at(result, row, C_NAME)->text),
        .key = put(&to, mu_result_at(result, row, C_KEY)->text),
        .text = put(&to, mu_result_at(result, row, C_TEXT)->text),
        .type = put(&to, mu_result_at(result, row, C_TYPE)->text),
        .ms = mu_result_at(result, row, C_TIME)->integer,
    };
  return true;
}

static int64_t end_of(mu_http *request)
{
  return mu_rest_int(request, "end_time", mu_now_ms());
}

static void write_head(struct export *export, mu_http *request, const struct group *group)
{
  int64_t end_ms = end_of(request);
  char start[25], end[25];
  mu_iso_time(mu_rest_int(request, "start_time", end_ms - DAY_MS), start);
  mu_iso_time(end_ms, end);
  mu_buf_adds(&export->head, "{\"data\":{\"group_id\":");
  mu_buf_json_string(&export->head, mu_str(group->id));
  mu_buf_adds(&export->head, ",\"group_name\":");
  mu_buf_json_string(&export->head, mu_str(group->name));
  mu_buf_printf(&export->head, ",\"start_time\":\"%s\",\"end_time\":\"%s\",\"records\":", start, end);
}

/* Its id in a header: what other programs made may hold anything. */
static void name_file(struct export *export, const char *id)
{
  size_t len = strspn(id, "0123456789abcdefABCDEF-");
  snprintf(export->file, sizeof export->file, "device-group-%.*s.%s", len == strlen(id) && len <= 40 ? (int)len : 0, id,
           export->csv ? "csv" : "json");
}

static int on_values(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  const struct group *group = kept;
  if (result->rows > EXPORT_VALUES_MAX)
    return too_large(request);
  struct export *export = calloc(1, sizeof *export);
  if (!export)
    return MU_ENOMEM;
  const char *format = mu_rest_text(request, "format");
  export->in = relay->in;
  export->request = mu_http_get_id(request);
  export->csv = !format || strcmp(format, "csv") == 0;
  name_file(export, group->id);
  if (!export->csv)
    write_head(export, request, group);
  int error = copy_values(export, result) ? mu_work(relay->in, &(struct mu_job){.size = sizeof(struct mu_job),
                                                                                .work = work,
                                                                                .done = done,
                                                                                .late = export_free,
                                                                                .context = export,
                                                                                .deadline_ms = PATIENCE_MS,
                                                                                .what = "export"})
                                          : MU_ENOMEM;
  if (error == 0)
    return MU_PENDING;
  export_free(export, 0);
  if (error != MU_ELIMIT)
    return error;
  return mu_rest_error(request, 503, "SERVICE_UNAVAILABLE",
                       MU_WORDS("The server has too much to do, try again later", "服务繁忙,请稍后再试"));
}

static int values_of(struct relay *relay, mu_http *request, const struct mu_result *result, void *kept)
{
  (void)result;
  const struct group *group = kept;
  int64_t end_ms = end_of(request);
  const struct mu_value values[] = {mu_value_text(group->id),
                                    mu_value_time(mu_rest_int(request, "start_time", end_ms - DAY_MS)),
                                    mu_value_time(end_ms), mu_value_int(EXPORT_VALUES_MAX + 1)};
  return rest_read(
      relay, request,
      REST_SQL("SELECT d.device_id, d.custom_name, v.data_key, v.data_value, v.data_type, v.timestamp FROM "
               "device_group_members m JOIN devices d ON d.id = m.device_id JOIN device_data v ON "
               "v.device_id = d.id WHERE m.group_id = ? AND v.timestamp >= ? AND v.timestamp <= ? "
               "ORDER BY v.timestamp, d.device_id, v.data_key, v.id LIMIT ?"),
      REST_VALUES(values), on_values, kept);
}

static int get_export(void *self, mu_http *request)
{
  int64_t end_ms = end_of(request);
  if (mu_rest_int(request, "start_time", end_ms - DAY_MS) > end_ms)
    return mu_rest_invalid(request, "start_time",
                           MU_WORDS("start_time is after end_time", "start_time 不能晚于 end_time"));
  return group_flushed(self, request, values_of);
}

/* ---- route ----------------------------------------------------------------------------------- */

static const char *const formats[] = {"csv", "json", NULL};
static const struct mu_rest_field export_query[] = {
    {.name = "format", .type = MU_REST_STRING, .one_of = formats, .help = "Default: csv"},
    {.name = "start_time", .also = "startTime", .type = MU_REST_TIME, .help = "Default: a day before end_time"},
    {.name = "end_time", .also = "endTime", .type = MU_REST_TIME, .help = "Default: now"},
};

static const struct mu_rest_route routes[] = {
    MU_REST(GET, "/api/device-groups/:id/export", USER, get_export,
            .summary = "A group's device data as CSV or JSON; at most 50000 values", .owner = "group",
            .query = MU_REST_FIELDS(export_query)),
};

const struct rest_part rest_export_part = REST_PART(routes);
