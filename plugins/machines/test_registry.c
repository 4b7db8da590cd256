/* SPDX-License-Identifier: ISC */
/* Records through their life, with clocks that the test moves. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_world.h"

struct forms {
  unsigned to_metrics, rendered;
};

static int to_metrics(void *self, const struct mu_machine *machine, struct json_object **metrics)
{
  ((struct forms *)self)->to_metrics++;
  return mu_json_parse(mu_text_data(machine->text), mu_text_len(machine->text), metrics, NULL);
}

static int render(void *self, const struct mu_machine *machine, mu_text **text)
{
  *text = mu_text_printf("%s %s %u", machine->id, machine->online ? "on" : "off", ++((struct forms *)self)->rendered);
  return *text ? 0 : MU_ENOMEM;
}

static const struct mu_form_ops plain_ops = {.size = sizeof plain_ops, .name = "test.plain", .to_metrics = to_metrics};
static const struct mu_form_ops lazy_ops = {.size = sizeof lazy_ops, .name = "test.lazy", .render = render};
static const struct mu_form_ops state_ops = {
    .size = sizeof state_ops, .name = "test.state", .render = render, .depends_on_state = true};

static int declare(struct world *world, const char *id, const char *name, const char *group, bool is_public)
{
  return world->api->declare(world->self, world->user,
                             &(struct mu_machine_entry){.size = sizeof(struct mu_machine_entry),
                                                        .provider = "p",
                                                        .owner = "",
                                                        .id = id,
                                                        .name = name,
                                                        .group = group,
                                                        .is_public = is_public});
}

static int collect(void *context, const struct mu_machine *machine)
{
  mu_buf_printf(context, "%s ", machine->id);
  return 0;
}

static void order_is(struct world *world, const char *wanted)
{
  struct mu_buf order = MU_BUF_INIT;
  CU_ASSERT_EQUAL(world->api->each(world->self, NULL, NULL, collect, &order), 0);
  CU_ASSERT_STRING_EQUAL(order.at ? order.at : "", wanted);
  mu_buf_free(&order);
}

static void lives(void)
{
  struct world world;
  begin(&world);
  struct forms forms = {0};
  const mu_form *form = world.api->form_add(world.self, world.user, &plain_ops, &forms);
  CU_ASSERT_PTR_NULL(world.api->form_add(world.self, world.user, &plain_ops, &forms));
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "o", "x", false));
  const struct mu_machine *machine = world.api->find(world.self, "p", "o", "x", true);
  CU_ASSERT_PTR_EQUAL(world.api->find(world.self, "p", "o", "x", true), machine);
  CU_ASSERT_PTR_NOT_EQUAL(world.api->find(world.self, "q", "o", "x", true), machine);
  CU_ASSERT_PTR_EQUAL(world.api->by_handle(world.self, machine->handle), machine);
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{\"a\":1}", "X"), 0);
  told(&world, "online:x info:x report:x ");
  CU_ASSERT_STRING_EQUAL(machine->name, "X");
  CU_ASSERT(machine->online && !machine->is_public);
  world.api->set_public(world.self, machine, true);
  CU_ASSERT(machine->is_public);
  told(&world, "info:x ");
  now_ns += 20 * SECOND;
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), 0);
  told(&world, "report:x ");
  CU_ASSERT_STRING_EQUAL(machine->name, "X");
  now_ns += 29 * SECOND; /* the first report's time is over, the second's not */
  due_sweep(world.self, now_ns);
  told(&world, "");
  now_ns += 1 * SECOND;
  due_sweep(world.self, now_ns);
  told(&world, "offline:x ");
  CU_ASSERT(!machine->online);
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), 0);
  told(&world, "online:x report:x ");
  world.api->ref(machine);
  now_ns += 24 * 3600 * SECOND - SECOND;
  due_sweep(world.self, now_ns);
  told(&world, "offline:x deleted:x "); /* deleted: the other one, which was made 50 s before and never reported */
  CU_ASSERT_EQUAL(world.api->count(world.self), 1);
  now_ns += 2 * SECOND;
  due_sweep(world.self, now_ns);
  told(&world, "deleted:x ");
  CU_ASSERT_EQUAL(world.api->count(world.self), 0);
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), MU_ENOENT);
  world.api->unref(machine);
  end(&world);
}

static void configuration_wins(void)
{
  struct world world;
  begin(&world);
  struct forms forms = {0};
  const mu_form *form = world.api->form_add(world.self, world.user, &plain_ops, &forms);
  CU_ASSERT_EQUAL(declare(&world, "b", "Beta", "g2", true), 0);
  CU_ASSERT_EQUAL(declare(&world, "a", NULL, "g1", true), 0);
  CU_ASSERT_EQUAL(declare(&world, "c", NULL, "g1", false), 0);
  CU_ASSERT_EQUAL(declare(&world, "d", NULL, "", false), 0); /* max_per_owner is 3: not for what is declared */
  told(&world, "info:b info:a info:c info:d ");
  CU_ASSERT_EQUAL(declare(&world, "b", "Beta", "g2", true), 0);
  told(&world, "");
  order_is(&world, "d a c b ");
  const struct mu_machine *b = world.api->find(world.self, "p", "", "b", false);
  const struct mu_machine *a = world.api->find(world.self, "p", "", "a", false);
  CU_ASSERT_EQUAL(b->fixed, MU_MACHINE_NAME | MU_MACHINE_GROUP);
  CU_ASSERT_EQUAL(report_text(&world, b, form, "{}", "own"), 0);
  CU_ASSERT_STRING_EQUAL(b->name, "Beta");
  CU_ASSERT_EQUAL(report_text(&world, a, form, "{}", "zz"), 0);
  CU_ASSERT_STRING_EQUAL(a->name, "zz");
  order_is(&world, "d c a b ");
  told(&world, "online:b report:b online:a info:a report:a ");
  CU_ASSERT_EQUAL(declare(&world, "b", NULL, "g0", true), 0); /* the name is the machine's own again */
  CU_ASSERT_STRING_EQUAL(b->name, "own");
  order_is(&world, "d b c a ");
  told(&world, "info:b ");

  mu_instance *other = mui_instance_new(&world.runtime, "other", "other");
  CU_ASSERT_EQUAL(world.api->declare(
                      world.self, other,
                      &(struct mu_machine_entry){.size = sizeof(struct mu_machine_entry), .provider = "p", .id = "b"}),
                  MU_EEXIST);
  world.api->withdraw(world.self, other, "p", "", "b"); /* not its own */
  CU_ASSERT(b->configured);
  mui_instance_free(other);

  world.api->withdraw(world.self, world.user, "p", "", "b");
  told(&world, "deleted:b ");
  mui_instance_revoke(world.user); /* a reported, c and d never did */
  told(&world, "deleted:d deleted:c info:a ");
  CU_ASSERT(!a->configured && a->online && !a->is_public);
  end(&world);
}

static void owners_are_bounded(void)
{
  struct world world;
  begin(&world);
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "1", true));
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "2", true));
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "3", true));
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "o", "4", true));
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "other", "4", true));
  struct mu_buf order = MU_BUF_INIT;
  CU_ASSERT_EQUAL(world.api->each(world.self, "p", "o", collect, &order), 0);
  CU_ASSERT_STRING_EQUAL(order.at, "1 2 3 ");
  CU_ASSERT_EQUAL(world.api->each(world.self, "p", "nobody", collect, &order), 0);
  CU_ASSERT_STRING_EQUAL(order.at, "1 2 3 ");
  mu_buf_free(&order);
  world.api->forget(world.self, world.api->find(world.self, "p", "o", "2", false));
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "4", true));
  end(&world);
}

static int forget_all(void *context, const struct mu_machine *machine)
{
  struct world *world = context;
  const struct mu_machine *next = world->api->find(world->self, "p", "o", "2", false);
  world->api->forget(world->self, machine);
  if (next && next != machine)
    world->api->forget(world->self, next);
  return 0;
}

static void walks_while_it_changes(void)
{
  struct world world;
  begin(&world);
  for (int i = 1; i <= 3; i++)
    world.api->find(world.self, "p", "o", (char[]){(char)('0' + i), 0}, true);
  CU_ASSERT_EQUAL(world.api->each(world.self, NULL, NULL, forget_all, &world), 0);
  CU_ASSERT_EQUAL(world.api->count(world.self), 0);
  told(&world, "deleted:1 deleted:2 deleted:3 ");
  end(&world);
}

static void forms_are_made_once(void)
{
  struct world world;
  begin(&world);
  struct forms forms = {0};
  const mu_form *plain = world.api->form_add(world.self, world.user, &plain_ops, &forms);
  const mu_form *lazy = world.api->form_add(world.self, world.user, &lazy_ops, &forms);
  const mu_form *state = world.api->form_add(world.self, world.user, &state_ops, &forms);
  CU_ASSERT_PTR_EQUAL(world.api->form_find(world.self, "test.plain"), plain);
  CU_ASSERT_PTR_EQUAL(world.api->form_find(world.self, "test.lazy"), lazy);
  CU_ASSERT_PTR_NULL(world.api->form_find(world.self, "test.laz"));
  CU_ASSERT_PTR_NULL(world.api->form_find(world.self, ""));
  const struct mu_machine *machine = world.api->find(world.self, "p", "o", "x", true);
  CU_ASSERT_PTR_NULL(world.api->text(world.self, machine, lazy));
  CU_ASSERT_PTR_NULL(world.api->text(world.self, machine, plain));
  CU_ASSERT_PTR_NULL(world.api->metrics(world.self, machine));
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, state)), "x off 1");
  CU_ASSERT_EQUAL(report_text(&world, machine, plain, "{\"a\":1}", ""), 0);
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, plain)), "{\"a\":1}");
  for (int i = 0; i < 3; i++) {
    CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, lazy)), "x on 2");
    CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, state)), "x on 3");
    CU_ASSERT_PTR_NOT_NULL(world.api->metrics(world.self, machine));
  }
  CU_ASSERT_EQUAL(forms.to_metrics, 1);
  now_ns += 31 * SECOND;
  due_sweep(world.self, now_ns);
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, lazy)), "x on 2"); /* as it was reported */
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, state)), "x off 4");
  CU_ASSERT_EQUAL(report_text(&world, machine, plain, "[1]", ""), 0);
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, lazy)), "x on 5");

  mui_instance_revoke(world.user); /* the forms' plugin ends; its forms cannot be asked for, and may come back */
  CU_ASSERT_PTR_NULL(world.api->text(world.self, machine, lazy));
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, plain)), "[1]"); /* what came needs nobody */
  CU_ASSERT_PTR_NULL(world.api->metrics(world.self, machine));
  CU_ASSERT_PTR_EQUAL(world.api->form_find(world.self, "test.lazy"), lazy); /* the handle outlives its owner */
  mu_instance *again = mui_instance_new(&world.runtime, "again", "user");
  CU_ASSERT_PTR_EQUAL(world.api->form_add(world.self, again, &lazy_ops, &forms), lazy);
  CU_ASSERT_STRING_EQUAL(mu_text_data(world.api->text(world.self, machine, lazy)), "x on 6");
  mui_instance_free(again);
  end(&world);
}

/* Random lives: the heap must tell each one's end at its second, whatever came before. */
static void many_due_times(void)
{
  struct world world;
  begin(&world);
  struct forms forms = {0};
  const mu_form *form = world.api->form_add(world.self, world.user, &plain_ops, &forms);
  enum { COUNT = 200 };
  const struct mu_machine *machines[COUNT];
  int64_t last[COUNT] = {0};
  char id[16];
  for (int i = 0; i < COUNT; i++) {
    snprintf(id, sizeof id, "m%d", i);
    declare(&world, id, NULL, NULL, true);
    machines[i] = world.api->find(world.self, "p", "", id, false);
  }
  srand(7);
  for (int step = 0; step < 3000; step++) {
    now_ns += (rand() % 1000) * 1000000;
    int i = rand() % COUNT;
    due_sweep(world.self, now_ns);
    CU_ASSERT_EQUAL(report_text(&world, machines[i], form, "{}", ""), 0);
    last[i] = now_ns;
    due_sweep(world.self, now_ns);
    for (int j = 0; j < COUNT; j++)
      if (machines[j]->online != (last[j] != 0 && now_ns < last[j] + 30 * SECOND))
        CU_FAIL_FATAL("online at the wrong time");
    mu_buf_clear(&world.events);
  }
  end(&world);
}

static void forget_it(void *context, const struct mu_event *event)
{
  struct world *world = context;
  world->api->forget(world->self, event->payload);
}

/* Of two listeners the first forgets the machine; the second still reads it, and is told of the end last. */
static void forgotten_by_a_listener(void)
{
  static const char *const when[] = {MU_EVENT_MACHINE_INFO, MU_EVENT_MACHINE_ONLINE, MU_EVENT_MACHINE_REPORT,
                                     MU_EVENT_MACHINE_OFFLINE};
  for (size_t i = 0; i < MU_COUNT(when); i++) {
    struct world world;
    begin(&world);
    mu_buf_clear(&world.events);
    const mu_form *form = world.api->form_add(
        world.self, world.user, &(struct mu_form_ops){.size = sizeof(struct mu_form_ops), .name = "f"}, NULL);
    CU_ASSERT_EQUAL(mu_event_on(world.user, when[i], -1, forget_it, &world), 0);
    const struct mu_machine *machine = world.api->find(world.self, "p", "", "a", true);
    CU_ASSERT_PTR_NOT_NULL_FATAL(machine);
    if (i == 0)
      world.api->set_public(world.self, machine, true);
    else
      CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), 0);
    due_sweep(world.self, now_ns += 31 * SECOND);
    CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "", "a", false));
    told(&world, i == 0   ? "info:a deleted:a "
                 : i == 1 ? "online:a deleted:a "
                 : i == 2 ? "online:a report:a deleted:a "
                          : "online:a report:a offline:a deleted:a ");
    end(&world);
  }
}

/* The process was stopped for a minute: nobody is offline for that, but who stays silent is. */
static void held_up(void)
{
  struct world world;
  begin(&world);
  const struct mu_form_ops ops = {.size = sizeof ops, .name = "f"};
  const mu_form *form = world.api->form_add(world.self, world.user, &ops, NULL);
  const struct mu_machine *machine = world.api->find(world.self, "p", "", "a", true);
  mu_text *text = mu_text_new("{}", 2);
  CU_ASSERT_EQUAL(
      world.api->report(world.self, machine,
                        &(struct mu_machine_report){
                            .size = sizeof(struct mu_machine_report), .form = form, .text = text, .valid_ms = 50}),
      0);
  mu_text_unref(text);
  now_ns += 60 * SECOND;
  bool never = false;
  mui_loop_until(world.runtime.loop, &never, 80);
  CU_ASSERT(machine->online);
  now_ns += SECOND;
  mui_loop_until(world.runtime.loop, &never, 1050);
  CU_ASSERT_FALSE(machine->online);
  end(&world);
}

static const struct unit_test tests[] = {
    {"from the first report to being forgotten", lives},  {"the configuration wins", configuration_wins},
    {"owners are bounded", owners_are_bounded},           {"walking while it changes", walks_while_it_changes},
    {"forms are made once", forms_are_made_once},         {"many due times", many_due_times},
    {"forgotten by a listener", forgotten_by_a_listener}, {"held up", held_up},
};
UNIT_MAIN("machines", tests)
