/* SPDX-License-Identifier: ISC */
/* Frames as Realtime sends them, and all kinds of others. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include <muster/json.h>

#include "phoenix.h"
#include "unit.h"

#define ID "0f0e0d0c-0b0a-4908-8706-050403020100"

static const struct phoenix_channel channel = {
    .topic = "realtime:muster", .schema = "public", .table = "machines", .id_column = "id", .owner_column = "user_id"};

static struct phoenix_frame reading(const char *text, int expected)
{
  struct phoenix_frame frame;
  CU_ASSERT_EQUAL(phoenix_read(&channel, text, strlen(text), &frame), expected);
  return frame;
}

static enum phoenix_kind kind_of(const char *text)
{
  return reading(text, 0).kind;
}

static void what_we_say(void)
{
  mu_text *text = phoenix_join(&channel, 7, NULL);
  CU_ASSERT_STRING_EQUAL(
      mu_text_data(text),
      "[\"7\",\"7\",\"realtime:muster\",\"phx_join\",{\"config\":{\"broadcast\":{\"ack\":false,\"self\":false},"
      "\"presence\":{\"key\":\"\"},\"postgres_changes\":[{\"event\":\"DELETE\",\"schema\":\"public\",\"table\":"
      "\"machines\"}],\"private\":false}}]");
  mu_text_unref(text);
  text = phoenix_join(&channel, 8, "a.b\"c");
  CU_ASSERT_PTR_NOT_NULL(strstr(mu_text_data(text), "\"private\":false},\"access_token\":\"a.b\\\"c\"}]"));
  CU_ASSERT_EQUAL(mu_json_scan(NULL, mu_text_data(text), mu_text_len(text), NULL, NULL), 0);
  mu_text_unref(text);
  text = phoenix_heartbeat(9);
  CU_ASSERT_STRING_EQUAL(mu_text_data(text), "[null,\"9\",\"phoenix\",\"heartbeat\",{}]");
  mu_text_unref(text);
}

static void replies(void)
{
  struct phoenix_frame frame =
      reading("[\"7\",\"7\",\"realtime:muster\",\"phx_reply\",{\"status\":\"ok\",\"response\":{\"postgres_changes\":"
              "[{\"id\":31339675,\"event\":\"DELETE\",\"schema\":\"public\",\"table\":\"machines\"}]}}]",
              0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_REPLY);
  CU_ASSERT_TRUE(frame.ok);
  CU_ASSERT_EQUAL(frame.ref, 7);
  CU_ASSERT_EQUAL(frame.join_ref, 7);
  frame = reading("[\"7\",\"7\",\"realtime:muster\",\"phx_reply\",{\"status\":\"error\",\"response\":{\"reason\":"
                  "\"Unauthorized\"}}]",
                  0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_REPLY);
  CU_ASSERT_FALSE(frame.ok);
  CU_ASSERT_STRING_EQUAL(frame.why, "Unauthorized");
  frame = reading("[null,\"9\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]", 0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_REPLY);
  CU_ASSERT_TRUE(frame.ok);
  CU_ASSERT_EQUAL(frame.ref, 9);
  CU_ASSERT_EQUAL(frame.join_ref, 0);
  /* Refs as numbers, and refs that are none of ours. */
  CU_ASSERT_EQUAL(reading("[7,8,\"phoenix\",\"phx_reply\",{}]", 0).ref, 8);
  CU_ASSERT_EQUAL(reading("[null,\"9x\",\"phoenix\",\"phx_reply\",{}]", 0).ref, 0);
  CU_ASSERT_EQUAL(reading("[{},[],\"phoenix\",\"phx_reply\",null]", 0).ref, 0);
  CU_ASSERT_FALSE(reading("[null,null,\"phoenix\",\"phx_reply\",{\"status\":true}]", 0).ok);
}

static void the_databases_side(void)
{
  struct phoenix_frame frame =
      reading("[\"7\",null,\"realtime:muster\",\"system\",{\"channel\":\"muster\",\"extension\":\"postgres_changes\","
              "\"message\":\"Subscribed to PostgreSQL\",\"status\":\"ok\"}]",
              0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_SYSTEM);
  CU_ASSERT_TRUE(frame.ok);
  frame =
      reading("[\"7\",null,\"realtime:muster\",\"system\",{\"channel\":\"muster\",\"extension\":\"postgres_changes\","
              "\"message\":\"Unable to subscribe to changes with given parameters\",\"status\":\"error\"}]",
              0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_SYSTEM);
  CU_ASSERT_FALSE(frame.ok);
  CU_ASSERT_STRING_EQUAL(frame.why, "Unable to subscribe to changes with given parameters");
  /* Other extensions may well fail or succeed. */
  CU_ASSERT_EQUAL(kind_of("[\"7\",null,\"realtime:muster\",\"system\",{\"extension\":\"presence\",\"status\":\"ok\"}]"),
                  PHOENIX_OTHER);
  CU_ASSERT_EQUAL(kind_of("[null,null,\"realtime:muster\",\"phx_close\",{}]"), PHOENIX_CLOSED);
  CU_ASSERT_EQUAL(kind_of("[\"7\",null,\"realtime:muster\",\"phx_error\",{}]"), PHOENIX_CLOSED);
  CU_ASSERT_EQUAL(kind_of("[\"7\",null,\"realtime:other\",\"phx_error\",{}]"), PHOENIX_OTHER);
  CU_ASSERT_EQUAL(kind_of("[\"7\",null,\"realtime:muster\",\"presence_state\",{}]"), PHOENIX_OTHER);
}

#define CHANGE(schema, table, type, old, errors)                                                                       \
  "[\"7\",null,\"realtime:muster\",\"postgres_changes\",{\"ids\":[31339675],\"data\":{\"columns\":[{\"name\":\"id\","  \
  "\"type\":\"uuid\"}],\"commit_timestamp\":\"2025-01-01T00:00:00.000Z\",\"errors\":" errors ",\"old_record\":" old    \
  ",\"schema\":\"" schema "\",\"table\":\"" table "\",\"type\":\"" type "\"}}]"

static void rows_that_go(void)
{
  struct phoenix_frame frame = reading(CHANGE("public", "machines", "DELETE", "{\"id\":\"" ID "\"}", "null"), 0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_DELETED);
  CU_ASSERT_STRING_EQUAL(frame.id, ID);
  CU_ASSERT_STRING_EQUAL(frame.owner, "");
  frame = reading(CHANGE("public", "machines", "DELETE", "{\"id\":42,\"user_id\":1}", "null"), 0);
  CU_ASSERT_EQUAL(frame.kind, PHOENIX_DELETED);
  CU_ASSERT_STRING_EQUAL(frame.id, "42");
  CU_ASSERT_STRING_EQUAL(frame.owner, "1");
  frame = reading(CHANGE("public", "machines", "DELETE", "{\"user_id\":\"ann\",\"id\":\"" ID "\"}", "null"), 0);
  CU_ASSERT_STRING_EQUAL(frame.owner, "ann");
  /* An owner who is none, and one whom nobody can be called. */
  static const char *const owners[] = {"null", "true", "{}", "1.5", "\"\""};
  for (size_t i = 0; i < MU_COUNT(owners); i++) {
    char text[600];
    snprintf(text, sizeof text, CHANGE("public", "machines", "DELETE", "{\"id\":42,\"user_id\":%s}", "null"),
             owners[i]);
    frame = reading(text, 0);
    CU_ASSERT_EQUAL(frame.kind, PHOENIX_DELETED);
    CU_ASSERT_STRING_EQUAL(frame.owner, "");
  }
  /* Nobody looks at owners. */
  const struct phoenix_channel without = {
      .topic = "realtime:muster", .schema = "public", .table = "machines", .id_column = "id", .owner_column = ""};
  const char *text = CHANGE("public", "machines", "DELETE", "{\"id\":42,\"user_id\":1}", "null");
  CU_ASSERT_EQUAL(phoenix_read(&without, text, strlen(text), &frame), 0);
  CU_ASSERT_STRING_EQUAL(frame.id, "42");
  CU_ASSERT_STRING_EQUAL(frame.owner, "");
  CU_ASSERT_EQUAL(kind_of(CHANGE("public", "machines", "INSERT", "{\"id\":\"" ID "\"}", "null")), PHOENIX_OTHER);
  CU_ASSERT_EQUAL(kind_of(CHANGE("public", "machines", "UPDATE", "{\"id\":\"" ID "\"}", "null")), PHOENIX_OTHER);
  CU_ASSERT_EQUAL(kind_of(CHANGE("public", "users", "DELETE", "{\"id\":\"" ID "\"}", "null")), PHOENIX_OTHER);
  CU_ASSERT_EQUAL(kind_of(CHANGE("audit", "machines", "DELETE", "{\"id\":\"" ID "\"}", "null")), PHOENIX_OTHER);
}

/* One row is gone, and nobody says which: a poll must find it. */
static void rows_without_a_name(void)
{
  static const char *const old[] = {
      CHANGE("public", "machines", "DELETE", "{}", "[\"Error 401: Unauthorized\"]"),
      CHANGE("public", "machines", "DELETE", "null", "null"),
      CHANGE("public", "machines", "DELETE", "[]", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":null}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":1.5}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":true}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":[\"a\"]}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":\"\"}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"user_id\":\"" ID "\"}", "null"),
      CHANGE("public", "machines", "DELETE", "{\"id\":\"" ID ID ID ID "\"}", "null"),
  };
  for (size_t i = 0; i < MU_COUNT(old); i++) {
    struct phoenix_frame frame = reading(old[i], 0);
    CU_ASSERT_EQUAL(frame.kind, PHOENIX_NAMELESS);
    CU_ASSERT_STRING_EQUAL(frame.id, "");
  }
  CU_ASSERT_STRING_EQUAL(reading(old[0], 0).why, "[\"Error 401: Unauthorized\"]");
}

static void no_frames(void)
{
  static const char *const texts[] = {"",
                                      "{}",
                                      "[]",
                                      "null",
                                      "[1,2,3,4]",
                                      "[null,null,\"phoenix\",\"x\",{},1]",
                                      "[null,null,1,\"x\",{}]",
                                      "[null,null,\"phoenix\",null,{}]",
                                      "[null,null,\"phoenix\",\"x\",{}",
                                      "[null,null,\"phoenix\",\"x\",{}]x",
                                      "{\"topic\":\"phoenix\",\"event\":\"phx_reply\",\"payload\":{},\"ref\":\"1\"}"};
  for (size_t i = 0; i < MU_COUNT(texts); i++)
    reading(texts[i], MU_ESYNTAX);
  /* The server's words are cut, not refused. */
  char text[1200];
  snprintf(text, sizeof text,
           "[null,null,\"realtime:muster\",\"system\",{\"status\":\"error\",\"message\":\"%01000d\"}]", 0);
  struct phoenix_frame frame = reading(text, 0);
  CU_ASSERT_EQUAL(strlen(frame.why), sizeof frame.why - 1);
}

static const struct unit_test tests[] = {
    {"what we say", what_we_say},
    {"replies", replies},
    {"the database's side", the_databases_side},
    {"rows that go", rows_that_go},
    {"rows without a name", rows_without_a_name},
    {"what is no frame", no_frames},
};

UNIT_MAIN("phoenix", tests)
