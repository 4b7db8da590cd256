/* SPDX-License-Identifier: ISC */
/* The WebSocket client against this process's own server, and against sockets that behave badly. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <muster/client.h>
#include <muster/conn.h>
#include "peer.h"

/* ---- the server's side ----------------------------------------------------------------------- */

static struct server server;
static unsigned server_closed_code;

static int admit(void *self, const mu_ws_request *request, struct mu_admission *admission)
{
  (void)self;
  struct mu_str value;
  if (mu_ws_request_header(request, "x-secret", &value) && mu_str_equal(value, MU_STR("right")))
    return 0;
  admission->status = 401;
  admission->code = "unauthorized";
  admission->message = "wrong";
  return MU_EREFUSED;
}

static int echo(void *self, mu_conn *conn, const struct mu_message *message)
{
  (void)self;
  if (strcmp(message->at, "close me") == 0) {
    mu_conn_close(conn, 4009, "replaced");
    return 0;
  }
  mu_text *text = mu_text_new(message->at, message->len);
  mu_conn_send(conn, text);
  mu_text_unref(text);
  return 0;
}

static void on_server_closed(void *self, mu_conn *conn, unsigned code)
{
  (void)self, (void)conn;
  server_closed_code = code;
}

static void start(void)
{
  CU_ASSERT_TRUE_FATAL(server_start(&server));
  const struct mu_ws_route route = {.size = sizeof route,
                                    .path = "/echo",
                                    .origin = MU_ORIGIN_NONE,
                                    .admit = admit,
                                    .max_message = 1 << 20,
                                    .message = echo,
                                    .closed = on_server_closed};
  CU_ASSERT_EQUAL_FATAL(mu_ws_route(server.plugin, &route, NULL), 0);
  server_closed_code = 0;
}

/* ---- the client's side ----------------------------------------------------------------------- */

struct seen {
  mu_client *client;
  bool opened, got, closed;
  unsigned opens, messages, closes;
  int status;
  unsigned code;
  uint64_t retry_ms;
  size_t len;
  char last[64], all[256], reason[200];
  bool free_in_message, free_in_closed;
};

static void on_open(void *self)
{
  struct seen *seen = self;
  seen->opened = true;
  seen->opens++;
}

static void on_client_message(void *self, const char *data, size_t len, bool binary)
{
  struct seen *seen = self;
  (void)binary;
  seen->got = true;
  seen->messages++;
  seen->len = len;
  snprintf(seen->last, sizeof seen->last, "%.*s", (int)len, data);
  size_t have = strlen(seen->all);
  snprintf(seen->all + have, sizeof seen->all - have, "%.20s ", seen->last);
  if (seen->free_in_message) {
    mu_client_free(seen->client);
    seen->client = NULL;
  }
}

static void on_client_closed(void *self, int status, unsigned code, const char *reason, uint64_t retry_ms)
{
  struct seen *seen = self;
  seen->closed = true;
  seen->closes++;
  seen->status = status;
  seen->code = code;
  seen->retry_ms = retry_ms;
  snprintf(seen->reason, sizeof seen->reason, "%s", reason);
  if (seen->free_in_closed) {
    mu_client_free(seen->client);
    seen->client = NULL;
  }
}

static struct mu_client_options options_for(const char *scheme, const char *host, unsigned port)
{
  static char url[200];
  static const struct mu_header header = {"X-Secret", "right"};
  snprintf(url, sizeof url, "%s://%s:%u/echo", scheme, host, port);
  return (struct mu_client_options){
      .size = sizeof(struct mu_client_options), .url = url, .headers = &header, .header_count = 1};
}

static void connect_client(struct seen *seen, const struct mu_client_options *options)
{
  static const struct mu_client_events events = {
      .size = sizeof events, .open = on_open, .message = on_client_message, .closed = on_client_closed};
  *seen = (struct seen){0};
  seen->client = mu_client_new(server.other, options, &events, seen);
  CU_ASSERT_PTR_NOT_NULL_FATAL(seen->client);
}

static void say(struct seen *seen, const char *text)
{
  mu_text *made = mu_text_new(text, strlen(text));
  mu_client_send(seen->client, made);
  mu_text_unref(made);
}

static bool until(const bool *flag, uint64_t ms)
{
  return mui_loop_until(server.runtime.loop, flag, ms);
}

static unsigned port(void)
{
  return mui_net_port(server.runtime.net, 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_echo(void)
{
  struct seen seen;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  options.max_message = 300000;
  connect_client(&seen, &options);
  say(&seen, "early");
  CU_ASSERT_FALSE(mu_client_connected(seen.client));
  mu_client_start(seen.client);
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.got, 3000));
  CU_ASSERT_TRUE(mu_client_connected(seen.client));
  CU_ASSERT_STRING_EQUAL(seen.last, "early");
  for (unsigned i = 0; i < 20; i++)
    say(&seen, i % 2 ? "b" : "a");
  server_run(&server, 300);
  CU_ASSERT_EQUAL(seen.messages, 21);
  CU_ASSERT_STRING_EQUAL(seen.all, "early a b a b a b a b a b a b a b a b a b a b ");
  char *data;
  mu_text *big = mu_text_alloc(250000, &data);
  memset(data, 'x', 250000);
  seen.got = false;
  mu_client_send(seen.client, big);
  mu_text_unref(big);
  CU_ASSERT_TRUE(until(&seen.got, 3000));
  CU_ASSERT_EQUAL(seen.len, 250000);
  /* The text was not masked in place. */
  seen.got = false;
  mu_text *empty = mu_text_new("", 0);
  mu_client_send(seen.client, empty);
  mu_text_unref(empty);
  CU_ASSERT_TRUE(until(&seen.got, 3000));
  CU_ASSERT_EQUAL(seen.len, 0);
  mu_client_close(seen.client, 1000, "bye");
  CU_ASSERT_FALSE(mu_client_connected(seen.client));
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.code, 1000);
  CU_ASSERT_EQUAL(seen.retry_ms, 0);
  CU_ASSERT_STRING_EQUAL(seen.reason, "bye");
  server_run(&server, 50);
  CU_ASSERT_EQUAL(server_closed_code, 1000);
  mu_client_free(seen.client);
  mu_client_free(NULL);
  server_stop(&server);
}

static void test_refused(void)
{
  struct seen seen;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  options.header_count = 0;
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.status, 401);
  CU_ASSERT_EQUAL(seen.code, 1006);
  CU_ASSERT(seen.retry_ms >= 2400 && seen.retry_ms <= 3600);
  CU_ASSERT_EQUAL(seen.opens, 0);
  CU_ASSERT_EQUAL(seen.closes, 1);
  server_stop(&server); /* the instance frees it */
}

static int listen_raw(unsigned *bound)
{
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t len = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
  CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&at, &len), 0);
  *bound = ntohs(at.sin_port);
  return fd;
}

static void test_comes_back(void)
{
  struct seen seen;
  unsigned bound;
  start();
  int fd = listen_raw(&bound); /* bound but not listening: refused */
  struct mu_client_options options = options_for("ws", "127.0.0.1", bound);
  options.max_queue = 3;
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  static const char *const texts[] = {"1", "2", "3", "4", "5"};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    mu_text *text = mu_text_new(texts[i], 1);
    CU_ASSERT_EQUAL(mu_client_send(seen.client, text), i < 3 ? 0 : MU_ELIMIT);
    mu_text_unref(text);
  }
  CU_ASSERT_EQUAL(mu_client_dropped(seen.client), 2);
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.status, 0);
  CU_ASSERT(seen.retry_ms >= 2400 && seen.retry_ms <= 3600);
  close(fd);
  CU_ASSERT_TRUE_FATAL(server_listen(&server, &(struct mui_listen){.address = "127.0.0.1", .port = bound}, NULL));
  CU_ASSERT_TRUE(until(&seen.opened, 5000));
  server_run(&server, 100);
  CU_ASSERT_STRING_EQUAL(seen.all, "3 4 5 ");
  /* The server ends the link with a code. */
  seen.closed = false;
  say(&seen, "close me");
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.code, 4009);
  CU_ASSERT_STRING_EQUAL(seen.reason, "replaced");
  /* It had not stayed up, so the delay goes on growing. */
  CU_ASSERT(seen.retry_ms >= 2880 && seen.retry_ms <= 4320);
  /* Closing while it waits. */
  seen.closed = false;
  mu_client_close(seen.client, 1001, "end");
  CU_ASSERT_FALSE(seen.closed); /* not from inside the call */
  CU_ASSERT_TRUE(until(&seen.closed, 1000));
  CU_ASSERT_EQUAL(seen.retry_ms, 0);
  mu_text *text = mu_text_new("x", 1);
  CU_ASSERT_EQUAL(mu_client_send(seen.client, text), MU_ECLOSED);
  mu_text_unref(text);
  server_stop(&server);
}

static void test_freed_inside(void)
{
  struct seen seen;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  connect_client(&seen, &options);
  seen.free_in_message = true;
  say(&seen, "x");
  say(&seen, "y");
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.got, 3000));
  server_run(&server, 400);
  CU_ASSERT_EQUAL(seen.messages, 1);
  CU_ASSERT_EQUAL(seen.closes, 0);
  CU_ASSERT_EQUAL(server_closed_code, 1006);
  options.header_count = 0;
  connect_client(&seen, &options);
  seen.free_in_closed = true;
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  server_run(&server, 50);
  /* In every stage, by hand and by the end of the instance. */
  options.header_count = 1;
  for (unsigned ms = 0; ms < 12; ms += 3) {
    connect_client(&seen, &options);
    mu_client_start(seen.client);
    server_run(&server, ms);
    mu_client_free(seen.client);
    connect_client(&seen, &options);
    mu_client_start(seen.client);
    server_run(&server, ms);
    mui_instance_revoke(server.other);
    mui_instance_free(server.other);
    server.other = mui_instance_new(&server.runtime, "other", "other");
  }
  server_run(&server, 100);
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  server_stop(&server);
}

static int accept_and_upgrade(int listener, const void *more, size_t more_len);

/* Nothing waits for a link, nor is sent over the next one. */
static void test_no_queue(void)
{
  struct seen seen;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  options.no_queue = true;
  options.max_queue = 3;
  connect_client(&seen, &options);
  mu_text *text = mu_text_new("x", 1);
  CU_ASSERT_EQUAL(mu_client_send(seen.client, text), MU_ECLOSED);
  mu_client_start(seen.client);
  CU_ASSERT_EQUAL(mu_client_send(seen.client, text), MU_ECLOSED);
  CU_ASSERT_TRUE(until(&seen.opened, 3000));
  for (unsigned i = 0; i < 5; i++)
    CU_ASSERT_EQUAL(mu_client_send(seen.client, text), i < 3 ? 0 : MU_ELIMIT);
  CU_ASSERT_EQUAL(mu_client_dropped(seen.client), 0); /* the caller was told */
  server_run(&server, 100);
  CU_ASSERT_EQUAL(seen.messages, 3);
  /* Three that wait when the link ends. */
  for (unsigned i = 0; i < 3; i++)
    CU_ASSERT_EQUAL(mu_client_send(seen.client, text), 0);
  mu_client_again(seen.client, 1000, "once more", 10);
  CU_ASSERT_EQUAL(mu_client_send(seen.client, text), MU_ECLOSED);
  seen.opened = false;
  CU_ASSERT_TRUE(until(&seen.opened, 3000));
  server_run(&server, 100);
  CU_ASSERT_EQUAL(seen.messages, 3);
  mu_text_unref(text);
  server_stop(&server);
}

static void test_again(void)
{
  struct seen seen;
  unsigned bound;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  connect_client(&seen, &options);
  mu_client_again(seen.client, 1000, "not started", 0); /* nothing to do again */
  server_run(&server, 50);
  CU_ASSERT_EQUAL(seen.closes + seen.opens, 0);
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.opened, 3000));
  seen.opened = false;
  mu_client_again(seen.client, 4010, "once more", 700);
  CU_ASSERT_FALSE(seen.closed);
  CU_ASSERT_FALSE(mu_client_connected(seen.client));
  say(&seen, "later"); /* this one queues */
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.code, 4010);
  CU_ASSERT_EQUAL(seen.retry_ms, 700);
  CU_ASSERT_STRING_EQUAL(seen.reason, "once more");
  server_run(&server, 50);
  CU_ASSERT_EQUAL(server_closed_code, 4010);
  mu_client_again(seen.client, 0, NULL, 100); /* moved */
  CU_ASSERT_TRUE(until(&seen.got, 3000));
  CU_ASSERT_EQUAL(seen.closes, 1);
  CU_ASSERT_STRING_EQUAL(seen.last, "later");
  /* An end for good overtakes it. */
  seen.closed = seen.opened = false;
  mu_client_again(seen.client, 4010, "once more", 0);
  mu_client_close(seen.client, 1000, "bye");
  mu_client_again(seen.client, 4010, "too late", 0);
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_EQUAL(seen.retry_ms, 0);
  server_run(&server, 200);
  CU_ASSERT_FALSE(seen.opened);
  CU_ASSERT_EQUAL(seen.closes, 2);
  mu_client_again(seen.client, 4010, "much too late", 0);
  server_run(&server, 100);
  CU_ASSERT_FALSE(seen.opened);
  mu_client_free(seen.client);
  /* In the middle of an attempt, whose server says nothing. */
  int listener = listen_raw(&bound);
  listen(listener, 5);
  options = options_for("ws", "127.0.0.1", bound);
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  server_run(&server, 100);
  mu_client_again(seen.client, 1000, "other", 50);
  CU_ASSERT_FALSE(seen.closed);
  CU_ASSERT_TRUE(until(&seen.closed, 1000));
  CU_ASSERT_EQUAL(seen.retry_ms, 50);
  int first = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  int second = accept_and_upgrade(listener, NULL, 0);
  CU_ASSERT_TRUE(until(&seen.opened, 3000));
  close(first);
  close(second);
  close(listener);
  server_stop(&server);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void make_pair(const char *certificate, const char *key_path)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -100);
  X509_gmtime_adj(X509_getm_notAfter(x), 1000);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                             0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  X509_sign(x, key, EVP_sha256());
  FILE *file = fopen(certificate, "w");
  PEM_write_X509(file, x);
  fclose(file);
  file = fopen(key_path, "w");
  PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
  fclose(file);
  X509_free(x);
  EVP_PKEY_free(key);
}

static void test_tls(void)
{
  char folder[] = "/tmp/muster-client-XXXXXX", certificate[64], key[64];
  CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
  snprintf(certificate, sizeof certificate, "%s/c.pem", folder);
  snprintf(key, sizeof key, "%s/k.pem", folder);
  make_pair(certificate, key);
  start();
  CU_ASSERT_TRUE_FATAL(server_listen(
      &server, &(struct mui_listen){.address = "127.0.0.1", .tls = {.certificate = certificate, .key = key}}, NULL));
  static const struct {
    const char *scheme, *host;
    bool ca, insecure, opens;
  } cases[] = {
      {"wss", "localhost", true, false, true},   /* ::1 is tried too, where the name has it */
      {"wss", "localhost", false, false, false}, /* an authority that nobody knows */
      {"wss", "127.0.0.1", true, false, false},  /* another name */
      {"wss", "127.0.0.1", false, true, true},   {"ws", "127.0.0.1", true, false, false}, /* plain on the TLS port */
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct seen seen;
    struct mu_client_options options = options_for(cases[i].scheme, cases[i].host, port());
    options.tls_ca_file = cases[i].ca ? certificate : NULL;
    options.tls_insecure = cases[i].insecure;
    connect_client(&seen, &options);
    say(&seen, "secret");
    mu_client_start(seen.client);
    CU_ASSERT_TRUE(until(cases[i].opens ? &seen.got : &seen.closed, 5000));
    CU_ASSERT_EQUAL(seen.opens, cases[i].opens);
    CU_ASSERT_EQUAL(seen.messages, cases[i].opens);
    mu_client_free(seen.client);
  }
  struct mu_client_options options = options_for("wss", "localhost", port());
  options.tls_ca_file = "/nonexistent/ca.pem";
  CU_ASSERT_PTR_NULL(mu_client_new(server.other, &options, NULL, NULL));
  server_stop(&server);
  unlink(certificate);
  unlink(key);
  rmdir(folder);
}

/* ---- servers that behave badly --------------------------------------------------------------- */

/* Accepts, upgrades, and sends `more`; the descriptor. -1: nobody came. */
static int accept_and_upgrade(int listener, const void *more, size_t more_len)
{
  int fd = -1;
  for (int i = 0; i < 400 && fd < 0; i++) {
    server_run(&server, 5);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  }
  char in[2048] = "";
  size_t have = 0;
  for (int i = 0; i < 400 && !strstr(in, "\r\n\r\n"); i++) {
    server_run(&server, 5);
    ssize_t got = recv(fd, in + have, sizeof in - 1 - have, 0);
    if (got > 0)
      have += (size_t)got;
    in[have] = '\0';
  }
  const char *key = strcasestr(in, "Sec-WebSocket-Key: ");
  if (!key)
    return -1;
  char text[128], accept[40];
  unsigned char hash[SHA_DIGEST_LENGTH];
  int n = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
  SHA1((unsigned char *)text, (size_t)n, hash);
  EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash);
  dprintf(fd, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
          accept);
  if (more_len)
    CU_ASSERT_EQUAL(write(fd, more, more_len), (ssize_t)more_len);
  return fd;
}

static void test_no_pong(void)
{
  struct seen seen;
  unsigned bound;
  start();
  int listener = listen_raw(&bound);
  listen(listener, 5);
  struct mu_client_options options = options_for("ws", "127.0.0.1", bound);
  options.ping_every_s = 1;
  options.pong_within_s = 1;
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  int fd = accept_and_upgrade(listener, NULL, 0);
  CU_ASSERT_TRUE(until(&seen.opened, 2000));
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT_PTR_NOT_NULL(strstr(seen.reason, "pong"));
  CU_ASSERT_EQUAL(seen.code, 1006);
  unsigned char frame[6] = {0};
  CU_ASSERT_EQUAL(recv(fd, frame, sizeof frame, 0), 6);
  CU_ASSERT_EQUAL(frame[0], 0x89);
  CU_ASSERT_EQUAL(frame[1] & 0x80, 0x80); /* masked */
  server_run(&server, 400);
  char byte;
  ssize_t got;
  while ((got = recv(fd, &byte, 1, 0)) > 0)
    ;
  CU_ASSERT_EQUAL(got, 0); /* cut */
  close(fd);
  close(listener);
  server_stop(&server);
}

/* The same client against our server, which answers pings: it stays. */
static void test_pong(void)
{
  struct seen seen;
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  options.ping_every_s = 1;
  options.pong_within_s = 1;
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  CU_ASSERT_TRUE(until(&seen.opened, 2000));
  server_run(&server, 3500);
  CU_ASSERT_EQUAL(seen.closes, 0);
  server_stop(&server);
}

static void test_bad_frames(void)
{
  static const struct {
    const char *bytes;
    size_t len;
    const char *what;
  } cases[] = {
      {"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10, "a length that nobody has"},
      {"\x81\x7e\x04\x00"
       "0123456789",
       14, "over max_message, by one fragment at least"},
      {"\x83\x00", 2, "a reserved opcode"},
      {"\xf1\x01x", 3, "reserved bits"},
      {"\x81\x02\xff\xfe", 4, "bad UTF-8"},
      {"\x88\x01x", 3, "a close frame with half a code"},
  };
  for (size_t i = 0; i < MU_COUNT(cases); i++) {
    struct seen seen;
    unsigned bound;
    start();
    int listener = listen_raw(&bound);
    listen(listener, 5);
    struct mu_client_options options = options_for("ws", "127.0.0.1", bound);
    options.max_message = 5;
    connect_client(&seen, &options);
    mu_client_start(seen.client);
    int fd = accept_and_upgrade(listener, cases[i].bytes, cases[i].len);
    server_run(&server, 100);
    close(fd);
    CU_ASSERT_TRUE(until(&seen.closed, 3000));
    CU_ASSERT_EQUAL(seen.messages, 0);
    CU_ASSERT(seen.retry_ms > 0);
    close(listener);
    server_stop(&server);
  }
}

/* What a server goes on sending after too long a message has no place to go to. */
static void test_too_long(void)
{
  struct seen seen;
  unsigned bound;
  start();
  int listener = listen_raw(&bound);
  listen(listener, 5);
  struct mu_client_options options = options_for("ws", "127.0.0.1", bound);
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  int fd = accept_and_upgrade(listener, "\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x00", 10);
  CU_ASSERT_TRUE(until(&seen.opened, 2000));
  static char flood[64 * 1024];
  unsigned char in[200] = {0};
  size_t have = 0;
  memset(flood, 'x', sizeof flood);
  for (int i = 0; i < 100 && !seen.closed; i++) {
    if (send(fd, flood, sizeof flood, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
      break;
    server_run(&server, 10);
    ssize_t got = recv(fd, in + have, sizeof in - have, 0);
    have += got > 0 ? (size_t)got : 0;
  }
  CU_ASSERT_TRUE(until(&seen.closed, 4000));
  CU_ASSERT_EQUAL(seen.code, 1009);
  CU_ASSERT_STRING_EQUAL(seen.reason, "message too long");
  CU_ASSERT_EQUAL(seen.messages, 0);
  CU_ASSERT(seen.retry_ms > 0);
  /* The server is told, too: a masked close frame with that code. */
  CU_ASSERT_FATAL(have >= 8);
  CU_ASSERT_EQUAL(in[0], 0x88);
  CU_ASSERT_EQUAL((in[6] ^ in[2]) << 8 | (in[7] ^ in[3]), 1009);
  close(fd);
  close(listener);
  server_stop(&server);
}

/* A redirect is not followed: the headers hold secrets that are for one server. */
static void test_redirect(void)
{
  struct seen seen;
  unsigned bound, other;
  start();
  int listener = listen_raw(&bound), target = listen_raw(&other);
  listen(listener, 5);
  listen(target, 5);
  struct mu_client_options options = options_for("ws", "127.0.0.1", bound);
  connect_client(&seen, &options);
  mu_client_start(seen.client);
  int fd = -1;
  for (int i = 0; i < 400 && fd < 0; i++) {
    server_run(&server, 5);
    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  }
  dprintf(fd, "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%u/echo\r\nContent-Length: 0\r\n\r\n", other);
  CU_ASSERT_TRUE(until(&seen.closed, 3000));
  CU_ASSERT(accept4(target, NULL, NULL, SOCK_NONBLOCK) < 0);
  close(fd);
  close(listener);
  close(target);
  server_stop(&server);
}

static void test_bad_options(void)
{
  start();
  struct mu_client_options options = options_for("ws", "127.0.0.1", port());
  const struct mu_header bad[] = {{"X", "a\r\nY: b"}, {"X Y", "a"}, {"", "a"}, {"X:", "a"}};
  for (size_t i = 0; i < MU_COUNT(bad); i++) {
    options.headers = &bad[i];
    CU_ASSERT_PTR_NULL(mu_client_new(server.other, &options, NULL, NULL));
  }
  options = options_for("http", "127.0.0.1", port());
  CU_ASSERT_PTR_NULL(mu_client_new(server.other, &options, NULL, NULL));
  options.url = NULL;
  CU_ASSERT_PTR_NULL(mu_client_new(server.other, &options, NULL, NULL));
  server_stop(&server);
}

static const struct unit_test tests[] = {
    {"sends, queues, receives, closes", test_echo},
    {"a refused upgrade gives its status", test_refused},
    {"comes back; the oldest are dropped; close codes", test_comes_back},
    {"freed inside its callbacks and in every stage", test_freed_inside},
    {"TLS is verified", test_tls},
    {"no pong cuts the link", test_no_pong},
    {"pongs keep the link", test_pong},
    {"bad frames end the link", test_bad_frames},
    {"too long a message, and more behind it", test_too_long},
    {"redirects are not followed", test_redirect},
    {"no_queue: nothing is sent over another link", test_no_queue},
    {"again: a new link, when and with the code it was asked for", test_again},
    {"options that are refused", test_bad_options},
};
UNIT_MAIN("client", tests)
