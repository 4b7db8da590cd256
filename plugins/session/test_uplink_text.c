/* SPDX-License-Identifier: ISC */
/* Addresses, keys and messages of the uplink. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <json-c/json.h>

#include "uplink.h"
#include "unit.h"

static void addresses(void)
{
  static const struct {
    const char *url, *text;
  } good[] = {
      {"wss://host:5000", "host:5000"},
      {"wss://host:5000/", "host:5000"},
      {"WSS://Host.Example:5000/ws/session", "host.example:5000"},
      {"ws://127.0.0.1:80/x?y=z", "127.0.0.1:80"},
      {"wss://host", "host:443"},
      {"ws://host/", "host:80"},
      {"ws://host?x:1", "host:80"},
      {"wss://[::1]:5000/", "[::1]:5000"},
      {"wss://[FE80::1]", "[fe80::1]:443"},
      {"wss://host:00080", "host:80"},
  };
  static const char *const bad[] = {
      "",
      "host:5000",
      "http://host",
      "https://host",
      "wss://",
      "wss:///",
      "wss://:5000",
      "wss://host:",
      "wss://host:0",
      "wss://host:65536",
      "wss://host:5a",
      "wss://u:p@host",
      "wss://host/#a",
      "wss://ho st",
      "wss://h\xc3\xb6st",
      "wss://[::1",
      "wss://[::1]x",
      "wss://[]:1",
      "wss://[host]:1",
      "wss://ho/../st:\n",
      "wss://a,b",
      "wss://host:123456",
  };
  struct uplink_server server;
  for (size_t i = 0; i < MU_COUNT(good); i++) {
    CU_ASSERT_PTR_NULL(uplink_server(good[i].url, &server));
    CU_ASSERT_STRING_EQUAL(server.text, good[i].text);
    CU_ASSERT_EQUAL(server.tls, (good[i].url[2] | 0x20) == 's');
  }
  for (size_t i = 0; i < MU_COUNT(bad); i++)
    CU_ASSERT_PTR_NOT_NULL(uplink_server(bad[i], &server));
  CU_ASSERT_PTR_NULL(uplink_server("ws://[::1]:5000", &server));
  CU_ASSERT_STRING_EQUAL(server.host, "::1");
  CU_ASSERT_STRING_EQUAL(server.port, "5000");
  char longer[400] = "wss://";
  memset(longer + 6, 'a', 300);
  CU_ASSERT_PTR_NOT_NULL(uplink_server(longer, &server));
}

static void keys(void)
{
  char longer[300];
  memset(longer, 'k', sizeof longer);
  CU_ASSERT_TRUE(uplink_key_ok(mu_str("12345678")));
  CU_ASSERT_TRUE(uplink_key_ok(mu_str("!\"#$%&'(~")));
  CU_ASSERT_TRUE(uplink_key_ok((struct mu_str){longer, 256}));
  CU_ASSERT_FALSE(uplink_key_ok((struct mu_str){longer, 257}));
  CU_ASSERT_FALSE(uplink_key_ok(mu_str("1234567")));
  CU_ASSERT_FALSE(uplink_key_ok(mu_str("1234 5678")));
  CU_ASSERT_FALSE(uplink_key_ok(mu_str("1234567\xc3\xa9")));
  CU_ASSERT_FALSE(uplink_key_ok(MU_STR("12345678\0")));
  CU_ASSERT_FALSE(uplink_key_ok(mu_str("12345678\n")));
  CU_ASSERT_FALSE(uplink_key_ok(mu_str("")));
}

/* ---- data ------------------------------------------------------------------------------------ */

static struct json_object *parse(const mu_text *text)
{
  struct json_object *all = NULL;
  CU_ASSERT_EQUAL_FATAL(mu_json_parse(mu_text_data(text), mu_text_len(text), &all, NULL), 0);
  return all;
}

static const char *at(struct json_object *all, const char *path)
{
  struct json_object *value = NULL;
  char copy[100], *rest = copy;
  snprintf(copy, sizeof copy, "%s", path);
  for (const char *name; (name = strsep(&rest, "."));)
    if (!json_object_object_get_ex(all, name, &value))
      return "(none)";
    else
      all = value;
  return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
}

static void data(void)
{
  MU_AUTO_JSON struct json_object *metrics =
      json_tokener_parse("{\"cpu\":{\"percent\":12.5,\"cores\":4},\"a \\\"b\\\"\":{\"x\":1},\"odd\":7,\"empty\":{}}");
  const struct mu_report report = {.size = sizeof report,
                                   .boot = "0123abcd",
                                   .seq = UINT64_C(9007199254740993),
                                   .time_ms = 1795248712123,
                                   .metrics = metrics};
  unsigned left_out = 7;
  mu_text *text = uplink_text_data(&report, UPLINK_MESSAGE_MAX, &left_out);
  CU_ASSERT_EQUAL(left_out, 0);
  CU_ASSERT_STRING_EQUAL(
      mu_text_data(text),
      "{\"type\":\"data\",\"boot\":\"0123abcd\",\"seq\":9007199254740993,\"timestamp\":1795248712123,"
      "\"metrics\":{\"cpu\":{\"percent\":12.5,\"cores\":4},\"a \\\"b\\\"\":{\"x\":1},\"empty\":{}}}");
  mu_text_unref(text);
}

static void too_long_data_loses_the_longest(void)
{
  MU_AUTO_JSON struct json_object *metrics = json_object_new_object();
  static char big[70000], half[40000];
  memset(big, 'b', sizeof big - 1);
  memset(half, 'h', sizeof half - 1);
  const char *const texts[] = {"small", big, half, half, "other"};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    char name[8];
    struct json_object *group = json_object_new_object();
    snprintf(name, sizeof name, "c%zu", i);
    json_object_object_add(group, "t", json_object_new_string(texts[i]));
    json_object_object_add(metrics, name, group);
  }
  const struct mu_report report = {.size = sizeof report, .boot = "b", .seq = 1, .metrics = metrics};
  unsigned left_out;
  mu_text *text = uplink_text_data(&report, UPLINK_MESSAGE_MAX, &left_out);
  CU_ASSERT_EQUAL(left_out, 2); /* the big one and one of the halves */
  CU_ASSERT(mu_text_len(text) <= UPLINK_MESSAGE_MAX);
  struct json_object *all = parse(text);
  CU_ASSERT_STRING_EQUAL(at(all, "metrics.c0.t"), "\"small\"");
  CU_ASSERT_STRING_EQUAL(at(all, "metrics.c1"), "(none)");
  CU_ASSERT_STRING_EQUAL(at(all, "metrics.c4.t"), "\"other\"");
  json_object_put(all);
  mu_text_unref(text);
  text = uplink_text_data(&report, 100, &left_out);
  CU_ASSERT_EQUAL(left_out, 5);
  CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), "\"metrics\":{}}"));
  mu_text_unref(text);
}

/* ---- system_info ----------------------------------------------------------------------------- */

static const char *version(void *self)
{
  (void)self;
  return "1.2.3";
}

static const char *collector(void *self, size_t n)
{
  static const char *const names[] = {"cpu", "memory"};
  (void)self;
  return n < 2 ? names[n] : NULL;
}

static void info(void)
{
  static const struct mu_agent agent = {.size = sizeof agent, .version = version, .collector = collector};
  MU_AUTO_JSON struct json_object *metrics =
      json_tokener_parse("{\"cpu\":{\"cores\":3},\"memory\":{\"total\":1048576},\"system\":{\"hostname\":\"from-"
                         "metrics\",\"kernel\":\"9.9\"}}");
  struct uplink_facts facts = {
      .metrics = metrics, .ip = "192.0.2.1", .name = "Na\"me", .is_public = true, .agent = &agent};
  struct utsname names;
  uname(&names);
  mu_text *text = uplink_text_info(&facts);
  struct json_object *all = parse(text);
  static const char *const expected[][2] = {{"type", "\"system_info\""},
                                            {"ip", "\"192.0.2.1\""},
                                            {"ram", "1048576"},
                                            {"cpu", "3"},
                                            {"hostname", "\"from-metrics\""},
                                            {"kernel", "\"9.9\""},
                                            {"os", "\"linux\""},
                                            {"name", "\"Na\\\"me\""},
                                            {"public", "true"},
                                            {"agentVersion", "\"1.2.3\""},
                                            {"collectors", "[\"cpu\",\"memory\"]"}};
  for (size_t i = 0; i < MU_COUNT(expected); i++)
    CU_ASSERT_STRING_EQUAL(at(all, expected[i][0]), expected[i][1]);
  json_object_put(all);
  mu_text_unref(text);
  /* Before the first report: the system itself is asked. */
  facts = (struct uplink_facts){0};
  text = uplink_text_info(&facts);
  all = parse(text);
  CU_ASSERT_EQUAL(atol(at(all, "cpu")), sysconf(_SC_NPROCESSORS_ONLN));
  CU_ASSERT(atoll(at(all, "ram")) > 1000000);
  CU_ASSERT_EQUAL(strncmp(at(all, "hostname") + 1, names.nodename, strlen(names.nodename)), 0);
  CU_ASSERT_STRING_EQUAL(at(all, "ip"), "(none)");
  CU_ASSERT_STRING_EQUAL(at(all, "name"), "(none)");
  CU_ASSERT_STRING_EQUAL(at(all, "public"), "false");
  json_object_put(all);
  mu_text_unref(text);
}

static void auth(void)
{
  struct mu_buf out = MU_BUF_INIT;
  uplink_text_auth(&out, "apiKey", mu_str("a\"b\\cdefg"), "id-1", NULL);
  CU_ASSERT_STRING_EQUAL(out.at, "{\"type\":\"auth\",\"apiKey\":\"a\\\"b\\\\cdefg\",\"machineId\":\"id-1\"}");
  mu_buf_clear(&out);
  uplink_text_auth(&out, "sessionToken", mu_str("t.t.t"), NULL, "Name");
  CU_ASSERT_STRING_EQUAL(out.at, "{\"type\":\"auth\",\"sessionToken\":\"t.t.t\",\"name\":\"Name\"}");
  mu_buf_free(&out);
}

static const struct unit_test tests[] = {
    {"addresses", addresses}, {"the shape of keys", keys},
    {"data", data},           {"data that is too long loses the longest collectors", too_long_data_loses_the_longest},
    {"system_info", info},    {"auth", auth},
};
UNIT_MAIN("uplink text", tests)
