/* SPDX-License-Identifier: ISC */
/* What waits for one reader: order, conflation by key, bounds, gathering into writes. */
#include <stdlib.h>
#include <string.h>

#include "net/ws.h"
#include "unit.h"

static int put(struct mui_queue *queue, uint64_t key, const char *text, bool conflate, size_t max)
{
  mu_text *made = mu_text_new(text, strlen(text));
  int error = mui_queue_put(queue, &(struct mui_waiting){.key = key, .text = made}, conflate, max);
  mu_text_unref(made);
  return error;
}

/* All that waits, as the payloads one after another. */
static void take_all(struct mui_queue *queue, char *out, size_t room)
{
  unsigned char into[256], *at;
  mu_text *held;
  unsigned messages;
  size_t used = 0, len;
  while ((len = mui_queue_take(queue, into, room, &at, &held, &messages)) > 0) {
    CU_ASSERT(messages > 0 && (len <= room || messages == 1));
    for (size_t i = 0; i < len;) { /* short frames only: two bytes and the text */
      CU_ASSERT_EQUAL_FATAL(at[i], 0x81);
      memcpy(out + used, at + i + 2, at[i + 1]);
      used += at[i + 1];
      i += 2u + at[i + 1];
    }
    mu_text_unref(held);
  }
  out[used] = '\0';
  CU_ASSERT_EQUAL(queue->bytes, 0);
}

static void test_order(void)
{
  struct mui_queue queue = {0};
  char out[4096];
  for (int i = 0; i < 26; i++)
    CU_ASSERT_EQUAL(put(&queue, 0, (char[]){(char)('a' + i), 0}, false, 100000), 0);
  take_all(&queue, out, 7);
  CU_ASSERT_STRING_EQUAL(out, "abcdefghijklmnopqrstuvwxyz");
  put(&queue, 0, "longer than the room for one write", false, 100000);
  put(&queue, 0, "!", false, 100000);
  take_all(&queue, out, 7);
  CU_ASSERT_STRING_EQUAL(out, "longer than the room for one write!");
  CU_ASSERT_EQUAL(
      mui_queue_take(&queue, (unsigned char *)out, 10, &(unsigned char *){0}, &(mu_text *){0}, &(unsigned){0}), 0);
  mui_queue_clear(&queue);
}

static void test_limit(void)
{
  struct mui_queue queue = {0};
  char out[4096];
  CU_ASSERT_EQUAL(put(&queue, 0, "one message larger than the limit is let through", false, 10), 0);
  CU_ASSERT_EQUAL(put(&queue, 0, "x", false, 10), MU_ELIMIT);
  take_all(&queue, out, 100);
  CU_ASSERT_STRING_EQUAL(out, "one message larger than the limit is let through");
  int n = 0;
  while (n < 10000 && put(&queue, 0, "", false, 4096) == 0) /* empty ones cost too */
    n++;
  CU_ASSERT(n > 10 && n < 1000);
  mui_queue_clear(&queue);
}

/* Against a plain model: the newest of each key, in the order in which the keys first came. */
static void test_conflation(void)
{
  srand(1);
  for (int round = 0; round < 200; round++) {
    struct mui_queue queue = {0};
    unsigned keys = 1 + (unsigned)rand() % 200;
    int newest[201], place[201], places = 0;
    memset(newest, -1, sizeof newest);
    for (int i = 0; i < 600; i++) {
      unsigned key = 1 + (unsigned)rand() % keys;
      char text[32];
      snprintf(text, sizeof text, "%u:%d;", key, i);
      CU_ASSERT_EQUAL(put(&queue, key, text, true, 100), 0);
      if (newest[key] < 0)
        place[places++] = (int)key;
      newest[key] = i;
      if (rand() % 100 == 0) { /* a part is written */
        unsigned char into[64], *at;
        mu_text *held;
        unsigned messages;
        mui_queue_take(&queue, into, sizeof into, &at, &held, &messages);
        mu_text_unref(held);
        for (unsigned k = 0; k < messages; k++)
          newest[place[k]] = -1;
        places -= (int)messages;
        memmove(place, place + messages, (size_t)places * sizeof *place);
      }
    }
    char expected[8192], got[8192];
    size_t len = 0;
    expected[0] = '\0';
    for (int k = 0; k < places; k++)
      len += (size_t)snprintf(expected + len, sizeof expected - len, "%d:%d;", place[k], newest[place[k]]);
    take_all(&queue, got, 200);
    CU_ASSERT_STRING_EQUAL_FATAL(got, expected);
    mui_queue_clear(&queue);
  }
}

/* Without a key: the oldest go, memory stays bounded, and keyed ones stay. */
static void test_drop_oldest(void)
{
  struct mui_queue queue = {0};
  char out[200000];
  put(&queue, 7, "state;", true, 1000);
  for (int i = 0; i < 100000; i++) {
    char text[16];
    snprintf(text, sizeof text, "%d;", i);
    CU_ASSERT_EQUAL_FATAL(put(&queue, 0, text, true, 1000), 0);
  }
  CU_ASSERT(queue.bytes <= 1000);
  CU_ASSERT(queue.capacity <= 256);
  put(&queue, 7, "newer;", true, 1000);
  take_all(&queue, out, 200);
  CU_ASSERT_EQUAL(strncmp(out, "newer;", 6), 0);
  CU_ASSERT_PTR_NOT_NULL(strstr(out, "99999;"));
  CU_ASSERT_PTR_NULL(strstr(out, ";5;"));
  mui_queue_clear(&queue);
}

static void test_directed(void)
{
  struct mui_queue queue = {0};
  mu_text *text = mu_text_new("x", 1);
  CU_ASSERT_FALSE(mui_queue_directed(&queue));
  mui_queue_put(&queue, &(struct mui_waiting){.text = text}, false, 1000);
  CU_ASSERT_FALSE(mui_queue_directed(&queue));
  mui_queue_put(&queue, &(struct mui_waiting){.text = text, .directed = true}, false, 1000);
  CU_ASSERT(mui_queue_directed(&queue));
  mui_queue_clear(&queue);
  mu_text_unref(text);
}

static const struct unit_test tests[] = {
    {"order and room", test_order},
    {"limit", test_limit},
    {"conflation against a model", test_conflation},
    {"drop the oldest", test_drop_oldest},
    {"directed messages", test_directed},
};
UNIT_MAIN("net/queue", tests)
