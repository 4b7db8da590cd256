/* SPDX-License-Identifier: ISC */
/* Listeners: binding, reconciling at a reload, certificates. */
#include "peer.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/internal.h"
#include "net/listeners.h"
#include "net/rest.h"
#include "race.h"

static const char *folder;

static const char *in_folder(const char *name)
{
  static char paths[8][300];
  static unsigned next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

/* A self-signed pair, valid from `from` to `to` seconds from now. */
static void make_pair(const char *certificate, const char *key_path, long from, long to)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), from);
  X509_gmtime_adj(X509_getm_notAfter(x), to);
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

static void test_pairs(void)
{
  char problem[512] = "";
  make_pair(in_folder("a.crt"), in_folder("a.key"), -100, 1000);
  make_pair(in_folder("b.crt"), in_folder("b.key"), -100, 1000);
  make_pair(in_folder("old.crt"), in_folder("old.key"), -1000, -100);
  make_pair(in_folder("new.crt"), in_folder("new.key"), 1000, 2000);
  CU_ASSERT(mui_tls_check(in_folder("a.crt"), in_folder("a.key"), NULL, problem, sizeof problem));
  static const struct {
    const char *certificate, *key, *why;
  } cases[] = {
      {"a.crt", "b.key", "is not the key of"},    {"old.crt", "old.key", "has expired"},
      {"new.crt", "new.key", "not valid yet"},    {"a.key", "a.key", "holds no certificate"},
      {"a.crt", "a.crt", "holds no private key"}, {"none.crt", "a.key", "No such file"},
      {"a.crt", "none.key", "No such file"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CU_ASSERT_FALSE(
        mui_tls_check(in_folder(cases[i].certificate), in_folder(cases[i].key), NULL, problem, sizeof problem));
    CU_ASSERT_PTR_NOT_NULL(strstr(problem, cases[i].why));
  }
}

static int on_message(void *self, mu_conn *conn, const struct mu_message *message)
{
  (void)self;
  mu_text *text = mu_text_new(message->at, message->len);
  mu_conn_send(conn, text);
  mu_text_unref(text);
  return 0;
}

static void test_reload(void)
{
  struct server server;
  CU_ASSERT_FATAL(server_start(&server));
  struct mu_ws_route route = {.size = sizeof route, .path = "/ws", .message = on_message};
  CU_ASSERT_EQUAL(mu_ws_route(server.plugin, &route, NULL), 0);
  struct peer *old = peer_open(&server, "/ws");
  uint16_t port = mui_net_port(server.runtime.net, 0);
  char problem[512];
  /* a second place is added: the first keeps its port and its connections */
  struct mui_listen two[] = {{.address = "127.0.0.1"}, {.address = "127.0.0.2"}};
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, two, 2, NULL, problem, sizeof problem), 0);
  CU_ASSERT_EQUAL(mui_net_port(server.runtime.net, 0), port);
  CU_ASSERT(mui_net_port(server.runtime.net, 1) != 0);
  CU_ASSERT_EQUAL(mui_net_port(server.runtime.net, 2), 0);
  peer_text(&server, old, "still here");
  CU_ASSERT(peer_expect_text(&server, old, "still here"));
  /* a bad list changes nothing, and says which entry and why */
  struct mui_listen bad[] = {{.address = "127.0.0.1"}, {.address = "192.0.2.1"}};
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, bad, 2, NULL, problem, sizeof problem), MU_EIO);
  CU_ASSERT_PTR_NOT_NULL(strstr(problem, "192.0.2.1"));
  bad[1] = (struct mui_listen){.address = "no address"};
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, bad, 2, NULL, problem, sizeof problem), MU_EIO);
  bad[0].port = bad[1].port = port; /* its own: any other may be somebody's */
  bad[1].address = "127.0.0.1";
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, bad, 2, NULL, problem, sizeof problem), MU_EIO);
  CU_ASSERT_PTR_NOT_NULL(strstr(problem, "twice"));
  CU_ASSERT_EQUAL(mui_net_port(server.runtime.net, 0), port);
  struct peer *fresh = peer_open(&server, "/ws");
  peer_text(&server, fresh, "new");
  CU_ASSERT(peer_expect_text(&server, fresh, "new"));
  /* the first place goes: its connections go on, nobody new comes in */
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, two + 1, 1, NULL, problem, sizeof problem), 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
  close(fd);
  peer_text(&server, old, "and now");
  CU_ASSERT(peer_expect_text(&server, old, "and now"));
  /* at the end everybody hears why */
  bool done = false;
  mui_net_stop(server.runtime.net, on_stopped, &done);
  CU_ASSERT_EQUAL(peer_expect_close(&server, old), 1001);
  CU_ASSERT_EQUAL(peer_expect_close(&server, fresh), 1001);
  peer_free(old);
  peer_free(fresh);
  server_stop(&server);
}

static void test_tls_listener(void)
{
  struct server server;
  CU_ASSERT_FATAL(server_start(&server));
  char problem[512];
  struct mui_listen listen = {.address = "127.0.0.1", .tls = {in_folder("a.crt"), in_folder("b.key")}};
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, &listen, 1, NULL, problem, sizeof problem), MU_EIO);
  CU_ASSERT_PTR_NOT_NULL(strstr(problem, "is not the key of"));
  listen.tls.key = in_folder("a.key");
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, &listen, 1, NULL, problem, sizeof problem), 0);
  struct peer *plain = peer_connect(&server);
  CU_ASSERT_EQUAL(peer_upgrade(&server, plain, "/ws", ""), -1); /* no TLS: cut */
  peer_free(plain);
  /* a renewed pair is taken over, a broken one is not */
  make_pair(in_folder("a.crt"), in_folder("a.key"), -100, 2000);
  mui_net_certificates(server.runtime.net);
  make_pair(in_folder("a.crt"), in_folder("other.key"), -100, 2000);
  mui_net_certificates(server.runtime.net);
  server_stop(&server);
}

/* At every address: that of a listener on 127.0.0.1 may be a connection's on 127.0.0.2. */
static uint16_t free_everywhere(void)
{
  struct sockaddr_in6 any = {.sin6_family = AF_INET6};
  socklen_t len = sizeof any;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
  CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&any, &len), 0);
  close(fd);
  return ntohs(any.sin6_port);
}

/* A port that somebody else has is refused, even if that one would share it. */
static void test_port_taken(void)
{
  struct server server, other;
  CU_ASSERT_FATAL(server_start(&server));
  CU_ASSERT_FATAL(server_start(&other));
  char problem[512];
  struct mui_listen taken = {.address = "127.0.0.1", .port = free_everywhere()};
  CU_ASSERT_FATAL(server_listen(&server, &taken, NULL));
  CU_ASSERT_EQUAL(mui_net_listen(other.runtime.net, &taken, 1, NULL, problem, sizeof problem), MU_EIO);
  CU_ASSERT_PTR_NOT_NULL(strstr(problem, "Address already in use"));
  taken.address = "::";
  CU_ASSERT_EQUAL(mui_net_listen(other.runtime.net, &taken, 1, NULL, problem, sizeof problem), MU_EIO);
  taken.reuse_port = true;
  CU_ASSERT_EQUAL(mui_net_listen(other.runtime.net, &taken, 1, NULL, problem, sizeof problem), 0);
  server_stop(&other);
  /* its own port is no obstacle: not at the same address, not at a wider one, not twice in one list */
  taken.reuse_port = false;
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, &taken, 1, NULL, problem, sizeof problem), 0);
  struct mui_listen both[] = {taken, {.address = "127.0.0.1", .port = taken.port}};
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, both, 2, NULL, problem, sizeof problem), 0);
  CU_ASSERT_EQUAL(mui_net_listen(server.runtime.net, both, 2, NULL, problem, sizeof problem), 0);
  server_stop(&server);
}

static bool listen_when_all_do(struct race *race, void *context)
{
  const struct mui_listen *wanted = context;
  struct server server;
  char problem[512];
  bool started = server_start(&server);
  race_begins(race);
  bool won = started && mui_net_listen(server.runtime.net, wanted, 1, NULL, problem, sizeof problem) == 0;
  race_begins(race); /* nobody gives the port up before all have asked */
  return won;
}

/* Programs that ask for a port at once: one has it. (None, where a third program took it meanwhile.) */
static void test_port_wanted_at_once(void)
{
  struct mui_listen wanted = {.address = "127.0.0.1"};
  int won = 0;
  for (int i = 0; i < 10; i++) {
    wanted.port = free_everywhere();
    int winners = race(2, listen_when_all_do, &wanted);
    CU_ASSERT_FATAL(winners == 0 || winners == 1);
    won += winners;
  }
  CU_ASSERT_TRUE(won >= 8);
}

/* What was described for a listener is forgotten with it: another may get its memory, and other plugins. */
static void test_description(void)
{
  struct server server;
  char problem[512];
  CU_ASSERT_FATAL(server_start(&server));
  struct mui_net *net = server.runtime.net;
  net->rest->description = mu_text_new("{}", 2);
  net->rest->described_for = net->listeners->first;
  CU_ASSERT_EQUAL(mui_net_listen(net, &(struct mui_listen){.address = "127.0.0.1"}, 1, NULL, problem, sizeof problem),
                  0);
  CU_ASSERT_PTR_NULL(net->rest->description);
  CU_ASSERT_PTR_NULL(net->rest->described_for);
  server_stop(&server);
}

static const struct unit_test tests[] = {
    {"pairs of certificate and key", test_pairs},
    {"reload", test_reload},
    {"TLS listener", test_tls_listener},
    {"port taken", test_port_taken},
    {"port wanted by two at once", test_port_wanted_at_once},
    {"description of a listener that goes", test_description},
};

int main(void)
{
  char template[] = "/tmp/muster-listen-XXXXXX";
  folder = mkdtemp(template);
  if (!folder)
    return 1;
  int status = unit_main("net/listen", tests, sizeof tests / sizeof *tests);
  static const char *const names[] = {"a.crt",   "a.key",   "b.crt",   "b.key",    "old.crt",
                                      "old.key", "new.crt", "new.key", "other.key"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unlink(in_folder(names[i]));
  rmdir(folder);
  return status;
}
