/* SPDX-License-Identifier: ISC */
/* What the wheel sees to: pings, silence, unfinished messages and admissions, readers that take nothing. */
#include "peer.h"

#include <time.h>

#include "base/clock.h"
#include "net/ws.h"

static int64_t ahead_ns;

static int64_t mono(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + ahead_ns;
}

struct seen {
  struct server server;
  int closed;
  unsigned code;
  int admit;
  mu_group *group;
};

static int on_admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  (void)request;
  (void)admission;
  return ((struct seen *)self)->admit;
}

static int on_open(void *self, mu_conn *conn)
{
  struct seen *seen = self;
  return seen->group ? mu_group_join(seen->group, conn) : 0;
}

static void on_closed(void *self, mu_conn *conn, unsigned code)
{
  struct seen *seen = self;
  (void)conn;
  seen->closed++;
  seen->code = code;
}

static struct seen *begin(unsigned ping_s, unsigned silent_s)
{
  struct seen *seen = calloc(1, sizeof *seen);
  ahead_ns = 0;
  mui_clock_inject(NULL, mono);
  CU_ASSERT_FATAL(server_start(&seen->server));
  struct mu_ws_route route = {.size = sizeof route,
                              .path = "/ws",
                              .admit = on_admit,
                              .open = on_open,
                              .closed = on_closed,
                              .ping_every_s = ping_s,
                              .silent_after_s = silent_s};
  CU_ASSERT_EQUAL(mu_ws_route(seen->server.plugin, &route, seen), 0);
  return seen;
}

static void end(struct seen *seen)
{
  server_stop(&seen->server);
  mui_clock_inject(NULL, NULL);
  free(seen);
}

/* Seconds pass; the wheel looks at each. */
static void later(struct seen *seen, int seconds)
{
  while (seconds-- > 0) {
    ahead_ns += 1000000000;
    mui_wheel_second(seen->server.runtime.net->ws);
  }
  server_run(&seen->server, 20);
}

static bool pinged(struct seen *seen, struct peer *peer)
{
  const unsigned char *at;
  size_t len, whole;
  int opcode = peer_next(&seen->server, peer, &at, &len, &whole);
  if (opcode < 0)
    return false;
  peer_take(peer, whole);
  return opcode == 9;
}

static void test_pings(void)
{
  struct seen *seen = begin(20, 0);
  struct peer *deaf = peer_open(&seen->server, "/ws");
  struct peer *good = peer_open(&seen->server, "/ws");
  for (int i = 0; i < 2; i++) {
    later(seen, 20);
    CU_ASSERT(pinged(seen, deaf));
    CU_ASSERT(pinged(seen, good));
    peer_frame(&seen->server, good, 0x8a, "mu", 2);
  }
  CU_ASSERT_EQUAL(seen->closed, 0);
  later(seen, 20);
  CU_ASSERT(peer_wait_end(&seen->server, deaf, 1000));
  CU_ASSERT_EQUAL(seen->closed, 1);
  CU_ASSERT_EQUAL(seen->code, 1006);
  CU_ASSERT(pinged(seen, good));
  CU_ASSERT_FALSE(good->ended);
  peer_free(deaf);
  peer_free(good);
  end(seen);
}

static void test_silence(void)
{
  struct seen *seen = begin(1000, 40);
  struct peer *silent = peer_open(&seen->server, "/ws");
  struct peer *talks = peer_open(&seen->server, "/ws");
  later(seen, 30);
  CU_ASSERT_EQUAL(silent->len, 0);
  peer_text(&seen->server, talks, "x");
  server_run(&seen->server, 20);
  later(seen, 12);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, silent), 1001);
  peer_read(talks);
  CU_ASSERT_EQUAL(talks->len, 0);
  peer_free(silent);
  peer_free(talks);
  end(seen);
}

static void test_unfinished(void)
{
  struct seen *seen = begin(1000, 0);
  struct peer *drips = peer_open(&seen->server, "/ws");
  peer_frame(&seen->server, drips, 0x01, "a", 1);
  server_run(&seen->server, 20);
  later(seen, 20);
  peer_frame(&seen->server, drips, 0x00, "b", 1);
  server_run(&seen->server, 20);
  later(seen, 12);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, drips), 1008);
  peer_free(drips);
  seen->admit = MU_PENDING;
  struct peer *waits = peer_open(&seen->server, "/ws");
  later(seen, 31);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, waits), 4001);
  peer_free(waits);
  end(seen);
}

static size_t open_now(struct seen *seen)
{
  struct mui_net_stats stats;
  mui_net_read(seen->server.runtime.net, &stats);
  return stats.open_ws;
}

/* Who leaves while the decision is out is noticed soon; what was said before leaving is not lost. */
static void test_pending_leaves(void)
{
  struct seen *seen = begin(1000, 0);
  seen->admit = MU_PENDING;
  size_t before = open_now(seen);
  struct peer *stays = peer_open(&seen->server, "/ws");
  struct peer *leaves = peer_open(&seen->server, "/ws");
  struct peer *speaks = peer_open(&seen->server, "/ws");
  CU_ASSERT_EQUAL(open_now(seen), before + 3);
  peer_text(&seen->server, speaks, "and goodbye");
  peer_free(leaves);
  shutdown(speaks->fd, SHUT_WR);
  server_run(&seen->server, 50);
  later(seen, 2);
  server_run(&seen->server, 400);
  CU_ASSERT_EQUAL(open_now(seen), before + 2);
  peer_read(stays);
  CU_ASSERT_FALSE(stays->ended);
  later(seen, 31);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, stays), 4001);
  CU_ASSERT(peer_wait_end(&seen->server, speaks, 1000));
  peer_free(stays);
  peer_free(speaks);
  end(seen);
}

static void test_reader_takes_nothing(void)
{
  struct seen *seen = begin(1000, 0);
  struct mui_limits limits = {.send_timeout_s = 5};
  CU_ASSERT_FATAL(server_listen(&seen->server, &(struct mui_listen){.address = "127.0.0.1"}, &limits));
  seen->group = mu_group_new(seen->server.plugin, "live", MU_GROUP_CONFLATE);
  struct peer *peer = peer_open(&seen->server, "/ws");
  char *data;
  mu_text *big = mu_text_alloc(60000, &data);
  memset(data, 'z', 60000);
  for (int i = 0; i < 200; i++) {
    mu_group_publish(seen->group, (unsigned)i, big);
    if (i % 10 == 0)
      server_run(&seen->server, 1);
  }
  mu_text_unref(big);
  later(seen, 3);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 1);
  /* one that takes a little is not cut */
  unsigned char some[300000];
  CU_ASSERT(recv(peer->fd, some, sizeof some, 0) > 0);
  server_run(&seen->server, 20);
  later(seen, 3);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 1);
  later(seen, 10);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 0);
  server_run(&seen->server, 400);
  CU_ASSERT_EQUAL(seen->closed, 1);
  CU_ASSERT_EQUAL(seen->code, 1006);
  peer_free(peer);
  end(seen);
}

/* The process is held up for minutes: nobody is cut for what could not be heard, and all goes on as before. */
static void test_stall(void)
{
  struct seen *seen = begin(20, 30);
  struct peer *peer = peer_open(&seen->server, "/ws");
  struct peer *drips = peer_open(&seen->server, "/ws");
  peer_frame(&seen->server, drips, 0x01, "a", 1);
  server_run(&seen->server, 20);
  for (int i = 0; i < 3; i++) {
    later(seen, 15);
    peer_text(&seen->server, peer, "x");
    ahead_ns += INT64_C(300000000000);
    mui_wheel_second(seen->server.runtime.net->ws);
    server_run(&seen->server, 20);
    CU_ASSERT_EQUAL(seen->closed, 0);
  }
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, drips), 1008);
  CU_ASSERT(pinged(seen, peer));
  later(seen, 35);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1001);
  peer_free(peer);
  peer_free(drips);
  end(seen);
}

static const struct unit_test tests[] = {
    {"pings", test_pings},
    {"silence", test_silence},
    {"unfinished message and admission", test_unfinished},
    {"leaving while the admission is pending", test_pending_leaves},
    {"a reader that takes nothing", test_reader_takes_nothing},
    {"the process is held up", test_stall},
};
UNIT_MAIN("net/heartbeat", tests)
