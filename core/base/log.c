/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/logging.h"
#include "base/utf8.h"

enum { LINE_MAX_BYTES = 2048, TOPICS_MAX = 64, HELD_MAX = 64 * 1024 };

static _Atomic int lowest = MU_LOG_INFO;
static _Atomic bool holding, marking;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mu_buf held; /* whole lines */
static uint64_t held_lost;
static void (*sink_fn)(void *context, enum mu_level level, const char *line);
static void *sink_context;

void mui_log_level(enum mu_level level)
{
  atomic_store(&lowest, (int)level);
}

void mui_log_sink(void (*sink)(void *context, enum mu_level level, const char *line), void *context)
{
  sink_fn = sink;
  sink_context = context;
}

void mui_log_journal(const char *stream)
{
  unsigned long long device, inode;
  struct stat is;
  atomic_store(&marking, stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                             fstat(STDERR_FILENO, &is) == 0 && is.st_dev == device && is.st_ino == inode);
}

const char *mui_log_mark(enum mu_level level)
{
  static const char *const marks[] = {"<7>", "<6>", "<4>", "<3>"}; /* sd-daemon(3) */
  return atomic_load_explicit(&marking, memory_order_relaxed) ? marks[level] : "";
}

bool mu_log_enabled(enum mu_level level)
{
  return (int)level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* Marks that turn the direction of a text or end its line: U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. 0: none. */
static unsigned reorders(const unsigned char *s, size_t step)
{
  unsigned point = step == 2   ? (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu)
                   : step == 3 ? (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu)
                               : 0;
  bool does = point == 0x061c || point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
              (point >= 0x2066 && point <= 0x2069);
  return does ? point : 0;
}

size_t mui_log_escape(char *line, size_t at, size_t room, const char *text)
{
  size_t len = strlen(text);
  for (size_t i = 0; i < len && at + 7 < room;) {
    unsigned char c = (unsigned char)text[i];
    size_t step = mui_utf8_step(text + i, len - i);
    bool c1 = step == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
    unsigned mark = reorders((const unsigned char *)text + i, step);
    if (step == 0 || c < 0x20 || c == 0x7f || c1) {
      at += (size_t)snprintf(line + at, room - at, "\\x%02x", c1 ? (unsigned char)text[i + 1] : c);
      i += c1 ? 2 : 1;
    } else if (mark) {
      at += (size_t)snprintf(line + at, room - at, "\\u%04x", mark);
      i += step;
    } else {
      memcpy(line + at, text + i, step);
      at += step;
      i += step;
    }
  }
  return at;
}

static void write_out(const char *text, size_t len)
{
  while (len > 0) {
    ssize_t written = write(STDERR_FILENO, text, len);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return;
    text += written;
    len -= (size_t)written;
  }
}

/* False: nothing is held (any more). */
static bool hold_line(const char *line, size_t len)
{
  pthread_mutex_lock(&held_lock);
  bool hold = atomic_load(&holding);
  if (hold && held.len + len <= HELD_MAX)
    mu_buf_add(&held, line, len);
  else if (hold)
    held_lost++;
  pthread_mutex_unlock(&held_lock);
  return hold;
}

void mui_log_hold(bool hold)
{
  pthread_mutex_lock(&held_lock);
  atomic_store(&holding, hold);
  if (!hold && held.len > 0)
    write_out(held.at, held.len);
  if (!hold && held_lost > 0) {
    char line[80];
    int len = snprintf(line, sizeof line, "(%llu log lines were left out meanwhile)\n", (unsigned long long)held_lost);
    write_out(line, (size_t)len);
  }
  if (!hold) {
    mu_buf_free(&held);
    held_lost = 0;
  }
  pthread_mutex_unlock(&held_lock);
}

static void write_line(const mu_instance *in, enum mu_level level, const char *text, uint64_t left_out)
{
  static const char *const words[] = {"debug", "info", "warning", "error"};
  char line[LINE_MAX_BYTES];
  int64_t now = mu_now_ms();
  time_t seconds = (time_t)(now / 1000);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  size_t at = sink_fn ? 0 : (size_t)snprintf(line, sizeof line, "%s", mui_log_mark(level));
  at += strftime(line + at, sizeof line - at, "%Y-%m-%dT%H:%M:%S", &tm);
  at += (size_t)snprintf(line + at, sizeof line - at, ".%03dZ %s: %s: ", (int)(now % 1000), words[level],
                         in ? in->name : "muster");
  at = mui_log_escape(line, at, sizeof line - 48, text);
  if (left_out)
    at += (size_t)snprintf(line + at, sizeof line - at, " (%llu more left out)", (unsigned long long)left_out);
  if (sink_fn) {
    line[at] = '\0';
    sink_fn(sink_context, level, line);
    return;
  }
  line[at++] = '\n';
  if (!atomic_load_explicit(&holding, memory_order_relaxed) || !hold_line(line, at))
    write_out(line, at);
}

MU_PRINTF(4, 0)
static void write_format(const mu_instance *in, enum mu_level level, uint64_t left_out, const char *format,
                         va_list args)
{
  char text[LINE_MAX_BYTES];
  if (vsnprintf(text, sizeof text, format, args) >= 0)
    write_line(in, level, text, left_out);
}

void mu_log(const mu_instance *in, enum mu_level level, const char *format, ...)
{
  if (!mu_log_enabled(level))
    return;
  va_list args;
  va_start(args, format);
  write_format(in, level, 0, format, args);
  va_end(args);
}

/* ---- limited lines ---- */

struct topic {
  struct topic *next;
  char *name;
  int64_t next_ns;
  uint64_t left_out;
};

struct mui_log_limits {
  struct topic *topics;
  unsigned count;
};

static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

static struct topic *find_topic(mu_instance *in, const char *name)
{
  if (!in->limits && !(in->limits = calloc(1, sizeof *in->limits)))
    return NULL;
  for (struct topic *topic = in->limits->topics; topic; topic = topic->next)
    if (strcmp(topic->name, name) == 0)
      return topic;
  if (in->limits->count == TOPICS_MAX)
    return in->limits->topics;
  struct topic *topic = calloc(1, sizeof *topic);
  if (!topic || !(topic->name = strdup(name))) {
    free(topic);
    return NULL;
  }
  topic->next = in->limits->topics;
  in->limits->topics = topic;
  in->limits->count++;
  return topic;
}

void mu_log_limited(mu_instance *in, enum mu_level level, const char *name, const char *format, ...)
{
  if (!mu_log_enabled(level))
    return;
  int64_t now = mu_mono_ns();
  uint64_t left_out = 0;
  pthread_mutex_lock(&limits_lock);
  struct topic *topic = find_topic(in, name);
  bool quiet = !topic || now < topic->next_ns;
  if (topic && quiet) {
    topic->left_out++;
  } else if (topic) {
    left_out = topic->left_out;
    topic->left_out = 0;
    topic->next_ns = now + 1000000000;
  }
  pthread_mutex_unlock(&limits_lock);
  if (quiet)
    return;
  va_list args;
  va_start(args, format);
  write_format(in, level, left_out, format, args);
  va_end(args);
}

/* ---- counters ---- */

struct mu_counter {
  struct mu_counter *next;
  char *name;
  _Atomic uint64_t value;
};

struct mui_counters {
  struct mu_counter *list;
};

mu_counter *mu_counter_get(mu_instance *in, const char *name)
{
  pthread_mutex_lock(&limits_lock);
  struct mu_counter *counter = NULL;
  if (!in->counters && !(in->counters = calloc(1, sizeof *in->counters)))
    goto out;
  for (counter = in->counters->list; counter && strcmp(counter->name, name) != 0;)
    counter = counter->next;
  if (counter)
    goto out;
  counter = calloc(1, sizeof *counter);
  if (!counter || !(counter->name = strdup(name))) {
    free(counter);
    counter = NULL;
    goto out;
  }
  counter->next = in->counters->list;
  in->counters->list = counter;
out:
  pthread_mutex_unlock(&limits_lock);
  return counter;
}

void mu_count(mu_counter *counter, uint64_t n)
{
  if (counter)
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

uint64_t mu_counter_value(const mu_counter *counter)
{
  return counter ? atomic_load_explicit(&counter->value, memory_order_relaxed) : 0;
}

mu_counter *mui_counter_next(mu_instance *in, size_t *position, const char **name)
{
  pthread_mutex_lock(&limits_lock);
  struct mu_counter *counter = in->counters ? in->counters->list : NULL;
  for (size_t i = 0; counter && i < *position; i++)
    counter = counter->next;
  pthread_mutex_unlock(&limits_lock);
  if (counter) {
    (*position)++;
    *name = counter->name;
  }
  return counter;
}

void mui_log_forget(mu_instance *in)
{
  while (in->limits && in->limits->topics) {
    struct topic *topic = in->limits->topics;
    in->limits->topics = topic->next;
    free(topic->name);
    free(topic);
  }
  free(in->limits);
  while (in->counters && in->counters->list) {
    struct mu_counter *counter = in->counters->list;
    in->counters->list = counter->next;
    free(counter->name);
    free(counter);
  }
  free(in->counters);
}
