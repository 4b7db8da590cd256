/* SPDX-License-Identifier: ISC */
#include "address.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <muster/base.h>

static int hex(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A "%" that begins no escape stands for itself, as in the released server. NULL: no memory; *zero: there is a NUL in it. */
static char *decode(struct mu_str part, bool plus, bool *zero)
{
  char *text = malloc(part.len + 1), *to = text;
  if (!text)
    return NULL;
  for (size_t i = 0; i < part.len; i++) {
    char c = part.at[i];
    if (c == '%' && part.len - i > 2 && hex(part.at[i + 1]) >= 0 && hex(part.at[i + 2]) >= 0) {
      c = (char)(hex(part.at[i + 1]) * 16 + hex(part.at[i + 2]));
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    *zero = *zero || c == '\0';
    *to++ = c;
  }
  *to = '\0';
  return text;
}

static struct mu_str from_to(const char *at, const char *end)
{
  return (struct mu_str){at, (size_t)(end - at)};
}

/* -1: no number in the range. */
static int64_t number(struct mu_str text, int64_t max)
{
  int64_t value = text.len > 0 ? 0 : -1;
  for (size_t i = 0; i < text.len && value >= 0; i++)
    value = text.at[i] >= '0' && text.at[i] <= '9' && value <= max ? value * 10 + (text.at[i] - '0') : -1;
  return value <= max ? value : -1;
}

static void ignore(struct address *address, struct mu_str name)
{
  size_t used = strlen(address->ignored), comma = used > 0 ? 2 : 0;
  if (name.len == 0 || used + comma + name.len >= sizeof address->ignored)
    return;
  memcpy(address->ignored + used, ", ", comma);
  memcpy(address->ignored + used + comma, name.at, name.len);
  address->ignored[used + comma + name.len] = '\0';
}

static const char *set(char **where, struct mu_str value, bool plus)
{
  bool zero = false;
  char *text = decode(value, plus, &zero);
  if (!text)
    return "cannot be read: out of memory";
  if (*where)
    explicit_bzero(*where, strlen(*where));
  free(*where);
  *where = text;
  return zero ? "has a %00 in it" : NULL;
}

static const char *parameter(struct address *address, struct mu_str name, struct mu_str value)
{
  if (mu_str_equal(name, MU_STR("connect_timeout")))
    return (address->connect_timeout = number(value, 86400)) < 0 ? "has a bad connect_timeout: seconds are wanted"
                                                                 : NULL;
  if (mu_str_equal(name, MU_STR("socket_timeout")))
    return (address->answer_timeout = number(value, 86400)) < 0 ? "has a bad socket_timeout: seconds are wanted" : NULL;
  if (mu_str_equal(name, MU_STR("socket")))
    return set(&address->socket, value, true);
  if (mu_str_equal(name, MU_STR("sslcert"))) {
    if (address->tls == ADDRESS_TLS_UNSAID)
      address->tls = ADDRESS_TLS_VERIFIED;
    return set(&address->ca_file, value, true);
  }
  if (mu_str_equal(name, MU_STR("sslaccept"))) {
    if (!mu_str_equal(value, MU_STR("strict")) && !mu_str_equal(value, MU_STR("accept_invalid_certs")))
      return "has a bad sslaccept: \"strict\" or \"accept_invalid_certs\" is wanted";
    address->tls = mu_str_equal(value, MU_STR("strict")) ? ADDRESS_TLS_VERIFIED : ADDRESS_TLS_UNVERIFIED;
    return NULL;
  }
  ignore(address, name);
  return NULL;
}

static const char *parameters(struct address *address, const char *at, const char *end)
{
  const char *wrong = NULL;
  while (at < end && !wrong) {
    const char *next = memchr(at, '&', (size_t)(end - at));
    if (!next)
      next = end;
    const char *equals = memchr(at, '=', (size_t)(next - at));
    wrong = parameter(address, from_to(at, equals ? equals : next),
                      equals ? from_to(equals + 1, next) : (struct mu_str){next, 0});
    at = next + 1;
  }
  return wrong;
}

/* host, host:port, [::1]:port */
static const char *host_port(struct address *address, const char *at, const char *end)
{
  const char *host_end, *colon;
  if (at < end && *at == '[') {
    host_end = memchr(at, ']', (size_t)(end - at));
    if (!host_end)
      return "has a \"[\" without its \"]\"";
    colon = host_end + 1;
    at++;
  } else {
    colon = memchr(at, ':', (size_t)(end - at));
    host_end = colon = colon ? colon : end;
  }
  if (colon < end && *colon != ':')
    return "has something behind the \"]\" of its host";
  if (colon < end && colon + 1 < end) {
    int64_t port = number(from_to(colon + 1, end), 65535);
    if (port <= 0)
      return "has a bad port (a password with one of : / ? # @ in it must be percent-encoded)";
    address->port = (uint16_t)port;
  }
  if (host_end == at)
    return "has no host";
  return set(&address->host, from_to(at, host_end), false);
}

static const char *user_password(struct address *address, const char *at, const char *end)
{
  const char *colon = memchr(at, ':', (size_t)(end - at));
  const char *wrong = set(&address->user, from_to(at, colon ? colon : end), false);
  if (!wrong)
    wrong = set(&address->password, colon ? from_to(colon + 1, end) : (struct mu_str){end, 0}, false);
  return wrong ? wrong : address->user[0] == '\0' ? "has no user" : NULL;
}

const char *address_parse(const char *url, struct address *address)
{
  static const struct mu_str schemes[] = {{"mysql://", 8}, {"mariadb://", 10}};
  *address = (struct address){.port = 3306, .connect_timeout = -1, .answer_timeout = -1};
  const char *at = NULL;
  for (size_t i = 0; i < MU_COUNT(schemes); i++)
    if (strncmp(url, schemes[i].at, schemes[i].len) == 0)
      at = url + schemes[i].len;
  if (!at)
    return "must begin with mysql://";
  const char *slash = at + strcspn(at, "/?#"), *sign = memrchr(at, '@', (size_t)(slash - at));
  const char *path = *slash == '/' ? slash + 1 : slash, *path_end = path + strcspn(path, "?#");
  const char *query = *path_end == '?' ? path_end + 1 : path_end, *query_end = query + strcspn(query, "#");
  const char *wrong =
      sign ? user_password(address, at, sign) : "has no user: mysql://user:password@host:port/name is wanted";
  if (!wrong)
    wrong = host_port(address, sign + 1, slash);
  if (!wrong && path == path_end)
    wrong = "names no database: mysql://user:password@host:port/name is wanted";
  if (!wrong && (memchr(path, '/', (size_t)(path_end - path)) || memchr(path, '@', (size_t)(path_end - path))))
    wrong = "has a bad name of a database (a password with one of : / ? # @ in it must be percent-encoded)";
  if (!wrong)
    wrong = set(&address->database, from_to(path, path_end), false);
  if (!wrong)
    wrong = parameters(address, query, query_end);
  if (wrong)
    address_free(address);
  return wrong;
}

void address_free(struct address *address)
{
  char **texts[] = {&address->user,     &address->password, &address->host,
                    &address->database, &address->socket,   &address->ca_file};
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    if (*texts[i])
      explicit_bzero(*texts[i], strlen(*texts[i]));
    free(*texts[i]);
    *texts[i] = NULL;
  }
}
