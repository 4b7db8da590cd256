/* SPDX-License-Identifier: ISC */
/*
 * Load for a relay: on each of many endpoints some send and others receive. Prints one JSON line, with the CPU time of the server and of its
 * database in the measured span.
 *
 *   bench_relay PORT PID endpoints=8 senders=1 receivers=10 window=16 seconds=4 warm=1 [rate=0] [database=PID]
 * Closed loop: each endpoint has at most `window` messages on their way; one is done when all others have it. With rate: so many messages a
 * second in all, whatever comes of them. Endpoints are at /ws/bench-0000 and so on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "../link.h"

enum { PAYLOAD = 1024, FRAME_MAX = PAYLOAD + 14, STALLED_S = 20 };

static struct {
  size_t endpoints, senders, receivers, window;
  double seconds, warm, rate;
  long database;
} opt = {.endpoints = 8, .senders = 1, .receivers = 10, .window = 16, .seconds = 4, .warm = 1};

static struct links links;
static uint64_t *sent, *delivered; /* by endpoint */
static uint64_t sent_all, delivered_all;
static uint8_t message[FRAME_MAX];
static size_t message_len;

static void die(const char *what)
{
  fprintf(stderr, "relay load: %s\n", what);
  exit(1);
}

/* Of all its threads, those that ended included. */
static double cpu_us(long pid)
{
  clockid_t clock;
  struct timespec t;
  if (pid == 0)
    return 0;
  if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
    die("a server is gone");
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static size_t per_endpoint(void)
{
  return opt.senders + opt.receivers;
}

/* Each message goes to all but its sender. */
static uint64_t copies(void)
{
  return per_endpoint() - 1;
}

static void path_of(char *out, size_t size, size_t n)
{
  snprintf(out, size, "/ws/bench-%04zu", n / per_endpoint());
}

static void on_text(struct links *of, struct link *link)
{
  delivered[(size_t)(link - of->list) / per_endpoint()]++;
  delivered_all++;
}

/* What a device would say, 1 KB of it. */
static void make_message(void)
{
  static const char end[] = "\"}}";
  char text[PAYLOAD + 1];
  int len = snprintf(
      text, sizeof text,
      "{\"type\":\"data\",\"timestamp\":1795247250389,\"data\":{\"temperature\":23.5,\"humidity\":44,\"voltage\":3.29,"
      "\"on\":true,\"position\":{\"lat\":39.9042,\"lon\":116.4074,\"fix\":[1,7,11,14,19,22,28,31]},\"name\":\"传感器 "
      "7\","
      "\"note\":\"");
  while (len < PAYLOAD - (int)sizeof end + 1)
    len += snprintf(text + len, sizeof text - (size_t)len, "%c", 'a' + len % 26);
  memcpy(text + len, end, sizeof end);
  message_len = frame(message, 1, text, PAYLOAD);
}

static void say(size_t endpoint)
{
  size_t sender = sent[endpoint]++ % opt.senders;
  sent_all++;
  put_all(&links.list[endpoint * per_endpoint() + sender], message, message_len);
}

static int64_t after(double seconds)
{
  return now_ns() + (int64_t)(seconds * 1e9);
}

static void closed_loop(double seconds)
{
  for (int64_t end = after(seconds); now_ns() < end; links_turn(&links, 1))
    for (size_t i = 0; i < opt.endpoints; i++)
      while (sent[i] * copies() < delivered[i] + opt.window * copies())
        say(i);
}

static void paced(double seconds)
{
  int64_t begin = now_ns(), end = after(seconds);
  uint64_t before = sent_all;
  for (int64_t now = begin; now < end; now = now_ns()) {
    while ((double)(sent_all - before) < (double)(now - begin) / 1e9 * opt.rate)
      say(sent_all % opt.endpoints);
    links_turn(&links, 1);
  }
}

/* Until all is delivered, however long it takes, as long as something comes. */
static void drain(void)
{
  uint64_t seen = delivered_all;
  for (int64_t end = after(STALLED_S); delivered_all < sent_all * copies(); links_turn(&links, 10)) {
    if (delivered_all != seen)
      end = after(STALLED_S);
    seen = delivered_all;
    if (now_ns() > end || links.failed)
      die("messages were lost");
  }
}

static void run(double seconds)
{
  if (opt.rate > 0)
    paced(seconds);
  else
    closed_loop(seconds);
}

static void set(const char *argument)
{
  const struct {
    const char *name;
    size_t *size;
    double *number;
  } known[] = {{"endpoints", &opt.endpoints, 0},
               {"senders", &opt.senders, 0},
               {"receivers", &opt.receivers, 0},
               {"window", &opt.window, 0},
               {"seconds", 0, &opt.seconds},
               {"warm", 0, &opt.warm},
               {"rate", 0, &opt.rate}};
  const char *value = strchr(argument, '=');
  size_t len = value ? (size_t)(value++ - argument) : 0;
  if (len == 8 && strncmp(argument, "database", 8) == 0) {
    opt.database = strtol(value, NULL, 10);
    return;
  }
  for (size_t i = 0; len && i < sizeof known / sizeof known[0]; i++) {
    if (strlen(known[i].name) != len || strncmp(known[i].name, argument, len) != 0)
      continue;
    if (known[i].size)
      *known[i].size = strtoul(value, NULL, 10);
    else
      *known[i].number = strtod(value, NULL);
    return;
  }
  die("usage: bench_relay PORT PID [name=value…]");
}

int main(int argc, char **argv)
{
  if (argc < 3)
    set("");
  for (int i = 3; i < argc; i++)
    set(argv[i]);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  long pid = strtol(argv[2], NULL, 10);
  sent = calloc(opt.endpoints, sizeof *sent);
  delivered = calloc(opt.endpoints, sizeof *delivered);
  if (!sent || !delivered || !opt.endpoints || !opt.senders || !copies())
    die("nothing to do");
  make_message();
  links.on_text = on_text;
  links.path = path_of;
  size_t count = opt.endpoints * per_endpoint();
  links_open(&links, (struct target){"127.0.0.1", (uint16_t)atoi(argv[1])}, NULL, count, 32, NULL);
  /* Some servers look the endpoint up only now, and lose what comes before they have it. */
  for (int64_t end = after(1); now_ns() < end;)
    links_turn(&links, 10);
  if (links.open != count)
    die("not all links are open");
  run(opt.warm);
  uint64_t messages = sent_all, deliveries = delivered_all;
  int64_t begin = now_ns();
  double server = cpu_us(pid), database = cpu_us(opt.database);
  run(opt.seconds);
  drain();
  server = cpu_us(pid) - server;
  database = cpu_us(opt.database) - database;
  double seconds = (double)(now_ns() - begin) / 1e9;
  messages = sent_all - messages;
  printf("{\"messages\":%llu,\"deliveries\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"cpu_us\":%.3f,\"database_us\":%"
         ".3f}\n",
         (unsigned long long)messages, (unsigned long long)(delivered_all - deliveries), seconds,
         (double)messages / seconds, server / (double)messages, database / (double)messages);
  links_close(&links);
  return 0;
}
