/* SPDX-License-Identifier: ISC */
/* Events: order, wildcards, emits inside listeners, listeners and emitters that come and go meanwhile. Principals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "unit.h"

struct frame {
  struct mui_runtime runtime;
  mu_instance *core, *a, *b, *c;
  mu_event_type *type, *other;
  char log[512];
};

struct ear {
  struct frame *frame;
  const char *name;
  void (*act)(struct frame *frame, const struct mu_event *event);
};

static void setup(struct frame *frame)
{
  memset(frame, 0, sizeof(*frame));
  frame->runtime.bus = mui_bus_new();
  frame->runtime.node = "node7";
  frame->core = frame->runtime.core = mui_instance_new(&frame->runtime, "core", "core");
  frame->a = mui_instance_new(&frame->runtime, "a", "test");
  frame->b = mui_instance_new(&frame->runtime, "b", "test");
  frame->c = mui_instance_new(&frame->runtime, "c", "test");
  frame->a->order = 1, frame->b->order = 2, frame->c->order = 3;
}

static void teardown(struct frame *frame)
{
  mui_instance_free(frame->a);
  mui_instance_free(frame->b);
  mui_instance_free(frame->c);
  mui_instance_free(frame->core);
  mui_bus_free(frame->runtime.bus);
}

static void hear(void *self, const struct mu_event *event)
{
  struct ear *ear = self;
  size_t len = strlen(ear->frame->log);
  snprintf(ear->frame->log + len, sizeof(ear->frame->log) - len, "%s:%s%s ", ear->name, event->name,
           event->payload ? (const char *)event->payload : "");
  CU_ASSERT_STRING_EQUAL(event->origin, "node7");
  if (ear->act)
    ear->act(ear->frame, event);
}

#define CHECK_LOG(frame, text)                                                                                         \
  do {                                                                                                                 \
    CU_ASSERT_STRING_EQUAL((frame)->log, text);                                                                        \
    (frame)->log[0] = '\0';                                                                                            \
  } while (0)

static void test_order_and_wildcards(void)
{
  struct frame frame;
  setup(&frame);
  struct ear x = {&frame, "x", NULL}, y = {&frame, "y", NULL}, z = {&frame, "z", NULL}, w = {&frame, "w", NULL};
  mu_event_type *online = mu_event_declare(frame.a, "machine.online", NULL);
  CU_ASSERT_FALSE(mu_event_wanted(online));
  mu_event_emit(online, NULL);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "machine.online", 0, hear, &x), 0);
  CU_ASSERT_TRUE(mu_event_wanted(online));
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "machine.online", 0, hear, &y), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "machine.online", -5, hear, &z), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "machine.*", 0, hear, &w), 0);
  mu_event_emit(online, "!");
  CHECK_LOG(&frame, "z:machine.online! w:machine.online! y:machine.online! x:machine.online! ");

  /* A wildcard hears what is declared later; only whole words match. */
  mu_event_type *report = mu_event_declare(frame.b, "machine.report", NULL);
  mu_event_type *machinery = mu_event_declare(frame.b, "machinery", NULL);
  mu_event_type *again = mu_event_declare(frame.c, "machine.report", NULL);
  mu_event_emit(report, NULL);
  mu_event_emit(again, NULL);
  mu_event_emit(machinery, NULL);
  CU_ASSERT_FALSE(mu_event_wanted(machinery));
  CHECK_LOG(&frame, "w:machine.report w:machine.report ");

  CU_ASSERT_EQUAL(mu_event_on(frame.a, "*", 0, hear, &w), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_event_on(frame.a, ".*", 0, hear, &w), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "", 0, hear, &w), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "a.*.b", 0, hear, &w), MU_EINVAL);
  CU_ASSERT_PTR_NULL(mu_event_declare(frame.a, "a.*", NULL));
  CU_ASSERT_PTR_NULL(mu_event_declare(frame.a, "", NULL));

  mui_instance_revoke(frame.c);
  mu_event_emit(online, NULL);
  CHECK_LOG(&frame, "w:machine.online y:machine.online ");
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "machine.online", 0, hear, &x), MU_ECLOSED);
  CU_ASSERT_PTR_NULL(mu_event_declare(frame.c, "q", NULL));
  mui_instance_revoke(frame.b);
  mui_instance_revoke(frame.a);
  teardown(&frame);
}

/* ---- inside a listener ---- */

static int held;

static void ref(const void *payload)
{
  (void)payload;
  held++;
}

static void unref(const void *payload)
{
  (void)payload;
  held--;
}

static const struct mu_event_ops counting = {.size = sizeof(counting), .version = 1, .ref = ref, .unref = unref};

static void emit_two(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  mu_event_emit(frame->other, "1");
  mu_event_emit(frame->other, "2");
  CU_ASSERT_EQUAL(held, 2);
}

static void test_queued(void)
{
  struct frame frame;
  setup(&frame);
  frame.type = mu_event_declare(frame.core, "first", &counting);
  frame.other = mu_event_declare(frame.core, "second", &counting);
  struct ear x = {&frame, "x", emit_two}, y = {&frame, "y", NULL};
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "first", 0, hear, &x), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "first", 0, hear, &y), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "second", 0, hear, &y), 0);
  mu_event_emit(frame.type, "0");
  CHECK_LOG(&frame, "x:first0 y:first0 y:second1 y:second2 ");
  CU_ASSERT_EQUAL(held, 0);
  teardown(&frame);
}

static unsigned told;

static void flood(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  frame->log[0] = '\0';
  for (unsigned i = 0; i < 10000; i++)
    mu_event_emit(frame->other, "n");
}

static void tally(void *self, const struct mu_event *event)
{
  (void)self;
  (void)event;
  told++;
}

static void test_queue_is_bounded(void)
{
  struct frame frame;
  setup(&frame);
  frame.type = mu_event_declare(frame.core, "first", &counting);
  frame.other = mu_event_declare(frame.core, "second", &counting);
  struct ear x = {&frame, "x", flood};
  told = 0;
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "first", 0, hear, &x), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "second", 0, tally, NULL), 0);
  mu_event_emit(frame.type, NULL);
  CU_ASSERT_EQUAL(told, 4096);
  CU_ASSERT_EQUAL(held, 0);
  teardown(&frame);
}

static struct ear late_ear;

static void revoke_a(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  mui_instance_revoke(frame->a);
}

static void revoke_b(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  mui_instance_revoke(frame->b);
}

static void revoke_c(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  mui_instance_revoke(frame->c);
}

static void add_late(struct frame *frame, const struct mu_event *event)
{
  (void)event;
  CU_ASSERT_EQUAL(mu_event_on(frame->a, "first", -100, hear, &late_ear), 0); /* before the cursor */
  CU_ASSERT_EQUAL(mu_event_on(frame->a, "first", 100, hear, &late_ear), 0);  /* behind it */
  CU_ASSERT_EQUAL(mu_event_on(frame->a, "first.*", 100, hear, &late_ear), 0);
}

/* Three listeners in a row; the middle one ends the first, itself, the last. */
static void removal(void (*act)(struct frame *, const struct mu_event *), const char *now, const char *then)
{
  struct frame frame;
  setup(&frame);
  frame.type = mu_event_declare(frame.core, "first", NULL);
  struct ear x = {&frame, "x", NULL}, y = {&frame, "y", act}, z = {&frame, "z", NULL};
  CU_ASSERT_EQUAL(mu_event_on(frame.a, "first", 0, hear, &x), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "first", 0, hear, &y), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "first", 0, hear, &z), 0);
  mu_event_emit(frame.type, NULL);
  CHECK_LOG(&frame, now);
  y.act = NULL;
  mu_event_emit(frame.type, NULL);
  CHECK_LOG(&frame, then);
  teardown(&frame);
}

static void test_listeners_come_and_go(void)
{
  removal(revoke_a, "x:first y:first z:first ", "y:first z:first ");
  removal(revoke_b, "x:first y:first z:first ", "x:first z:first ");
  removal(revoke_c, "x:first y:first ", "x:first y:first ");

  struct frame frame;
  setup(&frame);
  late_ear = (struct ear){&frame, "late", NULL};
  frame.type = mu_event_declare(frame.core, "first", NULL);
  struct ear y = {&frame, "y", add_late}, z = {&frame, "z", NULL};
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "first", 0, hear, &y), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "first", 0, hear, &z), 0);
  mu_event_emit(frame.type, NULL);
  CHECK_LOG(&frame, "y:first z:first ");
  y.act = NULL;
  mu_event_emit(frame.type, NULL);
  CHECK_LOG(&frame, "late:first y:first z:first late:first ");
  teardown(&frame);
}

static void emit_and_revoke(struct frame *frame, const struct mu_event *event)
{
  mu_event_emit(frame->other, "lost");
  CU_ASSERT_EQUAL(held, 1);
  revoke_a(frame, event); /* the emitter of both */
  CU_ASSERT_EQUAL(held, 0);
}

static void test_emitter_stops(void)
{
  struct frame frame;
  setup(&frame);
  frame.type = mu_event_declare(frame.a, "first", &counting);
  frame.other = mu_event_declare(frame.a, "second", &counting);
  struct ear x = {&frame, "x", emit_and_revoke}, y = {&frame, "y", NULL};
  CU_ASSERT_EQUAL(mu_event_on(frame.b, "first", 0, hear, &x), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "first", 0, hear, &y), 0);
  CU_ASSERT_EQUAL(mu_event_on(frame.c, "second", 0, hear, &y), 0);
  mu_event_emit(frame.type, NULL);
  CHECK_LOG(&frame, "x:first y:first ");
  teardown(&frame);
}

/* ---- principals ---- */

static void test_principal(void)
{
  struct mu_principal values = {.size = sizeof(values),
                                .provider = "auth_static",
                                .id = "m\"1",
                                .name = NULL,
                                .role = MU_ROLE_MACHINE,
                                .owner = "u1",
                                .expires_s = 1234567890123};
  const struct mu_principal *one = mu_principal_new(&values), *two = mu_principal_new(&values);
  CU_ASSERT_PTR_NOT_NULL_FATAL(one);
  CU_ASSERT_STRING_EQUAL(one->name, "");
  CU_ASSERT_STRING_EQUAL(one->owner, "u1");
  CU_ASSERT_TRUE(one->id != values.id);
  CU_ASSERT_EQUAL(one->expires_s, 1234567890123);
  CU_ASSERT_TRUE(mu_principal_equal(one, two));
  CU_ASSERT_FALSE(mu_principal_equal(one, NULL));
  CU_ASSERT_FALSE(mu_principal_equal(NULL, NULL));
  mu_principal_unref(two);
  values.provider = "auth_other";
  values.size = offsetof(struct mu_principal, expires_s); /* of a plugin that was compiled before it had the member */
  two = mu_principal_new(&values);
  CU_ASSERT_EQUAL(two->expires_s, 0);
  values.size = sizeof values;
  CU_ASSERT_FALSE(mu_principal_equal(one, two));
  mu_principal_unref(two);
  values.provider = "auth_static";
  values.role = MU_ROLE_USER;
  two = mu_principal_new(&values);
  CU_ASSERT_FALSE(mu_principal_equal(one, two));
  CU_ASSERT_STRING_EQUAL(two->owner, two->id); /* a person owns what is theirs */
  mu_principal_unref(two);
  values.id = "";
  CU_ASSERT_PTR_NULL(mu_principal_new(&values));
  values.id = "x";
  values.provider = NULL;
  CU_ASSERT_PTR_NULL(mu_principal_new(&values));
  CU_ASSERT_PTR_EQUAL(mu_principal_ref(one), one);
  mu_principal_unref(one);
  const struct mu_event_ops *ops = mu_principal_event_ops();
  ops->ref(one);
  ops->unref(one);
  struct mu_buf buf = MU_BUF_INIT;
  CU_ASSERT_EQUAL(ops->text(one, &buf), 0);
  CU_ASSERT_STRING_EQUAL(buf.at, "{\"provider\":\"auth_static\",\"id\":\"m\\\"1\",\"name\":\"\",\"role\":\"machine\","
                                 "\"owner\":\"u1\",\"credential\":\"\"}");
  mu_buf_free(&buf);
  mu_principal_unref(one);
  mu_principal_unref(NULL);
  CU_ASSERT_PTR_NULL(mu_principal_ref(NULL));
}

static const struct unit_test tests[] = {
    {"order and wildcards", test_order_and_wildcards}, {"emitted inside a listener", test_queued},
    {"the queue is bounded", test_queue_is_bounded},   {"listeners come and go", test_listeners_come_and_go},
    {"the emitter stops", test_emitter_stops},         {"principals", test_principal},
};
UNIT_MAIN("events", tests)
