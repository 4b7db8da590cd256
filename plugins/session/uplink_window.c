/* SPDX-License-Identifier: ISC */
/* Samples that wait: for a link, or to be acknowledged. Bounded: the oldest go. */
#include <stdlib.h>

#include "uplink.h"

void uplink_window_init(struct uplink_window *window, size_t max_count, size_t max_bytes)
{
  *window = (struct uplink_window){.max_count = max_count, .max_bytes = max_bytes};
  window->last = &window->first;
}

static void drop_first(struct uplink_window *window)
{
  struct uplink_window_item *item = window->first;
  if (window->unsent == item)
    window->unsent = item->next;
  window->first = item->next;
  if (!window->first)
    window->last = &window->first;
  window->count--;
  window->bytes -= mu_text_len(item->text);
  mu_text_unref(item->text);
  free(item);
}

int uplink_window_add(struct uplink_window *window, uint64_t seq, mu_text *text)
{
  struct uplink_window_item *item = malloc(sizeof *item);
  int dropped = 0;
  if (!item)
    return MU_ENOMEM;
  *item = (struct uplink_window_item){.seq = seq, .text = mu_text_ref(text)};
  *window->last = item;
  window->last = &item->next;
  window->count++;
  window->bytes += mu_text_len(text);
  if (!window->unsent)
    window->unsent = item;
  for (; window->count > 1 && (window->count > window->max_count || window->bytes > window->max_bytes); dropped++)
    drop_first(window);
  return dropped;
}

void uplink_window_ack(struct uplink_window *window, uint64_t seq)
{
  while (window->first && window->first->seq <= seq)
    drop_first(window);
}

mu_text *uplink_window_next(const struct uplink_window *window)
{
  return window->unsent ? window->unsent->text : NULL;
}

void uplink_window_sent(struct uplink_window *window)
{
  if (window->unsent)
    window->unsent = window->unsent->next;
}

void uplink_window_rewind(struct uplink_window *window)
{
  window->unsent = window->first;
}

size_t uplink_window_newest(struct uplink_window *window)
{
  size_t lost = 0;
  while (window->count > 1) {
    lost += window->first == window->unsent;
    drop_first(window);
  }
  window->unsent = window->first;
  return lost;
}

void uplink_window_clear(struct uplink_window *window)
{
  while (window->first)
    drop_first(window);
}
