/* SPDX-License-Identifier: ISC */
/* The object Machine: what was told is passed on as it was written, what was not told comes from the figures. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "unit.h"

static struct machine_reader reader;

static struct mu_machine blank(void)
{
  return (struct mu_machine){.size = sizeof(struct mu_machine),
                             .handle = 7,
                             .provider = "auth_static",
                             .owner = "u1",
                             .id = "m1",
                             .name = "",
                             .group = "",
                             .country = "",
                             .location = "",
                             .ip = "",
                             .owner_name = ""};
}

/* The text, parsed by the strict gate too; the caller frees both. */
static mu_text *rendered(struct mu_machine *machine, const char *facts, const char *metrics,
                         struct json_object **parsed)
{
  mu_text *figures = metrics ? mu_text_new(metrics, strlen(metrics)) : NULL;
  machine->facts = facts ? mu_text_new(facts, strlen(facts)) : NULL;
  mu_text *text = machine_text(&reader, machine, figures);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  CU_ASSERT_EQUAL_FATAL(mu_json_parse(mu_text_data(text), mu_text_len(text), parsed, NULL), 0);
  mu_text_unref(figures);
  mu_text_unref(machine->facts);
  return text;
}

static const char *string_of(struct json_object *object, const char *member)
{
  struct json_object *value = NULL;
  return json_object_object_get_ex(object, member, &value) ? json_object_get_string(value) : NULL;
}

/* The members as they are written, each with its value, in the order of the protocol's page. */
static void exact(struct mu_machine *machine, const char *facts, const char *metrics, const char *expected)
{
  struct json_object *parsed = NULL;
  mu_text *text = rendered(machine, facts, metrics, &parsed);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), expected);
  if (strcmp(mu_text_data(text), expected) != 0)
    printf("\n  got      %s\n  expected %s\n", mu_text_data(text), expected);
  mu_text_unref(text);
  json_object_put(parsed);
}

static void writes_every_member(void)
{
  struct mu_machine machine = blank();
  machine.name = "Web 1";
  machine.online = true;
  machine.linked_ms = 1795248712001;
  machine.seen_ms = 1795248712999;
  exact(&machine,
        "{\"ip\":\"192.0.2.7\",\"ram\":17179869184,\"cpu\":8,\"hostname\":\"web-1\",\"os\":\"linux\",\"arch\":\"x86_"
        "64\"}",
        "{\"cpu\":{\"percent\":12.50,\"cores\":4},\"x\":{\"big\":18446744073709551615}}",
        "{\"machineId\":\"m1\",\"userId\":\"u1\",\"name\":\"Web 1\",\"ip\":\"192.0.2.7\",\"ram\":17179869184,\"cpu\":8,"
        "\"hostname\":\"web-1\",\"os\":\"linux\",\"status\":\"online\",\"connectedAt\":1795248712001,"
        "\"lastSeen\":1795248712999,\"metrics\":{\"cpu\":{\"percent\":12.50,\"cores\":4},"
        "\"x\":{\"big\":18446744073709551615}}}");
}

static void knows_nothing(void)
{
  struct mu_machine machine = blank();
  exact(
      &machine, NULL, NULL,
      "{\"machineId\":\"m1\",\"userId\":\"u1\",\"name\":\"m1\",\"ip\":null,\"ram\":null,\"cpu\":null,\"hostname\":null,"
      "\"os\":null,\"status\":\"offline\",\"connectedAt\":null,\"lastSeen\":null,\"metrics\":{}}");
  exact(
      &machine, "{\"ip\":null,\"ram\":null,\"cpu\":null,\"hostname\":null,\"os\":null}", "{}",
      "{\"machineId\":\"m1\",\"userId\":\"u1\",\"name\":\"m1\",\"ip\":null,\"ram\":null,\"cpu\":null,\"hostname\":null,"
      "\"os\":null,\"status\":\"offline\",\"connectedAt\":null,\"lastSeen\":null,\"metrics\":{}}");
}

/* Released clients say "8 GB" or 8589934592, "4" or 4 or 4.0: what came goes out. */
static void keeps_what_was_sent(void)
{
  static const char *const values[] = {"\"8 GB\"", "8589934592", "8.0", "1e3", "-0", "\"\\u0038\"", "\"\"", "0"};
  for (size_t i = 0; i < MU_COUNT(values); i++) {
    char facts[128], ram[64], cpu[64];
    snprintf(facts, sizeof facts, "{\"ram\":%s,\"cpu\": %s }", values[i], values[i]);
    snprintf(ram, sizeof ram, "\"ram\":%s,", values[i]);
    snprintf(cpu, sizeof cpu, "\"cpu\":%s,", values[i]);
    struct mu_machine machine = blank();
    struct json_object *parsed = NULL;
    mu_text *text = rendered(&machine, facts, "{\"memory\":{\"total\":5},\"cpu\":{\"cores\":6}}", &parsed);
    CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), ram));
    CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), cpu));
    mu_text_unref(text);
    json_object_put(parsed);
  }
}

/* Figures go out byte for byte: what no parser here would write the same way again. */
static void figures_go_in_as_they_are_written(void)
{
  static const char *const figures[] = {
      "{}",
      "{ \"cpu\" :\n\t{ \"percent\" : 12.50 , \"cores\" : -0 } }",
      "{\"x\":{\"e\":1E+2,\"u\":18446744073709551615,\"s\":\"\\u00e9\\/\\ud83d\\ude00 "
      "\xc3\xa9\xe2\x80\xa8\"},\"x\":{}}",
      "{\"m\":{\"} ,\\\"userId\\\":\":\"\\\\\",\"%s%n\":[[],[{}],null,true]}}",
  };
  static const char all[] = "{\"ip\":\"::1\",\"ram\":1,\"cpu\":2,\"hostname\":\"h\",\"os\":\"o\"}";
  for (size_t i = 0; i < MU_COUNT(figures); i++)
    for (int told = 0; told < 2; told++) {
      struct mu_machine machine = blank();
      struct json_object *parsed = NULL;
      mu_text *text = rendered(&machine, told ? all : NULL, figures[i], &parsed);
      char expected[512];
      snprintf(expected, sizeof expected, ",\"metrics\":%s}", figures[i]);
      const char *at = strstr(mu_text_data(text), ",\"metrics\":");
      CU_ASSERT_PTR_NOT_NULL_FATAL(at);
      CU_ASSERT_STRING_EQUAL(at, expected);
      mu_text_unref(text);
      json_object_put(parsed);
    }
}

/* What was told wins, member by member; the figures fill the gaps. */
static void told_and_figures(void)
{
  struct mu_machine machine = blank();
  exact(&machine, "{\"ip\":null,\"ram\":\"8 GB\",\"cpu\":null,\"hostname\":\"h\",\"os\":null}",
        "{\"memory\":{\"total\":5},\"cpu\":{\"cores\":6.0},\"system\":{\"hostname\":\"x\",\"os\":\"l\\u0069nux\"}}",
        "{\"machineId\":\"m1\",\"userId\":\"u1\",\"name\":\"m1\",\"ip\":null,\"ram\":\"8 "
        "GB\",\"cpu\":6.0,\"hostname\":\"h\","
        "\"os\":\"l\\u0069nux\",\"status\":\"offline\",\"connectedAt\":null,\"lastSeen\":null,\"metrics\":{\"memory\":{"
        "\"total\":5},\"cpu\":{\"cores\":6.0},\"system\":{\"hostname\":\"x\",\"os\":\"l\\u0069nux\"}}}");
  /* Said twice, two ways: nobody can tell which is meant. */
  struct json_object *parsed = NULL;
  mu_text *text = rendered(&machine, NULL, "{\"cpu\":{\"cores\":1,\"cores\":2}}", &parsed);
  CU_ASSERT_PTR_NULL(json_object_object_get(parsed, "cpu"));
  mu_text_unref(text);
  json_object_put(parsed);
}

/* Agents of the status page tell nothing apart from their reports. */
static void figures_stand_in(void)
{
  static const char metrics[] = "{\"memory\":{\"total\":16777216000},\"cpu\":{\"cores\":8},"
                                "\"system\":{\"hostname\":\"web-\\\"1\\\"\",\"os\":\"linux\"}}";
  static const char *const facts[] = {
      NULL, "{}", "{\"ram\":null,\"hostname\":null}", "{\"ram\":{\"a\":1},\"cpu\":[4],\"os\":true}", "[]", "{\"ram\":"};
  for (size_t i = 0; i < MU_COUNT(facts); i++) {
    struct mu_machine machine = blank();
    machine.ip = "203.0.113.7";
    struct json_object *parsed = NULL;
    mu_text *text = rendered(&machine, facts[i], metrics, &parsed);
    CU_ASSERT_STRING_EQUAL(string_of(parsed, "ip"), "203.0.113.7");
    CU_ASSERT_EQUAL(json_object_get_int64(json_object_object_get(parsed, "ram")), 16777216000);
    CU_ASSERT_EQUAL(json_object_get_int64(json_object_object_get(parsed, "cpu")), 8);
    CU_ASSERT_STRING_EQUAL(string_of(parsed, "hostname"), "web-\"1\"");
    CU_ASSERT_STRING_EQUAL(string_of(parsed, "os"), "linux");
    mu_text_unref(text);
    json_object_put(parsed);
  }
  /* Only plain values stand in, and only from where they belong. */
  struct mu_machine machine = blank();
  struct json_object *parsed = NULL;
  mu_text *text =
      rendered(&machine, NULL, "{\"memory\":{\"total\":[1]},\"cpu\":8,\"system\":{\"hostname\":null}}", &parsed);
  CU_ASSERT_PTR_NULL(json_object_object_get(parsed, "ram"));
  CU_ASSERT_PTR_NULL(json_object_object_get(parsed, "cpu"));
  CU_ASSERT_PTR_NULL(json_object_object_get(parsed, "hostname"));
  mu_text_unref(text);
  json_object_put(parsed);
}

/* The machine's own word on its address wins over the peer's. */
static void own_address_wins(void)
{
  struct mu_machine machine = blank();
  machine.ip = "127.0.0.1";
  struct json_object *parsed = NULL;
  mu_text *text = rendered(&machine, "{\"ip\":\"10.0.0.5\"}", NULL, &parsed);
  CU_ASSERT_STRING_EQUAL(string_of(parsed, "ip"), "10.0.0.5");
  mu_text_unref(text);
  json_object_put(parsed);
}

static void names_are_text(void)
{
  static const char *const names[] = {
      "\"},\"userId\":\"u2\",\"x\":\"",
      "back\\slash",
      "line\nfeed\r\ttab\x01\x1b[31m\x7f",
      "\xe2\x80\xae"
      "drow",
      "\xe2\x80\xa8\xe2\x80\xa9",
      "</script><b>",
      "\xe6\x9c\xba\xe5\x99\xa8 1",
      "\xf0\x9f\x96\xa5",
      "%s%n",
  };
  for (size_t i = 0; i < MU_COUNT(names); i++) {
    struct mu_machine machine = blank();
    machine.name = machine.id = machine.owner = machine.ip = names[i];
    struct json_object *parsed = NULL;
    mu_text *text = rendered(&machine, NULL, NULL, &parsed);
    static const char *const members[] = {"name", "machineId", "userId", "ip"};
    for (size_t j = 0; j < MU_COUNT(members); j++)
      CU_ASSERT_STRING_EQUAL(string_of(parsed, members[j]), names[i]);
    CU_ASSERT_EQUAL(json_object_object_length(parsed), 12);
    for (const char *at = mu_text_data(text); *at; at++)
      CU_ASSERT((unsigned char)*at >= 0x20);
    mu_text_unref(text);
    json_object_put(parsed);
  }
  /* What is no UTF-8 must not make a page's parser give up. */
  struct mu_machine machine = blank();
  machine.name = "a\xff"
                 "b\xc3";
  struct json_object *parsed = NULL;
  mu_text *text = rendered(&machine, NULL, NULL, &parsed);
  CU_ASSERT_STRING_EQUAL(string_of(parsed, "name"), "a\xef\xbf\xbd"
                                                    "b\xef\xbf\xbd");
  mu_text_unref(text);
  json_object_put(parsed);
}

static void wraps_an_update(void)
{
  mu_text *text = machine_update("info", MU_STR("{\"machineId\":\"m\"}"));
  CU_ASSERT_STRING_EQUAL(mu_text_data(text),
                         "{\"type\":\"machine_update\",\"event\":\"info\",\"machine\":{\"machineId\":\"m\"}}");
  mu_text_unref(text);
}

int main(void)
{
  static const struct unit_test tests[] = {{"writes every member", writes_every_member},
                                           {"knows nothing", knows_nothing},
                                           {"keeps what was sent", keeps_what_was_sent},
                                           {"figures stand in", figures_stand_in},
                                           {"figures go in as they are written", figures_go_in_as_they_are_written},
                                           {"told and figures", told_and_figures},
                                           {"own address wins", own_address_wins},
                                           {"names are text", names_are_text},
                                           {"wraps an update", wraps_an_update}};
  if (machine_reader_init(&reader) != 0)
    return 1;
  int status = unit_main("machine", tests, MU_COUNT(tests));
  machine_reader_fini(&reader);
  return status;
}
