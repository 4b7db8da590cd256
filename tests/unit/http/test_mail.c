/* SPDX-License-Identifier: ISC */
/* mu_mail() against a mail server (mail_server.py), and against servers that fall silent. */
#include <signal.h>

#include "child.h"

static struct child child;
static struct {
  unsigned good, after_text, after_all, silent, closed; /* ports */
  unsigned mails;
} server;

/* The next mail that the server took. */
static const char *next_mail(void)
{
  static char text[64 * 1024];
  char path[128];
  snprintf(path, sizeof path, "%s/%u.eml", child.folder, server.mails++);
  FILE *file = fopen(path, "r");
  text[file ? fread(text, 1, sizeof text - 1, file) : 0] = '\0';
  if (file)
    fclose(file);
  return text;
}

static void setup(void)
{
  begin(2);
}

struct result {
  unsigned calls;
  int error, status;
  bool done;
  mu_fetcher *frees;
};

static void took(void *context, const struct mu_fetch_answer *answer)
{
  struct result *result = context;
  result->calls++;
  result->error = answer->error;
  result->status = answer->status;
  result->done = true;
  CU_ASSERT_EQUAL(answer->error != 0, answer->reason[0] != '\0');
  CU_ASSERT_PTR_NULL(strstr(answer->reason, "127.0.0.1"));
  mu_fetcher_free(result->frees);
}

static const char *const one[] = {"b@example.org"};

static struct mu_mail_message message(unsigned port)
{
  static char url[64];
  snprintf(url, sizeof url, "smtp://127.0.0.1:%u", port);
  return (struct mu_mail_message){.size = sizeof(struct mu_mail_message),
                                  .server = url,
                                  .from = "a@example.org",
                                  .to = one,
                                  .to_count = 1,
                                  .subject = "hello",
                                  .text = MU_STR("text\n")};
}

static mu_fetcher *fetcher_new(unsigned total_ms)
{
  mu_fetcher *fetcher = mu_fetcher_new(
      in, &(struct mu_fetcher_options){.size = sizeof(struct mu_fetcher_options), .total_ms = total_ms, .waiting = 3});
  CU_ASSERT_PTR_NOT_NULL_FATAL(fetcher);
  return fetcher;
}

static struct result mail(mu_fetcher *fetcher, struct mu_mail_message given)
{
  struct result result = {0};
  CU_ASSERT_EQUAL_FATAL(mu_mail(fetcher, &given, took, &result, NULL), 0);
  CU_ASSERT_FALSE(result.done);
  CU_ASSERT(mui_loop_until(runtime.loop, &result.done, 15000));
  CU_ASSERT_EQUAL(result.calls, 1);
  return result;
}

static void taken(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new(0);
  struct mu_mail_message given = message(server.good);
  const char *const two[] = {"b@example.org", "c@example.org"};
  given.to = two;
  given.to_count = 2;
  given.from_name = "Größe, (x)";
  given.text = MU_STR(".\n..two\r\nend \nBcc: nobody\n=3D\r x\n\xc3\xa4");
  struct result result = mail(fetcher, given);
  CU_ASSERT_EQUAL(result.error, 0);
  CU_ASSERT_EQUAL(result.status, 250);
  const char *text = next_mail();
  CU_ASSERT_EQUAL(strncmp(text, "a@example.org -> b@example.org c@example.org\n", 44), 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\nFrom: =?UTF-8?Q?Gr=C3=B6=C3=9Fe=2C_=28x=29?=\r\n <a@example.org>\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\nTo: b@example.org,\r\n c@example.org\r\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "\r\n\r\n=2E\r\n=2E.two\r\nend=20\r\nBcc: nobody\r\n=3D3D=0D x\r\n=C3=A4\r\n"));

  /* All of them or none. */
  const char *const mixed[] = {"b@example.org", "unknown@example.org"};
  given.to = mixed;
  result = mail(fetcher, given);
  CU_ASSERT_EQUAL(result.error, 0);
  CU_ASSERT_EQUAL(result.status, 550);
  CU_ASSERT_STRING_EQUAL(next_mail(), "");
  server.mails--;
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  mu_fetcher_free(fetcher);
  teardown();
}

/* The longest texts that are allowed, in every alignment of lines and encoded words. */
static void lines(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new(0);
  static char subject[1001], body[4000];
  for (size_t shift = 0; shift < 12; shift++) {
    memset(subject, 'x', shift);
    for (size_t i = shift; i + 4 <= 1000; i += 4)
      memcpy(subject + i, "\xf0\x9f\x94\xa5", 5);
    memset(body, shift % 2 ? '.' : ' ', sizeof body);
    memset(body, 'y', shift);
    struct mu_mail_message given = message(server.good);
    given.subject = subject;
    given.text = (struct mu_str){body, sizeof body};
    CU_ASSERT_EQUAL(mail(fetcher, given).status, 250);
    size_t longest = 0;
    for (const char *line = next_mail(); *line; line += strcspn(line, "\n") + 1) {
      size_t len = strcspn(line, "\n");
      longest = len > longest ? len : longest;
      CU_ASSERT(len < 2 || line[len - 2] != ' ' || line[len - 1] != '\r');
      CU_ASSERT_NOT_EQUAL(line[0], '.');
    }
    CU_ASSERT(longest > 70);
    CU_ASSERT(longest <= 77); /* 76 and CR */
  }
  mu_fetcher_free(fetcher);
  teardown();
}

static void refusals(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new(0);
  struct result result = {0};
  static const char *const servers[] = {NULL,
                                        "",
                                        "127.0.0.1",
                                        "smtp://",
                                        "smtp://:25",
                                        "http://127.0.0.1",
                                        "smtp://u:p@127.0.0.1",
                                        "smtp://127.0.0.1/x",
                                        "smtp://127.0.0.1\r\nX",
                                        "smtp://a b",
                                        "smtp://127.0.0.1:99999",
                                        "smtp://127.0.0.1?x"};
  static const char *const addresses[] = {
      NULL,      "",      "a",          "@b",         "a@",      "a b@c", "<a@b>", "a@b>", "a@b\r\nRCPT TO:<c@d>",
      "a@b,c@d", "a@b@c", "\xc3\xa4@b", "a@\xc3\xa4", "\"a\"@b", "-a@b",  "a@-b"};
  static const char *const texts[] = {"a\r\nBcc: b@c", "a\nb", "a\rb", "\x1b[31m", "\xff", "\xc3"};
  for (size_t i = 0; i < MU_COUNT(servers); i++) {
    struct mu_mail_message given = message(server.good);
    given.server = servers[i];
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  }
  for (size_t i = 0; i < MU_COUNT(addresses); i++) {
    struct mu_mail_message given = message(server.good);
    given.from = addresses[i];
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
    given = message(server.good);
    given.to = &addresses[i];
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  }
  for (size_t i = 0; i < MU_COUNT(texts); i++) {
    struct mu_mail_message given = message(server.good);
    given.subject = texts[i];
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
    given = message(server.good);
    given.from_name = texts[i];
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  }
  struct mu_mail_message given = message(server.good);
  given.user = "u\r\nx";
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  given = message(server.good);
  given.text = MU_STR("\xff");
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  given = message(server.good);
  given.to_count = 0;
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &result, NULL), MU_EINVAL);
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 0);
  CU_ASSERT_EQUAL(result.calls, 0);
  mu_fetcher_free(fetcher);
  teardown();
}

static void failures(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new(1000);
  CU_ASSERT_EQUAL(mail(fetcher, message(server.closed)).error, MU_EUNAVAILABLE);
  CU_ASSERT_EQUAL(mail(fetcher, message(server.silent)).error, MU_ETIMEOUT);
  CU_ASSERT_EQUAL(mail(fetcher, message(server.after_text)).error, MU_ETIMEOUT);
  struct result result = mail(fetcher, message(server.after_all)); /* taken is taken, or it would be sent twice */
  CU_ASSERT_EQUAL(result.error, 0);
  CU_ASSERT_EQUAL(result.status, 250);
  struct mu_mail_message given = message(server.good);
  given.starttls = true; /* which it does not have */
  CU_ASSERT_EQUAL(mail(fetcher, given).error, MU_EREFUSED);
  mu_fetcher_free(fetcher);
  teardown();
}

/* One at a time, in order; the loop goes on while a server is silent; what is cancelled or freed ends at once. */
static void queue(void)
{
  setup();
  mu_fetcher *fetcher = fetcher_new(60000);
  struct result first = {0}, others[4] = {0};
  struct mu_mail_message given = message(server.after_text);
  mu_fetch_id id, waiting;
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &first, &id), 0);
  given = message(server.good);
  for (size_t i = 0; i < 3; i++)
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &others[i], &waiting), 0);
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &others[3], NULL), MU_ELIMIT);
  CU_ASSERT_EQUAL(mu_fetch_count(fetcher), 4);
  bool never = false;
  int64_t began = mu_mono_ns();
  mui_loop_until(runtime.loop, &never, 300);
  CU_ASSERT(mu_mono_ns() - began < 2000000000);
  CU_ASSERT_FALSE(others[0].done);
  mu_fetch_cancel(fetcher, waiting);
  mu_fetch_cancel(fetcher, id);
  CU_ASSERT(mui_loop_until(runtime.loop, &others[1].done, 10000)); /* long before the silent one's time is over */
  CU_ASSERT(others[0].done);
  CU_ASSERT_EQUAL(others[1].status, 250);
  CU_ASSERT_EQUAL(first.calls + others[2].calls, 0);
  server.mails += 2;

  /* Freed within a callback, while others wait. */
  others[0] = (struct result){.frees = fetcher};
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &others[0], NULL), 0);
  CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &others[2], NULL), 0);
  CU_ASSERT(mui_loop_until(runtime.loop, &others[0].done, 10000));
  server.mails++;

  /* Freed while one is on its way; and the instance stops then. */
  for (int stops = 0; stops < 2; stops++) {
    fetcher = fetcher_new(60000);
    given = message(stops ? server.after_text : server.silent);
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &first, NULL), 0);
    CU_ASSERT_EQUAL(mu_mail(fetcher, &given, took, &others[2], NULL), 0);
    mui_loop_until(runtime.loop, &never, 300);
    began = mu_mono_ns();
    if (!stops)
      mu_fetcher_free(fetcher);
  }
  mui_instance_revoke(in);
  mui_loop_until(runtime.loop, &never, 1000);
  CU_ASSERT_EQUAL(first.calls + others[2].calls, 0);
  teardown(); /* nobody is stuck */
  CU_ASSERT(mu_mono_ns() - began < 5000000000);
}

static const struct unit_test tests[] = {
    {"taken and refused", taken}, {"long lines", lines}, {"refused before they are sent", refusals},
    {"failures", failures},       {"queue", queue},
};

int main(void)
{
  signal(SIGPIPE, SIG_IGN);
  unsigned *const ports[CHILD_PORTS] = {&server.good, &server.after_text, &server.after_all, &server.silent,
                                        &server.closed};
  if (!child_run(&child, "mail_server.py", ports))
    return 1;
  int status = unit_main("mail", tests, MU_COUNT(tests));
  child_end(&child);
  return status;
}
