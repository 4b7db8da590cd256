/* SPDX-License-Identifier: ISC */
/* A mail as it goes over the wire: RFC 5322, names as RFC 2047 encoded words, the text quoted-printable. Nobody's text makes a header. */
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "http/internal.h"

enum {
  QUOTED_LINE = 76, /* of what is encoded */
  TO_MAX = 100,     /* addresses */
  TITLE_MAX = 1000, /* bytes of a subject or a name */
  ADDRESS_MAX = 254,
};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

bool mui_mail_address_ok(const char *address)
{
  const char *at = address ? strchr(address, '@') : NULL;
  if (!at || strlen(address) > ADDRESS_MAX)
    return false;
  size_t local = (size_t)(at - address), domain = strlen(at + 1);
  return local > 0 && local <= 64 && strspn(address, LETTERS DIGITS "!#$%&'*+-/=?^_`{|}~.") == local && domain > 0 &&
         strspn(at + 1, LETTERS DIGITS "-.") == domain && address[0] != '-' && at[1] != '-' && at[1] != '.';
}

/* One line of UTF-8. */
static bool name_ok(const char *text)
{
  size_t len = strlen(text);
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
      return false;
  return len <= TITLE_MAX && mui_utf8_valid(text, len);
}

static void add_hex(struct mu_buf *out, char byte)
{
  static const char hex[] = "0123456789ABCDEF";
  const char text[3] = {'=', hex[(unsigned char)byte >> 4], hex[(unsigned char)byte & 15]};
  mu_buf_add(out, text, 3);
}

/* Encoded words of whole characters, folded; ASCII without anything that a reader might take for more stays as it is. */
static void add_words(struct mu_buf *out, const char *text)
{
  static const char begin[] = "=?UTF-8?Q?", safe[] = LETTERS DIGITS "!*+-/";
  size_t len = strlen(text);
  if (len <= 60 && strspn(text, LETTERS DIGITS " !*+-/'#%&_{}|~^$") == len && text[0] != ' ' && text[len - 1] != ' ') {
    mu_buf_adds(out, text);
    return;
  }
  size_t width = 0;
  for (size_t i = 0, step; i < len; i += step) {
    step = mui_utf8_step(text + i, len - i);
    bool plain = text[i] == ' ' || strchr(safe, text[i]);
    size_t needs = plain ? 1 : step * 3;
    if (width == 0 || width + needs + 2 > QUOTED_LINE - 16) { /* room for "Subject: " */
      mu_buf_adds(out, width ? "?=\r\n " : "");
      mu_buf_adds(out, begin);
      width = sizeof begin - 1;
    }
    width += needs;
    for (size_t j = 0; j < step; j++)
      if (!plain)
        add_hex(out, text[i + j]);
      else
        mu_buf_add(out, text[i] == ' ' ? "_" : text + i, 1);
  }
  mu_buf_adds(out, "?=");
}

/* RFC 2045, 6.7: lines of at most 76, none that begins with a full stop or ends with a space. */
static void add_quoted(struct mu_buf *out, struct mu_str text)
{
  size_t width = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.at[i], next = i + 1 < text.len ? text.at[i + 1] : '\n';
    if (c == '\n' || (c == '\r' && next == '\n')) {
      i += c == '\r' && i + 1 < text.len;
      mu_buf_adds(out, "\r\n");
      width = 0;
      continue;
    }
    bool ends = next == '\n' || (next == '\r' && i + 2 < text.len && text.at[i + 2] == '\n');
    bool plain = (c > ' ' && c < 0x7f && c != '=' && !(c == '.' && width == 0)) || (c == ' ' && !ends);
    if (width + (plain ? 1 : 3) > QUOTED_LINE - 1) {
      mu_buf_adds(out, "=\r\n");
      width = 0;
      plain = plain && c != '.';
    }
    if (plain)
      mu_buf_add(out, &c, 1);
    else
      add_hex(out, c);
    width += plain ? 1 : 3;
  }
  if (width)
    mu_buf_adds(out, "\r\n");
}

/* strftime's names are English in the C locale, which the programs never leave. */
static void add_date(struct mu_buf *out, int64_t now_ms)
{
  time_t seconds = (time_t)(now_ms / 1000);
  struct tm tm;
  char text[64];
  if (gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &tm) > 0)
    mu_buf_printf(out, "Date: %s\r\n", text);
}

static bool message_ok(const struct mu_mail_message *message)
{
  if (!mui_mail_address_ok(message->from) || !message->to || message->to_count < 1 || message->to_count > TO_MAX ||
      !message->subject || !name_ok(message->subject) || (message->from_name && !name_ok(message->from_name)))
    return false;
  for (size_t i = 0; i < message->to_count; i++)
    if (!mui_mail_address_ok(message->to[i]))
      return false;
  return message->text.len == 0 || mui_utf8_valid(message->text.at, message->text.len);
}

int mui_mail_write(const struct mu_mail_message *message, int64_t now_ms, struct mu_buf *out)
{
  unsigned char random[16];
  if (!message_ok(message))
    return MU_EINVAL;
  if (mu_random(random, sizeof random) != 0)
    return MU_EIO;
  add_date(out, now_ms);
  mu_buf_adds(out, "Message-ID: <");
  for (size_t i = 0; i < sizeof random; i++)
    mu_buf_printf(out, "%02x", random[i]);
  mu_buf_printf(out, "%s>\r\nFrom: ", strchr(message->from, '@'));
  bool named = message->from_name && message->from_name[0];
  if (named)
    add_words(out, message->from_name);
  mu_buf_printf(out, named ? "\r\n <%s>\r\n" : "%s\r\n", message->from);
  for (size_t i = 0; i < message->to_count; i++)
    mu_buf_printf(out, "%s%s", i ? ",\r\n " : "To: ", message->to[i]);
  mu_buf_adds(out, "\r\nSubject: ");
  if (message->subject[0])
    add_words(out, message->subject);
  mu_buf_adds(out, "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
  add_quoted(out, message->text);
  return out->failed ? MU_ENOMEM : 0;
}
