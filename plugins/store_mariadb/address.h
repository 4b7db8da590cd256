/* SPDX-License-Identifier: ISC */
/* mysql://user:password@host:port/name?…: the address as DATABASE_URL has it. */
#ifndef STORE_MARIADB_ADDRESS_H
#define STORE_MARIADB_ADDRESS_H

#include <stdint.h>

enum address_tls {
  ADDRESS_TLS_UNSAID,
  ADDRESS_TLS_UNVERIFIED, /* encrypted, and the certificate may be anybody's */
  ADDRESS_TLS_VERIFIED,
};

/* Texts are owned; absent ones are NULL, but user, password, host and database never are. */
struct address {
  char *user, *password, *host, *database;
  char *socket;
  char *ca_file;
  uint16_t port;
  enum address_tls tls;
  /* Seconds; -1: unsaid. */
  int64_t connect_timeout, answer_timeout;
  /* Names of the parameters that mean nothing here: "a, b". */
  char ignored[200];
};

/* NULL, or what is wrong with it: a constant text, so that no part of the address gets into a log. Then there is nothing to free. */
const char *address_parse(const char *url, struct address *address);
/* Wipes and frees the texts. */
void address_free(struct address *address);

#endif
