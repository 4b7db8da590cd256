/* SPDX-License-Identifier: ISC */
/* Certificates: one vhost for each, made once and kept for life; renewed files are taken over when they check. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <muster/log.h>
#include "net/internal.h"
#include "net/listeners.h"

struct mui_certificate {
  struct mui_certificate *next;
  char *certificate, *key;
  struct lws_vhost *vhost;
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

static bool check_pair(X509 *certificate, EVP_PKEY *key, const char *certificate_path, const char *key_path,
                       char *problem, size_t size)
{
  if (X509_check_private_key(certificate, key) != 1) {
    ERR_clear_error();
    snprintf(problem, size, "%s is not the key of %s", key_path, certificate_path);
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
    snprintf(problem, size, "%s is not valid yet", certificate_path);
    return false;
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
    snprintf(problem, size, "%s has expired", certificate_path);
    return false;
  }
  return true;
}

bool mui_tls_check(const char *certificate_path, const char *key_path, char *problem, size_t size)
{
  bool good = false;
  X509 *certificate = NULL;
  EVP_PKEY *key = NULL;
  FILE *file = fopen(certificate_path, "re");
  if (!file) {
    snprintf(problem, size, "%s: %s", certificate_path, strerror(errno));
    return false;
  }
  certificate = PEM_read_X509(file, NULL, no_pass_phrase, NULL);
  fclose(file);
  if (!certificate) {
    snprintf(problem, size, "%s holds no certificate in PEM form: %s", certificate_path, openssl_reason());
    return false;
  }
  file = fopen(key_path, "re");
  if (!file) {
    snprintf(problem, size, "%s: %s", key_path, strerror(errno));
    goto out;
  }
  key = PEM_read_PrivateKey(file, NULL, no_pass_phrase, NULL);
  fclose(file);
  if (!key) {
    snprintf(problem, size, "%s holds no private key without pass phrase in PEM form: %s", key_path, openssl_reason());
    goto out;
  }
  good = check_pair(certificate, key, certificate_path, key_path, problem, size);
out:
  EVP_PKEY_free(key);
  X509_free(certificate);
  return good;
}

struct lws_vhost *mui_tls_vhost(struct mui_net *net, const char *certificate, const char *key, char *problem,
                                size_t problem_size)
{
  struct mui_net_listeners *all = net->listeners;
  if (!mui_tls_check(certificate, key, problem, problem_size))
    return NULL;
  for (struct mui_certificate *at = all->certificates; at; at = at->next)
    if (strcmp(at->certificate, certificate) == 0 && strcmp(at->key, key) == 0) {
      lws_tls_cert_updated(net->context, certificate, key, NULL, 0, NULL, 0);
      return at->vhost;
    }
  struct mui_certificate *made = calloc(1, sizeof *made);
  if (!made || !(made->certificate = strdup(certificate)) || !(made->key = strdup(key)))
    goto fail;
  struct lws_context_creation_info info = {0};
  mui_net_vhost_info(net, &info);
  info.vhost_name = made->certificate; /* kept by the library as it is: it must live as long as the vhost */
  info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  info.ssl_cert_filepath = made->certificate;
  info.ssl_private_key_filepath = made->key;
  info.alpn = "http/1.1";
  info.ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
  made->vhost = lws_create_vhost(net->context, &info);
  if (!made->vhost) {
    snprintf(problem, problem_size, "%s: the library refuses this certificate", certificate);
    goto fail;
  }
  made->next = all->certificates;
  all->certificates = made;
  return made->vhost;
fail:
  if (made) {
    free(made->certificate);
    free(made->key);
    free(made);
  }
  return NULL;
}

void mui_net_certificates(struct mui_net *net)
{
  mu_instance *core = net->runtime->core;
  for (struct mui_certificate *at = net->listeners->certificates; at; at = at->next) {
    char problem[512];
    if (!mui_tls_check(at->certificate, at->key, problem, sizeof problem)) {
      mu_log(core, MU_LOG_ERROR, "%s; the certificate in use stays", problem);
      continue;
    }
    /* It takes over what it finds and never reports a failure: hence the check. Old connections go on. */
    lws_tls_cert_updated(net->context, at->certificate, at->key, NULL, 0, NULL, 0);
    mu_log(core, MU_LOG_INFO, "certificate %s was read again", at->certificate);
  }
}

void mui_tls_fini(struct mui_net *net)
{
  struct mui_net_listeners *all = net->listeners;
  while (all && all->certificates) {
    struct mui_certificate *at = all->certificates;
    all->certificates = at->next;
    free(at->certificate);
    free(at->key);
    free(at);
  }
}
