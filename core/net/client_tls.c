/* SPDX-License-Identifier: ISC */
/* The client's side of TLS: what the library leaves undone, and why a handshake failed. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/client.h"

/* The library takes the host up to its first colon: of an IPv6 address, "[". */
static void name_address(SSL *ssl, const struct mu_client *client)
{
  X509_VERIFY_PARAM *verify = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set1_host(verify, NULL, 0);
  if (X509_VERIFY_PARAM_set1_ip_asc(verify, client->url.host) != 1)
    X509_VERIFY_PARAM_set1_host(verify, "[", 1); /* no address after all: nothing matches */
  SSL_set_tlsext_host_name(ssl, NULL);           /* an address is no server name (RFC 6066) */
}

static void on_handshake(const SSL *ssl, int where, int result)
{
  struct mui_net *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  bool begins = where == SSL_CB_HANDSHAKE_START;
  unsigned long error = where == SSL_CB_CONNECT_EXIT && result <= 0 ? ERR_peek_error() : 0;
  struct mu_client *client = begins || error ? mui_client_of(net, ssl) : NULL;
  if (!client)
    return;
  if (begins)
    client->tls_error = 0;
  if (begins && client->url.literal && !client->insecure)
    name_address((SSL *)ssl, client);
  if (error)
    client->tls_error = error;
}

void mui_client_tls_context(struct lws *wsi, void *ctx)
{
  SSL_CTX_set_app_data((SSL_CTX *)ctx, lws_get_vhost_user(lws_get_vhost(wsi)));
  SSL_CTX_set_min_proto_version((SSL_CTX *)ctx, TLS1_2_VERSION);
  SSL_CTX_set_info_callback((SSL_CTX *)ctx, on_handshake);
}

static const char *certificate_in_words(long verified)
{
  switch (verified) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    return "the server's certificate has expired, or the clock here is wrong";
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return "the server's certificate is not valid yet, or the clock here is wrong";
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return "the server's certificate is for another name";
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    return "the server's certificate is self-signed and not known here";
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    return "the authority of the server's certificate is not known here";
  default:
    return X509_verify_cert_error_string(verified);
  }
}

static const char *handshake_in_words(unsigned long error)
{
  const char *reason = ERR_reason_error_string(error);
  switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_HTTP_REQUEST:
    return "the server speaks no TLS there";
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    return "the server knows no TLS 1.2 or newer";
  case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    return "the server found nothing in common";
  default:
    return reason ? reason : "the server ended it; does it speak TLS there?";
  }
}

void mui_client_tls_explain(const struct mu_client *client, struct lws *wsi, char *text, size_t size)
{
  SSL *ssl = lws_get_ssl(wsi);
  long verified = ssl && !client->insecure ? SSL_get_verify_result(ssl) : X509_V_OK;
  snprintf(text, size, "TLS handshake failed: %s",
           verified != X509_V_OK ? certificate_in_words(verified) : handshake_in_words(client->tls_error));
}
