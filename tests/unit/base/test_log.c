/* SPDX-License-Identifier: ISC */
/* Promises of the log, the counters, the resources and the account of an instance. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logging.h"
#include "unit.h"

static char lines[8][4096];
static unsigned line_count;
static int64_t mono, wall = 1795248712123;

static int64_t fake_mono(void)
{
  return mono;
}
static int64_t fake_wall(void)
{
  return wall;
}

static void keep(void *context, enum mu_level level, const char *line)
{
  (void)context, (void)level;
  if (line_count < MU_COUNT(lines))
    snprintf(lines[line_count], sizeof lines[0], "%s", line);
  line_count++;
}

static mu_instance *begin(void)
{
  line_count = 0;
  mui_log_sink(keep, NULL);
  mui_clock_inject(fake_wall, fake_mono);
  return mui_instance_new(NULL, "unit", "unit");
}

static void end(mu_instance *in)
{
  mui_instance_free(in);
  mui_log_sink(NULL, NULL);
  mui_clock_inject(NULL, NULL);
}

static void text_from_outside_cannot_forge_lines(void)
{
  mu_instance *in = begin();
  mu_log(in, MU_LOG_WARN, "id %s",
         "a\r\nb\x1b[31mc\x7f\xc2\x9b"
         "d\xff\xe2\x82\xac\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xd8\x9b");
  CU_ASSERT_STRING_EQUAL(lines[0], "2026-11-21T08:11:52.123Z warning: unit: id "
                                   "a\\x0d\\x0ab\\x1b[31mc\\x7f\\x9bd\\xff\xe2\x82\xac\\u202e\\u2066\\u061c\xd8\x9b");
  char longer[6000];
  memset(longer, '\x01', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  mu_log(in, MU_LOG_INFO, "%s", longer);
  CU_ASSERT(strlen(lines[1]) < 2048);
  mu_log(in, MU_LOG_DEBUG, "not written by default");
  CU_ASSERT_EQUAL(line_count, 2);
  end(in);
}

static void limited_lines_come_once_a_second_per_topic(void)
{
  mu_instance *in = begin();
  mono = 5000000000;
  for (int i = 0; i < 100; i++)
    mu_log_limited(in, MU_LOG_WARN, "bad", "bad %d", i);
  mu_log_limited(in, MU_LOG_WARN, "worse", "worse");
  CU_ASSERT_EQUAL(line_count, 2);
  mono += 1000000000;
  mu_log_limited(in, MU_LOG_WARN, "bad", "again");
  CU_ASSERT_EQUAL(line_count, 3);
  CU_ASSERT_PTR_NOT_NULL(strstr(lines[2], "again (99 more left out)"));
  end(in);
}

static void counters_are_found_by_name(void)
{
  mu_instance *in = begin();
  mu_count(mu_counter_get(in, "refused"), 2);
  mu_count(mu_counter_get(in, "refused"), 3);
  mu_count(NULL, 1);
  CU_ASSERT_EQUAL(mu_counter_value(mu_counter_get(in, "refused")), 5);
  size_t position = 0;
  const char *name = NULL;
  CU_ASSERT_PTR_NOT_NULL(mui_counter_next(in, &position, &name));
  CU_ASSERT_STRING_EQUAL(name, "refused");
  CU_ASSERT_PTR_NULL(mui_counter_next(in, &position, &name));
  end(in);
}

struct thing {
  struct mui_resource resource;
  int number;
};
static int revoked[4];
static unsigned revoked_count;

static void forget_it(struct mui_resource *resource)
{
  mui_resource_del(resource);
  revoked[revoked_count++] = ((struct thing *)resource)->number;
}

static void resources_are_revoked_newest_first(void)
{
  mu_instance *in = begin();
  struct thing things[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
  for (int i = 0; i < 4; i++)
    mui_resource_add(in, &things[i].resource, forget_it);
  mui_resource_del(&things[1].resource);
  mui_resource_del(&things[1].resource);
  mui_instance_revoke(in);
  CU_ASSERT_EQUAL(revoked_count, 3);
  CU_ASSERT(revoked[0] == 3 && revoked[1] == 2 && revoked[2] == 0);
  CU_ASSERT_TRUE(in->closed);
  end(in);
}

static void accounts_know_calls_errors_and_percentiles(void)
{
  mu_instance *in = begin();
  struct mui_account_row row;
  CU_ASSERT_FALSE(mui_account_read(in, MUI_CB_TIMER, &row));
  for (int i = 1; i <= 1000; i++)
    mui_call_book(in, MUI_CB_TIMER, i <= 985 ? 1000 : 1000000, i % 100 == 0 ? MU_EIO : 0);
  CU_ASSERT_TRUE(mui_account_read(in, MUI_CB_TIMER, &row));
  CU_ASSERT_EQUAL(row.calls, 1000);
  CU_ASSERT_EQUAL(row.errors, 10);
  CU_ASSERT_EQUAL(row.max_ns, 1000000);
  CU_ASSERT(row.p99_ns > 900000 && row.p99_ns <= 1000000);
  CU_ASSERT_EQUAL(row.total_ns, 985 * 1000 + 15 * 1000000);
  mui_call_book(in, MUI_CB_FD, INT64_MAX / 4, 0);
  CU_ASSERT_TRUE(mui_account_read(in, MUI_CB_FD, &row));
  CU_ASSERT(row.p99_ns > 0);
  end(in);
}

static void the_current_call_is_seen_and_nests(void)
{
  mu_instance *in = begin();
  struct mui_current now;
  CU_ASSERT_FALSE(mui_call_current(&now));
  struct mui_call outer, inner;
  mono = 7;
  mui_call_begin(&outer, in, MUI_CB_TIMER);
  mono = 9;
  mui_call_begin(&inner, in, MUI_CB_EVENT);
  CU_ASSERT_TRUE(mui_call_current(&now));
  CU_ASSERT_STRING_EQUAL(now.instance, "unit");
  CU_ASSERT_STRING_EQUAL(now.callback, "event");
  CU_ASSERT_EQUAL(now.began_ns, 9);
  mui_call_end(&inner, 0);
  CU_ASSERT_TRUE(mui_call_current(&now));
  CU_ASSERT_STRING_EQUAL(now.callback, "timer");
  CU_ASSERT_EQUAL(now.began_ns, 7);
  mui_call_end(&outer, 0);
  CU_ASSERT_FALSE(mui_call_current(&now));
  end(in);
}

/* What is on standard error meanwhile; "" when nothing. */
static void captured(void (*fn)(mu_instance *in), char *out, size_t size)
{
  mu_instance *in = mui_instance_new(NULL, "unit", "unit");
  FILE *file = tmpfile();
  fflush(stderr);
  int before = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  fn(in);
  dup2(before, STDERR_FILENO);
  close(before);
  rewind(file);
  out[fread(out, 1, size - 1, file)] = '\0';
  fclose(file);
  mui_instance_free(in);
}

static void say_held(mu_instance *in)
{
  mui_log_hold(true);
  mu_log(in, MU_LOG_INFO, "one");
  mu_log(in, MU_LOG_INFO, "two");
}

static void let_go(mu_instance *in)
{
  mui_log_hold(false);
  mu_log(in, MU_LOG_INFO, "three");
}

static void say_too_much(mu_instance *in)
{
  char longer[1000] = "";
  memset(longer, 'x', sizeof longer - 1);
  mui_log_hold(true);
  for (int i = 0; i < 100; i++)
    mu_log(in, MU_LOG_INFO, "%s", longer);
  mui_log_hold(false);
}

static void lines_wait_while_somebody_types(void)
{
  static char out[256 * 1024];
  captured(say_held, out, sizeof out);
  CU_ASSERT_STRING_EQUAL(out, "");
  captured(let_go, out, sizeof out);
  const char *one = strstr(out, ": one\n"), *two = strstr(out, ": two\n"), *three = strstr(out, ": three\n");
  CU_ASSERT(one && two && three && one < two && two < three);
  captured(say_too_much, out, sizeof out);
  CU_ASSERT(strlen(out) < 66 * 1024 && strlen(out) > 60 * 1024);
  CU_ASSERT_PTR_NOT_NULL(strstr(out, "log lines were left out meanwhile)\n"));
  captured(let_go, out, sizeof out); /* nothing is left of before */
  CU_ASSERT_PTR_NULL(strstr(out, "xxx"));
  CU_ASSERT_PTR_NULL(strstr(out, "left out"));
}

static void say_each(mu_instance *in)
{
  char name[64];
  struct stat is;
  fstat(STDERR_FILENO, &is);
  snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)is.st_dev, (unsigned long long)is.st_ino + 1);
  const char *not_ours[] = {NULL, "", "8", "x:y", name};
  for (size_t i = 0; i < MU_COUNT(not_ours); i++) {
    mui_log_journal(not_ours[i]);
    mu_log(in, MU_LOG_ERROR, "as ever");
  }
  snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)is.st_dev, (unsigned long long)is.st_ino);
  mui_log_journal(name);
  mu_log(in, MU_LOG_INFO, "fine");
  mu_log(in, MU_LOG_WARN, "odd");
  mu_log(in, MU_LOG_ERROR, "bad\n<0>worse");
  mui_log_journal(NULL);
}

static void a_journal_is_told_priorities(void)
{
  char out[4096], *at = out, *line;
  captured(say_each, out, sizeof out);
  for (int i = 0; i < 5; i++) {
    CU_ASSERT_PTR_NOT_NULL_FATAL(line = strsep(&at, "\n"));
    CU_ASSERT(line[0] == '2' && strstr(line, "error: ")); /* the year */
  }
  static const char *const begins[] = {"<6>2", "<4>2", "<3>2"};
  for (size_t i = 0; i < MU_COUNT(begins); i++) {
    CU_ASSERT_PTR_NOT_NULL_FATAL(line = strsep(&at, "\n"));
    CU_ASSERT(strncmp(line, begins[i], 4) == 0);
  }
  CU_ASSERT(at && *at == '\0'); /* and no line was forged */
}

static const struct unit_test tests[] = {
    {"a journal is told priorities", a_journal_is_told_priorities},
    {"lines wait while somebody types", lines_wait_while_somebody_types},
    {"text from outside cannot forge lines", text_from_outside_cannot_forge_lines},
    {"limited lines come once a second per topic", limited_lines_come_once_a_second_per_topic},
    {"counters are found by name", counters_are_found_by_name},
    {"resources are revoked newest first", resources_are_revoked_newest_first},
    {"accounts know calls, errors and percentiles", accounts_know_calls_errors_and_percentiles},
    {"the current call is seen and nests", the_current_call_is_seen_and_nests},
};
UNIT_MAIN("log and instances", tests)
