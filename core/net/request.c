/* SPDX-License-Identifier: ISC */
/* Reading what a request says, for upgrades and HTTP alike. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

const char *mui_status_text(int status)
{
  static const struct {
    int status;
    const char *text;
  } names[] = {
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {426, "Upgrade Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  for (size_t i = 0; i < MU_COUNT(names); i++)
    if (names[i].status == status)
      return names[i].text;
  return status < 400 ? "OK" : status < 500 ? "Client Error" : "Server Error";
}

/* The library's number of a header that it knows, or -1. `name` is "host:". */
static int token_of(const char *name)
{
  for (int token = 0;; token++) {
    const unsigned char *text = lws_token_to_string((enum lws_token_indexes)token);
    if (!text)
      return -1;
    if (strcmp((const char *)text, name) == 0)
      return token;
  }
}

bool mui_header(struct lws *wsi, const char *name, char *out, size_t size, size_t *len)
{
  char colon[128];
  int name_len = snprintf(colon, sizeof colon, "%s:", name);
  if (name_len < 2 || name_len >= (int)sizeof colon || size == 0)
    return false;
  int token = token_of(colon);
  int got;
  if (token >= 0) {
    int total = lws_hdr_total_length(wsi, (enum lws_token_indexes)token);
    if (total <= 0 || (size_t)total >= size)
      return false;
    got = lws_hdr_copy(wsi, out, (int)size, (enum lws_token_indexes)token);
  } else {
    got = lws_hdr_custom_length(wsi, colon, name_len);
    if (got < 0 || (size_t)got >= size)
      return false;
    got = lws_hdr_custom_copy(wsi, out, (int)size, colon, name_len);
  }
  if (got < 0)
    return false;
  if (len)
    *len = (size_t)got;
  return true;
}

bool mui_query_next(struct lws *wsi, const char *name, int *n, char text[MUI_HEAD_MAX + 1], struct mu_str *value)
{
  size_t name_len = strlen(name);
  for (;;) {
    /* One fragment for each parameter, decoded by the library: "name=value". */
    int len = lws_hdr_copy_fragment(wsi, text, MUI_HEAD_MAX + 1, WSI_TOKEN_HTTP_URI_ARGS, (*n)++);
    if (len < 0)
      return false;
    size_t at = name_len + ((size_t)len > name_len); /* behind the '=', if there is one */
    if ((size_t)len < name_len || memcmp(text, name, name_len) != 0 || (at > name_len && text[name_len] != '='))
      continue;
    *value = (struct mu_str){text + at, (size_t)len - at};
    return true;
  }
}

bool mui_is_token(struct mu_str text)
{
  for (size_t i = 0; i < text.len; i++)
    if (!isalnum((unsigned char)text.at[i]) && (!strchr("!#$%&'*+-.^_`|~", text.at[i]) || text.at[i] == '\0'))
      return false;
  return text.len > 0;
}

bool mui_listener_serves(const struct mui_listener *listener, const mu_instance *in)
{
  if (!listener->plugins || !listener->plugins[0] || in == in->runtime->core)
    return true;
  for (char **name = listener->plugins; *name; name++)
    if (strcmp(*name, in->name) == 0)
      return true;
  return false;
}

/* "https://name[:port]" without a path: the part after "://", with the scheme's own port taken off. */
static bool authority(const char *origin, bool *tls, struct mu_str *host)
{
  size_t skip = strncasecmp(origin, "https://", 8) == 0 ? 8 : strncasecmp(origin, "http://", 7) == 0 ? 7 : 0;
  if (!skip)
    return false;
  *tls = skip == 8;
  *host = mu_str(origin + skip);
  return host->len > 0 && !memchr(host->at, '/', host->len) && !memchr(host->at, '@', host->len);
}

static struct mu_str without_port(struct mu_str host, bool tls)
{
  struct mu_str port = tls ? MU_STR(":443") : MU_STR(":80");
  if (host.len > port.len && memcmp(host.at + host.len - port.len, port.at, port.len) == 0 &&
      (host.at[0] != '[' || host.at[host.len - port.len - 1] == ']'))
    host.len -= port.len;
  return host;
}

bool mui_origin_allowed(struct mui_session *session, struct lws *wsi, enum mu_origin_rule rule)
{
  if (rule == MU_ORIGIN_ANY)
    return true;
  if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) <= 0)
    return true;
  if (rule == MU_ORIGIN_NONE)
    return false;
  char origin[300], host[270];
  size_t len;
  if (lws_hdr_fragment_length(wsi, WSI_TOKEN_ORIGIN, 1) > 0 ||
      !mui_header(wsi, "origin", origin, sizeof origin, &len) || strlen(origin) != len)
    return false;
  for (char **other = session->listener->origins; other && *other; other++)
    if (strcasecmp(*other, origin) == 0)
      return true;
  bool tls;
  struct mu_str theirs;
  if (!authority(origin, &tls, &theirs) || !mui_header(wsi, "host", host, sizeof host, NULL))
    return false;
  /* A proxy may end TLS before us: the name and port must agree, the scheme only as far as its port. */
  struct mu_str ours = mu_str(host);
  return mu_str_equal_nocase(theirs, ours) ||
         mu_str_equal_nocase(without_port(theirs, tls), without_port(ours, session->listener->tls));
}
