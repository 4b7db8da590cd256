/* SPDX-License-Identifier: ISC */
#include "link.h"

#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The longest TEXT that is taken, and what a packet needs beside it. */
enum { PACKET = 65 * 1024 * 1024, LOCK_WAIT_S = 2, MIGRATION_WAIT_S = 5 };

#define LOCK_NAME "CONCAT('muster.', SHA1(DATABASE()))"

int link_say(struct link *link, const char *sql, struct mu_store_fault *fault)
{
  return mysql_query(link->mysql, sql) == 0 ? 0 : error_of_link(link, fault);
}

int link_ask(struct link *link, const char *sql, char *value, size_t room, struct mu_store_fault *fault)
{
  value[0] = '\0';
  MYSQL_RES *result = mysql_query(link->mysql, sql) == 0 ? mysql_store_result(link->mysql) : NULL;
  if (!result)
    return error_of_link(link, fault);
  MYSQL_ROW row = mysql_fetch_row(result);
  if (row && row[0])
    snprintf(value, room, "%s", row[0]);
  mysql_free_result(result);
  return 0;
}

static void set_tls(MYSQL *mysql, const struct target *target)
{
  const my_bool yes = 1, verified = target->tls == TLS_VERIFIED;
  if (target->tls == TLS_NO)
    return;
  mysql_optionsv(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
  mysql_optionsv(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verified);
  mysql_optionsv(mysql, MYSQL_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
  if (target->ca_file)
    mysql_optionsv(mysql, MYSQL_OPT_SSL_CA, target->ca_file);
  if (target->certificate_file) {
    mysql_optionsv(mysql, MYSQL_OPT_SSL_CERT, target->certificate_file);
    mysql_optionsv(mysql, MYSQL_OPT_SSL_KEY, target->key_file);
  }
}

static void set_options(MYSQL *mysql, const struct target *target)
{
  const unsigned no = 0;
  const my_bool never = 0;
  const unsigned protocol = target->address.socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
  const size_t packet = PACKET;
  mysql_optionsv(mysql, MYSQL_OPT_PROTOCOL, &protocol); /* or else "localhost" would be a socket */
  mysql_optionsv(mysql, MYSQL_OPT_RECONNECT, &never); /* it would lose the session's settings, and half a transaction */
  mysql_optionsv(mysql, MYSQL_OPT_LOCAL_INFILE, &no); /* or else the server could ask for our files */
  mysql_optionsv(mysql, MARIADB_OPT_RESTRICTED_AUTH,
                 "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password");
  mysql_optionsv(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_optionsv(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &target->connect_s);
  mysql_optionsv(mysql, MYSQL_OPT_READ_TIMEOUT, &target->answer_s);
  mysql_optionsv(mysql, MYSQL_OPT_WRITE_TIMEOUT, &target->answer_s);
  mysql_optionsv(mysql, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
  mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "muster");
  set_tls(mysql, target);
}

/* What every session needs to be told; a server that refuses any of it is none for us. */
static int begin_session(struct link *link, struct mu_store_fault *fault)
{
  char text[512], packet[32];
  snprintf(
      text, sizeof text,
      "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci, SESSION time_zone = '+00:00', SESSION lc_messages = 'en_US', "
      "SESSION sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
      "SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = %d, SESSION lock_wait_timeout = %d, "
      "SESSION foreign_key_checks = 1, SESSION unique_checks = 1",
      LOCK_WAIT_S, LOCK_WAIT_S);
  int result = link_say(link, text, fault);
  if (result < 0)
    return result;
  result = link_say(link, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", fault);
  if (result == 0 && !link->writer)
    result = link_say(link, "SET SESSION TRANSACTION READ ONLY", fault);
  if (result == 0 && link->mariadb) {
    snprintf(text, sizeof text, "SET SESSION max_statement_time = %.3f", link->target->statement_s);
    result = link_say(link, text, fault);
  }
  if (result == 0)
    result = link_ask(link, "SELECT @@SESSION.max_allowed_packet", packet, sizeof packet, fault);
  if (result == 0)
    link->packet_max = strtoull(packet, NULL, 10);
  return result;
}

int link_open(void *self, bool writer, void **out, struct mu_store_fault *fault)
{
  const struct target *target = self;
  const struct address *address = &target->address;
  struct link *link = calloc(1, sizeof *link);
  if (!link)
    return mu_store_fail(fault, MU_EIO, "out of memory");
  *link = (struct link){.target = target, .writer = writer, .fd = -1, .mysql = mysql_init(NULL)};
  int result;
  if (!link->mysql) {
    result = mu_store_fail(fault, MU_EIO, "out of memory");
    goto fail;
  }
  set_options(link->mysql, target);
  if (!mysql_real_connect(link->mysql, address->host, address->user, address->password, address->database,
                          address->port, address->socket, CLIENT_FOUND_ROWS)) {
    /* The library's text names host and user, never the password. */
    result = mu_store_fail(fault, MU_EUNAVAILABLE, "%s (%u)", mysql_error(link->mysql), mysql_errno(link->mysql));
    goto fail;
  }
  /* To a server that has no TLS the library speaks without, whatever it was told. */
  if (target->tls != TLS_NO && !mysql_get_ssl_cipher(link->mysql)) {
    result = mu_store_fail(fault, MU_EUNAVAILABLE, "the server has no TLS, and the configuration wants it");
    goto fail;
  }
  link->mariadb = mariadb_connection(link->mysql);
  result = begin_session(link, fault);
  if (result < 0)
    goto fail;
  link->fd = fcntl(mysql_get_socket(link->mysql), F_DUPFD_CLOEXEC, 0);
  if (link->fd < 0) {
    result = mu_store_fail(fault, MU_EIO, "the socket: %s", strerror(errno));
    goto fail;
  }
  *out = link;
  return 0;
fail:
  link_close(link);
  return result;
}

void link_close(void *self)
{
  struct link *link = self;
  /* Without a word where a word might have to wait: this may be the loop thread. The server takes back what was begun. */
  link_interrupt(link);
  if (link->mysql)
    mysql_close(link->mysql);
  if (link->fd >= 0)
    close(link->fd);
  free(link);
}

void link_interrupt(void *self)
{
  const struct link *link = self;
  if (link->fd >= 0)
    shutdown(link->fd, SHUT_RDWR);
}

int link_settle(struct link *link, struct mu_store_fault *fault)
{
  if (!link->save)
    return 0;
  link->save = false;
  return link_say(link, "SAVEPOINT muster", fault);
}

int link_step(void *self, enum mu_store_step step, struct mu_store_fault *fault)
{
  struct link *link = self;
  int result = 0;
  switch (step) {
  case MU_STORE_BEGIN:
    result = link_say(link, "START TRANSACTION", fault);
    link->in_transaction = result == 0;
    return result;
  case MU_STORE_COMMIT:
    link->save = link->in_transaction = false;
    result = link_say(link, "COMMIT", fault);
    /* Whether the word still arrived nobody knows. */
    return fault->broken ? MU_ETIMEOUT : result;
  case MU_STORE_ROLLBACK:
    link->save = link->in_transaction = false;
    return link_say(link, "ROLLBACK", fault);
  case MU_STORE_SAVE: /* costs a trip only when something follows */
    link->save = true;
    return 0;
  case MU_STORE_RELEASE: /* the next one takes its name, the commit ends the last one */
    link->save = false;
    return 0;
  case MU_STORE_BACK:
    if (link->save) {
      link->save = false;
      return 0;
    }
    return link_say(link, "ROLLBACK TO SAVEPOINT muster", fault);
  }
  return mu_store_fail(fault, MU_EINVAL, "no such step");
}

/* Statements that make tables end a transaction here, so that a lock of its own keeps other processes out. */
int link_exclusive(void *self, bool on, struct mu_store_fault *fault)
{
  struct link *link = self;
  char text[128], got[8];
  if (on)
    snprintf(text, sizeof text, "SELECT GET_LOCK(" LOCK_NAME ", %d)", MIGRATION_WAIT_S);
  else
    snprintf(text, sizeof text, "SELECT RELEASE_LOCK(" LOCK_NAME ")");
  int result = link_ask(link, text, got, sizeof got, fault);
  if (result == 0 && on && strcmp(got, "1") != 0)
    return mu_store_fail(fault, MU_EBUSY, "another process is migrating this database");
  return result;
}

int link_tend(void *self, bool writer, struct mu_store_fault *fault)
{
  struct link *link = self;
  (void)writer;
  return mysql_ping(link->mysql) == 0 ? 0 : error_of_link(link, fault);
}
