/* SPDX-License-Identifier: ISC */
/* The uplink's options, and what is wrong with them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "uplink.h"

const struct mu_option uplink_options[UPLINK_OPTIONS] = {
    {.key = "url",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, url),
     .flags = MU_OPT_REQUIRED,
     .max = 2048,
     .help = "Where to report: \"wss://host:port\", or \"ws://…\" without encryption."},
    {.key = "api_key",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, api_key),
     .flags = MU_OPT_SECRET,
     .help = "The user's API key. Absent: the one that was saved, or it is asked for at the terminal and saved."},
    {.key = "name",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, name),
     .max = 128,
     .help = "The machine's name; absent: its host name."},
    {.key = "machine_id",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, machine_id),
     .max = 128,
     .help = "What the machine is known by, unique among the user's; absent: an id derived from /etc/machine-id."},
    {.key = "public",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct uplink_config, is_public),
     .preset = "false",
     .help = "Whether the server may show this machine where nobody logged in; said at each connection."},
    {.key = "tls_verify",
     .type = MU_OPT_BOOL,
     .offset = offsetof(struct uplink_config, tls_verify),
     .preset = "true",
     .help = "Whether the server's certificate is checked; false is for development only."},
    {.key = "tls_ca_file",
     .type = MU_OPT_STRING,
     .offset = offsetof(struct uplink_config, tls_ca_file),
     .max = 4096,
     .help = "PEM file with the authorities that may sign the server's certificate; absent: the system's."},
};

bool uplink_key_ok(struct mu_str key)
{
  for (size_t i = 0; i < key.len; i++)
    if (key.at[i] <= ' ' || key.at[i] > '~')
      return false;
  return key.len >= UPLINK_KEY_MIN && key.len <= UPLINK_KEY_MAX;
}

/* ---- the URL --------------------------------------------------------------------------------- */

static const char *take_port(const char *text, size_t len, char port[6])
{
  static const char wrong[] = "the port must be a number from 1 to 65535";
  if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
    return wrong;
  memcpy(port, text, len);
  port[len] = '\0';
  long number = strtol(port, NULL, 10);
  if (number < 1 || number > 65535)
    return wrong;
  snprintf(port, 6, "%u", (unsigned)number & 0xffffu);
  return NULL;
}

const char *uplink_server(const char *url, struct uplink_server *server)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  memset(server, 0, sizeof *server);
  for (const char *at = url; *at; at++)
    if (*at <= ' ' || *at > '~')
      return "it must not have blanks, control characters or anything beyond ASCII";
  server->tls = strncasecmp(url, "wss://", 6) == 0;
  if (!server->tls && strncasecmp(url, "ws://", 5) != 0)
    return "it must begin with wss:// or ws://";
  const char *at = url + (server->tls ? 6 : 5);
  size_t len = strcspn(at, "/?#");
  if (strchr(at, '#'))
    return "it must not have a fragment";
  if (memchr(at, '@', len))
    return "it must not have a user or password: the API key is an option of its own";
  bool literal = *at == '[';
  size_t host_len = literal ? strcspn(++at, "]") : strcspn(at, ":/?");
  if (literal && (host_len + 1 >= len || at[host_len] != ']'))
    return "the bracket around the address is not closed";
  if (host_len == 0 || strspn(at, literal ? "0123456789abcdefABCDEF:." : letters) < host_len)
    return "the host must be a name or an address";
  if (host_len >= sizeof server->host)
    return "the host is too long";
  for (size_t i = 0; i < host_len; i++)
    server->host[i] = (char)tolower((unsigned char)at[i]);
  const char *rest = at + host_len + literal;
  snprintf(server->port, sizeof server->port, "%s", server->tls ? "443" : "80");
  if (*rest == ':') {
    const char *problem = take_port(rest + 1, strcspn(rest + 1, "/?"), server->port);
    if (problem)
      return problem;
  } else if (*rest && *rest != '/' && *rest != '?') {
    return "behind the address there must be ':' or '/'";
  }
  snprintf(server->text, sizeof server->text, "%s%s%s:%s", literal ? "[" : "", server->host, literal ? "]" : "",
           server->port);
  return NULL;
}

/* ---- check ----------------------------------------------------------------------------------- */

static bool own_machine(const char *host)
{
  return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static bool id_ok(const char *id)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
  return id[0] && strspn(id, letters) == strlen(id);
}

void uplink_check(const void *given, struct mu_check *check)
{
  const struct uplink_config *config = given;
  struct uplink_server server = {0};
  const char *problem = config->url ? uplink_server(config->url, &server) : NULL;
  if (problem)
    mu_check_error(check, "url", "the URL: %s", problem);
  else if (config->url && !server.tls && !own_machine(server.host))
    mu_check_warn(check, "url", "the link is not encrypted: anybody on the way can read the API key; use wss://");
  if (config->api_key && !uplink_key_ok(mu_str(config->api_key)))
    mu_check_error(check, "api_key", "an API key has %d to %d visible ASCII characters", UPLINK_KEY_MIN,
                   UPLINK_KEY_MAX);
  if (config->machine_id && !id_ok(config->machine_id))
    mu_check_error(check, "machine_id", "the id must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -");
  if (config->name && !config->name[0])
    mu_check_error(check, "name", "the name is empty; leave it out for the host name");
  if (!config->tls_verify)
    mu_check_warn(check, "tls_verify", "certificates are not checked: anybody on the way can read the API key");
}
