/* SPDX-License-Identifier: ISC */
/* Alerts are told to a webhook, signed; the link that marks one as read. */
#include <muster/fetch.h>
#include <muster/rest.h>
#include <stdio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

enum {
  AT_ONCE = 4,
  SECRET_MIN = 16,
};
static const char scope[] = "alert-read";

#define AT(member_) .offset = offsetof(struct alert_config, member_)
const struct mu_option alert_options[ALERT_OPTIONS] = {
    {.key = "days",
     .type = MU_OPT_INT,
     AT(days),
     .preset = "30",
     .min = 1,
     .max = 3650,
     .help = "Days that alerts are kept."},
    {.key = "webhook",
     .type = MU_OPT_STRING,
     AT(webhook),
     .flags = MU_OPT_SECRET,
     .max = 2000,
     .help = "Where each alert is sent with POST as JSON: https://…, or http:// to this machine. Empty: nowhere."},
    {.key = "webhook_secret",
     .type = MU_OPT_STRING,
     AT(webhook_secret),
     .flags = MU_OPT_SECRET,
     .max = 1000,
     .help = "At least 16 bytes. X-Muster-Signature is \"sha256=\" and the HMAC-SHA256 of X-Muster-Timestamp, \".\" "
             "and the body, in hex. Needed with webhook."},
    {.key = "webhook_ca_file",
     .type = MU_OPT_STRING,
     AT(webhook_ca_file),
     .preset = "\"\"",
     .max = 4000,
     .help = "PEM file with the authorities of the webhook's certificate. Empty: the system's. A change restarts the "
             "relay."},
    {.key = "public_url",
     .type = MU_OPT_STRING,
     AT(public_url),
     .preset = "\"\"",
     .max = 1000,
     .help = "How browsers reach this server, \"https://relay.example\": then what is sent holds a link that "
             "marks the alert as read, once and within 24 hours. Empty: no link."},
    {.key = "link_secret",
     .type = MU_OPT_STRING,
     AT(link_secret),
     .flags = MU_OPT_SECRET,
     .max = 1000,
     .help = "What links are signed with, at least 32 bytes. Empty: a random one, and links end when the server does. "
             "A change restarts the relay."},
    {.key = "mail",
     .type = MU_OPT_GROUP,
     AT(mail),
     .fields = MU_OPTIONS(mail_options),
     .help = "Mails of each alert, to the address of its rule's owner."},
};

/* A secret that is not set is NULL: it has no preset. */
static const char *said(const char *secret)
{
  return secret ? secret : "";
}

static bool begins(const char *text, const char *with)
{
  return strncmp(text, with, strlen(with)) == 0;
}

/* The host and what follows it say this machine. */
static bool is_loopback(const char *url)
{
  static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
  for (size_t i = 0; i < MU_COUNT(hosts); i++)
    if (begins(url, hosts[i]) && strchr(":/?#", url[strlen(hosts[i])]))
      return true;
  return false;
}

void alerts_check(const struct alert_config *config, struct mu_check *check)
{
  size_t url = strlen(config->public_url), secret = strlen(said(config->link_secret));
  const char *webhook = said(config->webhook);
  if (webhook[0] && !begins(webhook, "https://") && !is_loopback(webhook))
    mu_check_error(check, "alerts.webhook",
                   "webhook is an https:// address, or http:// to 127.0.0.1, [::1] or localhost");
  if (webhook[0] && strlen(said(config->webhook_secret)) < SECRET_MIN)
    mu_check_error(check, "alerts.webhook_secret",
                   "webhook_secret needs at least %d bytes, so that alerts cannot be forged", SECRET_MIN);
  if (url && !begins(config->public_url, "https://") && !begins(config->public_url, "http://"))
    mu_check_error(check, "alerts.public_url", "public_url begins with \"https://\" or \"http://\"");
  else if (url && config->public_url[url - 1] == '/')
    mu_check_error(check, "alerts.public_url", "public_url has no slash at its end");
  if (secret && secret < LINK_SECRET_MIN)
    mu_check_error(check, "alerts.link_secret", "link_secret needs at least %d bytes", LINK_SECRET_MIN);
  mails_check(&config->mail, check);
}

bool alerts_reconfigure(const struct alert_config *old, const struct alert_config *new_)
{
  return strcmp(said(old->link_secret), said(new_->link_secret)) == 0 &&
         strcmp(old->webhook_ca_file, new_->webhook_ca_file) == 0 && strcmp(old->mail.ca_file, new_->mail.ca_file) == 0;
}

/* ---- what is told -------------------------------------------------------------------------------- */

static void member(struct mu_buf *out, const char *name, const char *text)
{
  mu_buf_printf(out, "%s\"%s\":", out->len && out->at[out->len - 1] != '{' ? "," : "", name);
  mu_buf_json_string(out, mu_str(text));
}

bool notify_link(const struct alerting *alerting, const struct hit *hit, struct mu_buf *link)
{
  const char *url = alerting->relay->config->alerts.public_url;
  if (!url[0])
    return false;
  int64_t now_s = mu_now_ms() / 1000;
  struct mu_claims claims = {
      .size = sizeof claims, .issued = now_s, .not_before = now_s, .expires = now_s + ALERT_LINK_S};
  memcpy(claims.subject, hit->id, sizeof hit->id);
  memcpy(claims.scope, scope, sizeof scope);
  mu_text *token = mu_token_sign(alerting->key, &claims);
  if (!token)
    return false;
  mu_buf_printf(link, "%s/api/alert-history/mark-read?token=%s", url, mu_text_data(token));
  mu_text_unref(token);
  return !link->failed;
}

static void write_body(const struct alerting *alerting, const struct hit *hit, struct mu_buf *out)
{
  char at[25];
  mu_iso_time(hit->ms, at);
  mu_buf_adds(out, "{");
  member(out, "type", "alert");
  member(out, "id", hit->id);
  member(out, "triggered_at", at);
  member(out, "user_id", hit->rule.user);
  mu_buf_adds(out, ",\"endpoint\":{");
  member(out, "id", hit->rule.endpoint);
  member(out, "name", hit->rule.endpoint_name);
  mu_buf_adds(out, "},\"device\":{");
  member(out, "id", hit->rule.device);
  member(out, "device_id", hit->rule.device_name_id);
  member(out, "custom_name", hit->rule.device_name);
  mu_buf_adds(out, "},\"rule\":{");
  member(out, "id", hit->rule.id);
  member(out, "rule_name", hit->rule.name);
  member(out, "data_key", hit->rule.key);
  member(out, "operator", hit->rule.sign);
  member(out, "threshold", hit->rule.threshold);
  member(out, "alert_level", hit->rule.level);
  mu_buf_adds(out, "}");
  member(out, "triggered_value", hit->value);
  struct mu_buf link = MU_BUF_INIT;
  if (notify_link(alerting, hit, &link))
    member(out, "mark_read_url", link.at);
  mu_buf_free(&link);
  mu_buf_adds(out, "}");
}

/* "sha256=" and the HMAC of "TIME.BODY". */
static bool sign(const char *secret, const char *time, struct mu_str body, char out[7 + 64 + 1])
{
  struct mu_buf text = MU_BUF_INIT;
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  mu_buf_printf(&text, "%s.", time);
  mu_buf_add(&text, body.at, body.len);
  bool good = !text.failed &&
              HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text.at, text.len, mac, &len) &&
              len == 32;
  mu_buf_free(&text);
  static const char hex[] = "0123456789abcdef";
  memcpy(out, "sha256=", 8);
  for (size_t i = 0; good && i < 32; i++) {
    out[7 + i * 2] = hex[mac[i] >> 4];
    out[8 + i * 2] = hex[mac[i] & 15];
  }
  out[71] = '\0';
  return good;
}

/* ---- sending ------------------------------------------------------------------------------------- */

static void drop(struct alerting *alerting, struct hit *hit)
{
  *hit->at = hit->next;
  if (hit->next)
    hit->next->at = hit->at;
  else
    alerting->notices_end = hit->at;
  alerting->notice_count--;
  hit_free(hit);
}

int64_t notice_pause_ns(unsigned tries)
{
  static const unsigned pause_s[NOTICE_TRIES] = {0, 5, 30, 120};
  return pause_s[tries < NOTICE_TRIES ? tries : NOTICE_TRIES - 1] * 1000000000LL;
}

static void give_up(struct alerting *alerting, struct hit *hit)
{
  mu_count(alerting->untold, 1);
  drop(alerting, hit);
}

static void give_up_or_wait(struct alerting *alerting, struct hit *hit, const char *reason, int status)
{
  mu_log_limited(alerting->relay->in, MU_LOG_WARN, "webhook", "the webhook did not take an alert: %s (status %d)",
                 reason, status);
  if (hit->tries < NOTICE_TRIES) {
    hit->due_ns = mu_mono_ns() + notice_pause_ns(hit->tries);
    return;
  }
  give_up(alerting, hit);
}

static void told(void *context, const struct mu_fetch_answer *answer)
{
  struct hit *hit = context;
  struct alerting *alerting = hit->alerting;
  if (answer->error != 0 || answer->status < 200 || answer->status > 299) {
    give_up_or_wait(alerting, hit, answer->error ? answer->reason : "refused", answer->status);
    return;
  }
  mu_count(alerting->told, 1);
  const struct mu_value values[] = {mu_value_text(hit->id)};
  relay_write(alerting->relay, (struct mu_sql){.text = "UPDATE alert_history SET notification_sent = 1 WHERE id = ?"},
              values, 1, MU_ANY_ROWS, NULL, NULL);
  drop(alerting, hit);
}

static mu_fetcher *fetcher_of(struct alerting *alerting)
{
  const char *ca_file = alerting->relay->config->alerts.webhook_ca_file;
  if (!alerting->fetcher)
    alerting->fetcher =
        mu_fetcher_new(alerting->relay->in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options),
                                                                         .tls_ca_file = ca_file[0] ? ca_file : NULL,
                                                                         .at_once = AT_ONCE,
                                                                         .waiting = NOTICES_MAX});
  return alerting->fetcher;
}

static void send(struct alerting *alerting, struct hit *hit)
{
  const struct alert_config *config = &alerting->relay->config->alerts;
  if (!said(config->webhook)[0]) { /* a reload took it away */
    give_up(alerting, hit);
    return;
  }
  struct mu_buf body = MU_BUF_INIT;
  char time[24], signature[72];
  snprintf(time, sizeof time, "%lld", (long long)(mu_now_ms() / 1000));
  write_body(alerting, hit, &body);
  struct mu_str text = {body.at, body.len};
  mu_fetcher *fetcher = fetcher_of(alerting);
  int error = MU_ENOMEM;
  hit->tries++;
  hit->due_ns = INT64_MAX;
  if (fetcher && !body.failed && sign(said(config->webhook_secret), time, text, signature)) {
    const struct mu_header headers[] = {{"Content-Type", "application/json; charset=utf-8"},
                                        {"X-Muster-Timestamp", time},
                                        {"X-Muster-Signature", signature}};
    error = mu_fetch(fetcher,
                     &(struct mu_fetch_request){.size = sizeof(struct mu_fetch_request),
                                                .method = "POST",
                                                .url = config->webhook,
                                                .headers = headers,
                                                .header_count = MU_COUNT(headers),
                                                .body = text},
                     told, hit, NULL);
  }
  mu_buf_free(&body);
  if (error != 0)
    give_up_or_wait(alerting, hit, mu_strerror(error), 0);
}

void notify_add(struct alerting *alerting, struct hit *hit)
{
  mails_add(alerting, hit);
  if (!said(alerting->relay->config->alerts.webhook)[0] || alerting->notice_count >= NOTICES_MAX) {
    mu_count(alerting->untold, alerting->notice_count >= NOTICES_MAX);
    hit_free(hit);
    return;
  }
  hit->alerting = alerting;
  hit->next = NULL;
  hit->at = alerting->notices_end;
  *alerting->notices_end = hit;
  alerting->notices_end = &hit->next;
  alerting->notice_count++;
  hit->due_ns = 0;
  alerts_wake(alerting);
}

bool notify_tick(struct alerting *alerting, int64_t now_ns)
{
  struct hit *next;
  for (struct hit *hit = alerting->notices; hit; hit = next) {
    next = hit->next;
    if (hit->due_ns <= now_ns)
      send(alerting, hit);
  }
  bool mails = mails_tick(alerting, now_ns);
  return alerting->notices != NULL || mails;
}

/* ---- links --------------------------------------------------------------------------------------- */

int notify_token(const struct alerting *alerting, struct mu_str token, char id[192])
{
  struct mu_claims claims = {.size = sizeof claims};
  int error = mu_token_check(alerting->key, token, mu_now_ms() / 1000, &claims);
  if (error != 0)
    return error;
  size_t len = strlen(claims.subject);
  if (strcmp(claims.scope, scope) != 0 || len >= 192)
    return MU_EREFUSED;
  memcpy(id, claims.subject, len + 1);
  return 0;
}

/* ---- life ---------------------------------------------------------------------------------------- */

int notify_init(struct alerting *alerting)
{
  mu_instance *in = alerting->relay->in;
  const char *secret = said(alerting->relay->config->alerts.link_secret);
  unsigned char random[32];
  alerting->told = mu_counter_get(in, "webhooks");
  alerting->untold = mu_counter_get(in, "webhooks_failed");
  if (!secret[0] && mu_random(random, sizeof random) != 0)
    return MU_EIO;
  struct mu_str own = {(const char *)random, sizeof random};
  alerting->key = mu_token_key_new(secret[0] ? mu_str(secret) : own, "muster-relay", "alert-history");
  mu_secret_wipe(random, sizeof random);
  return alerting->key ? mails_init(alerting) : MU_ENOMEM;
}

void notify_fini(struct alerting *alerting)
{
  while (alerting->notices)
    drop(alerting, alerting->notices); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  mails_fini(alerting);
  mu_token_key_free(alerting->key);
}
