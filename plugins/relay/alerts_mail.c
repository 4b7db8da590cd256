/* SPDX-License-Identifier: ISC */
/* Alerts are mailed to the owner of their rule: so many per user and hour, what is beyond them in one summary. */
#include <muster/fetch.h>
#include <muster/rest.h>
#include <stdlib.h>
#include <string.h>

#include "alerts.h"

enum {
  AT_ONCE = 4, /* that are with the store or the mail server */
  SUMMARY_LINES = 20,
  CONNECT_MS = 15000,
  TOTAL_MS = 30000, /* some servers let a stranger wait before they greet */
  PASSWORD_MAX = 1000,
};

/* One mail on its way. */
struct mail {
  struct mail *next, **at;
  struct alerting *alerting;
  char *user;
  char alert[RELAY_UUID_SIZE]; /* "": a summary */
  struct mu_buf subject, text;
  unsigned tries;
  int64_t due_ns; /* INT64_MAX: on its way */
};

/* What a user was sent lately. */
struct quota {
  struct quota *next;
  char *user;
  int64_t *sent_ns; /* of the last mails, the oldest at `oldest`; 0: none */
  size_t size, oldest;
  size_t held; /* alerts for the summary */
  size_t lines;
  int64_t held_ms; /* when the first one was */
  struct mu_buf summary;
};

struct mails {
  struct mail *first, **end;
  size_t count, flying;
  struct quota *quotas;
  mu_fetcher *fetcher;
  mu_counter *sent, *failed;
};

#define AT(member_) .offset = offsetof(struct mail_config, member_)
const struct mu_option mail_options[MAIL_OPTIONS] = {
    {.key = "server",
     .type = MU_OPT_STRING,
     AT(server),
     .preset = "\"\"",
     .max = 300,
     .help =
         "The mail server: \"smtps://mail.example:465\", or \"smtp://mail.example:587\", where STARTTLS is required "
         "except to 127.0.0.1, [::1] and localhost. Empty: no mail is sent."},
    {.key = "starttls",
     .type = MU_OPT_BOOL,
     AT(starttls),
     .preset = "false",
     .help = "Requires STARTTLS of a mail server on this machine, too."},
    {.key = "user", .type = MU_OPT_STRING, AT(user), .preset = "\"\"", .max = 300, .help = "Login. Empty: none."},
    {.key = "password",
     .type = MU_OPT_STRING,
     AT(password),
     .flags = MU_OPT_SECRET,
     .max = PASSWORD_MAX,
     .help = "Its password."},
    {.key = "from",
     .type = MU_OPT_STRING,
     AT(from),
     .preset = "\"\"",
     .max = 254,
     .help = "The sender's address. Needed with server."},
    {.key = "from_name",
     .type = MU_OPT_STRING,
     AT(from_name),
     .preset = "\"Muster\"",
     .max = 200,
     .help = "The name that is shown with it."},
    {.key = "ca_file",
     .type = MU_OPT_STRING,
     AT(ca_file),
     .preset = "\"\"",
     .max = 4000,
     .help = "PEM file with the authorities of the mail server's certificate. Empty: the system's. A change restarts "
             "the relay."},
    {.key = "per_user",
     .type = MU_OPT_INT,
     AT(per_user),
     .preset = "20",
     .min = 1,
     .max = 1000,
     .help = "Mails per user in a period, summaries among them. What is beyond it goes into one summary, as soon as "
             "the period allows one more."},
    {.key = "period", .type = MU_OPT_INT, AT(period), .preset = "3600", .min = 5, .max = 86400, .help = "Its seconds."},
};

static bool beyond_ascii(const char *text)
{
  for (; *text; text++)
    if ((unsigned char)*text > 0x7e)
      return true;
  return false;
}

static bool has_controls(const char *text)
{
  for (; *text; text++)
    if ((unsigned char)*text < ' ' || *text == 0x7f)
      return true;
  return false;
}

void mails_check(const struct mail_config *config, struct mu_check *check)
{
  const char *server = config->server, *at = strchr(config->from, '@');
  if (!server[0])
    return;
  if ((strncmp(server, "smtp://", 7) != 0 && strncmp(server, "smtps://", 8) != 0) ||
      strpbrk(strchr(server, ':') + 3, "/?#@ \\") || has_controls(server) || !strchr(server, ':')[3])
    mu_check_error(check, "alerts.mail.server",
                   "server is \"smtps://HOST:PORT\" or \"smtp://HOST:PORT\" and nothing else");
  if (!at || at == config->from || !at[1] || strpbrk(config->from, " <>,;:\"()[]\\") || has_controls(config->from) ||
      beyond_ascii(config->from))
    mu_check_error(check, "alerts.mail.from", "from is the sender's address: \"alerts@example.org\"");
  if (has_controls(config->from_name))
    mu_check_error(check, "alerts.mail.from_name", "from_name has no control characters");
  if (has_controls(config->user) || (config->password && has_controls(config->password)))
    mu_check_error(check, "alerts.mail.user", "user and password have no control characters");
  if (!config->user[0] != !(config->password && config->password[0]))
    mu_check_error(check, "alerts.mail.user", "user and password are set together, or neither");
}

/* ---- what is written ----------------------------------------------------------------------------- */

/* What users and devices named: one line each, so that none of them writes the others' lines. */
static void add_line(struct mu_buf *out, const char *text)
{
  for (; *text; text++) {
    char c = *text;
    mu_buf_add(out, (unsigned char)c < ' ' || c == 0x7f ? " " : &c, 1);
  }
}

static void add_fact(struct mu_buf *out, const char *name, const char *text, const char *more, const char *end)
{
  mu_buf_printf(out, "%-11s", name);
  add_line(out, text);
  if (more[0]) {
    mu_buf_adds(out, " (");
    add_line(out, more);
    mu_buf_adds(out, ")");
  }
  mu_buf_adds(out, end);
}

static void write_alert(const struct alerting *alerting, const struct hit *hit, bool last, struct mail *mail)
{
  const struct rule *rule = &hit->rule;
  char at[25];
  mu_iso_time(hit->ms, at);
  mu_buf_adds(&mail->subject, "[");
  add_line(&mail->subject, rule->level);
  mu_buf_adds(&mail->subject, "] ");
  add_line(&mail->subject, rule->name);
  mu_buf_adds(&mail->subject, ": ");
  add_line(&mail->subject, rule->device_name[0] ? rule->device_name : rule->device_name_id);
  struct mu_buf *out = &mail->text;
  add_fact(out, "Rule:", rule->name, rule->level, "\n");
  mu_buf_printf(out, "%-11s", "Condition:");
  add_line(out, rule->key);
  mu_buf_printf(out, " %s ", rule->sign);
  add_line(out, rule->threshold);
  mu_buf_adds(out, "\n");
  add_fact(out, "Value:", hit->value, "", "\n");
  add_fact(out, "Device:", rule->device_name, rule->device_name_id, "\n");
  add_fact(out, "Endpoint:", rule->endpoint_name, "", "\n");
  add_fact(out, "Time:", at, "", "\n");
  struct mu_buf link = MU_BUF_INIT;
  if (notify_link(alerting, hit, &link))
    mu_buf_printf(out, "\nMark it as read, once and within 24 hours:\n%s\n", link.at);
  mu_buf_free(&link);
  if (last)
    mu_buf_adds(out, "\nToo many alerts for single mails: those that follow come in one summary.\n");
}

static void add_to_summary(struct quota *quota, const struct hit *hit)
{
  if (quota->held++ == 0)
    quota->held_ms = hit->ms;
  if (quota->lines >= SUMMARY_LINES)
    return;
  quota->lines++;
  char at[25];
  mu_iso_time(hit->ms, at);
  mu_buf_printf(&quota->summary, "%s [", at);
  add_line(&quota->summary, hit->rule.level);
  mu_buf_adds(&quota->summary, "] ");
  add_line(&quota->summary, hit->rule.name);
  mu_buf_adds(&quota->summary, ": ");
  add_line(&quota->summary, hit->rule.device_name[0] ? hit->rule.device_name : hit->rule.device_name_id);
  mu_buf_adds(&quota->summary, ", ");
  add_line(&quota->summary, hit->rule.key);
  mu_buf_adds(&quota->summary, " = ");
  add_line(&quota->summary, hit->value);
  mu_buf_adds(&quota->summary, "\n");
}

static void write_summary(struct quota *quota, struct mail *mail)
{
  char at[25];
  mu_iso_time(quota->held_ms, at);
  mu_buf_printf(&mail->subject, "%zu more alert%s", quota->held, quota->held == 1 ? "" : "s");
  mu_buf_printf(&mail->text, "%zu more alert%s since %s:\n\n%s", quota->held, quota->held == 1 ? "" : "s", at,
                quota->summary.at ? quota->summary.at : "");
  if (quota->held > quota->lines)
    mu_buf_printf(&mail->text, "and %zu more\n", quota->held - quota->lines);
  mail->subject.failed = mail->subject.failed || quota->summary.failed;
  mu_buf_clear(&quota->summary);
  quota->held = quota->lines = 0;
}

/* ---- how many ------------------------------------------------------------------------------------ */

static void quota_free(struct quota *quota)
{
  free(quota->user);
  free(quota->sent_ns);
  mu_buf_free(&quota->summary);
  free(quota);
}

static int64_t newest(const struct quota *quota)
{
  return quota->sent_ns[(quota->oldest + quota->size - 1) % quota->size];
}

/* The user's, made when it is not there; what says nothing any more is taken out on the way. */
static struct quota *quota_of(struct mails *mails, const char *user, size_t size, int64_t before_ns)
{
  struct quota *found = NULL;
  for (struct quota **at = &mails->quotas, *quota; (quota = *at);) {
    if (strcmp(quota->user, user) == 0 && quota->size == size) {
      found = quota;
    } else if (!quota->held && newest(quota) <= before_ns) {
      *at = quota->next;
      quota_free(quota);
      continue;
    }
    at = &quota->next;
  }
  if (found)
    return found;
  found = calloc(1, sizeof *found);
  if (!found)
    return NULL;
  found->user = strdup(user);
  found->sent_ns = calloc(size, sizeof *found->sent_ns);
  found->size = size;
  if (!found->user || !found->sent_ns) {
    quota_free(found);
    return NULL;
  }
  found->next = mails->quotas;
  mails->quotas = found;
  return found;
}

static bool may_send(const struct quota *quota, int64_t before_ns)
{
  return quota->sent_ns[quota->oldest] <= before_ns;
}

static void sends(struct quota *quota, int64_t now_ns)
{
  quota->sent_ns[quota->oldest] = now_ns;
  quota->oldest = (quota->oldest + 1) % quota->size;
}

/* ---- on the way ---------------------------------------------------------------------------------- */

static void mail_free(struct mail *mail)
{
  free(mail->user);
  mu_buf_free(&mail->subject);
  mu_buf_free(&mail->text);
  free(mail);
}

static void drop(struct mail *mail)
{
  struct mails *mails = mail->alerting->mails;
  *mail->at = mail->next;
  if (mail->next)
    mail->next->at = mail->at;
  else
    mails->end = mail->at;
  mails->count--;
  mail_free(mail);
}

static struct mail *mail_new(struct alerting *alerting, const char *user)
{
  struct mail *mail = alerting->mails->count < NOTICES_MAX ? calloc(1, sizeof *mail) : NULL;
  if (mail) {
    mail->alerting = alerting;
    mail->user = strdup(user);
  }
  return mail;
}

/* Takes the mail; NULL is none. */
static void queue(struct alerting *alerting, struct mail *mail)
{
  struct mails *mails = alerting->mails;
  if (!mail || !mail->user || mail->subject.failed || mail->text.failed) {
    mu_count(mails->failed, 1);
    if (mail)
      mail_free(mail);
    return;
  }
  mail->at = mails->end;
  *mails->end = mail;
  mails->end = &mail->next;
  mails->count++;
}

static void give_up(struct mail *mail)
{
  mu_count(mail->alerting->mails->failed, 1);
  drop(mail);
}

static void give_up_or_wait(struct mail *mail, const char *reason, int status)
{
  mu_log_limited(mail->alerting->relay->in, MU_LOG_WARN, "mail", "the mail server did not take a mail: %s (status %d)",
                 reason, status);
  if (status >= 500 || mail->tries >= NOTICE_TRIES)
    give_up(mail); /* 500 and more is the server's word that trying again is no use */
  else
    mail->due_ns = mu_mono_ns() + notice_pause_ns(mail->tries);
}

static void told(void *context, const struct mu_fetch_answer *answer)
{
  struct mail *mail = context;
  struct alerting *alerting = mail->alerting;
  alerting->mails->flying--;
  if (answer->error != 0 || answer->status < 200 || answer->status > 299) {
    give_up_or_wait(mail, answer->error ? answer->reason : "refused", answer->status);
    return;
  }
  mu_count(alerting->mails->sent, 1);
  const struct mu_value values[] = {mu_value_text(mail->alert)};
  if (mail->alert[0])
    relay_write(alerting->relay, (struct mu_sql){.text = "UPDATE alert_history SET email_sent = 1 WHERE id = ?"},
                values, 1, MU_ANY_ROWS, NULL, NULL);
  drop(mail);
}

static int hand_over(struct mail *mail, struct mu_str address)
{
  struct alerting *alerting = mail->alerting;
  const struct mail_config *config = &alerting->relay->config->alerts.mail;
  struct mails *mails = alerting->mails;
  if (!mails->fetcher)
    mails->fetcher = mu_fetcher_new(
        alerting->relay->in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options),
                                                          .tls_ca_file = config->ca_file[0] ? config->ca_file : NULL,
                                                          .connect_ms = CONNECT_MS,
                                                          .total_ms = TOTAL_MS});
  char *to = strndup(address.len ? address.at : "", address.len);
  int error = MU_ENOMEM;
  if (mails->fetcher && to)
    error = mu_mail(mails->fetcher,
                    &(struct mu_mail_message){.size = sizeof(struct mu_mail_message),
                                              .server = config->server,
                                              .starttls = config->starttls,
                                              .user = config->user,
                                              .password = config->password,
                                              .from = config->from,
                                              .from_name = config->from_name,
                                              .to = (const char *const[]){to},
                                              .to_count = 1,
                                              .subject = mail->subject.at,
                                              .text = {mail->text.at, mail->text.len}},
                    told, mail, NULL);
  free(to);
  return error;
}

/* The address, as it is now; of somebody who is banned there is none. */
static void found(void *context, const struct mu_result *result)
{
  struct mail *mail = context;
  struct mails *mails = mail->alerting->mails;
  int error = result->error;
  if (error == 0 && (result->rows == 0 || !mail->alerting->relay->config->alerts.mail.server[0])) {
    mails->flying--;
    give_up(mail);
    return;
  }
  if (error == 0)
    error = hand_over(mail, mu_result_at(result, 0, 0)->text);
  if (error == 0)
    return;
  mails->flying--;
  if (error == MU_EINVAL) {
    mu_log_limited(mail->alerting->relay->in, MU_LOG_WARN, "mail address",
                   "a mail was not sent: the user's address, the server's or a text cannot be used");
    give_up(mail);
  } else {
    give_up_or_wait(mail, mu_strerror(error), 0);
  }
}

static void send(struct mail *mail)
{
  mail->tries++;
  mail->due_ns = INT64_MAX;
  mail->alerting->mails->flying++;
  const struct mu_value values[] = {mu_value_text(mail->user)};
  int error = relay_read(
      mail->alerting->relay,
      (struct mu_sql){.text = "SELECT email FROM users WHERE id = ? AND is_active <> 0 AND banned_at IS NULL LIMIT 1"},
      values, 1, found, mail);
  if (error == 0)
    return;
  mail->alerting->mails->flying--;
  give_up_or_wait(mail, mu_strerror(error), 0);
}

void mails_add(struct alerting *alerting, const struct hit *hit)
{
  const struct mail_config *config = &alerting->relay->config->alerts.mail;
  if (!config->server[0])
    return;
  int64_t now_ns = mu_mono_ns(), before_ns = now_ns - config->period * 1000000000;
  /* 0 stands for "never": the monotonic clock begins when the machine does. */
  struct quota *quota =
      quota_of(alerting->mails, hit->rule.user, (size_t)config->per_user, before_ns > 0 ? before_ns : 0);
  if (!quota) {
    mu_count(alerting->mails->failed, 1);
    return;
  }
  alerts_wake(alerting);
  before_ns = before_ns > 0 ? before_ns : 0;
  if (quota->held || !may_send(quota, before_ns)) {
    add_to_summary(quota, hit);
    return;
  }
  sends(quota, now_ns);
  struct mail *mail = mail_new(alerting, hit->rule.user);
  if (mail) {
    memcpy(mail->alert, hit->id, sizeof hit->id);
    write_alert(alerting, hit, !may_send(quota, before_ns), mail);
  }
  queue(alerting, mail);
}

bool mails_tick(struct alerting *alerting, int64_t now_ns)
{
  struct mails *mails = alerting->mails;
  int64_t before_ns = now_ns - alerting->relay->config->alerts.mail.period * 1000000000;
  bool waits = false;
  for (struct quota *quota = mails->quotas; quota; quota = quota->next) {
    if (quota->held && may_send(quota, before_ns > 0 ? before_ns : 0)) {
      sends(quota, now_ns);
      struct mail *mail = mail_new(alerting, quota->user);
      if (mail)
        write_summary(quota, mail);
      queue(alerting, mail);
    }
    waits = waits || quota->held;
  }
  struct mail *next;
  for (struct mail *mail = mails->first; mail; mail = next) {
    next = mail->next;
    if (mail->due_ns <= now_ns && mails->flying < AT_ONCE)
      send(mail);
  }
  return waits || mails->first;
}

/* ---- life ---------------------------------------------------------------------------------------- */

int mails_init(struct alerting *alerting)
{
  struct mails *mails = calloc(1, sizeof *mails);
  alerting->mails = mails;
  if (!mails)
    return MU_ENOMEM;
  mails->end = &mails->first;
  mails->sent = mu_counter_get(alerting->relay->in, "mails");
  mails->failed = mu_counter_get(alerting->relay->in, "mails_failed");
  return 0;
}

void mails_fini(struct alerting *alerting)
{
  struct mails *mails = alerting->mails;
  if (!mails)
    return;
  while (mails->first)
    drop(mails->first); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
  while (mails->quotas) {
    struct quota *quota = mails->quotas;
    mails->quotas = quota->next;
    quota_free(quota);
  }
  free(mails);
  alerting->mails = NULL;
}
