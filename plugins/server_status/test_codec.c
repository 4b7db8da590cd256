/* SPDX-License-Identifier: ISC */
/* Both forms: the recorded reports, every field against every wrong type, and the way from form to form. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"
#include "unit.h"

static const char sample[] =
    "{\"serverId\":\"web-1\",\"serverName\":\"Web Server 1\",\"group\":\"production\",\"countryCode\":\"CN\","
    "\"location\":\"Beijing, China\",\"ip\":\"123.45.67.89\","
    "\"cpu\":{\"percent\":45.2,\"cores\":8,\"modelName\":\"Intel(R) Xeon(R) CPU E5-2680 v4\"},"
    "\"memory\":{\"total\":16777216000,\"used\":8388608000,\"available\":8388608000,\"usedPercent\":50.0},"
    "\"disk\":[{\"path\":\"/\",\"total\":107374182400,\"used\":53687091200,\"free\":53687091200,"
    "\"usedPercent\":50.0,\"readSpeed\":1048576,\"writeSpeed\":524288}],"
    "\"network\":{\"interfaceName\":\"eth0\",\"bytesSent\":1073741824,\"bytesRecv\":2147483648,"
    "\"inSpeed\":1048576,\"outSpeed\":524288},"
    "\"system\":{\"hostname\":\"web-server-1\",\"os\":\"linux\",\"platform\":\"ubuntu\",\"arch\":\"amd64\","
    "\"kernel\":\"5.15.0-58-generic\",\"uptime\":864000},\"timestamp\":1699123456}";

static char *slurp(const char *name, size_t *len)
{
  char path[512];
  snprintf(path, sizeof path, "%s/server-status/%s", FIXTURES, name);
  FILE *file = fopen(path, "rb");
  if (!file)
    return NULL;
  char *text = calloc(1, 65536);
  *len = fread(text, 1, 65535, file);
  fclose(file);
  return text;
}

static struct status_codec codec;

static int read_text(const char *text, enum status_kind hint, struct status_reading *reading,
                     struct mu_json_error *error)
{
  return status_read(&codec, hint, text, strlen(text), reading, error);
}

static struct json_object *metrics_of(enum status_kind kind, const char *text)
{
  struct json_object *metrics = NULL;
  CU_ASSERT_EQUAL(convert_metrics(kind, text, strlen(text), &metrics), 0);
  return metrics;
}

/* A value by "cpu.percent", or NULL. */
static struct json_object *at(struct json_object *object, const char *path)
{
  char copy[128];
  snprintf(copy, sizeof copy, "%s", path);
  char *rest = copy;
  for (char *part; object && (part = strsep(&rest, "."));)
    object = json_object_is_type(object, json_type_array) ? json_object_array_get_idx(object, strtoul(part, NULL, 10))
                                                          : json_object_object_get(object, part);
  return object;
}

static void accepts_recorded(void)
{
  size_t len;
  char *text = slurp("agent-report.json", &len);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  struct status_reading reading;
  struct mu_json_error error;
  for (int hint = 0; hint < STATUS_KINDS; hint++) {
    CU_ASSERT_EQUAL(status_read(&codec, (enum status_kind)hint, text, len, &reading, &error), 0);
    CU_ASSERT_EQUAL(reading.kind, STATUS_DEPLOYED);
    CU_ASSERT_EQUAL(read_text(sample, (enum status_kind)hint, &reading, &error), 0);
    CU_ASSERT_EQUAL(reading.kind, STATUS_DOCUMENTED);
  }
  free(text);
}

/* ---- every field, every wrong type ----------------------------------------------------------- */

/* Puts `value` at the field's path into a copy of `base` and returns the text. */
static char *with(const char *base, const char *path, const char *value)
{
  struct json_object *top = json_tokener_parse(base);
  struct json_object *marker = json_object_new_string("@@");
  char copy[128], *rest = copy;
  snprintf(copy, sizeof copy, "%s", path);
  struct json_object *object = top;
  for (char *part; (part = strsep(&rest, "."));) {
    bool element = strlen(part) > 2 && strcmp(part + strlen(part) - 2, "[]") == 0;
    if (element)
      part[strlen(part) - 2] = '\0';
    struct json_object *next = json_object_object_get(object, part);
    if (!element && !rest)
      json_object_object_add(object, part, marker);
    else if (element && !rest)
      json_object_array_put_idx(next, 0, marker);
    else
      object = element ? json_object_array_get_idx(next, 0) : next;
  }
  const char *text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN);
  const char *place = strstr(text, "\"@@\"");
  CU_ASSERT_PTR_NOT_NULL_FATAL(place);
  char *out = malloc(strlen(text) + strlen(value) + 1);
  sprintf(out, "%.*s%s%s", (int)(place - text), text, value, place + 4);
  json_object_put(top);
  return out;
}

static bool is_right(const struct mu_field *field, const char *value)
{
  if (field->type == MU_FIELD_ANY || (strcmp(value, "null") == 0 && (field->flags & MU_FIELD_NULLABLE)))
    return true;
  switch (value[0]) {
  case '"':
    return field->type == MU_FIELD_STRING;
  case '{':
    return field->type == MU_FIELD_OBJECT;
  case '[':
    return field->type == MU_FIELD_ARRAY;
  case '7':
    return field->type == MU_FIELD_UINT || field->type == MU_FIELD_NUMBER;
  case '1': /* 1.5 */
    return field->type == MU_FIELD_NUMBER && field->offset == MU_FIELD_CHECK_ONLY;
  default:
    return false;
  }
}

static void refuses_wrong_types(void)
{
  size_t len;
  char *recorded = slurp("agent-report.json", &len);
  const char *const bases[STATUS_KINDS] = {sample, recorded};
  const char *const values[] = {"\"x\"", "7", "1.5", "-1", "true", "null", "{}", "[]"};
  unsigned refused = 0;
  for (int kind = 0; kind < STATUS_KINDS; kind++)
    for (size_t i = 0; i < status_field_counts[kind]; i++) {
      const struct mu_field *field = &status_fields[kind][i];
      if (field->type == MU_FIELD_ANY)
        continue; /* only there to tell the forms apart */
      for (size_t j = 0; j < MU_COUNT(values); j++) {
        /* An empty object for one with required members below is right as far as its own type goes. */
        if (is_right(field, values[j]))
          continue;
        if (strcmp(field->path, "metrics") == 0)
          continue; /* not in the samples; see drop_ins */
        char *text = with(bases[kind], field->path, values[j]);
        struct status_reading reading;
        struct mu_json_error error = {0};
        int code = read_text(text, (enum status_kind)kind, &reading, &error);
        char shown[128] = "";
        for (const char *from = field->path; *from; from++) {
          strncat(shown, from, 1);
          if (*from == '[')
            strcat(shown, "0");
        }
        if (code == 0 || strcmp(error.path, shown) != 0)
          printf("\n    %s = %s: code %d, path \"%s\"", field->path, values[j], code, error.path);
        CU_ASSERT_NOT_EQUAL(code, 0);
        CU_ASSERT_STRING_EQUAL(error.path, shown);
        refused++;
        free(text);
      }
    }
  CU_ASSERT(refused > 300);
  free(recorded);
}

static void refuses_numbers(void)
{
  static const struct {
    const char *path, *value;
  } rows[] = {{"cpu.percent", "100.5"},       {"cpu.percent", "NaN"},      {"cpu.percent", "1e999"},
              {"memory.total", "1.0"},        {"memory.total", "-5"},      {"memory.total", "99999999999999999999"},
              {"timestamp", "1699123456789"}, {"memory.used", "Infinity"}, {"disk[].free", "1e3"}};
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    char *text = with(sample, rows[i].path, rows[i].value);
    struct status_reading reading;
    struct mu_json_error error;
    CU_ASSERT_NOT_EQUAL(read_text(text, STATUS_DOCUMENTED, &reading, &error), 0);
    free(text);
  }
  struct status_reading reading;
  struct mu_json_error error;
  CU_ASSERT_EQUAL(read_text("{}", STATUS_DOCUMENTED, &reading, &error), MU_EMISSING);
  CU_ASSERT_EQUAL(read_text("[]", STATUS_DEPLOYED, &reading, &error), MU_ETYPE);
  CU_ASSERT_EQUAL(read_text("", STATUS_DEPLOYED, &reading, &error), MU_ESYNTAX);
  CU_ASSERT_EQUAL(read_text("{\"cpuInfo\":{}}", STATUS_DOCUMENTED, &reading, &error), MU_EMISSING);
  CU_ASSERT_EQUAL(reading.kind, STATUS_DEPLOYED);
  CU_ASSERT_STRING_EQUAL(error.path, "virtualMemoryInfo");
}

/* What the released agent sends when an unsigned difference wraps around, or a collection failed. */
static void accepts_released_quirks(void)
{
  size_t len;
  char *recorded = slurp("agent-report.json", &len);
  struct status_reading reading;
  struct mu_json_error error;
  char *text = with(recorded, "virtualMemoryInfo.used", "18446744073709000000");
  CU_ASSERT_EQUAL(read_text(text, STATUS_DEPLOYED, &reading, &error), 0);
  struct json_object *metrics = metrics_of(STATUS_DEPLOYED, text);
  CU_ASSERT_EQUAL(json_object_get_int64(at(metrics, "memory.used")), 0);
  json_object_put(metrics);
  free(text);
  text = with(recorded, "networkInfo.netInSpeed", "18446744073709551615");
  CU_ASSERT_EQUAL(read_text(text, STATUS_DEPLOYED, &reading, &error), 0);
  metrics = metrics_of(STATUS_DEPLOYED, text);
  CU_ASSERT_EQUAL(json_object_get_int64(at(metrics, "network.rx_speed")), 0);
  json_object_put(metrics);
  free(text);
  static const char *const nulls[] = {"diskInfo.partitions", "cpuInfo.info", "swapMemoryInfo", "hostInfo.avgStat"};
  for (size_t i = 0; i < MU_COUNT(nulls); i++) {
    text = with(recorded, nulls[i], "null");
    CU_ASSERT_EQUAL(read_text(text, STATUS_DEPLOYED, &reading, &error), 0);
    json_object_put(metrics_of(STATUS_DEPLOYED, text));
    free(text);
  }
  free(recorded);
}

static void checks_identity(void)
{
  struct status_reading reading;
  CU_ASSERT_EQUAL(read_text(sample, STATUS_DOCUMENTED, &reading, NULL), 0);
  CU_ASSERT_EQUAL(status_identity(&reading, MU_STR("web-1")), 0);
  CU_ASSERT_EQUAL(status_identity(&reading, MU_STR("web-2")), MU_EIDENTITY);
  CU_ASSERT_EQUAL(status_identity(&reading, MU_STR("web-11")), MU_EIDENTITY);
  char *text = with(sample, "serverId", "\"\\u0077eb-1\"");
  CU_ASSERT_EQUAL(read_text(text, STATUS_DOCUMENTED, &reading, NULL), 0);
  CU_ASSERT_EQUAL(status_identity(&reading, MU_STR("web-1")), 0);
  free(text);
}

static struct mu_machine machine_named(const char *name, const char *group, unsigned fixed)
{
  return (struct mu_machine){.size = sizeof(struct mu_machine),
                             .provider = "p",
                             .owner = "",
                             .id = "web-1",
                             .name = name,
                             .group = group,
                             .country = "US",
                             .location = "",
                             .ip = "",
                             .fixed = fixed};
}

static void keeps_what_is_fixed(void)
{
  struct status_reading reading;
  struct mu_str text = mu_str(sample);
  CU_ASSERT_EQUAL(read_text(sample, STATUS_DOCUMENTED, &reading, NULL), 0);
  mu_text *kept = status_keep(&reading, text, NULL, true);
  CU_ASSERT_STRING_EQUAL(mu_text_data(kept), sample);
  mu_text_unref(kept);

  struct mu_machine machine = machine_named("A \"b\"", "lab", MU_MACHINE_NAME | MU_MACHINE_GROUP | MU_MACHINE_COUNTRY);
  kept = status_keep(&reading, text, &machine, false);
  struct json_object *top = json_tokener_parse(mu_text_data(kept));
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(top, "serverName")), "A \"b\"");
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(top, "group")), "lab");
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(top, "countryCode")), "US");
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(top, "location")), "Beijing, China");
  CU_ASSERT_PTR_NULL(at(top, "ip"));
  json_object_put(top);
  mu_text_unref(kept);

  /* Members that were not there, and the address as the neighbour of the name. */
  const char *bare = "{\"serverId\":\"web-1\",\"cpu\":{},\"memory\":{},\"disk\":[],\"network\":{},\"system\":{},"
                     "\"timestamp\":1,\"serverName\":\"x\" , \"ip\":\"1.2.3.4\"}";
  CU_ASSERT_EQUAL(read_text(bare, STATUS_DOCUMENTED, &reading, NULL), 0);
  kept = status_keep(&reading, mu_str(bare), &machine, false);
  CU_ASSERT_PTR_NOT_NULL_FATAL(kept);
  CU_ASSERT_EQUAL(mu_json_scan(NULL, mu_text_data(kept), mu_text_len(kept), NULL, NULL), 0);
  CU_ASSERT_PTR_NOT_NULL(
      strstr(mu_text_data(kept), "\"serverName\":\"A \\\"b\\\"\",\"group\":\"lab\",\"countryCode\":\"US\""));
  CU_ASSERT_PTR_NULL(strstr(mu_text_data(kept), "1.2.3.4"));
  mu_text_unref(kept);
}

/* ---- from form to form ----------------------------------------------------------------------- */

/* Member names in order, into `out`: "a,b{c,d},e". */
static void names_of(struct json_object *value, struct mu_buf *out)
{
  if (json_object_is_type(value, json_type_array))
    for (size_t i = 0; i < json_object_array_length(value); i++)
      names_of(json_object_array_get_idx(value, i), out);
  if (!json_object_is_type(value, json_type_object))
    return;
  mu_buf_adds(out, "{");
  json_object_object_foreach(value, key, inner)
  {
    mu_buf_printf(out, "%s,", key);
    names_of(inner, out);
  }
  mu_buf_adds(out, "}");
}

static void makes_the_recorded_element(void)
{
  size_t len, push_len;
  char *text = slurp("agent-report.json", &len);
  char *push = slurp("frontend-push.json", &push_len);
  struct json_object *recorded = json_tokener_parse(push);
  struct mu_machine machine = {.size = sizeof machine,
                               .provider = "",
                               .owner = "",
                               .id = "beta-01",
                               .name = "Beta",
                               .group = "production",
                               .country = "US",
                               .location = "",
                               .ip = "",
                               .online = true,
                               .last_report_ms = INT64_C(1795248712345)};
  struct json_object *metrics = metrics_of(STATUS_DEPLOYED, text);
  mu_text *element = render_element(&machine, metrics);
  struct json_object *made = json_tokener_parse(mu_text_data(element));
  struct json_object *wanted = json_object_array_get_idx(at(recorded, "data"), 0);
  struct mu_buf a = MU_BUF_INIT, b = MU_BUF_INIT;
  names_of(made, &a);
  names_of(wanted, &b);
  CU_ASSERT_STRING_EQUAL(a.at, b.at);
  static const char *const same[] = {"name",
                                     "group",
                                     "id",
                                     "lastReportTime",
                                     "platform",
                                     "loc",
                                     "isOnline",
                                     "SWAPPercent",
                                     "hostInfo.cpuInfo",
                                     "hostInfo.RAMTotal",
                                     "hostInfo.diskTotal",
                                     "hostInfo.kernelArch",
                                     "hostInfo.netInTransfer",
                                     "hostInfo.virtualizationSystem"};
  for (size_t i = 0; i < MU_COUNT(same); i++)
    CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(made, same[i])),
                           json_object_to_json_string(at(wanted, same[i])));
  CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(element), "\"cpuPercent\":7.0175438596431245,"));
  CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(element), "\"uptime\":2573,"));
  json_object_put(made);
  mu_text_unref(element);

  /* Never reported: every member, zeros and []. */
  machine.last_report_ms = 0;
  machine.online = false;
  element = render_element(&machine, NULL);
  made = json_tokener_parse(mu_text_data(element));
  json_object_object_del(json_object_object_get(wanted, "hostInfo"), "diskPartitions");
  json_object_object_add(json_object_object_get(wanted, "hostInfo"), "diskPartitions", json_object_new_array());
  CU_ASSERT_EQUAL(json_object_object_length(made), json_object_object_length(wanted));
  CU_ASSERT_EQUAL(json_object_object_length(at(made, "hostInfo")), json_object_object_length(at(wanted, "hostInfo")));
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(made, "hostInfo.diskPartitions")), "[ ]");
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(made, "hostInfo.cpuInfo")), "[ ]");
  CU_ASSERT_PTR_NULL(strstr(mu_text_data(element), "null"));
  json_object_put(made);
  mu_text_unref(element);
  mu_buf_free(&a);
  mu_buf_free(&b);
  json_object_put(metrics);
  json_object_put(recorded);
  free(text);
  free(push);
}

static const struct status_card card = {.id = "web-1", .name = "Web", .group = "lab", .country = "CN"};

static void crosses_both_ways(void)
{
  size_t len;
  char *recorded = slurp("agent-report.json", &len);
  struct status_reading reading;
  struct mu_json_error error = {0};
  /* deployed → documented */
  struct json_object *metrics = metrics_of(STATUS_DEPLOYED, recorded);
  mu_text *text = render_report(STATUS_DOCUMENTED, &card, metrics, 1795248712, STATUS_DOCUMENTED_LIMIT, NULL);
  CU_ASSERT_EQUAL(read_text(mu_text_data(text), STATUS_DOCUMENTED, &reading, &error), 0);
  CU_ASSERT_EQUAL(reading.kind, STATUS_DOCUMENTED);
  struct json_object *again = metrics_of(STATUS_DOCUMENTED, mu_text_data(text));
  static const char *const kept[] = {"cpu.percent",
                                     "cpu.cores",
                                     "cpu.model",
                                     "cpu.load15",
                                     "memory.total",
                                     "memory.swap_total",
                                     "disk.total",
                                     "disk.used",
                                     "disk.disks.1.path",
                                     "disk.disks.1.fstype",
                                     "network.rx_bytes",
                                     "network.tx_speed",
                                     "system.kernel",
                                     "system.boot_time",
                                     "system.virtualization",
                                     "system.platform_version",
                                     "system.uptime"};
  for (size_t i = 0; i < MU_COUNT(kept); i++) {
    CU_ASSERT_PTR_NOT_NULL(at(metrics, kept[i]));
    CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(metrics, kept[i])),
                           json_object_to_json_string(at(again, kept[i])));
  }
  json_object_put(again);
  json_object_put(metrics);
  mu_text_unref(text);

  /* documented → deployed, with all that a released dashboard needs */
  metrics = metrics_of(STATUS_DOCUMENTED, sample);
  text = render_report(STATUS_DEPLOYED, &card, metrics, 0, STATUS_DEPLOYED_LIMIT, NULL);
  if (read_text(mu_text_data(text), STATUS_DOCUMENTED, &reading, &error) != 0)
    printf("\n    %s %s\n", error.path, error.what);
  CU_ASSERT_EQUAL(read_text(mu_text_data(text), STATUS_DOCUMENTED, &reading, &error), 0);
  CU_ASSERT_EQUAL(reading.kind, STATUS_DEPLOYED);
  struct json_object *made = json_tokener_parse(mu_text_data(text));
  struct json_object *wanted = json_tokener_parse(recorded);
  json_object_array_del_idx(at(wanted, "diskInfo.partitions"), 1, 1);
  json_object_object_del(made, "metrics");
  struct mu_buf a = MU_BUF_INIT, b = MU_BUF_INIT;
  names_of(made, &a);
  names_of(wanted, &b);
  /* The recorded agent writes identity first and ip, loc last, as we do; only the order inside is compared by name. */
  CU_ASSERT_STRING_EQUAL(a.at, b.at);
  CU_ASSERT_EQUAL(json_object_get_int64(at(made, "networkInfo.netInTransfer")), INT64_C(2147483648));
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(made, "cpuInfo.info.0")), "Intel(R) Xeon(R) CPU E5-2680 v4 x 8 ");
  again = metrics_of(STATUS_DEPLOYED, mu_text_data(text));
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(again, "network.primary")), "eth0");
  CU_ASSERT_STRING_EQUAL(json_object_get_string(at(again, "system.hostname")), "web-server-1");
  json_object_put(again);
  json_object_put(made);
  json_object_put(wanted);
  json_object_put(metrics);
  mu_text_unref(text);
  mu_buf_free(&a);
  mu_buf_free(&b);
  free(recorded);
}

/* Nothing measured, or nonsense: still what a released dashboard takes. */
static void deployed_never_breaks_a_dashboard(void)
{
  struct json_object *odd =
      json_tokener_parse("{\"cpu\":{\"percent\":250,\"cores\":-3,\"model\":\"m\",\"load1\":-1},\"memory\":{\"total\":1."
                         "6,\"used\":-5,\"used_percent\":\"x\"},"
                         "\"disk\":{\"disks\":null},\"network\":{\"rx_bytes\":12.5,\"rx_speed\":1e300}}");
  json_object_object_add(json_object_object_get(odd, "memory"), "swap_used_percent", json_object_new_double(0.0 / 0.0));
  struct json_object *const inputs[] = {NULL, odd};
  for (size_t i = 0; i < MU_COUNT(inputs); i++) {
    mu_text *text = render_report(STATUS_DEPLOYED, &card, inputs[i], 0, STATUS_DEPLOYED_LIMIT, NULL);
    struct status_reading reading;
    struct mu_json_error error = {0};
    CU_ASSERT_EQUAL(read_text(mu_text_data(text), STATUS_DEPLOYED, &reading, &error), 0);
    CU_ASSERT_PTR_NULL(strstr(mu_text_data(text), "null"));
    CU_ASSERT_PTR_NULL(strstr(mu_text_data(text), "nan"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), "\"avgStat\":{\"load1\":0,"));
    CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), "\"partitions\":[]"));
    mu_text_unref(text);
    text = render_report(STATUS_DOCUMENTED, &card, inputs[i], 5, STATUS_DOCUMENTED_LIMIT, NULL);
    CU_ASSERT_EQUAL(read_text(mu_text_data(text), STATUS_DOCUMENTED, &reading, &error), 0);
    mu_text_unref(text);
  }
  json_object_put(odd);
}

/* Of one disk df says 25 % and the released programs say 10 %: each form says it in its own way, and the metric is df's. */
static void shares_of_disks(void)
{
  size_t len;
  char *recorded = slurp("agent-report.json", &len);
  struct json_object *report = json_tokener_parse(recorded);
  struct json_object *metrics = metrics_of(STATUS_DEPLOYED, recorded);
  CU_ASSERT_DOUBLE_EQUAL(json_object_get_double(at(metrics, "disk.used_percent")), 25.43, 1e-9);
  CU_ASSERT_DOUBLE_EQUAL(json_object_get_double(at(metrics, "disk.disks.0.used_percent")), 25.43, 0.01);
  CU_ASSERT_EQUAL(json_object_get_int64(at(metrics, "disk.free")), 2 * INT64_C(76620996608));
  struct mu_machine machine = machine_named("n", "g", 0);
  mu_text *element = render_element(&machine, metrics);
  struct json_object *made = json_tokener_parse(mu_text_data(element));
  CU_ASSERT_EQUAL(json_object_get_double(at(made, "diskPercent")),
                  json_object_get_double(at(report, "diskInfo.usedPercent")));
  json_object_put(made);
  mu_text_unref(element);
  json_object_put(report);

  /* Through each form and back it is the same. */
  for (int kind = 0; kind < STATUS_KINDS; kind++) {
    mu_text *text = render_report((enum status_kind)kind, &card, metrics, 1, STATUS_DEPLOYED_LIMIT, NULL);
    struct json_object *again = metrics_of((enum status_kind)kind, mu_text_data(text));
    static const char *const same[] = {"disk.total", "disk.used", "disk.free", "disk.used_percent"};
    for (size_t i = 0; i < MU_COUNT(same); i++)
      CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(again, same[i])),
                             json_object_to_json_string(at(metrics, same[i])));
    CU_ASSERT_PTR_NULL(strstr(mu_text_data(text), "\"metrics\":{\"disk\":{\"free\""));
    json_object_put(again);
    mu_text_unref(text);
  }
  json_object_put(metrics);

  /* Nothing that would have to be guessed: no rows, or rows that do not say what is free. */
  static const struct {
    const char *partitions;
    double percent;
  } rows[] = {{"[]", 9.655877813673353},
              {"null", 9.655877813673353},
              {"[{\"mountPoint\":\"/\",\"total\":10,\"used\":5}]", 9.655877813673353},
              {"[{\"total\":10,\"used\":0,\"free\":0}]", 0}};
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    char *text = with(recorded, "diskInfo.partitions", rows[i].partitions);
    metrics = metrics_of(STATUS_DEPLOYED, text);
    CU_ASSERT_EQUAL(json_object_get_double(at(metrics, "disk.used_percent")), rows[i].percent);
    CU_ASSERT_EQUAL(at(metrics, "disk.free") != NULL, i == 3);
    CU_ASSERT_EQUAL(json_object_get_int64(at(metrics, "disk.total")), INT64_C(541106348032));
    json_object_put(metrics);
    free(text);
  }
  free(recorded);
}

static void drop_ins(void)
{
  struct json_object *metrics = metrics_of(STATUS_DOCUMENTED, sample);
  json_object_object_add(metrics, "ups", json_tokener_parse("{\"charge\":97.5,\"model\":\"<b>\",\"cells\":[1,2.5]}"));
  for (int kind = 0; kind < STATUS_KINDS; kind++) {
    mu_text *text = render_report((enum status_kind)kind, &card, metrics, 1, STATUS_DEPLOYED_LIMIT, NULL);
    struct json_object *again = metrics_of((enum status_kind)kind, mu_text_data(text));
    CU_ASSERT_STRING_EQUAL(json_object_to_json_string(at(again, "ups")),
                           json_object_to_json_string(at(metrics, "ups")));
    struct mu_machine machine = machine_named("n", "g", 0);
    mu_text *element = render_element(&machine, again);
    CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(element), "\"ups\":{\"charge\":97.5,"));
    mu_text_unref(element);
    json_object_put(again);
    mu_text_unref(text);
  }
  json_object_put(metrics);

  /* The extra member does not overrule the form, and what has a wrong shape stays out. */
  char *text = malloc(sizeof sample + 256);
  sprintf(text,
          "%.*s,\"metrics\":{\"cpu\":{\"percent\":1,\"load1\":2},\"Bad\":{\"a\":1},\"deep\":{\"a\":[[1]],\"b\":{\"c\":"
          "1},\"d\":1},\"flat\":3}}",
          (int)strlen(sample) - 1, sample);
  struct status_reading reading;
  CU_ASSERT_EQUAL(read_text(text, STATUS_DOCUMENTED, &reading, NULL), 0);
  metrics = metrics_of(STATUS_DOCUMENTED, text);
  CU_ASSERT_EQUAL(json_object_get_double(at(metrics, "cpu.percent")), 45.2);
  CU_ASSERT_EQUAL(json_object_get_int(at(metrics, "cpu.load1")), 2);
  CU_ASSERT_STRING_EQUAL(json_object_to_json_string_ext(at(metrics, "deep"), JSON_C_TO_STRING_PLAIN), "{\"d\":1}");
  CU_ASSERT_PTR_NULL(at(metrics, "Bad"));
  CU_ASSERT_PTR_NULL(at(metrics, "flat"));
  json_object_put(metrics);
  free(text);
}

/* A text that is longer as written than a server takes is cut, between characters. */
static void cuts_long_texts(void)
{
  char model[1200] = "";
  for (int i = 0; i < 150; i++)
    strcat(model, "\xe4\xb8\xad\x01");
  struct json_object *metrics = metrics_of(STATUS_DOCUMENTED, sample);
  json_object_object_add(json_object_object_get(metrics, "cpu"), "model", json_object_new_string(model));
  json_object_object_add(json_object_object_get(metrics, "system"), "kernel", json_object_new_string(model));
  for (int kind = 0; kind < STATUS_KINDS; kind++) {
    struct status_reading reading;
    mu_text *text = render_report((enum status_kind)kind, &card, metrics, 1, STATUS_DOCUMENTED_LIMIT, NULL);
    CU_ASSERT_EQUAL(read_text(mu_text_data(text), (enum status_kind)kind, &reading, NULL), 0);
    CU_ASSERT_PTR_NULL(strstr(mu_text_data(text), "\xef\xbf\xbd"));
    mu_text_unref(text);
  }
  json_object_put(metrics);
}

/* A released dashboard closes on more than 10 240 bytes: things are left out, the smallest loss first. */
static void fits_the_limit(void)
{
  struct json_object *metrics = metrics_of(STATUS_DOCUMENTED, sample);
  struct json_object *cores = json_object_new_array();
  for (int i = 0; i < 3000; i++)
    json_object_array_add(cores, json_object_new_int(i));
  json_object_object_add(json_object_object_get(metrics, "cpu"), "per_core", cores);
  json_object_object_add(metrics, "ups", json_tokener_parse("{\"charge\":97.5}"));
  unsigned steps = 0;
  mu_text *text = render_report(STATUS_DEPLOYED, &card, metrics, 1, STATUS_DEPLOYED_LIMIT, &steps);
  CU_ASSERT_EQUAL(steps, 1);
  CU_ASSERT(mu_text_len(text) <= STATUS_DEPLOYED_LIMIT);
  CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), "\"ups\""));
  CU_ASSERT_PTR_NULL(strstr(mu_text_data(text), "per_core"));
  mu_text_unref(text);
  struct json_object *rows = at(metrics, "disk.disks");
  for (int i = 0; i < 500; i++)
    json_object_array_add(rows, json_object_get(json_object_array_get_idx(rows, 0)));
  text = render_report(STATUS_DEPLOYED, &card, metrics, 1, STATUS_DEPLOYED_LIMIT, &steps);
  CU_ASSERT_EQUAL(steps, 3);
  CU_ASSERT(mu_text_len(text) <= STATUS_DEPLOYED_LIMIT);
  mu_text_unref(text);
  json_object_put(metrics);
}

static void understands_pages(void)
{
  CU_ASSERT_EQUAL(status_page_ping(&codec, "{\"type\":\"ping\"}", 15, NULL), 1);
  CU_ASSERT_EQUAL(status_page_ping(&codec, "{\"type\":\"pong\"}", 15, NULL), 0);
  CU_ASSERT_EQUAL(status_page_ping(&codec, "{}", 2, NULL), 0);
  CU_ASSERT(status_page_ping(&codec, "ping", 4, NULL) < 0);
  CU_ASSERT(status_page_ping(&codec, "{\"type\":1}", 10, NULL) < 0);
}

static const struct unit_test tests[] = {
    {"recorded and documented reports are accepted", accepts_recorded},
    {"every field refuses wrong types by name", refuses_wrong_types},
    {"numbers out of range", refuses_numbers},
    {"quirks of the released agent", accepts_released_quirks},
    {"identity", checks_identity},
    {"what the configuration fixes", keeps_what_is_fixed},
    {"the element of a deployed page", makes_the_recorded_element},
    {"from form to form", crosses_both_ways},
    {"nothing that breaks a dashboard", deployed_never_breaks_a_dashboard},
    {"shares of disks", shares_of_disks},
    {"drop-in metrics", drop_ins},
    {"long texts", cuts_long_texts},
    {"the limit of a released dashboard", fits_the_limit},
    {"what pages say", understands_pages},
};

int main(void)
{
  if (status_codec_init(&codec) != 0)
    return 1;
  int status = unit_main("server_status codec", tests, MU_COUNT(tests));
  status_codec_fini(&codec);
  return status;
}
