/* SPDX-License-Identifier: ISC */
/* "did you mean …?" */
#include <ctype.h>
#include <string.h>

#include "conf/internal.h"

enum { WORD_MAX = 48, FAR = 99 };

static size_t least(size_t a, size_t b, size_t c)
{
  size_t ab = a < b ? a : b;
  return ab < c ? ab : c;
}

/* Damerau–Levenshtein (optimal string alignment) without looking at case: slips of the finger, swaps included. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
  size_t rows[3][WORD_MAX + 1];
  size_t *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= b_len; j++)
    above[j] = before[j] = j;
  for (size_t i = 1; i <= a_len; i++) {
    row[0] = i;
    for (size_t j = 1; j <= b_len; j++) {
      int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
      row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
      if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
          before[j - 2] + 1 < row[j])
        row[j] = before[j - 2] + 1;
    }
    size_t *oldest = before;
    before = above;
    above = row;
    row = oldest;
  }
  return above[b_len];
}

const char *mui_suggest(const char *word, const char *const *words)
{
  const char *nearest = NULL;
  size_t word_len = strlen(word), best = FAR;
  if (word_len == 0 || word_len > WORD_MAX)
    return NULL;
  for (; words && *words; words++) {
    size_t len = strlen(*words);
    if (len == 0 || len > WORD_MAX)
      continue;
    size_t shorter = len < word_len ? len : word_len;
    size_t allowed = shorter < 2 ? 0 : shorter < 5 ? 1 : 2; /* short words are all near each other */
    size_t d = distance(word, word_len, *words, len);
    if (d <= allowed && d < best) {
      best = d;
      nearest = *words;
    }
  }
  return nearest;
}
