/* SPDX-License-Identifier: ISC */
/* Machines that hold a connection open, what they tell of themselves, and removals that nothing undoes. */
#include <json-c/json.h>
#include <stdlib.h>

#include "test_world.h"

#define HOUR (3600 * SECOND)

static const struct mu_form_ops form_ops = {.size = sizeof form_ops, .name = "test.form"};

static const struct mu_machine *make(struct world *world, const char *id)
{
  const struct mu_machine *machine = world->api->find(world->self, "p", "o", id, true);
  CU_ASSERT_PTR_NOT_NULL_FATAL(machine);
  return machine;
}

static void link_is(struct world *world, const struct mu_machine *machine, bool open, int wanted)
{
  CU_ASSERT_EQUAL(world->api->link(world->self, machine, open), wanted);
}

static void linked_is_online(void)
{
  struct world world;
  begin(&world);
  const mu_form *form = world.api->form_add(world.self, world.user, &form_ops, NULL);
  const struct mu_machine *machine = make(&world, "a");
  CU_ASSERT(!machine->linked && machine->linked_ms == 0 && machine->seen_ms == 0);
  link_is(&world, machine, true, 0);
  told(&world, "online:a ");
  CU_ASSERT(machine->linked && machine->online);
  CU_ASSERT_EQUAL(machine->linked_ms, test_now_ms());
  CU_ASSERT_EQUAL(machine->seen_ms, test_now_ms());
  int64_t first = machine->linked_ms;

  now_ns += SECOND; /* the same machine again, before its older connection is closed: no offline between */
  link_is(&world, machine, true, 0);
  told(&world, "info:a ");
  CU_ASSERT_EQUAL(machine->linked_ms, first + 1000);
  link_is(&world, machine, false, 0);
  told(&world, "");
  CU_ASSERT(machine->linked && machine->online);

  CU_ASSERT_EQUAL(report_for(&world, machine, form, "{}", "", 0), 0);
  told(&world, "report:a ");
  now_ns += 10 * 24 * HOUR; /* it says nothing, and stays: the link says that it is there */
  due_sweep(world.self, now_ns);
  told(&world, "");
  CU_ASSERT(machine->online);
  int64_t seen = machine->seen_ms;
  link_is(&world, machine, false, 0);
  told(&world, "offline:a ");
  CU_ASSERT(!machine->linked && !machine->online);
  CU_ASSERT_EQUAL(machine->seen_ms, seen); /* an end is no sign of life */
  CU_ASSERT_EQUAL(machine->linked_ms, first + 1000);
  link_is(&world, machine, false, MU_EINVAL);
  told(&world, "");

  world.api->ref(machine);
  now_ns += 24 * HOUR - SECOND; /* forgotten so long after the end, not after the last report */
  due_sweep(world.self, now_ns);
  told(&world, "");
  due_sweep(world.self, now_ns += SECOND);
  told(&world, "deleted:a ");
  world.api->unref(machine);
  end(&world);
}

static void links_and_reports(void)
{
  struct world world;
  begin(&world);
  const mu_form *form = world.api->form_add(world.self, world.user, &form_ops, NULL);
  const struct mu_machine *machine = make(&world, "a");
  CU_ASSERT_EQUAL(report_for(&world, machine, form, "{}", "", 0), 0); /* not linked: a report alone says nothing */
  told(&world, "report:a ");
  CU_ASSERT_FALSE(machine->online);
  CU_ASSERT_EQUAL(machine->reports, 1);

  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), 0);
  told(&world, "online:a report:a ");
  link_is(&world, machine, true, 0);
  told(&world, "info:a ");
  now_ns += 20 * SECOND;
  link_is(&world, machine, false, 0); /* the report is still valid */
  told(&world, "info:a ");
  CU_ASSERT(machine->online && !machine->linked);
  due_sweep(world.self, now_ns += 9 * SECOND);
  told(&world, "");
  due_sweep(world.self, now_ns += SECOND);
  told(&world, "offline:a ");

  link_is(&world, machine, true, 0);
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), 0);
  told(&world, "online:a report:a ");
  due_sweep(world.self, now_ns += 60 * SECOND);
  told(&world, "");
  CU_ASSERT_EQUAL(report_for(&world, machine, form, "{}", "", 0), 0);
  link_is(&world, machine, false, 0);
  told(&world, "report:a offline:a ");
  end(&world);
}

/* The process was stopped for a minute: that makes no stale report of a linked machine valid again. */
static void held_up(void)
{
  struct world world;
  begin(&world);
  const mu_form *form = world.api->form_add(world.self, world.user, &form_ops, NULL);
  const struct mu_machine *linked = make(&world, "linked"), *other = make(&world, "other");
  link_is(&world, linked, true, 0);
  CU_ASSERT_EQUAL(report_for(&world, linked, form, "{}", "", 1900), 0);
  now_ns += 2 * SECOND;
  due_sweep(world.self, now_ns);
  CU_ASSERT_EQUAL(report_for(&world, other, form, "{}", "", 50), 0);
  now_ns += 60 * SECOND;
  bool never = false;
  mui_loop_until(world.runtime.loop, &never, 80);
  CU_ASSERT(other->online);
  mu_buf_clear(&world.events);
  link_is(&world, linked, false, 0);
  told(&world, "offline:linked ");
  end(&world);
}

static void no_longer_configured(void)
{
  struct world world;
  begin(&world);
  const struct mu_machine_entry entry = {.size = sizeof entry, .provider = "p", .owner = "o", .id = "a", .name = "A"};
  CU_ASSERT_EQUAL(world.api->declare(world.self, world.user, &entry), 0);
  const struct mu_machine *machine = make(&world, "a");
  link_is(&world, machine, true, 0);
  mu_buf_clear(&world.events);
  world.api->withdraw(world.self, world.user, "p", "o", "a");
  told(&world, "info:a "); /* linked: it stays, as one that no configuration names */
  CU_ASSERT(machine->online && !machine->configured);
  CU_ASSERT_STRING_EQUAL(machine->name, "");
  CU_ASSERT_EQUAL(world.api->declare(world.self, world.user, &entry), 0);
  link_is(&world, machine, false, 0);
  mu_buf_clear(&world.events);
  mui_instance_revoke(world.user); /* it never reported, but it was there */
  told(&world, "info:a ");
  end(&world);
}

static void signs_of_life(void)
{
  struct world world;
  begin(&world);
  const struct mu_machine *machine = make(&world, "a");
  now_ns += 23 * HOUR;
  uint64_t version = machine->version;
  CU_ASSERT_EQUAL(world.api->seen(world.self, machine), 0);
  told(&world, "seen:a ");
  CU_ASSERT_EQUAL(machine->seen_ms, test_now_ms());
  CU_ASSERT(machine->version > version && !machine->online);
  due_sweep(world.self, now_ns += 23 * HOUR); /* counts from the sign of life */
  told(&world, "");
  due_sweep(world.self, now_ns += HOUR);
  told(&world, "deleted:a ");
  end(&world);
}

static int describe(struct world *world, const struct mu_machine *machine, const char *facts, const char *name,
                    const char *owner_name)
{
  mu_text *text = facts ? mu_text_new(facts, strlen(facts)) : NULL;
  const struct mu_machine_facts given = {.size = sizeof given,
                                         .facts = text,
                                         .name = mu_str(name),
                                         .ip = MU_STR("192.0.2.1"),
                                         .owner_name = mu_str(owner_name)};
  int result = world->api->describe(world->self, machine, &given);
  mu_text_unref(text);
  return result;
}

static void tells_of_itself(void)
{
  struct world world;
  begin(&world);
  const struct mu_machine *machine = make(&world, "a");
  CU_ASSERT_PTR_NULL(machine->facts);
  CU_ASSERT_STRING_EQUAL(machine->owner_name, "");
  CU_ASSERT_EQUAL(describe(&world, machine, "{\"cpu\":4}", "A", "Ann"), 0);
  told(&world, "info:a ");
  CU_ASSERT_STRING_EQUAL(mu_text_data(machine->facts), "{\"cpu\":4}");
  CU_ASSERT_STRING_EQUAL(machine->name, "A");
  CU_ASSERT_STRING_EQUAL(machine->ip, "192.0.2.1");
  CU_ASSERT_STRING_EQUAL(machine->owner_name, "Ann");
  now_ns += SECOND;
  CU_ASSERT_EQUAL(describe(&world, machine, "{\"cpu\":4}", "A", "Ann"), 0); /* the same again: alive, and no news */
  CU_ASSERT_EQUAL(describe(&world, machine, NULL, "", ""), 0);
  told(&world, "");
  CU_ASSERT_EQUAL(machine->seen_ms, test_now_ms());
  CU_ASSERT_STRING_EQUAL(mu_text_data(machine->facts), "{\"cpu\":4}");
  CU_ASSERT_EQUAL(describe(&world, machine, "{\"cpu\":8}", "", ""), 0);
  told(&world, "info:a ");
  int64_t seen = machine->seen_ms;
  now_ns += SECOND;
  struct mu_machine_facts owner = {.size = sizeof owner, .owner_name = MU_STR("Ann B.")};
  CU_ASSERT_EQUAL(world.api->describe(world.self, machine, &owner), 0);
  told(&world, "info:a ");
  CU_ASSERT_EQUAL(machine->seen_ms, seen); /* said by others, and no sign of life */
  CU_ASSERT_STRING_EQUAL(machine->owner_name, "Ann B.");

  /* Where the struct ends early, as an older plugin's does, nothing beyond it is read. */
  struct mu_machine_facts old = {.size = offsetof(struct mu_machine_facts, owner_name), .owner_name = MU_STR("No")};
  CU_ASSERT_EQUAL(world.api->describe(world.self, machine, &old), 0);
  CU_ASSERT_STRING_EQUAL(machine->owner_name, "Ann B.");
  told(&world, "");
  end(&world);
}

static void event_texts(void)
{
  struct world world;
  begin(&world);
  const mu_form *form = world.api->form_add(world.self, world.user, &form_ops, NULL);
  const struct mu_machine *machine = make(&world, "a");
  link_is(&world, machine, true, 0);
  CU_ASSERT_EQUAL(describe(&world, machine, "{\"cpu\":4}", "A", "Ann \"x\""), 0);
  CU_ASSERT_EQUAL(report_for(&world, machine, form, "{\"load\":1}", "", 0), 0);
  const struct mu_event_ops *const ops[] = {&machine_event_ops, &machine_report_event_ops};
  static const char *const own[] = {"facts", "report"}, *const others[] = {"report", "facts"};
  for (size_t i = 0; i < MU_COUNT(ops); i++) {
    struct mu_buf out = MU_BUF_INIT;
    struct json_object *object = NULL, *member;
    CU_ASSERT_EQUAL(ops[i]->text(machine, &out), 0);
    CU_ASSERT_EQUAL_FATAL(mu_json_parse(out.at, out.len, &object, NULL), 0);
    CU_ASSERT_STRING_EQUAL(json_object_get_string(json_object_object_get(object, "owner_name")), "Ann \"x\"");
    CU_ASSERT(json_object_get_boolean(json_object_object_get(object, "linked")));
    CU_ASSERT_EQUAL(json_object_get_int64(json_object_object_get(object, "linked_ms")), machine->linked_ms);
    CU_ASSERT_EQUAL(json_object_get_int64(json_object_object_get(object, "seen_ms")), machine->seen_ms);
    CU_ASSERT(json_object_object_get_ex(object, own[i], &member) && json_object_is_type(member, json_type_object));
    CU_ASSERT_FALSE(json_object_object_get_ex(object, others[i], &member));
    json_object_put(object);
    mu_buf_free(&out);
  }
  end(&world);
}

/* A heartbeat and a report that were under way when the machine was taken away: they bring nothing back. */
static void removed_for_good(void)
{
  struct world world;
  begin(&world);
  const mu_form *form = world.api->form_add(world.self, world.user, &form_ops, NULL);
  const struct mu_machine *machine = world.api->ref(make(&world, "a"));
  link_is(&world, machine, true, 0);
  mu_buf_clear(&world.events);
  CU_ASSERT_EQUAL(world.api->remove(world.self, "p", "o", "a"), 0);
  told(&world, "deleted:a ");
  CU_ASSERT(!machine->online && !machine->linked);
  CU_ASSERT(world.api->removed(world.self, "p", "o", "a"));
  CU_ASSERT_FALSE(world.api->removed(world.self, "p", "", "a"));
  CU_ASSERT_FALSE(world.api->removed(world.self, "q", "o", "a"));

  CU_ASSERT_EQUAL(world.api->seen(world.self, machine), MU_ENOENT);
  CU_ASSERT_EQUAL(report_text(&world, machine, form, "{}", ""), MU_ENOENT);
  CU_ASSERT_EQUAL(describe(&world, machine, "{}", "A", ""), MU_ENOENT);
  link_is(&world, machine, true, MU_ENOENT);
  link_is(&world, machine, false, MU_ENOENT);
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "o", "a", true));
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "o", "a", false));
  CU_ASSERT_EQUAL(world.api->count(world.self), 0);
  told(&world, "");
  world.api->unref(machine);

  make(&world, "b"); /* others of the owner are not touched */
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "q", "o", "a", true));
  world.api->restore(world.self, "p", "o", "a");
  world.api->restore(world.self, "p", "o", "never removed");
  CU_ASSERT_FALSE(world.api->removed(world.self, "p", "o", "a"));
  CU_ASSERT_FALSE(make(&world, "a")->linked);

  CU_ASSERT_EQUAL(world.api->remove(world.self, "p", "o", ""), MU_EINVAL);
  CU_ASSERT_EQUAL(world.api->remove(world.self, "p", NULL, "c"), 0); /* of the operator, and not known at all */
  told(&world, "");
  CU_ASSERT(world.api->removed(world.self, "p", "", "c"));
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", NULL, "c", true));
  /* The operator writes it down: that is the last word. */
  const struct mu_machine_entry entry = {.size = sizeof entry, .provider = "p", .id = "c"};
  CU_ASSERT_EQUAL(world.api->declare(world.self, world.user, &entry), 0);
  CU_ASSERT_FALSE(world.api->removed(world.self, "p", "", "c"));
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "", "c", true));
  end(&world);
}

static void find_it_again(void *context, const struct mu_event *event)
{
  struct world *world = context;
  const struct mu_machine *machine = event->payload;
  CU_ASSERT_PTR_NULL(world->api->find(world->self, machine->provider, machine->owner, machine->id, true));
}

static void removed_before_it_is_told(void)
{
  struct world world;
  begin(&world);
  CU_ASSERT_EQUAL(mu_event_on(world.user, MU_EVENT_MACHINE_DELETED, 0, find_it_again, &world), 0);
  make(&world, "a");
  CU_ASSERT_EQUAL(world.api->remove(world.self, "p", "o", "a"), 0);
  CU_ASSERT_EQUAL(world.api->count(world.self), 0);
  end(&world);
}

static bool is_removed(struct world *world, size_t n)
{
  char id[16];
  snprintf(id, sizeof id, "m%zu", n);
  return world->api->removed(world->self, "p", "o", id);
}

static void remove_nth(struct world *world, size_t n)
{
  char id[16];
  snprintf(id, sizeof id, "m%zu", n);
  CU_ASSERT_EQUAL(world->api->remove(world->self, "p", "o", id), 0);
}

static void removals_are_bounded(void)
{
  struct world world;
  begin(&world);
  for (size_t i = 0; i < REMOVED_MOST; i++)
    remove_nth(&world, i);
  CU_ASSERT(is_removed(&world, 0) && is_removed(&world, REMOVED_MOST - 1));
  remove_nth(&world, 0); /* again: now it is the newest, and no second one */
  CU_ASSERT(is_removed(&world, 1));
  remove_nth(&world, REMOVED_MOST);
  CU_ASSERT(is_removed(&world, 0) && !is_removed(&world, 1) && is_removed(&world, 2));
  CU_ASSERT_EQUAL(mu_map_count(((struct registry *)world.self)->removed.by_key), REMOVED_MOST);
  end(&world);
}

static void removals_expire(void)
{
  struct world world;
  begin(&world);
  remove_nth(&world, 1);
  now_ns += HOUR;
  remove_nth(&world, 2);
  remove_nth(&world, 3);
  now_ns += 22 * HOUR;
  remove_nth(&world, 1); /* the day begins anew */
  now_ns += 2 * HOUR - 1;
  CU_ASSERT(is_removed(&world, 1) && is_removed(&world, 2) && is_removed(&world, 3));
  now_ns += 1;
  CU_ASSERT(is_removed(&world, 1) && !is_removed(&world, 2) && !is_removed(&world, 3));
  CU_ASSERT_EQUAL(mu_map_count(((struct registry *)world.self)->removed.by_key), 1);
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "m2", true));
  CU_ASSERT_PTR_NULL(world.api->find(world.self, "p", "o", "m1", true));
  now_ns += 22 * HOUR;
  CU_ASSERT_PTR_NOT_NULL(world.api->find(world.self, "p", "o", "m1", true));
  end(&world);
}

static void forget_it(void *context, const struct mu_event *event)
{
  struct world *world = context;
  world->api->forget(world->self, event->payload);
}

/* A listener forgets the machine while its first link opens. */
static void forgotten_by_a_listener(void)
{
  struct world world;
  begin(&world);
  CU_ASSERT_EQUAL(mu_event_on(world.user, MU_EVENT_MACHINE_ONLINE, -1, forget_it, &world), 0);
  const struct mu_machine *machine = world.api->ref(make(&world, "a"));
  link_is(&world, machine, true, MU_ENOENT);
  told(&world, "online:a deleted:a ");
  CU_ASSERT(!machine->linked && !machine->online);
  link_is(&world, machine, false, MU_ENOENT);
  world.api->unref(machine);
  make(&world, "a"); /* forgotten, not removed */
  end(&world);
}

static const struct unit_test tests[] = {
    {"linked is online", linked_is_online},
    {"links and reports", links_and_reports},
    {"held up", held_up},
    {"no longer configured", no_longer_configured},
    {"signs of life", signs_of_life},
    {"tells of itself", tells_of_itself},
    {"event texts", event_texts},
    {"removed for good", removed_for_good},
    {"removed before it is told", removed_before_it_is_told},
    {"removals are bounded", removals_are_bounded},
    {"removals expire", removals_expire},
    {"forgotten by a listener", forgotten_by_a_listener},
};
UNIT_MAIN("machines: links", tests)
