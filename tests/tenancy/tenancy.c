/* SPDX-License-Identifier: ISC */
/*
 * Random users, machines and admins over real connections against one musterd, with everything that a user could try on
 * another: ids of others, tokens of others, members that claim to be others. What each machine says carries a mark of its
 * owner that nobody can guess, and every byte that any connection gets is held against it.
 *
 *   tenancy PORT pushes=50000 [seed=N] [machines=4] [admins=3] <users     one "provider id key" a line; two providers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tenancy.h"

struct run run;

/* xorshift64*: the same run again from the same seed. */
uint64_t dice(uint64_t sides)
{
  run.random ^= run.random >> 12;
  run.random ^= run.random << 25;
  run.random ^= run.random >> 27;
  return run.random * 0x2545f4914f6cdd1du % sides;
}

struct machine *machine_of(struct owner *owner, const char *id, bool make)
{
  for (size_t i = 0; i < owner->count; i++)
    if (strcmp(owner->machines[i].id, id) == 0)
      return &owner->machines[i];
  if (!make)
    return NULL;
  if (owner->count == MACHINES_MAX)
    fail("%s/%s has too many machines", owner->provider, owner->id);
  struct machine *machine = &owner->machines[owner->count++];
  *machine = (struct machine){.strict = true};
  snprintf(machine->id, sizeof machine->id, "%s", id);
  return machine;
}

/* Somebody else: often the user of the other provider who has the same id. */
static struct owner *other(const struct owner *owner)
{
  if (dice(2))
    for (size_t i = 0; i < run.owner_count; i++)
      if (strcmp(run.owners[i].id, owner->id) == 0 && &run.owners[i] != owner)
        return &run.owners[i];
  struct owner *chosen;
  do
    chosen = &run.owners[dice(run.owner_count)];
  while (chosen == owner);
  return chosen;
}

/* ---- agents ---------------------------------------------------------------------------------- */

static void agent_connect(struct agent *agent)
{
  wire_open(&run.wires, &agent->wire, dice(2) ? "/" : "/ws/session", &agent->who);
  agent->asked = true;
  agent->machine = NULL;
  agent->first = 0;
  agent->owner->auths++;
  run.reconnects++;
  const struct owner *victim = other(agent->owner);
  char id[128] = "";
  if (agent->wanted[0])
    snprintf(id, sizeof id, ",\"machineId\":\"%s\"", agent->wanted);
  const char *claims = "";
  if (dice(4) == 0)
    claims = ",\"role\":\"admin\",\"owner\":\"*\"";
  if (agent->token[0] && agent->wanted[0] && dice(2))
    wire_send(&agent->wire, "{\"type\":\"auth\",\"sessionToken\":\"%s\",\"userId\":\"%s\",\"machineId\":\"%s\"%s}",
              agent->token, victim->id, agent->wanted, claims);
  else
    wire_send(&agent->wire,
              "{\"type\":\"auth\",\"apiKey\":\"%s\",\"name\":\"~#~%s \\\"<b>\\u202e %s\",\"userId\":\"%s\"%s%s}",
              agent->owner->key, agent->owner->mark, agent->wanted, victim->id, id, claims);
}

static void agent_data(struct agent *agent, bool again)
{
  const struct owner *victim = other(agent->owner);
  uint64_t n = agent->machine->n;
  if (!again || !agent->first || agent->first > n)
    n = agent->machine->n = ++run.n;
  else /* what this connection may have sent: after a removal the server knows nothing of what was before */
    n = agent->first + dice(n - agent->first + 1);
  if (!agent->first)
    agent->first = n;
  wire_send(
      &agent->wire,
      "{\"type\":\"data\",\"boot\":\"b\",\"seq\":%llu,\"timestamp\":%lld,\"userId\":\"%s\",\"machineId\":\"m%llu\","
      "\"metrics\":{\"m\":{\"tag\":\"~#~%s\",\"n\":%llu},\"cpu\":{\"percent\":12.5,\"cores\":8}}}",
      (unsigned long long)n, (long long)now_ms(), victim->id, (unsigned long long)dice(4), agent->owner->mark,
      (unsigned long long)n);
}

static void agent_act(struct agent *agent)
{
  const struct owner *victim = other(agent->owner);
  if (agent->wire.fd < 0) {
    if (dice(4) == 0)
      agent_connect(agent);
    return;
  }
  if (!agent->open)
    return;
  switch (dice(100)) {
  case 0:
    wire_close(&agent->wire, dice(2));
    agent->open = agent->asked = false;
    break;
  case 1:
    wire_send(&agent->wire, "{\"type\":\"heartbeat\",\"userId\":\"%s\"}", victim->id);
    break;
  case 2: /* refused */
    wire_send(&agent->wire, "{\"type\":\"system_info\",\"ip\":[\"~#~%s\"],\"ram\":{}}", agent->owner->mark);
    break;
  case 3:
  case 4:
    wire_send(&agent->wire,
              "{\"type\":\"system_info\",\"ip\":\"10.0.0.%llu\",\"ram\":%s,\"cpu\":%s,\"hostname\":\"~#~%s\",\"name\":"
              "\"~#~%s %llu\\\"},{\",\"machineId\":\"%s\",\"userId\":\"%s\"}",
              (unsigned long long)dice(250), dice(2) ? "\"16 GB\"" : "17179869184", dice(2) ? "\"8\"" : "8",
              agent->owner->mark, agent->owner->mark, (unsigned long long)dice(1000), "m0", victim->id);
    break;
  case 5:
    if (victim->admin_token[0])
      wire_send(&agent->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", victim->admin_token);
    break;
  case 6:
    wire_send(&agent->wire, "{\"type\":\"%s\",\"userId\":\"%s\"}", dice(2) ? "machine_list" : "admin_connect",
              victim->id);
    break;
  case 7:
    wire_send(&agent->wire, "{\"type\":\"machine_public\",\"machineId\":\"m0\",\"public\":true}");
    break;
  case 8:
    wire_send(&agent->wire, "{\"type\":\"auth\",\"apiKey\":\"%s\"}", victim->key); /* a second one */
    break;
  case 9:
    agent_data(agent, true);
    break;
  default:
    agent_data(agent, false);
  }
}

/* ---- admins ---------------------------------------------------------------------------------- */

static void admin_gone(struct admin *admin)
{
  struct owner *owner = admin->owner;
  admin->open = admin->asked = admin->listed = false;
  memset(admin->views, 0, sizeof admin->views);
  for (size_t i = 0; i < owner->count; i++)
    if (owner->machines[i].removals) {
      owner->machines[i].removals = 0;
      owner->machines[i].doubt = true;
    }
  for (size_t i = 0; admin->first && i < owner->count; i++)
    if (owner->machines[i].outstanding) { /* who knows whether it was done */
      owner->machines[i].outstanding = 0;
      owner->machines[i].strict = false;
    }
}

static void admin_connect(struct admin *admin)
{
  wire_open(&run.wires, &admin->wire, dice(2) ? "/" : "/ws/session", &admin->who);
  admin->asked = true;
  run.reconnects++;
  if (admin->owner->admin_token[0] && dice(2))
    wire_send(&admin->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\",\"userId\":\"%s\"}",
              admin->owner->admin_token, other(admin->owner)->id);
  else
    wire_send(&admin->wire, "{\"type\":\"auth\",\"apiKey\":\"%s\",\"scope\":\"admin\",\"userId\":\"%s\"}",
              admin->owner->key, other(admin->owner)->id);
}

static void remove_machine(struct admin *admin, struct machine *machine)
{
  if (machine->removals++ == 0) {
    machine->auths_then = admin->owner->auths;
    machine->crossed = false;
    for (size_t i = 0; i < run.agent_count; i++)
      machine->crossed |= run.agents[i].owner == admin->owner && run.agents[i].asked && !run.agents[i].open;
  }
  wire_send(&admin->wire, "{\"type\":\"test_remove\",\"machineId\":\"%s\"}", machine->id);
}

static void admin_act(struct admin *admin)
{
  struct owner *owner = admin->owner;
  const struct owner *victim = other(owner);
  if (admin->wire.fd < 0) {
    if (dice(3) == 0)
      admin_connect(admin);
    return;
  }
  if (!admin->open)
    return;
  struct machine *machine = owner->count ? &owner->machines[dice(owner->count)] : NULL;
  switch (dice(14)) {
  case 0:
    wire_close(&admin->wire, dice(2));
    admin_gone(admin);
    break;
  case 1:
    wire_send(&admin->wire, "{\"type\":\"machine_list\",\"userId\":\"%s\"}", victim->id);
    break;
  case 2:
    if (victim->admin_token[0])
      wire_send(&admin->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", victim->admin_token);
    break;
  case 3:
    if (owner->agent_token[0])
      wire_send(&admin->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", owner->agent_token);
    break;
  case 4:
    wire_send(&admin->wire,
              "{\"type\":\"machine_public\",\"machineId\":\"only-%s-%s\",\"public\":true,\"userId\":\"%s\"}",
              victim->provider, victim->id, victim->id);
    break;
  case 5:
  case 6:
    if (machine && machine->there && admin->first && !owner->shy) {
      bool show = dice(3) > 0;
      machine->outstanding++;
      if (show)
        machine->strict = false;
      wire_send(&admin->wire, "{\"type\":\"machine_public\",\"machineId\":\"%s\",\"public\":%s}", machine->id,
                show ? "true" : "false");
    }
    break;
  case 7:
    if (machine && dice(4) == 0)
      remove_machine(admin, machine);
    break;
  case 8:
    wire_send(&admin->wire, "{\"type\":\"test_remove\",\"machineId\":\"only-%s-%s\"}", victim->provider, victim->id);
    break;
  case 9:
    wire_send(&admin->wire, "{\"type\":\"data\",\"boot\":\"b\",\"seq\":1,\"metrics\":{}}");
    break;
  case 10:
  case 11:
    wire_pause(&run.wires, &admin->wire, true);
    break;
  default:
    wire_pause(&run.wires, &admin->wire, false);
  }
}

/* ---- strangers ------------------------------------------------------------------------------- */

static void rogue_act(struct rogue *rogue)
{
  const struct owner *victim = rogue->owner, *second = other(victim);
  char token[TOKEN_MAX];
  if (rogue->wire.fd >= 0) {
    if (++rogue->turns > 20) {
      wire_close(&rogue->wire, dice(2));
      rogue->asked = false;
    }
    return;
  }
  if (!victim->admin_token[0] || !second->admin_token[0] || !victim->agent_token[0])
    return;
  wire_open(&run.wires, &rogue->wire, "/", &rogue->who);
  rogue->asked = true;
  rogue->turns = 0;
  switch (dice(8)) {
  case 0:
    wire_send(&rogue->wire, "{\"type\":\"machine_list\",\"userId\":\"%s\"}", victim->id);
    break;
  case 1:
    wire_send(&rogue->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", victim->agent_token);
    break;
  case 2: /* one character of the claims or the signature */
    snprintf(token, sizeof token, "%s", victim->admin_token);
    token[strcspn(token, ".") + 1 + dice(strlen(token) - strcspn(token, ".") - 3)] ^= 1;
    wire_send(&rogue->wire, "{\"type\":\"%s\",\"%s\":\"%s\",\"scope\":\"admin\"}", dice(2) ? "admin_connect" : "auth",
              dice(2) ? "token" : "sessionToken", token);
    break;
  case 3: /* the claims of one under the signature of another */
    snprintf(token, sizeof token, "%.*s%s", (int)(strrchr(victim->admin_token, '.') - victim->admin_token),
             victim->admin_token, strrchr(second->admin_token, '.'));
    wire_send(&rogue->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\"}", token);
    break;
  case 4:
    wire_send(&rogue->wire, "{\"type\":\"auth\",\"sessionToken\":\"%s\",\"scope\":\"admin\"}", victim->agent_token);
    break;
  case 5:
    wire_send(&rogue->wire,
              "{\"type\":\"data\",\"boot\":\"b\",\"seq\":1,\"userId\":\"%s\",\"machineId\":\"m0\",\"metrics\":{}}",
              victim->id);
    break;
  case 6:
    wire_send(&rogue->wire, "{\"type\":\"auth\",\"apiKey\":\"%.*s\",\"userId\":\"%s\",\"scope\":\"admin\"}",
              (int)strlen(victim->key) - 1, victim->key, victim->id);
    break;
  default:
    wire_send(&rogue->wire, "{\"type\":\"machine_public\",\"machineId\":\"m0\",\"public\":true}");
    wire_send(&rogue->wire, "{\"type\":\"admin_connect\",\"token\":\"%s\",\"userId\":\"%s\"}", "e30.e30.e30",
              victim->id);
  }
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Some machines are taken away just before everything is compared, so that nobody has brought them back by then. */
static void remove_some(void)
{
  for (size_t i = 0; i < run.admin_count; i++) {
    struct admin *admin = &run.admins[i];
    const struct owner *owner = admin->owner;
    if (admin->open && admin->first && owner->count && dice(2))
      remove_machine(admin, &admin->owner->machines[dice(owner->count)]);
  }
}

static void read_owners(void)
{
  char line[512];
  while (fgets(line, sizeof line, stdin)) {
    run.owners = realloc(run.owners, (run.owner_count + 1) * sizeof *run.owners);
    if (!run.owners)
      fail("memory");
    struct owner *owner = &run.owners[run.owner_count];
    memset(owner, 0, sizeof *owner);
    if (sscanf(line, "%31s %63s %255s", owner->provider, owner->id, owner->key) != 3)
      fail("a line without provider, id and key");
    uint8_t bytes[MARK / 2];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
      fail("no random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
      snprintf(owner->mark + 2 * i, 3, "%02x", bytes[i]);
    owner->shy = run.owner_count++ % 2;
  }
  if (run.owner_count < 2)
    fail("fewer than two users");
}

static void leave(void)
{
  for (size_t i = 0; i < run.agent_count; i++)
    wire_free(&run.agents[i].wire);
  for (size_t i = 0; i < run.admin_count; i++)
    wire_free(&run.admins[i].wire);
  for (size_t i = 0; i < PAGES; i++)
    wire_free(&run.pages[i].wire);
  for (size_t i = 0; i < ROGUES; i++)
    wire_free(&run.rogues[i].wire);
  free(run.agents);
  free(run.admins);
  free(run.owners);
}

static size_t option(int argc, char **argv, const char *name, size_t preset)
{
  for (int i = 2; i < argc; i++)
    if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
      return strtoull(argv[i] + strlen(name) + 1, NULL, 10);
  return preset;
}

/* Chance leaves something out of a short run, which then goes on. */
static bool all_tried(void)
{
  for (size_t i = 0; i < 6; i++)
    if (run.events[i] == 0)
      return false;
  return run.refused > 0 && run.page_reports > 0 && run.removed > 0 && run.replaced > 0 && run.updates > 0;
}

int main(int argc, char **argv)
{
  if (argc < 2)
    fail("usage: tenancy PORT pushes=N [seed=N] [machines=N] [admins=N] <users");
  size_t pushes = option(argc, argv, "pushes", 50000), machines = option(argc, argv, "machines", 4),
         admins = option(argc, argv, "admins", 3), checkpoint = pushes / 10 + 1;
  uint64_t seed = option(argc, argv, "seed", (uint64_t)now_ms());
  run.random = seed * 0x9e3779b97f4a7c15u | 1;
  wires_init(&run.wires, (uint16_t)strtoul(argv[1], NULL, 10));
  run.wires.text = oracle_text;
  run.wires.closed = oracle_closed;
  read_owners();
  /* Of each user: the same ids as everybody's, one that only this user has, one that the server makes, one in conflict. */
  size_t each = machines + 3;
  run.agent_count = run.owner_count * each;
  run.admin_count = run.owner_count * admins;
  run.agents = calloc(run.agent_count, sizeof *run.agents);
  run.admins = calloc(run.admin_count, sizeof *run.admins);
  if (!run.agents || !run.admins)
    fail("memory");
  for (size_t i = 0; i < run.agent_count; i++) {
    struct agent *agent = &run.agents[i];
    size_t k = i % each;
    agent->owner = &run.owners[i / each];
    agent->wire.fd = -1;
    agent->who = (struct who){AGENT, agent};
    if (k < machines)
      snprintf(agent->wanted, sizeof agent->wanted, "m%zu", k);
    else if (k == machines)
      snprintf(agent->wanted, sizeof agent->wanted, "only-%s-%.20s", agent->owner->provider, agent->owner->id);
    else if (k == machines + 2)
      snprintf(agent->wanted, sizeof agent->wanted, "m0");
    if (agent->wanted[0])
      machine_of(agent->owner, agent->wanted, true);
  }
  for (size_t i = 0; i < run.admin_count; i++) {
    run.admins[i].owner = &run.owners[i / admins];
    run.admins[i].first = i % admins == 0;
    run.admins[i].wire.fd = -1;
    run.admins[i].who = (struct who){ADMIN, &run.admins[i]};
  }
  for (size_t i = 0; i < PAGES; i++) {
    run.pages[i].who = (struct who){PAGE, &run.pages[i]};
    wire_open(&run.wires, &run.pages[i].wire, "/ws-frontend", &run.pages[i].who);
  }
  for (size_t i = 0; i < ROGUES; i++) {
    run.rogues[i].wire.fd = -1;
    run.rogues[i].owner = &run.owners[i % run.owner_count];
    run.rogues[i].who = (struct who){ROGUE, &run.rogues[i]};
  }
  int64_t began = now_ms();
  uint64_t next_check = checkpoint;
  while (run.pushes < pushes || (!all_tried() && run.pushes < 10 * pushes)) {
    for (int i = 0; i < 16; i++) {
      agent_act(&run.agents[dice(run.agent_count)]);
    }
    if (dice(4) == 0) {
      admin_act(&run.admins[dice(run.admin_count)]);
    }
    if (dice(20) == 0) {
      rogue_act(&run.rogues[dice(ROGUES)]);
    }
    for (size_t i = 0; i < PAGES; i++)
      if (run.pages[i].pings == run.pages[i].pongs) {
        run.pages[i].pings++;
        wire_send(&run.pages[i].wire, "{\"type\":\"ping\",\"timestamp\":%lld}", (long long)now_ms());
      }
    wires_turn(&run.wires, 0);
    if (run.pushes >= next_check) {
      remove_some();
      oracle_checkpoint();
      next_check += checkpoint;
    }
  }
  oracle_checkpoint();
  for (size_t i = 0; i < 6; i++)
    if (run.events[i] == 0)
      fail("events of kind %zu never came", i);
  if (run.refused == 0 || run.page_reports == 0 || run.removed == 0 || run.replaced == 0 || run.updates == 0)
    fail("something was never tried: %llu refusals, %llu page reports, %llu removals, %llu replacements",
         (unsigned long long)run.refused, (unsigned long long)run.page_reports, (unsigned long long)run.removed,
         (unsigned long long)run.replaced);
  printf("%llu pushes checked, 0 leaks: %llu updates and %llu lists, %.1f MB with %llu marks, to %zu admins of %zu "
         "users with %zu agents; "
         "online %llu info %llu heartbeat %llu data %llu offline %llu deleted %llu; %llu reconnects, %llu replaced, "
         "%llu removed, %llu "
         "attempts refused, %llu page reports, %llu times everything compared; %.1f s, seed %llu\n",
         (unsigned long long)run.pushes, (unsigned long long)run.updates, (unsigned long long)run.lists,
         (double)run.bytes / 1e6, (unsigned long long)run.marks, run.admin_count, run.owner_count, run.agent_count,
         (unsigned long long)run.events[0], (unsigned long long)run.events[1], (unsigned long long)run.events[2],
         (unsigned long long)run.events[3], (unsigned long long)run.events[4], (unsigned long long)run.events[5],
         (unsigned long long)run.reconnects, (unsigned long long)run.replaced, (unsigned long long)run.removed,
         (unsigned long long)run.refused, (unsigned long long)run.page_reports, (unsigned long long)run.checks,
         (double)(now_ms() - began) / 1000, (unsigned long long)seed);
  leave();
  return 0;
}
