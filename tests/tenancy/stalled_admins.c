/* SPDX-License-Identifier: ISC */
/*
 * What admins that never read cost: memory of the server for each, and time for somebody else. Prints one JSON line.
 *
 *   stalled_admins PORT PID [machines=8] [rounds=300] <users    one "provider id key" a line; the first is the bystander
 *
 * Each other user has `machines` agents and one admin. First all admins read, then those stop; agents go on all the time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

enum { FILL = 700, SETTLE_MS = 500, RECEIVE_BUFFER = 4096 };

/* An agent or an admin: what it says first, and what it waits for. */
struct party {
  struct wire wire;
  char key[256];
  bool admin, bystander, ready;
  uint64_t updates;
};

static struct wires wires;
static struct party *parties;
static size_t party_count;
static unsigned long pid;

static double rss_kb(void)
{
  char path[64];
  unsigned long pages = 0;
  snprintf(path, sizeof path, "/proc/%lu/statm", pid);
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%*u %lu", &pages) != 1)
    fail("cannot read %s", path);
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* What the kernel holds for the server: bytes that were written to its sockets and that nobody has taken. */
static double kernel_kb(void)
{
  FILE *file = fopen("/proc/net/tcp", "r");
  char line[256];
  unsigned long sum = 0;
  if (!file)
    fail("cannot read /proc/net/tcp");
  while (fgets(line, sizeof line, file)) {
    unsigned port, state;
    unsigned long waiting;
    if (sscanf(line, " %*u: %*x:%x %*x:%*x %x %lx:", &port, &state, &waiting) == 3 && port == wires.port && state == 1)
      sum += waiting;
  }
  fclose(file);
  return (double)sum / 1024;
}

static int64_t mono_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_text(struct wire *wire, char *text, size_t len)
{
  struct party *party = wire->owner;
  (void)len;
  if (strstr(text, "\"type\":\"machine_update\"")) {
    party->updates++;
  } else if (strstr(text, "\"type\":\"auth_success\"")) {
    char *token = strstr(text, "\"sessionToken\":\"");
    if (!party->admin)
      party->ready = true;
    else if (token) {
      token += strlen("\"sessionToken\":\"");
      wire_send(wire, "{\"type\":\"admin_connect\",\"token\":\"%.*s\"}", (int)strcspn(token, "\""), token);
    }
  } else if (strstr(text, "\"type\":\"machine_list\"")) {
    party->ready = true;
  } else if (strstr(text, "_failed\"") || strstr(text, "\"error\"")) {
    fail("%s", text);
  } else if (strstr(text, "\"type\":\"ping\"")) {
    wire_send(wire, "{\"type\":\"pong\"}");
  }
}

static void on_closed(struct wire *wire, unsigned code)
{
  const struct party *party = wire->owner;
  fail("%s was closed with %u", party->admin ? "an admin" : "an agent", code);
}

static struct party *join(const char *key, bool admin, bool bystander, size_t machine)
{
  struct party *party = &parties[party_count++];
  snprintf(party->key, sizeof party->key, "%s", key);
  party->admin = admin;
  party->bystander = bystander;
  wires.receive_buffer = admin && !bystander ? RECEIVE_BUFFER : 0;
  wire_open(&wires, &party->wire, "/ws/session", party);
  if (admin)
    wire_send(&party->wire, "{\"type\":\"auth\",\"apiKey\":\"%s\",\"scope\":\"admin\"}", key);
  else
    wire_send(&party->wire, "{\"type\":\"auth\",\"apiKey\":\"%s\",\"machineId\":\"m%zu\"}", key, machine);
  for (int64_t end = now_ms() + 10000; !party->ready;) {
    if (now_ms() > end)
      fail("no answer to the authentication");
    wires_turn(&wires, 10);
  }
  return party;
}

static void drain(int ms)
{
  for (int64_t end = now_ms() + ms; now_ms() < end;)
    wires_turn(&wires, 10);
}

static void send_data(struct party *agent, uint64_t seq)
{
  static char fill[FILL + 1];
  if (!fill[0])
    memset(fill, 'x', FILL);
  wire_send(&agent->wire,
            "{\"type\":\"data\",\"boot\":\"b\",\"seq\":%llu,\"timestamp\":%lld,\"metrics\":{\"cpu\":{\"percent\":12.5},"
            "\"x\":{"
            "\"fill\":\"%s\"}}}",
            (unsigned long long)seq, (long long)now_ms(), fill);
}

/* ---- latencies of the bystander's machine to its admin ---- */

static double *times;
static size_t time_count, time_room;

static int ascending(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void probe(struct party *agent, const struct party *admin, uint64_t seq)
{
  uint64_t before = admin->updates;
  int64_t began = mono_ns();
  send_data(agent, seq);
  while (admin->updates == before) {
    if (mono_ns() - began > INT64_C(10000000000))
      fail("the bystander waits for more than 10 s");
    wires_turn(&wires, 0);
  }
  if (time_count == time_room) {
    time_room = time_room ? 2 * time_room : 1024;
    times = realloc(times, time_room * sizeof *times);
    if (!times)
      fail("memory");
  }
  times[time_count++] = (double)(mono_ns() - began) / 1e6;
}

static double at_share(double share)
{
  qsort(times, time_count, sizeof *times, ascending);
  return time_count ? times[(size_t)((double)(time_count - 1) * share)] : 0;
}

/* All agents send `rounds` times; the bystander is asked after every twenty messages. */
static void load(size_t rounds, uint64_t *seq, struct party *bystander, const struct party *watching)
{
  size_t sent = 0;
  for (size_t round = 0; round < rounds; round++)
    for (size_t i = 0; i < party_count; i++) {
      if (parties[i].admin || parties[i].bystander)
        continue;
      send_data(&parties[i], ++*seq);
      if (++sent % 20 == 0)
        probe(bystander, watching, ++*seq);
    }
}

static size_t option(int argc, char **argv, const char *name, size_t preset)
{
  for (int i = 3; i < argc; i++)
    if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
      return strtoul(argv[i] + strlen(name) + 1, NULL, 10);
  return preset;
}

int main(int argc, char **argv)
{
  if (argc < 3)
    fail("usage: stalled_admins PORT PID [machines=N] [rounds=N] <users");
  size_t machines = option(argc, argv, "machines", 8), rounds = option(argc, argv, "rounds", 300);
  pid = strtoul(argv[2], NULL, 10);
  wires_init(&wires, (uint16_t)strtoul(argv[1], NULL, 10));
  wires.text = on_text;
  wires.closed = on_closed;
  enum { MOST = 5000 };
  parties = calloc(MOST, sizeof *parties);
  if (!parties)
    fail("memory");
  struct party *bystander = NULL, *watching = NULL;
  char line[512], key[256];
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "%*s %*s %255s", key) != 1 || party_count + machines + 1 > MOST)
      fail("a line without provider, id and key, or too many");
    for (size_t i = 0; i < (bystander ? machines : 1); i++) {
      struct party *agent = join(key, false, !bystander, i);
      if (!bystander)
        bystander = agent;
    }
    struct party *admin = join(key, true, !watching, 0);
    if (!watching)
      watching = admin;
  }
  if (!bystander)
    fail("no users");
  uint64_t seq = 0;
  load(rounds / 10 + 1, &seq, bystander, watching);
  drain(SETTLE_MS);
  time_count = 0;
  load(rounds, &seq, bystander, watching);
  drain(SETTLE_MS);
  double reading_kb = rss_kb(), kernel_before_kb = kernel_kb(), reading_p50 = at_share(.5), reading_p99 = at_share(.99);
  time_count = 0;
  size_t admins = 0;
  uint64_t before = 0, after = 0;
  for (size_t i = 0; i < party_count; i++)
    if (parties[i].admin && !parties[i].bystander) {
      wire_pause(&wires, &parties[i].wire, true);
      before += parties[i].updates;
      admins++;
    }
  load(rounds, &seq, bystander, watching);
  drain(SETTLE_MS);
  double stalled_kb = rss_kb(), kernel_after_kb = kernel_kb();
  double p50 = at_share(.5), p99 = at_share(.99), worst = at_share(1);
  /* They did fall behind: of what was sent they get only a part when they read again. */
  for (size_t i = 0; i < party_count; i++)
    if (parties[i].admin && !parties[i].bystander)
      wire_pause(&wires, &parties[i].wire, false);
  drain(3 * SETTLE_MS);
  for (size_t i = 0; i < party_count; i++)
    if (parties[i].admin && !parties[i].bystander)
      after += parties[i].updates;
  printf("{\"admins\":%zu,\"machines_each\":%zu,\"kb_per_admin\":%.1f,\"kernel_kb_per_admin\":%.1f,\"behind\":%.0f,"
         "\"probes\":%zu,\"p50_ms\":%.2f,"
         "\"p99_ms\":%.2f,"
         "\"worst_ms\":%.2f,\"p50_ms_while_all_read\":%.2f,\"p99_ms_while_all_read\":%.2f}\n",
         admins, machines, (stalled_kb - reading_kb) / (double)admins,
         (kernel_after_kb - kernel_before_kb) / (double)admins,
         (double)(rounds * machines) - (double)(after - before) / (double)admins, time_count, p50, p99, worst,
         reading_p50, reading_p99);
  for (size_t i = 0; i < party_count; i++)
    wire_free(&parties[i].wire);
  free(parties);
  free(times);
  return 0;
}
