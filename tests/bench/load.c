/* SPDX-License-Identifier: ISC */
/*
 * The load generator. It reads the server's CPU time from /proc/PID/schedstat itself, at the two ends of the measured
 * span, and prints one JSON line.
 *
 *   bench_load ingest  PORT PID conns=1000 seconds=5 [rate=1000]   without rate: closed loop, in rounds of
 *                                                                  one report per agent; a ping behind every 50th ends a round
 *   bench_load fanout  PORT PID subs=100 burst=1 rounds=500 [gap_ms=0]
 *   bench_load hold    PORT PID conns=10000 seconds=10 [storm=5000]
 * Waiting for answers spins: a sleeping reader on the same machine would charge its waking to the server.
 * Common: report=/ws-report page=/ws-frontend secret=…
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "link.h"

static struct {
  const char *report, *page, *secret;
  size_t conns, subs, burst, rounds, storm;
  double seconds, rate, gap_ms;
} opt = {.report = "/ws-report",
         .page = "/ws-frontend",
         .secret = "bench-secret-0123456789",
         .conns = 1000,
         .subs = 100,
         .burst = 1,
         .rounds = 500,
         .seconds = 5};

static struct target target = {"127.0.0.1", 0};
static int pid;

static double server_cpu_us(void)
{
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
  FILE *file = fopen(path, "r");
  unsigned long long ns = 0;
  if (!file || fscanf(file, "%llu", &ns) != 1) {
    fprintf(stderr, "load: cannot read %s\n", path);
    exit(1);
  }
  fclose(file);
  return (double)ns / 1000;
}

/* Private dirty memory of the server in kB. */
static double server_private_kb(void)
{
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  FILE *file = fopen(path, "r");
  double kb = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "Private_Dirty: %lf", &kb) == 1)
      break;
  if (file)
    fclose(file);
  return kb;
}

static void agent_headers(char *out, size_t size, size_t n)
{
  snprintf(out, size, "X-SERVER-ID: bench-%05zu\r\nX-AUTH-SECRET: %s\r\n", n, opt.secret);
}

/* A documented report of about 1 KB for machine n, as a frame. */
static size_t report_frame(uint8_t *out, size_t n)
{
  char text[2048];
  int len =
      snprintf(text, sizeof text,
               "{\"serverId\":\"bench-%05zu\",\"serverName\":\"bench-%05zu\",\"group\":\"bench\",\"countryCode\":"
               "\"CN\",\"location\":\"Beijing, China\","
               "\"cpu\":{\"percent\":45.2,\"cores\":8,\"modelName\":\"Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz\"},"
               "\"memory\":{\"total\":16777216000,\"used\":8388608000,\"available\":8388608000,\"usedPercent\":50.0},"
               "\"disk\":[{\"path\":\"/"
               "\",\"total\":107374182400,\"used\":53687091200,\"free\":53687091200,\"usedPercent\":50.0,\"readSpeed\":"
               "1048576,\"writeSpeed\":524288},"
               "{\"path\":\"/"
               "srv\",\"total\":107374182400,\"used\":53687091200,\"free\":53687091200,\"usedPercent\":50.0,"
               "\"readSpeed\":1048576,\"writeSpeed\":524288},"
               "{\"path\":\"/var/lib/"
               "data\",\"total\":107374182400,\"used\":53687091200,\"free\":53687091200,\"usedPercent\":50.0,"
               "\"readSpeed\":1048576,\"writeSpeed\":524288}],"
               "\"network\":{\"interfaceName\":\"eth0\",\"bytesSent\":1073741824,\"bytesRecv\":2147483648,\"inSpeed\":"
               "1048576,\"outSpeed\":524288},"
               "\"system\":{\"hostname\":\"web-server-1\",\"os\":\"linux\",\"platform\":\"ubuntu\",\"arch\":\"amd64\","
               "\"kernel\":\"5.15.0-58-generic\",\"uptime\":864000},"
               "\"timestamp\":1795248712}",
               n, n);
  return frame(out, 1, text, (size_t)len);
}

/* ---- latencies ---- */

static int64_t *latencies;
static size_t latency_count, latency_room;

static void keep(int64_t ns)
{
  if (latency_count == latency_room) {
    latency_room = latency_room ? latency_room * 2 : 1 << 16;
    latencies = realloc(latencies, latency_room * sizeof *latencies);
    if (!latencies)
      exit(1);
  }
  latencies[latency_count++] = ns;
}

static int ascending(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile_us(double share)
{
  if (latency_count == 0)
    return 0;
  return (double)latencies[(size_t)((double)(latency_count - 1) * share)] / 1000;
}

static void sort_latencies(void)
{
  qsort(latencies, latency_count, sizeof *latencies, ascending);
}

/* ---- ingest ---- */

enum { PING_EVERY = 50 };

static uint8_t (*frames)[2200]; /* one per link: a report, and in closed loop a ping behind some */
static size_t *frame_lens;
static struct link *first_link;
static bool measuring;
static uint64_t answered;

static void send_report(struct link *link)
{
  size_t n = (size_t)(link - first_link);
  link->sent_ns = now_ns();
  put_all(link, frames[n], frame_lens[n]);
}

static void on_pong(struct links *links, struct link *link)
{
  (void)links;
  answered++;
  if (measuring)
    keep(now_ns() - link->sent_ns);
}

static void make_frames(size_t count, bool ping)
{
  frames = calloc(count, sizeof *frames);
  frame_lens = calloc(count, sizeof *frame_lens);
  if (!frames || !frame_lens)
    exit(1);
  for (size_t i = 0; i < count; i++) {
    frame_lens[i] = report_frame(frames[i], i);
    if (ping && (i % PING_EVERY == PING_EVERY - 1 || i + 1 == count))
      frame_lens[i] += frame(frames[i] + frame_lens[i], 9, "", 0);
  }
}

static void require_open(const struct links *links, size_t want, const char *what)
{
  if (links->open == want)
    return;
  fprintf(stderr, "load: only %zu of %zu %s are open\n", links->open, want, what);
  exit(1);
}

static int ingest(void)
{
  struct links links = {.on_pong = on_pong};
  make_frames(opt.conns, opt.rate == 0);
  links_open(&links, target, opt.report, opt.conns, 64, agent_headers);
  require_open(&links, opt.conns, "agents");
  first_link = links.list;
  uint64_t sent = 0, pings = (opt.conns + PING_EVERY - 1) / PING_EVERY;
  /* The first half second warms up. */
  int64_t begin = now_ns() + 500000000, end = begin + (int64_t)(opt.seconds * 1e9), due = now_ns();
  double cpu = 0;
  uint64_t counted = 0;
  for (size_t next = 0; now_ns() < end;) {
    if (!measuring && now_ns() >= begin) {
      measuring = true;
      cpu = server_cpu_us();
      counted = sent;
      begin = now_ns();
    }
    if (opt.rate > 0) {
      for (; due <= now_ns(); due += (int64_t)(1e9 / opt.rate), sent++, next = (next + 1) % opt.conns)
        send_report(&links.list[next]);
      links_turn(&links, 1);
      continue;
    }
    uint64_t want = answered + pings;
    for (size_t i = 0; i < opt.conns; i++, sent++)
      send_report(&links.list[i]);
    while (answered < want && now_ns() < end + 5000000000)
      links_turn(&links, 0);
  }
  cpu = server_cpu_us() - cpu;
  double seconds = (double)(now_ns() - begin) / 1e9;
  counted = sent - counted;
  measuring = false;
  require_open(&links, opt.conns, "agents (at the end)");
  sort_latencies();
  printf("{\"mode\":\"ingest\",\"conns\":%zu,\"rate\":%.0f,\"messages\":%llu,\"seconds\":%.2f,\"cpu_us\":%.3f,\"p50_"
         "us\":%.1f,\"p99_us\":%.1f}\n",
         opt.conns, opt.rate, (unsigned long long)counted, seconds, cpu / (double)counted, percentile_us(.5),
         percentile_us(.99));
  links_close(&links);
  return 0;
}

/* ---- fan-out ---- */

static int64_t burst_sent_ns;

static void on_delivery(struct links *links, struct link *link)
{
  (void)links, (void)link;
  answered++;
  if (measuring)
    keep(now_ns() - burst_sent_ns);
}

static int fanout(void)
{
  struct links agents = {0}, pages = {.on_text = on_delivery};
  make_frames(opt.burst, false);
  links_open(&agents, target, opt.report, opt.burst, 64, agent_headers);
  require_open(&agents, opt.burst, "agents");
  links_open(&pages, target, opt.page, opt.subs, 64, NULL);
  require_open(&pages, opt.subs, "pages");
  first_link = agents.list;
  for (int i = 0; i < 20; i++)
    links_turn(&pages, 10);
  double cpu = 0;
  uint64_t lost_rounds = 0, counted = 0;
  int64_t begin = 0;
  for (size_t round = 0; round < opt.rounds + 20 && lost_rounds < 3; round++) {
    if (round == 20) { /* warm */
      cpu = server_cpu_us();
      counted = answered;
      measuring = true;
      begin = now_ns();
    }
    uint64_t want = answered + opt.subs * opt.burst;
    burst_sent_ns = now_ns();
    for (size_t i = 0; i < opt.burst; i++)
      send_report(&agents.list[i]);
    int64_t limit = now_ns() + 10000000000; /* lost is what does not come at all: a busy machine takes seconds */
    while (answered < want && now_ns() < limit)
      links_turn(&pages, 0);
    if (answered < want) {
      lost_rounds++;
      answered = want;
    }
    links_turn(&agents, 0);
    int64_t pause_end = burst_sent_ns + (int64_t)(opt.gap_ms * 1e6);
    while (now_ns() < pause_end)
      links_turn(&pages, 1);
  }
  cpu = server_cpu_us() - cpu;
  counted = answered - counted;
  sort_latencies();
  printf("{\"mode\":\"fanout\",\"subs\":%zu,\"burst\":%zu,\"deliveries\":%llu,\"lost_rounds\":%llu,\"seconds\":%.2f,"
         "\"cpu_us\":%.3f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
         opt.subs, opt.burst, (unsigned long long)counted, (unsigned long long)lost_rounds,
         (double)(now_ns() - begin) / 1e9, cpu / (double)counted, percentile_us(.5), percentile_us(.99));
  links_close(&agents);
  links_close(&pages);
  return lost_rounds > 0;
}

/* ---- hold ---- */

static int hold(void)
{
  double kb = server_private_kb(), cpu = server_cpu_us();
  int64_t began = now_ns();
  struct links links = {0};
  links_open(&links, target, opt.page, opt.conns, 128, NULL);
  require_open(&links, opt.conns, "connections");
  double connect_us = (server_cpu_us() - cpu) / (double)opt.conns;
  double connect_s = (double)(now_ns() - began) / 1e9;
  for (int64_t end = now_ns() + 1000000000; now_ns() < end;)
    links_turn(&links, 100);
  kb = server_private_kb() - kb;
  cpu = server_cpu_us();
  began = now_ns();
  for (int64_t end = began + (int64_t)(opt.seconds * 1e9); now_ns() < end;)
    links_turn(&links, 100);
  double busy = (server_cpu_us() - cpu) / ((double)(now_ns() - began) / 1e3) * 100;
  size_t held = links.open;
  links_close(&links);
  double back_s = 0;
  size_t back = 0;
  if (opt.storm > 0) {
    /* All at once, the moment after all others broke. */
    struct links storm = {0};
    began = now_ns();
    links_open(&storm, target, opt.page, opt.storm, opt.storm, NULL);
    back_s = (double)(now_ns() - began) / 1e9;
    back = storm.open;
    links_close(&storm);
  }
  printf("{\"mode\":\"hold\",\"conns\":%zu,\"held\":%zu,\"seconds\":%.0f,\"connect_cpu_us\":%.1f,\"connect_s\":%.2f,"
         "\"kb_per_conn\":%.2f,\"cpu_percent\":%.2f,\"storm\":%zu,\"back\":%zu,\"back_s\":%.2f}\n",
         opt.conns, held, opt.seconds, connect_us, connect_s, kb / (double)opt.conns, busy, opt.storm, back, back_s);
  return held != opt.conns || back != opt.storm;
}

static void set(const char *argument)
{
  const struct {
    const char *name;
    size_t *size;
    double *number;
    const char **text;
  } known[] = {
      {"conns", &opt.conns, 0, 0},   {"subs", &opt.subs, 0, 0},     {"burst", &opt.burst, 0, 0},
      {"rounds", &opt.rounds, 0, 0}, {"storm", &opt.storm, 0, 0},   {"seconds", 0, &opt.seconds, 0},
      {"rate", 0, &opt.rate, 0},     {"gap_ms", 0, &opt.gap_ms, 0}, {"report", 0, 0, &opt.report},
      {"page", 0, 0, &opt.page},     {"secret", 0, 0, &opt.secret},
  };
  const char *value = strchr(argument, '=');
  for (size_t i = 0; value && i < sizeof known / sizeof known[0]; i++) {
    if (strlen(known[i].name) != (size_t)(value - argument) ||
        strncmp(known[i].name, argument, (size_t)(value - argument)))
      continue;
    if (known[i].size)
      *known[i].size = strtoul(value + 1, NULL, 10);
    else if (known[i].number)
      *known[i].number = strtod(value + 1, NULL);
    else
      *known[i].text = value + 1;
    return;
  }
  fprintf(stderr, "load: unknown argument %s\n", argument);
  exit(2);
}

int main(int argc, char **argv)
{
  if (argc < 4) {
    fprintf(stderr, "usage: bench_load ingest|fanout|hold PORT PID [name=value…]\n");
    return 2;
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  target.port = (uint16_t)atoi(argv[2]);
  pid = atoi(argv[3]);
  for (int i = 4; i < argc; i++)
    set(argv[i]);
  if (strcmp(argv[1], "ingest") == 0)
    return ingest();
  if (strcmp(argv[1], "fanout") == 0)
    return fanout();
  if (strcmp(argv[1], "hold") == 0)
    return hold();
  fprintf(stderr, "load: unknown mode %s\n", argv[1]);
  return 2;
}
