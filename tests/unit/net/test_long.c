/* SPDX-License-Identifier: ISC */
/* Long messages leave the queue whole, to be sent in fragments; how these go out is in tests/e2e/test_large_messages.py. */
#include <string.h>

#include "base/text.h"
#include "net/ws.h"
#include "unit.h"

enum { SIZE = 1000 };

static void put(struct mui_queue *queue, uint64_t key, size_t len, char letter, bool fence)
{
  char *data;
  mu_text *text = mu_text_alloc(len, &data);
  memset(data, letter, len);
  CU_ASSERT_EQUAL(mui_queue_put(queue, &(struct mui_waiting){.key = key, .text = text, .fence = fence}, true, 100000),
                  0);
  mu_text_unref(text);
}

static void test_frame_len(void)
{
  static const size_t lengths[] = {0, 125, 126, 65535, 65536, 70000};
  for (size_t i = 0; i < MU_COUNT(lengths); i++) {
    char *data;
    mu_text *text = mu_text_alloc(lengths[i], &data);
    memset(data, 'x', lengths[i]);
    size_t len;
    mui_text_frame(text, false, &len);
    CU_ASSERT_EQUAL(mui_text_frame_len(text), len);
    mu_text_unref(text);
  }
}

static void test_order(void)
{
  struct mui_queue queue = {0};
  struct mui_waiting begun;
  unsigned char into[SIZE], *at;
  mu_text *held;
  unsigned messages;
  CU_ASSERT_FALSE(mui_queue_take_long(&queue, SIZE, &begun));
  put(&queue, 1, 10, 'a', false);
  put(&queue, 2, SIZE, 'b', false);
  put(&queue, 3, SIZE - 4, 'c', false);
  CU_ASSERT_FALSE(mui_queue_take_long(&queue, SIZE, &begun)); /* it is not first */
  CU_ASSERT_EQUAL(mui_queue_take(&queue, into, SIZE, &at, &held, &messages), 12);
  CU_ASSERT(messages == 1 && !held);
  CU_ASSERT_TRUE_FATAL(mui_queue_take_long(&queue, SIZE, &begun));
  CU_ASSERT(mu_text_len(begun.text) == SIZE && begun.key == 2);
  CU_ASSERT_FALSE(mui_queue_has(&queue, 2)); /* what is begun is not replaced: news of it wait behind */
  put(&queue, 2, 5, 'd', false);
  CU_ASSERT_EQUAL(mu_text_data(begun.text)[0], 'b');
  mu_text_unref(begun.text);
  CU_ASSERT_FALSE(mui_queue_take_long(&queue, SIZE, &begun)); /* exactly as long as a write */
  CU_ASSERT_EQUAL(mui_queue_take(&queue, into, SIZE, &at, &held, &messages), SIZE);
  mu_text_unref(held);
  CU_ASSERT_EQUAL(mui_queue_take(&queue, into, SIZE, &at, &held, &messages), 7);
  mu_text_unref(held);
  CU_ASSERT(mui_queue_empty(&queue) && queue.bytes == 0);
  mui_queue_clear(&queue);
}

/* The fence leaves with its message, and what was dropped before it does not hold it up. */
static void test_fence(void)
{
  struct mui_queue queue = {0};
  struct mui_waiting begun;
  put(&queue, 1, 10, 'a', false);
  put(&queue, 9, SIZE, 'l', true);
  put(&queue, 1, 10, 'b', false); /* drops the one before the fence */
  CU_ASSERT_TRUE_FATAL(mui_queue_take_long(&queue, SIZE, &begun));
  CU_ASSERT_EQUAL(begun.key, 9);
  CU_ASSERT_FALSE(queue.fenced);
  mu_text_unref(begun.text);
  put(&queue, 1, 2 * SIZE, 'c', false);
  CU_ASSERT_EQUAL(queue.count, 1); /* in the place of 'b' */
  CU_ASSERT_TRUE_FATAL(mui_queue_take_long(&queue, SIZE, &begun));
  CU_ASSERT_EQUAL(mu_text_len(begun.text), 2 * SIZE);
  mu_text_unref(begun.text);
  CU_ASSERT(mui_queue_empty(&queue) && queue.bytes == 0);
  mui_queue_clear(&queue);
}

static const struct unit_test tests[] = {
    {"the length of a frame", test_frame_len},
    {"long ones in their order", test_order},
    {"fences", test_fence},
};
UNIT_MAIN("net/long", tests)
