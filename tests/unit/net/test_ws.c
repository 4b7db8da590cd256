/* SPDX-License-Identifier: ISC */
/* WebSocket connections over loopback: admission, messages, closes, groups. */
#include "peer.h"

/* What the plugin under test saw. */
struct seen {
  struct server server;
  int opened, messages, closed;
  unsigned code;
  mu_conn *conn;
  mu_conn_id id;
  char last[70000];
  size_t last_len;
  bool last_binary;
  bool nul;
  int admit;
  bool no_data;
  mu_group *group;
  unsigned close_with;
  const struct mu_principal *principal;
  char peer[64]; /* of the newest request */
};

static void expect_mute(struct seen *seen, mu_conn *conn)
{
  mu_text *text = mu_text_new("early", 5);
  CU_ASSERT_EQUAL(mu_conn_send(conn, text), MU_EBUSY);
  CU_ASSERT_EQUAL(mu_conn_send_latest(conn, 1, text), MU_EBUSY);
  CU_ASSERT_EQUAL(mu_conn_send_binary(conn, text), MU_EBUSY);
  if (seen->group)
    CU_ASSERT_EQUAL(mu_group_join(seen->group, conn), MU_EBUSY);
  mu_text_unref(text);
}

static int on_admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  struct seen *seen = self;
  struct mu_str value;
  snprintf(seen->peer, sizeof seen->peer, "%s", mu_ws_request_peer(request));
  if (mu_ws_request_header(request, "x-secret", &value) && mu_str_equal(value, MU_STR("wrong"))) {
    *admission = (struct mu_admission){
        .status = 401, .code = "wrong_secret", .message = "the \"secret\" is wrong", .retry_after_s = 7};
    return MU_EREFUSED;
  }
  if (mu_ws_request_query(request, "who", &value) && !mu_str_equal(value, MU_STR("a b")))
    return MU_EREFUSED;
  seen->id = mu_ws_request_conn(request);
  if (seen->admit == MU_PENDING) { /* not even the plugin itself may talk before its own verdict */
    CU_ASSERT_PTR_NOT_NULL_FATAL(mu_conn_find(seen->server.plugin, seen->id));
    expect_mute(seen, mu_conn_find(seen->server.plugin, seen->id));
  }
  admission->data = seen->no_data ? NULL : seen;
  admission->principal = seen->principal;
  return seen->admit;
}

static int on_open(void *self, mu_conn *conn)
{
  struct seen *seen = self;
  seen->opened++;
  seen->conn = conn;
  seen->id = mu_conn_get_id(conn);
  CU_ASSERT_PTR_EQUAL(mu_conn_data(conn), seen->no_data ? NULL : self);
  CU_ASSERT_STRING_EQUAL(mu_conn_peer(conn), "127.0.0.1");
  return seen->group ? mu_group_join(seen->group, conn) : 0;
}

static int on_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  struct seen *seen = self;
  seen->messages++;
  seen->last_len = message->len;
  seen->last_binary = message->binary;
  seen->nul = message->at[message->len] == '\0';
  if (seen->close_with)
    mu_conn_close(conn, seen->close_with, "as told");
  memcpy(seen->last, message->at, message->len);
  mu_text *text = mu_text_new(message->at, message->len);
  int error = message->binary ? mu_conn_send_binary(conn, text) : mu_conn_send(conn, text);
  CU_ASSERT_EQUAL(error, seen->close_with ? MU_ECLOSED : 0);
  mu_text_unref(text);
  return 0;
}

static void on_closed(void *self, mu_conn *conn, unsigned code)
{
  struct seen *seen = self;
  (void)conn;
  seen->closed++;
  seen->code = code;
  seen->conn = NULL;
}

static void add_route(struct seen *seen, const char *path, struct mu_ws_route route)
{
  route.size = sizeof route;
  route.path = path;
  route.admit = on_admit;
  route.open = on_open;
  route.message = on_message;
  route.closed = on_closed;
  CU_ASSERT_EQUAL(mu_ws_route(seen->server.plugin, &route, seen), 0);
}

static struct seen *begin(void)
{
  struct seen *seen = calloc(1, sizeof *seen);
  CU_ASSERT_FATAL(server_start(&seen->server));
  add_route(seen, "/ws", (struct mu_ws_route){.max_message = 60000});
  add_route(seen, "/bin/*", (struct mu_ws_route){.binary = true});
  add_route(seen, "/any", (struct mu_ws_route){.origin = MU_ORIGIN_ANY});
  add_route(seen, "/program", (struct mu_ws_route){.origin = MU_ORIGIN_NONE});
  return seen;
}

static void end(struct seen *seen)
{
  server_stop(&seen->server);
  CU_ASSERT_EQUAL(seen->opened, seen->closed);
  free(seen);
}

static void test_echo(void)
{
  struct seen *seen = begin();
  struct peer *peer = peer_open(&seen->server, "/ws");
  CU_ASSERT_EQUAL(seen->opened, 1);
  peer_text(&seen->server, peer, "hello");
  CU_ASSERT(peer_expect_text(&seen->server, peer, "hello"));
  CU_ASSERT(seen->nul);
  peer_text(&seen->server, peer, "");
  CU_ASSERT(peer_expect_text(&seen->server, peer, ""));
  char *big = malloc(60001);
  memset(big, 'x', 60000);
  big[60000] = '\0';
  peer_text(&seen->server, peer, big);
  CU_ASSERT(peer_expect_text(&seen->server, peer, big));
  CU_ASSERT(seen->nul && seen->last_len == 60000);
  /* in fragments, with an empty one and a ping between */
  peer_frame(&seen->server, peer, 0x01, "a\xc3", 2);
  peer_frame(&seen->server, peer, 0x00, "", 0);
  peer_frame(&seen->server, peer, 0x89, "p", 1);
  peer_frame(&seen->server, peer, 0x80, "\xa4z", 2);
  const unsigned char *at;
  size_t len, whole;
  int pongs = 0, texts = 0;
  for (int i = 0; i < 2; i++) { /* a pong waits for the socket to be writable: the order may change */
    int opcode = peer_next(&seen->server, peer, &at, &len, &whole);
    CU_ASSERT_FATAL(opcode == 10 || opcode == 1);
    pongs += opcode == 10 && len == 1 && *at == 'p';
    texts += opcode == 1 && len == 4 && memcmp(at, "a\xc3\xa4z", 4) == 0;
    peer_take(peer, whole);
  }
  CU_ASSERT(pongs == 1 && texts == 1);
  CU_ASSERT_EQUAL(seen->messages, 4);
  struct mui_net_stats stats;
  mui_net_read(seen->server.runtime.net, &stats);
  CU_ASSERT_EQUAL(stats.open_ws, 1);
  CU_ASSERT_EQUAL(stats.messages_in, 4);
  peer_frame(&seen->server, peer, 0x88, "\x03\xe8", 2);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1000);
  CU_ASSERT(peer_wait_end(&seen->server, peer, 1000));
  server_run(&seen->server, 20);
  CU_ASSERT_EQUAL(seen->closed, 1);
  CU_ASSERT_EQUAL(seen->code, 1000);
  peer_free(peer);
  free(big);
  end(seen);
}

/* One link each: a frame, and the code that must come back. */
static void test_bad_messages(void)
{
  struct seen *seen = begin();
  static const struct {
    const char *path;
    unsigned char head;
    const char *data;
    size_t len;
    unsigned code;
  } cases[] = {
      {"/ws", 0x82, "binary", 6, 1003},   {"/ws", 0x81, "\xff", 1, 1007},
      {"/ws", 0x81, "\xc3", 1, 1007},     {"/ws", 0x81, "\xed\xa0\x80", 3, 1007},
      {"/ws", 0x81, "\xc0\x80", 2, 1007}, {"/ws", 0x83, "x", 1, 1002},
      {"/ws", 0xc1, "x", 1, 1002},        {"/ws", 0x80, "x", 1, 1002},
      {"/ws", 0x09, "x", 1, 1002},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct peer *peer = peer_open(&seen->server, cases[i].path);
    peer_frame(&seen->server, peer, cases[i].head, cases[i].data, cases[i].len);
    CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), cases[i].code);
    /* After a broken frame the library cannot find our answer in the stream and waits for some seconds. */
    CU_ASSERT(cases[i].code == 1002 || peer_wait_end(&seen->server, peer, 1000));
    peer_free(peer);
  }
  CU_ASSERT_EQUAL(seen->messages, 0);
  /* too big, as announced: nothing is waited for */
  static const unsigned char announced[] = {0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'a', 'b'};
  struct peer *peer = peer_open(&seen->server, "/ws");
  peer_write(&seen->server, peer, announced, sizeof announced);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1009);
  peer_free(peer);
  /* empty fragments without end */
  peer = peer_open(&seen->server, "/ws");
  peer_frame(&seen->server, peer, 0x01, "", 0);
  for (int i = 0; i < 1200; i++)
    peer_frame(&seen->server, peer, 0x00, "", 0);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1008);
  peer_free(peer);
  peer = peer_open(&seen->server, "/bin/x");
  peer_frame(&seen->server, peer, 0x82, "\xff\0\xfe", 3);
  const unsigned char *at;
  size_t len, whole;
  CU_ASSERT_EQUAL(peer_next(&seen->server, peer, &at, &len, &whole), 2);
  CU_ASSERT(len == 3 && memcmp(at, "\xff\0\xfe", 3) == 0 && seen->last_binary);
  peer_free(peer);
  end(seen);
}

static int upgrade_once(struct seen *seen, const char *path, const char *more, char *body, size_t size)
{
  struct peer *peer = peer_connect(&seen->server);
  int status = peer_upgrade(&seen->server, peer, path, more);
  if (status != 101)
    CU_ASSERT(peer_wait_end(&seen->server, peer, 1500));
  if (body)
    snprintf(body, size, "%.*s", (int)peer->len, (char *)peer->in);
  peer_free(peer);
  server_run(&seen->server, 10);
  return status;
}

static void test_refusals(void)
{
  struct seen *seen = begin();
  char body[2000];
  CU_ASSERT_EQUAL(upgrade_once(seen, "/nothing", "", body, sizeof body), 404);
  CU_ASSERT_PTR_NOT_NULL(strstr(body, "{\"code\":\"not_found\",\"message\":\"no such path\"}"));
  CU_ASSERT_PTR_NOT_NULL(strstr(body, "Connection: close"));
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "X-Secret: wrong\r\n", body, sizeof body), 401);
  CU_ASSERT_PTR_NOT_NULL(strstr(body, "Retry-After: 7"));
  CU_ASSERT_PTR_NOT_NULL(strstr(body, "{\"code\":\"wrong_secret\",\"message\":\"the \\\"secret\\\" is wrong\"}"));
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws?who=nobody", "", NULL, 0), 403);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws?x=1&who=a%20b", "", NULL, 0), 101);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "Host: twice\r\n", NULL, 0), 400);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "Sec-WebSocket-Protocol: chat\r\n", NULL, 0), 400);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "Content-Length: 5\r\n", NULL, 0), 400);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/wsx", "", NULL, 0), 404);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/bin", "", NULL, 0), 404);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/bin/deep/er", "", NULL, 0), 101);
  server_run(&seen->server, 20);
  static const struct {
    const char *request;
    int status;
  } raw[] = {
      {"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
       400},
      {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
       426},
      {"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
       400},
      {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: close\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
       400},
      {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: "
       "A\r\n\r\n",
       400},
      {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
       400},
      {"GET /ws HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
       400},
  };
  for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
    struct peer *peer = peer_connect(&seen->server);
    peer_write(&seen->server, peer, raw[i].request, strlen(raw[i].request));
    CU_ASSERT(peer_wait_end(&seen->server, peer, 1500));
    CU_ASSERT(peer->len > 12);
    CU_ASSERT_EQUAL(atoi((char *)peer->in + 9), raw[i].status);
    peer_free(peer);
  }
  CU_ASSERT_EQUAL(seen->opened, 2);
  end(seen);
}

static void test_origins(void)
{
  struct seen *seen = begin();
  static const char *const list[] = {"https://page.example"};
  struct mui_listen listen = {.address = "127.0.0.1", .origins = {list, 1}};
  CU_ASSERT_FATAL(server_listen(&seen->server, &listen, NULL));
  static const struct {
    const char *path, *header;
    int status;
  } cases[] = {
      {"/ws", "", 101},
      {"/ws", "Origin: http://here:80\r\n", 101},
      {"/ws", "Origin: http://here\r\n", 101},
      {"/ws", "Origin: HTTP://HERE\r\n", 101},
      {"/ws", "Origin: https://page.example\r\n", 101},
      {"/ws", "Origin: https://page.example.evil.org\r\n", 403},
      {"/ws", "Origin: http://here.evil.org\r\n", 403},
      {"/ws", "Origin: http://evil.org/here\r\n", 403},
      {"/ws", "Origin: http://evil@here\r\n", 403},
      {"/ws", "Origin: http://here:8080\r\n", 403},
      {"/ws", "Origin: null\r\n", 403},
      {"/ws", "Origin: here\r\n", 403},
      {"/any", "Origin: http://evil.org\r\n", 101},
      {"/program", "Origin: http://here:80\r\n", 403},
      {"/program", "", 101},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int status = upgrade_once(seen, cases[i].path, cases[i].header, NULL, 0);
    CU_ASSERT_EQUAL(status, cases[i].status);
    if (status != cases[i].status)
      fprintf(stderr, "%s %s → %d\n", cases[i].path, cases[i].header, status);
  }
  server_run(&seen->server, 20);
  end(seen);
}

static void test_plugins_of_a_listener(void)
{
  struct seen *seen = begin();
  static const char *const names[] = {"other"};
  CU_ASSERT(server_listen(&seen->server, &(struct mui_listen){.address = "127.0.0.1", .plugins = {names, 1}}, NULL));
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "", NULL, 0), 404);
  end(seen);
}

static void test_pending(void)
{
  struct seen *seen = begin();
  seen->admit = MU_PENDING;
  seen->group = mu_group_new(seen->server.plugin, "state", MU_GROUP_CONFLATE);
  struct peer *peer = peer_open(&seen->server, "/ws");
  peer_text(&seen->server, peer, "one");
  peer_text(&seen->server, peer, "two");
  server_run(&seen->server, 50);
  CU_ASSERT_EQUAL(seen->messages, 0);
  CU_ASSERT_EQUAL(seen->opened, 0);
  mu_conn *conn = mu_conn_find(seen->server.plugin, seen->id);
  CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
  expect_mute(seen, conn);
  mu_conn_admit(conn, 0, NULL);
  CU_ASSERT_EQUAL(seen->opened, 1);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 1);
  mu_conn_admit(conn, 0, NULL); /* once is enough */
  CU_ASSERT_EQUAL(seen->opened, 1);
  CU_ASSERT(peer_expect_text(&seen->server, peer, "one"));
  CU_ASSERT(peer_expect_text(&seen->server, peer, "two"));
  struct peer *refused = peer_open(&seen->server, "/ws");
  peer_text(&seen->server, refused, "three");
  mu_conn_id id = seen->id;
  mu_conn_admit(mu_conn_find(seen->server.plugin, id), MU_CLOSE_AUTH_REFUSED, "no");
  CU_ASSERT_PTR_NULL(mu_conn_find(seen->server.plugin, id));
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, refused), 4002);
  CU_ASSERT(peer_wait_end(&seen->server, refused, 1000));
  CU_ASSERT_EQUAL(seen->messages, 2);
  CU_ASSERT_EQUAL(seen->opened, 1);
  CU_ASSERT_EQUAL(seen->closed, 1); /* its data had to be freed */
  seen->no_data = true;
  struct peer *nothing = peer_open(&seen->server, "/ws");
  mu_conn_admit(mu_conn_find(seen->server.plugin, seen->id), MU_CLOSE_AUTH_REFUSED, "no");
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, nothing), 4002);
  CU_ASSERT(peer_wait_end(&seen->server, nothing, 1000));
  CU_ASSERT_EQUAL(seen->opened, 1);
  CU_ASSERT_EQUAL(seen->closed, 1); /* neither opened nor with data */
  peer_free(nothing);
  seen->no_data = false;
  seen->closed = 0; /* from here on those that were open */
  peer_free(peer);
  peer_free(refused);
  server_run(&seen->server, 20);
  /* an old id never names a new connection */
  seen->admit = 0;
  struct peer *fresh = peer_open(&seen->server, "/ws");
  CU_ASSERT_PTR_NULL(mu_conn_find(seen->server.plugin, id));
  CU_ASSERT_PTR_EQUAL(mu_conn_find(seen->server.plugin, seen->id), seen->conn);
  CU_ASSERT_PTR_NULL(mu_conn_find(seen->server.plugin, 0));
  CU_ASSERT_PTR_NULL(mu_conn_find(seen->server.plugin, UINT64_MAX));
  peer_free(fresh);
  end(seen);
}

static void test_close_inside_message(void)
{
  struct seen *seen = begin();
  seen->close_with = 4009;
  struct peer *peer = peer_open(&seen->server, "/ws");
  char big[5001];
  memset(big, 'y', 5000);
  big[5000] = '\0';
  peer_text(&seen->server, peer, big);
  peer_text(&seen->server, peer, "ignored");
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 4009);
  CU_ASSERT(peer_wait_end(&seen->server, peer, 1000));
  CU_ASSERT_EQUAL(seen->messages, 1);
  CU_ASSERT_EQUAL(seen->code, 4009);
  peer_free(peer);
  end(seen);
}

static void test_group(void)
{
  struct seen *seen = begin();
  seen->group = mu_group_new(seen->server.plugin, "live", MU_GROUP_CONFLATE);
  enum { N = 5 };
  struct peer *peers[N];
  for (int i = 0; i < N; i++)
    peers[i] = peer_open(&seen->server, "/ws");
  CU_ASSERT_EQUAL(mu_group_count(seen->group), N);
  CU_ASSERT_EQUAL(mu_group_join(seen->group, seen->conn), MU_EEXIST);
  mu_text *text = mu_text_new("to all", 6);
  mu_text *newer = mu_text_new("newer", 5);
  mu_group_publish(seen->group, 0, text);
  mu_group_publish(seen->group, 1, text);
  mu_group_publish(seen->group, 1, newer); /* takes the place of the one with the same key */
  mu_group_publish(seen->group, 2, text);
  for (int i = 0; i < N; i++) {
    CU_ASSERT(peer_expect_text(&seen->server, peers[i], "to all"));
    CU_ASSERT(peer_expect_text(&seen->server, peers[i], "newer"));
    CU_ASSERT(peer_expect_text(&seen->server, peers[i], "to all"));
  }
  mu_conn *newest = seen->conn;
  peer_free(peers[2]);
  server_run(&seen->server, 50);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), N - 1);
  mu_group_leave(seen->group, newest);
  mu_group_leave(seen->group, newest);
  CU_ASSERT_EQUAL(mu_group_count(seen->group), N - 2);
  mu_group_publish(seen->group, 0, newer);
  CU_ASSERT(peer_expect_text(&seen->server, peers[0], "newer"));
  mu_text_unref(text);
  mu_text_unref(newer);
  mu_group_free(seen->group);
  seen->group = NULL;
  for (int i = 0; i < N; i++)
    if (i != 2)
      peer_free(peers[i]);
  end(seen);
}

/* A reader that never reads: conflated it costs a slot per key, in a stream it is closed. */
static void test_slow_readers(void)
{
  struct seen *seen = begin();
  seen->group = mu_group_new(seen->server.plugin, "live", MU_GROUP_CONFLATE);
  struct peer *peer = peer_open(&seen->server, "/ws");
  char *data;
  mu_text *big = mu_text_alloc(60000, &data);
  memset(data, 'z', 60000);
  for (int i = 0; i < 300; i++) {
    mu_group_publish(seen->group, 1 + (unsigned)i % 20, big);
    if (i % 10 == 0)
      server_run(&seen->server, 1);
  }
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 1);
  mu_text *last = mu_text_new("the end", 7);
  mu_group_publish(seen->group, 99, last);
  const unsigned char *at;
  size_t len, whole;
  int frames = 0;
  bool found = false;
  while (!found && frames < 400 && peer_next(&seen->server, peer, &at, &len, &whole) == 1) {
    frames++;
    found = len == 7;
    peer_take(peer, whole);
  }
  CU_ASSERT(found);
  CU_ASSERT(frames < 250); /* not all 300: newer ones took the place of older ones */
  mu_group_free(seen->group);
  peer_free(peer);

  seen->group = mu_group_new(seen->server.plugin, "stream", MU_GROUP_DROP);
  peer = peer_open(&seen->server, "/ws");
  for (int i = 0; i < 400 && mu_group_count(seen->group); i++) {
    mu_group_publish(seen->group, 0, big);
    server_run(&seen->server, 1);
  }
  CU_ASSERT_EQUAL(mu_group_count(seen->group), 0);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1013);
  mu_text_unref(big);
  mu_text_unref(last);
  mu_group_free(seen->group);
  seen->group = NULL;
  peer_free(peer);
  end(seen);
}

static void test_instance_stops(void)
{
  struct seen *seen = begin();
  struct peer *peer = peer_open(&seen->server, "/ws");
  mui_instance_revoke(seen->server.plugin);
  CU_ASSERT_EQUAL(seen->closed, 1);
  CU_ASSERT_EQUAL(seen->code, 1001);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peer), 1001);
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws", "", NULL, 0), 404);
  peer_free(peer);
  end(seen);
}

static void test_revoked_principal(void)
{
  struct seen *seen = begin();
  struct mu_principal values = {
      .size = sizeof values, .provider = "auth", .id = "eve", .name = "", .owner = "eve", .role = MU_ROLE_USER};
  const struct mu_principal *eve = mu_principal_new(&values);
  seen->principal = eve;
  struct peer *first = peer_open(&seen->server, "/ws");
  seen->principal = NULL;
  struct peer *second = peer_open(&seen->server, "/ws");
  mu_event_type *type = mu_event_declare(seen->server.other, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  mu_event_emit(type, eve);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, first), 4010);
  peer_text(&seen->server, second, "still here");
  CU_ASSERT(peer_expect_text(&seen->server, second, "still here"));
  mu_principal_unref(eve);
  peer_free(first);
  peer_free(second);
  end(seen);
}

/* One of two keys is taken back: only what it opened is closed. Then the user. */
static void test_revoked_credential(void)
{
  struct seen *seen = begin();
  const struct mu_principal *keys[2];
  struct peer *peers[2];
  for (int i = 0; i < 2; i++) {
    struct mu_principal values = {.size = sizeof values, .provider = "auth", .id = "eve", .role = MU_ROLE_USER};
    values.credential = i ? "two" : "one";
    seen->principal = keys[i] = mu_principal_new(&values);
    CU_ASSERT_STRING_EQUAL(keys[i]->credential, i ? "two" : "one");
    peers[i] = peer_open(&seen->server, "/ws");
  }
  seen->principal = NULL;
  CU_ASSERT(mu_principal_equal(keys[0], keys[1]));
  mu_event_type *type = mu_event_declare(seen->server.other, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  mu_event_emit(type, keys[0]);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peers[0]), 4010);
  peer_text(&seen->server, peers[1], "still here");
  CU_ASSERT(peer_expect_text(&seen->server, peers[1], "still here"));
  struct mu_principal everything = *keys[1];
  everything.credential = "";
  const struct mu_principal *all = mu_principal_new(&everything);
  mu_event_emit(type, all);
  CU_ASSERT_EQUAL(peer_expect_close(&seen->server, peers[1]), 4010);
  mu_principal_unref(all);
  for (int i = 0; i < 2; i++) {
    mu_principal_unref(keys[i]);
    peer_free(peers[i]);
  }
  end(seen);
}

static void test_limits(void)
{
  struct seen *seen = begin();
  struct mui_listen listen = {.address = "127.0.0.1"};
  struct mui_limits limits = {.max_connections = 100, .max_connections_per_peer = 2, .header_timeout_s = 1};
  CU_ASSERT_FATAL(server_listen(&seen->server, &listen, &limits));
  struct peer *a = peer_open(&seen->server, "/ws");
  struct peer *b = peer_open(&seen->server, "/ws");
  struct peer *c = peer_connect(&seen->server);
  CU_ASSERT(peer_wait_end(&seen->server, c, 1000));
  peer_free(b);
  server_run(&seen->server, 50);
  struct peer *silent = peer_connect(&seen->server);
  CU_ASSERT_FALSE(peer_wait_end(&seen->server, silent, 100));
  CU_ASSERT(peer_wait_end(&seen->server, silent, 3000));
  struct mui_net_stats stats;
  mui_net_read(seen->server.runtime.net, &stats);
  CU_ASSERT_EQUAL(stats.refused, 1);
  /* a proxy is not limited itself, and names its clients */
  static const char *const proxies[] = {"127.0.0.0/8"};
  static const char *const wrong[] = {"127.0.0.0/40"};
  char problem[200];
  limits.trusted_proxies = (struct mu_list){wrong, 1};
  CU_ASSERT_EQUAL(mui_net_listen(seen->server.runtime.net, &listen, 1, &limits, problem, sizeof problem), MU_EIO);
  CU_ASSERT_PTR_NOT_NULL(strstr(problem, "127.0.0.0/40"));
  limits.trusted_proxies = (struct mu_list){proxies, 1};
  limits.connects_per_second = 1;
  CU_ASSERT_FATAL(server_listen(&seen->server, &listen, &limits));
  for (int i = 0; i < 8; i++)
    CU_ASSERT_EQUAL(upgrade_once(seen, "/ws?who=nobody", "X-Forwarded-For: 1.2.3.4\r\n", NULL, 0), 403);
  limits.trusted_proxies = (struct mu_list){0};
  limits.max_connections_per_peer = 0;
  CU_ASSERT_FATAL(server_listen(&seen->server, &listen, &limits));
  int taken = 0;
  int64_t began_ns = mu_mono_ns();
  for (int i = 0; i < 8; i++)
    taken += upgrade_once(seen, "/ws?who=nobody", "", NULL, 0) == 403;
  CU_ASSERT(taken >= 4 && taken <= 4 + (mu_mono_ns() - began_ns) / 1000000000);
  peer_text(&seen->server, a, "the old link goes on");
  CU_ASSERT(peer_expect_text(&seen->server, a, "the old link goes on"));
  peer_free(a);
  peer_free(c);
  peer_free(silent);
  end(seen);
}

/* Who a client is that comes through proxies, whatever it says of itself. */
static void test_forwarded(void)
{
  struct seen *seen = begin();
  static const char *const proxies[] = {"127.0.0.0/8", "10.0.0.0/8", "fd00::/8"};
  struct mui_limits limits = {.max_connections = 100, .trusted_proxies = {proxies, 3}};
  CU_ASSERT_FATAL(server_listen(&seen->server, &(struct mui_listen){.address = "127.0.0.1"}, &limits));
  static const struct {
    const char *says, *peer;
  } rows[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"6.6.6.6, 192.0.2.1", "192.0.2.1"},
      {"6.6.6.6,192.0.2.1 ,\t10.1.2.3", "192.0.2.1"},
      {"6.6.6.6\r\nX-Forwarded-For: 192.0.2.1", "192.0.2.1"},
      {"192.0.2.1:4711", "192.0.2.1"},
      {"2001:db8::1", "2001:db8::1"},
      {"6.6.6.6, [2001:DB8::1]:443, fd00::7", "2001:db8::1"},
      {"[2001:db8::1]", "2001:db8::1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"10.9.9.9, 10.1.2.3", "10.9.9.9"},
      /* what cannot be read hides no more than itself */
      {"unknown", "127.0.0.1"},
      {"192.0.2.1, unknown, 10.1.2.3", "10.1.2.3"},
      {"192.0.2.1,", "127.0.0.1"},
      {",", "127.0.0.1"},
      {"[192.0.2.1", "127.0.0.1"},
      {"[2001:db8::1]x", "127.0.0.1"},
      {"192.0.2.1:80:81", "127.0.0.1"},
      {"1.2.3.4.5", "127.0.0.1"},
  };
  char more[4096];
  for (size_t i = 0; i < MU_COUNT(rows); i++) {
    snprintf(more, sizeof more, "X-Forwarded-For: %s\r\n", rows[i].says);
    CU_ASSERT_EQUAL(upgrade_once(seen, "/ws?who=nobody", more, NULL, 0), 403);
    CU_ASSERT_STRING_EQUAL(seen->peer, rows[i].peer);
  }
  memset(more, ',', sizeof more);
  int len = snprintf(more, sizeof more, "X-Forwarded-For: ");
  more[len] = ',';
  snprintf(more + 2500, sizeof more - 2500, "192.0.2.1\r\n");
  CU_ASSERT_EQUAL(upgrade_once(seen, "/ws?who=nobody", more, NULL, 0), 403);
  CU_ASSERT_STRING_EQUAL(seen->peer, "192.0.2.1");
  end(seen);
}

static void test_many_echoes(void)
{
  struct seen *seen = begin();
  struct peer *peer = peer_open(&seen->server, "/ws");
  for (int i = 0; i < 10000; i += 50) {
    char text[32];
    for (int k = i; k < i + 50; k++) {
      snprintf(text, sizeof text, "message %d", k);
      peer_text(&seen->server, peer, text);
    }
    bool good = true;
    for (int k = i; k < i + 50 && good; k++) {
      snprintf(text, sizeof text, "message %d", k);
      good = peer_expect_text(&seen->server, peer, text);
    }
    CU_ASSERT_FATAL(good);
  }
  CU_ASSERT_EQUAL(seen->messages, 10000);
  peer_free(peer);
  end(seen);
}

static const struct unit_test tests[] = {
    {"echo, fragments, ping, close", test_echo},
    {"bad messages get their close code", test_bad_messages},
    {"upgrades refused", test_refusals},
    {"origins", test_origins},
    {"a listener's plugins", test_plugins_of_a_listener},
    {"pending admission", test_pending},
    {"close inside a message", test_close_inside_message},
    {"group", test_group},
    {"slow readers", test_slow_readers},
    {"instance stops", test_instance_stops},
    {"revoked principal", test_revoked_principal},
    {"one of the keys is revoked", test_revoked_credential},
    {"limits and proxies", test_limits},
    {"clients behind proxies", test_forwarded},
    {"10 000 echoes", test_many_echoes},
};
UNIT_MAIN("net/ws", tests)
