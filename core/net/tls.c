/* SPDX-License-Identifier: ISC */
/* Certificates: one vhost for each, made once and kept for life; what it shows is ours and is exchanged as a whole. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/tcp.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <muster/log.h>
#include "net/internal.h"
#include "net/listeners.h"

/* What the files held when they were read, and belonged together then. */
struct pair {
  X509 *certificate;
  EVP_PKEY *key;
  STACK_OF(X509) * chain;
};

struct mui_certificate {
  struct mui_certificate *next;
  struct mui_net *net;
  char *certificate, *key;
  struct lws_vhost *vhost;
  struct pair pair;
};

static const char *openssl_reason(void)
{
  unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char *reason = error ? ERR_reason_error_string(error) : NULL;
  return reason ? reason : "unknown error";
}

/* A key that asks for a pass phrase cannot be used by a server: never ask the terminal. */
static int no_pass_phrase(char *buf, int size, int write, void *context)
{
  (void)buf;
  (void)size;
  (void)write;
  (void)context;
  return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void pair_clear(struct pair *pair)
{
  X509_free(pair->certificate);
  EVP_PKEY_free(pair->key);
  sk_X509_pop_free(pair->chain, X509_free);
  *pair = (struct pair){0};
}

static bool check_pair(const struct pair *pair, const char *certificate_path, const char *key_path, char *problem,
                       size_t size)
{
  if (X509_check_private_key(pair->certificate, pair->key) != 1) {
    ERR_clear_error();
    snprintf(problem, size, "%s is not the key of %s", key_path, certificate_path);
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notBefore(pair->certificate)) >= 0) {
    snprintf(problem, size, "%s is not valid yet", certificate_path);
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notAfter(pair->certificate)) <= 0) {
    snprintf(problem, size, "%s has expired", certificate_path);
    return false;
  }
  return true;
}

/* The certificate, then those that lead to its authority. */
static bool read_certificates(FILE *file, const char *path, struct pair *pair, char *problem, size_t size)
{
  pair->certificate = PEM_read_X509_AUX(file, NULL, no_pass_phrase, NULL);
  pair->chain = sk_X509_new_null();
  if (!pair->certificate || !pair->chain) {
    snprintf(problem, size, "%s holds no certificate in PEM form: %s", path, openssl_reason());
    return false;
  }
  X509 *next;
  while ((next = PEM_read_X509(file, NULL, no_pass_phrase, NULL)))
    if (!sk_X509_push(pair->chain, next)) {
      X509_free(next);
      snprintf(problem, size, "out of memory");
      return false;
    }
  unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    snprintf(problem, size, "%s: certificate %d in it is broken: %s", path, sk_X509_num(pair->chain) + 2,
             openssl_reason());
    return false;
  }
  ERR_clear_error();
  return true;
}

/* *exposed (may be NULL): others than owner and group can read or write the key. */
static bool pair_read(const char *certificate_path, const char *key_path, struct pair *pair, bool *exposed,
                      char *problem, size_t size)
{
  struct stat about;
  *pair = (struct pair){0};
  ERR_clear_error();
  FILE *file = fopen(certificate_path, "re");
  if (!file) {
    snprintf(problem, size, "%s: %s", certificate_path, strerror(errno));
    return false;
  }
  bool good = read_certificates(file, certificate_path, pair, problem, size);
  fclose(file);
  if (!good)
    goto fail;
  file = fopen(key_path, "re");
  if (!file) {
    snprintf(problem, size, "%s: %s", key_path, strerror(errno));
    goto fail;
  }
  if (exposed)
    *exposed = fstat(fileno(file), &about) == 0 && (about.st_mode & (S_IROTH | S_IWOTH));
  pair->key = PEM_read_PrivateKey(file, NULL, no_pass_phrase, NULL);
  fclose(file);
  if (!pair->key) {
    snprintf(problem, size, "%s holds no private key without pass phrase in PEM form: %s", key_path, openssl_reason());
    goto fail;
  }
  if (check_pair(pair, certificate_path, key_path, problem, size))
    return true;
fail:
  pair_clear(pair);
  ERR_clear_error();
  return false;
}

bool mui_tls_check(const char *certificate_path, const char *key_path, bool *exposed, char *problem, size_t size)
{
  struct pair pair;
  bool good = pair_read(certificate_path, key_path, &pair, exposed, problem, size);
  pair_clear(&pair);
  return good;
}

/* ---- handshakes ------------------------------------------------------------------------------ */

/* For each handshake: hence a new pair is in force at once, whatever kind of key it has, and never half of it. */
static int show_certificate(SSL *ssl, void *context)
{
  const struct pair *pair = &((const struct mui_certificate *)context)->pair;
  return SSL_use_cert_and_key(ssl, pair->certificate, pair->key, pair->chain, 1) == 1;
}

/* OpenSSL's words, where they say it for its developers only. */
static const char *in_words(unsigned long error)
{
  switch (ERR_GET_REASON(error)) {
  case SSL_R_HTTP_REQUEST:
  case SSL_R_HTTPS_PROXY_REQUEST:
    return "this port speaks TLS, and plain HTTP came";
  case SSL_R_WRONG_VERSION_NUMBER:
    return "this port speaks TLS, and something else came";
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_VERSION_TOO_LOW:
    return "the client knows no TLS 1.2 or newer";
  case SSL_R_NO_SHARED_CIPHER:
    return "the client knows no cipher that is safe and fits the certificate";
  case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    return "the client does not know the authority of the certificate";
  case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    return "the client does not accept the certificate";
  case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    return "to the client the certificate has expired";
  default:
    break;
  }
  const char *reason = ERR_reason_error_string(error);
  return reason ? reason : "unknown error";
}

/* Of one that has reset the connection already, the system no longer tells it. */
static void peer_address(const struct mui_net *net, const SSL *ssl, char *out)
{
  struct sockaddr_storage peer;
  socklen_t len = sizeof peer;
  if (getpeername(SSL_get_fd(ssl), (struct sockaddr *)&peer, &len) == 0) {
    mui_address_text(&peer, out);
    return;
  }
  const struct mui_session *at = net->listeners->first_session;
  while (at && !(at->wsi ? lws_get_ssl(at->wsi) == ssl : at->gone != NULL)) /* or the one that is just being adopted */
    at = at->next;
  snprintf(out, 46, "%s", at ? at->address : "a client");
}

/* The library closes without a word. */
static void on_handshake(const SSL *ssl, int where, int result)
{
  unsigned long error = ERR_peek_error();
  if (where != SSL_CB_ACCEPT_EXIT || result > 0 || !error || ERR_GET_LIB(error) != ERR_LIB_SSL)
    return;
  const struct mui_certificate *at = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  char address[46];
  peer_address(at->net, ssl, address);
  mui_net_count(at->net, "handshakes_failed");
  mu_log_limited(at->net->runtime->core, MU_LOG_INFO, "handshakes_failed", "%s: TLS handshake failed: %s", address,
                 in_words(error));
}

void mui_net_no_request(const struct mui_session *session, struct lws *wsi)
{
  struct tcp_info about = {0};
  socklen_t len = sizeof about;
  /* Its end counts as one byte. */
  if (session->listener->tls || session->net->stopping ||
      getsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_INFO, &about, &len) != 0 || about.tcpi_bytes_received <= 1)
    return;
  mui_net_count(session->net, "requests_broken");
  mu_log_limited(
      session->net->runtime->core, MU_LOG_INFO, "requests_broken",
      "%s: ended without a whole HTTP request: headers too large, another protocol, or TLS on a port without it",
      session->address);
}

void mui_tls_context(struct lws *wsi, void *ctx)
{
  SSL_CTX *context = ctx;
  struct mui_certificate *at = lws_get_vhost_user(lws_get_vhost(wsi));
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* or each idle connection keeps 34 KB */
  /* The library would choose among all vhosts by the name that the client asks for: a listener has its own certificate. */
  SSL_CTX_set_tlsext_servername_callback(context, NULL);
  if (!at)
    return;
  SSL_CTX_set_app_data(context, at);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20"); /* TLS 1.2; those of 1.3 are all good */
  /* A resumed session would not see a new certificate, and its keys would have to be kept: every handshake is a whole one. */
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_cert_cb(context, show_certificate, at);
  SSL_CTX_set_info_callback(context, on_handshake);
}

/* ---- certificates in use --------------------------------------------------------------------- */

static void certificate_free(struct mui_certificate *at)
{
  pair_clear(&at->pair);
  free(at->certificate);
  free(at->key);
  free(at);
}

struct lws_vhost *mui_tls_vhost(struct mui_net *net, const char *certificate, const char *key, char *problem,
                                size_t problem_size)
{
  struct mui_net_listeners *all = net->listeners;
  struct pair pair;
  bool exposed = false;
  if (!pair_read(certificate, key, &pair, &exposed, problem, problem_size))
    return NULL;
  for (struct mui_certificate *at = all->certificates; at; at = at->next)
    if (strcmp(at->certificate, certificate) == 0 && strcmp(at->key, key) == 0) {
      pair_clear(&pair); /* taken over once the whole configuration is: mui_net_certificates() */
      return at->vhost;
    }
  struct mui_certificate *made = calloc(1, sizeof *made);
  if (!made || !(made->certificate = strdup(certificate)) || !(made->key = strdup(key))) {
    snprintf(problem, problem_size, "out of memory");
    goto fail;
  }
  made->net = net;
  made->pair = pair;
  pair = (struct pair){0};
  struct lws_context_creation_info info = {0};
  mui_net_vhost_info(net, &info);
  info.vhost_name = made->certificate; /* kept by the library as it is: it must live as long as the vhost */
  info.user = made;
  info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
  made->vhost = lws_create_vhost(net->context, &info);
  if (!made->vhost) {
    snprintf(problem, problem_size, "%s: the library refuses this certificate", certificate);
    goto fail;
  }
  made->next = all->certificates;
  all->certificates = made;
  return made->vhost;
fail:
  pair_clear(&pair);
  if (made)
    certificate_free(made);
  return NULL;
}

static bool in_use(const struct mui_net *net, const struct mui_certificate *at)
{
  for (const struct mui_listener *listener = net->listeners->first; listener; listener = listener->next)
    if (listener->vhost == at->vhost)
      return true;
  return false;
}

static bool same_chain(const struct pair *a, const struct pair *b)
{
  if (X509_cmp(a->certificate, b->certificate) != 0 || sk_X509_num(a->chain) != sk_X509_num(b->chain))
    return false;
  for (int i = 0; i < sk_X509_num(a->chain); i++)
    if (X509_cmp(sk_X509_value(a->chain, i), sk_X509_value(b->chain, i)) != 0)
      return false;
  return true;
}

void mui_net_certificates(struct mui_net *net)
{
  mu_instance *core = net->runtime->core;
  for (struct mui_certificate *at = net->listeners->certificates; at; at = at->next) {
    char problem[512];
    struct pair pair;
    if (!in_use(net, at))
      continue;
    if (!pair_read(at->certificate, at->key, &pair, NULL, problem, sizeof problem)) {
      mu_log(core, MU_LOG_ERROR, "%s; the certificate in use stays", problem);
      continue;
    }
    struct tm until = {0};
    char day[16] = "";
    if (ASN1_TIME_to_tm(X509_get0_notAfter(pair.certificate), &until) == 1)
      strftime(day, sizeof day, "%Y-%m-%d", &until);
    bool same = same_chain(&at->pair, &pair);
    pair_clear(&at->pair); /* connections hold their own references */
    at->pair = pair;
    mu_log(core, same ? MU_LOG_DEBUG : MU_LOG_INFO, "%s: %s, valid until %s", at->certificate,
           same ? "the certificate is the same" : "the new certificate is in use", day);
  }
}

void mui_tls_fini(struct mui_net *net)
{
  struct mui_net_listeners *all = net->listeners;
  while (all && all->certificates) {
    struct mui_certificate *at = all->certificates;
    all->certificates = at->next;
    certificate_free(at);
  }
}
