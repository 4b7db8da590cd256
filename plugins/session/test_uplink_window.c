/* SPDX-License-Identifier: ISC */
/* Samples that wait: their order, what is sent again, and what goes when there are too many. */
#include <stdio.h>
#include <string.h>

#include "uplink.h"
#include "unit.h"

static int add(struct uplink_window *window, unsigned seq, const char *content)
{
  mu_text *text = mu_text_new(content, strlen(content));
  int result = uplink_window_add(window, seq, text);
  mu_text_unref(text);
  return result;
}

/* Sends what is to be sent; the texts in their order. */
static const char *send_all(struct uplink_window *window)
{
  static char out[200];
  mu_text *text;
  out[0] = '\0';
  while ((text = uplink_window_next(window))) {
    strcat(out, mu_text_data(text));
    uplink_window_sent(window);
  }
  return out;
}

static void acknowledged(void)
{
  struct uplink_window window;
  uplink_window_init(&window, 100, 1000);
  CU_ASSERT_PTR_NULL(uplink_window_next(&window));
  uplink_window_sent(&window);
  for (unsigned i = 1; i <= 5; i++)
    CU_ASSERT_EQUAL(add(&window, i, (char[]){(char)('0' + i), 0}), 0);
  CU_ASSERT_STRING_EQUAL(send_all(&window), "12345");
  CU_ASSERT_STRING_EQUAL(send_all(&window), "");
  CU_ASSERT_EQUAL(window.count, 5);
  uplink_window_ack(&window, 3);
  CU_ASSERT_EQUAL(window.count, 2);
  CU_ASSERT_EQUAL(window.bytes, 2);
  add(&window, 6, "6");
  CU_ASSERT_STRING_EQUAL(send_all(&window), "6");
  /* A new link: what was not acknowledged comes again, and nothing else. */
  uplink_window_rewind(&window);
  CU_ASSERT_STRING_EQUAL(send_all(&window), "456");
  uplink_window_rewind(&window);
  uplink_window_ack(&window, 5); /* said by the server when the link came back, before they were sent again */
  CU_ASSERT_STRING_EQUAL(send_all(&window), "6");
  uplink_window_ack(&window, 99);
  CU_ASSERT_EQUAL(window.count, 0);
  CU_ASSERT_EQUAL(window.bytes, 0);
  uplink_window_ack(&window, 100);
  add(&window, 7, "7");
  CU_ASSERT_STRING_EQUAL(send_all(&window), "7");
  uplink_window_clear(&window);
}

static void bounded(void)
{
  struct uplink_window window;
  uplink_window_init(&window, 3, 10);
  for (unsigned i = 1; i <= 3; i++)
    CU_ASSERT_EQUAL(add(&window, i, (char[]){(char)('0' + i), 0}), 0);
  uplink_window_sent(&window);
  CU_ASSERT_EQUAL(add(&window, 4, "4"), 1);
  CU_ASSERT_EQUAL(add(&window, 5, "5"), 1); /* 2 was the next to be sent */
  CU_ASSERT_STRING_EQUAL(send_all(&window), "345");
  CU_ASSERT_EQUAL(add(&window, 6, "66666666"), 1);
  CU_ASSERT_EQUAL(add(&window, 7, "777777777"), 3);
  CU_ASSERT_EQUAL(window.bytes, 9);
  /* One alone stays, however long. */
  CU_ASSERT_EQUAL(add(&window, 8, "888888888888888"), 1);
  CU_ASSERT_STRING_EQUAL(send_all(&window), "888888888888888");
  uplink_window_clear(&window);
  CU_ASSERT_EQUAL(window.bytes + window.count, 0);
}

static void only_the_newest(void)
{
  struct uplink_window window;
  uplink_window_init(&window, 100, 1000);
  CU_ASSERT_EQUAL(uplink_window_newest(&window), 0);
  for (unsigned i = 1; i <= 4; i++)
    add(&window, i, (char[]){(char)('0' + i), 0});
  uplink_window_sent(&window);
  CU_ASSERT_EQUAL(uplink_window_newest(&window), 2); /* 1 was sent, 4 stays */
  CU_ASSERT_STRING_EQUAL(send_all(&window), "4");
  CU_ASSERT_EQUAL(window.count, 1);
  uplink_window_clear(&window);
}

static const struct unit_test tests[] = {
    {"acknowledged samples go, others come again", acknowledged},
    {"bounded: the oldest go", bounded},
    {"only the newest", only_the_newest},
};
UNIT_MAIN("uplink window", tests)
