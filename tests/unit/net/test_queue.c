/* SPDX-License-Identifier: ISC */
/* What waits for one reader: order, conflation by key, bounds, gathering into writes. */
#include <stdio.h>
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

/* What a group asks before it sends a difference. */
static void test_has(void)
{
  struct mui_queue queue = {0};
  char out[4096];
  CU_ASSERT_FALSE(mui_queue_has(&queue, 7));
  put(&queue, 0, "x", true, 100000);
  CU_ASSERT_FALSE(mui_queue_has(&queue, 7));
  for (uint64_t key = 1; key <= 100; key++) /* beyond the linear search */
    put(&queue, key, "y", true, 100000);
  CU_ASSERT_TRUE(mui_queue_has(&queue, 7) && mui_queue_has(&queue, 100));
  CU_ASSERT_FALSE(mui_queue_has(&queue, 101));
  take_all(&queue, out, 100);
  CU_ASSERT_FALSE(mui_queue_has(&queue, 7));
  mui_queue_clear(&queue);
}

static int put_fence(struct mui_queue *queue, uint64_t key, const char *text)
{
  mu_text *made = mu_text_new(text, strlen(text));
  int error = mui_queue_put(queue, &(struct mui_waiting){.key = key, .text = made, .fence = true}, true, 100000);
  mu_text_unref(made);
  return error;
}

/* A list of everything waits, then news of one thing: in the place of older news they would come before the list, which is older. */
static void test_fence(void)
{
  struct mui_queue queue = {0};
  char out[4096];
  put(&queue, 1, "a1 ", true, 100000);
  put(&queue, 2, "b1 ", true, 100000);
  put_fence(&queue, 99, "LIST1 ");
  put(&queue, 1, "a2 ", true, 100000);
  put(&queue, 1, "a3 ", true, 100000);
  take_all(&queue, out, 100);
  CU_ASSERT_STRING_EQUAL(out, "b1 LIST1 a3 ");
  /* A fence that has left counts no more, and a newer list in the place of one that waits is no older than what follows. */
  put(&queue, 1, "a4 ", true, 100000);
  put(&queue, 2, "b2 ", true, 100000);
  put(&queue, 1, "a5 ", true, 100000);
  put_fence(&queue, 99, "LIST2 ");
  put(&queue, 2, "b3 ", true, 100000);
  put_fence(&queue, 99, "LIST3 ");
  take_all(&queue, out, 100);
  CU_ASSERT_STRING_EQUAL(out, "a5 LIST3 b3 ");
  /* Many keys, with an index and with holes that are closed: never older after newer. */
  unsigned lists = 0, shown[200] = {0};
  unsigned random = 1;
  for (unsigned n = 1; n < 20000; n++) {
    random = random * 1103515245u + 12345u;
    char text[32];
    if ((random >> 16) % 50 == 0) {
      snprintf(text, sizeof text, "L%u ", n);
      CU_ASSERT_EQUAL(put_fence(&queue, 1000 + (lists++ & 1), text), 0);
    } else {
      unsigned key = (random >> 16) % 200;
      snprintf(text, sizeof text, "%u:%u ", key, n);
      CU_ASSERT_EQUAL(put(&queue, key + 1, text, true, 100000), 0);
    }
    if ((random >> 8) % 4 == 0) {
      unsigned char into[64], *at;
      mu_text *held;
      unsigned messages, key, number, from = 0;
      size_t len = mui_queue_take(&queue, into, sizeof into, &at, &held, &messages);
      for (size_t i = 0; i < len; i += 2u + at[i + 1]) {
        snprintf(text, sizeof text, "%.*s", (int)at[i + 1], at + i + 2);
        if (sscanf(text, "L%u", &from) == 1) {
          for (unsigned j = 0; j < 200; j++)
            CU_ASSERT(shown[j] <= from);
        } else if (sscanf(text, "%u:%u", &key, &number) == 2) {
          CU_ASSERT(number > shown[key]);
          shown[key] = number;
        }
      }
      mu_text_unref(held);
    }
  }
  CU_ASSERT(lists > 100);
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
    {"what waits", test_has},
    {"conflation against a model", test_conflation},
    {"drop the oldest", test_drop_oldest},
    {"directed messages", test_directed},
    {"nothing is overtaken by newer news in an older place", test_fence},
};
UNIT_MAIN("net/queue", tests)
