/* SPDX-License-Identifier: ISC */
/* URLs of WebSocket servers, and the time between two attempts to reach one. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/uplink.h"

static const char *take_port(const char *text, size_t len, uint16_t *port)
{
  unsigned value = 0;
  if (len == 0 || len > 5)
    return "the port must be a number from 1 to 65535";
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9')
      return "the port must be a number from 1 to 65535";
    value = value * 10 + (unsigned)(text[i] - '0');
  }
  if (value == 0 || value > 65535)
    return "the port must be a number from 1 to 65535";
  *port = (uint16_t)value;
  return NULL;
}

static bool host_letters(const char *host, size_t len, bool literal)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  for (size_t i = 0; i < len; i++)
    if (literal ? !strchr("0123456789abcdefABCDEF:.", host[i]) : !strchr(letters, host[i]))
      return false;
  return len > 0;
}

const char *mui_url_parse(const char *text, struct mui_url *url)
{
  memset(url, 0, sizeof *url);
  for (const char *at = text; *at; at++)
    if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
      return "it must not have blanks, control characters or anything beyond ASCII";
  if (strncasecmp(text, "wss://", 6) == 0) {
    url->tls = true;
    text += 6;
  } else if (strncasecmp(text, "ws://", 5) == 0) {
    text += 5;
  } else {
    return "it must begin with ws:// or wss://";
  }
  if (strchr(text, '#'))
    return "it must not have a fragment";
  size_t len = strcspn(text, "/?");
  if (memchr(text, '@', len))
    return "it must not have a user or password";
  const char *host = text, *end = text + len, *colon;
  size_t host_len;
  url->literal = len > 0 && *text == '[';
  if (url->literal) {
    const char *bracket = memchr(text, ']', len);
    if (!bracket)
      return "the bracket around the address is not closed";
    host = text + 1;
    host_len = (size_t)(bracket - host);
    colon = bracket + 1 < end ? bracket + 1 : NULL;
    if (colon && *colon != ':')
      return "behind the address there must be ':' or '/'";
  } else {
    colon = memchr(text, ':', len);
    host_len = colon ? (size_t)(colon - text) : len;
  }
  if (!host_letters(host, host_len, url->literal))
    return "the host must be a name or an address";
  if (host_len >= sizeof url->host)
    return "the host is too long";
  memcpy(url->host, host, host_len);
  url->port = url->tls ? 443 : 80;
  if (colon) {
    const char *problem = take_port(colon + 1, (size_t)(end - colon - 1), &url->port);
    if (problem)
      return problem;
  }
  int n = snprintf(url->path, sizeof url->path, "%s%s", *end == '/' ? "" : "/", end);
  return n < 0 || (size_t)n >= sizeof url->path ? "the path is too long" : NULL;
}

void mui_url_authority(const struct mui_url *url, char *out)
{
  const char *open = url->literal ? "[" : "", *close = url->literal ? "]" : "";
  if (url->port == (url->tls ? 443 : 80))
    snprintf(out, 300, "%s%s%s", open, url->host, close);
  else
    snprintf(out, 300, "%s%s%s:%u", open, url->host, close, url->port);
}

uint64_t mui_client_delay_ms(unsigned n, uint32_t random)
{
  double base = 3000;
  for (unsigned i = 0; i < n && base < 600000; i++)
    base *= 1.2;
  if (base > 600000)
    base = 600000;
  /* ±20 %, so that a fleet does not come back in one step. */
  return (uint64_t)(base * (0.8 + 0.4 * ((double)random / UINT32_MAX)));
}
