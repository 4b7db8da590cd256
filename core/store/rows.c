/* SPDX-License-Identifier: ISC */
/* Rows of a result: values one after another, their texts in chunks that never move. And reasons. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

enum { CHUNK = 4096 };

struct mui_chunk {
  struct mui_chunk *next;
  size_t used, size;
  char text[];
};

void mui_rows_clear(mu_store_rows *rows)
{
  while (rows->chunks) {
    struct mui_chunk *chunk = rows->chunks;
    rows->chunks = chunk->next;
    free(chunk);
  }
  free(rows->values);
  rows->values = NULL;
  rows->capacity = rows->rows = rows->columns = rows->bytes = 0;
}

int mu_store_rows_begin(mu_store_rows *rows, size_t columns)
{
  mui_rows_clear(rows);
  if (columns > rows->max_bytes / sizeof(struct mu_value))
    return MU_ELIMIT;
  rows->columns = columns;
  return 0;
}

static char *keep_text(mu_store_rows *rows, struct mu_str text)
{
  struct mui_chunk *chunk = rows->chunks;
  if (!chunk || chunk->size - chunk->used < text.len + 1) {
    /* Chunks grow with the result, so that a big one is few of them. */
    size_t size = rows->bytes > CHUNK ? rows->bytes / 2 : CHUNK;
    if (size < text.len + 1)
      size = text.len + 1;
    chunk = malloc(sizeof *chunk + size);
    if (!chunk)
      return NULL;
    chunk->used = 0;
    chunk->size = size;
    chunk->next = rows->chunks;
    rows->chunks = chunk;
  }
  char *at = chunk->text + chunk->used;
  if (text.len)
    memcpy(at, text.at, text.len);
  at[text.len] = '\0';
  chunk->used += text.len + 1;
  return at;
}

static int grow(mu_store_rows *rows)
{
  size_t used = rows->rows * rows->columns;
  if (used + rows->columns <= rows->capacity)
    return 0;
  size_t capacity = rows->capacity ? rows->capacity * 2 : rows->columns * 4;
  struct mu_value *values = realloc(rows->values, capacity * sizeof *values);
  if (!values)
    return MU_ENOMEM;
  rows->values = values;
  rows->capacity = capacity;
  return 0;
}

int mu_store_row(mu_store_rows *rows, const struct mu_value *values)
{
  if (rows->columns == 0)
    return MU_EINVAL;
  size_t bytes = rows->columns * sizeof *values;
  for (size_t i = 0; i < rows->columns; i++)
    if (values[i].type == MU_VALUE_TEXT)
      bytes += values[i].text.len + 1;
  if (rows->rows >= rows->max_rows || bytes > rows->max_bytes - rows->bytes)
    return MU_ELIMIT;
  int error = grow(rows);
  if (error)
    return error;
  rows->bytes += bytes;
  struct mu_value *row = rows->values + rows->rows * rows->columns;
  for (size_t i = 0; i < rows->columns; i++) {
    row[i] = values[i];
    if (values[i].type != MU_VALUE_TEXT) {
      row[i].text = (struct mu_str){0};
      continue;
    }
    row[i].text.at = keep_text(rows, values[i].text);
    if (!row[i].text.at)
      return MU_ENOMEM;
  }
  rows->rows++;
  return 0;
}

int mu_store_fail(struct mu_store_fault *fault, int error, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  vsnprintf(fault->reason, sizeof fault->reason, format, args);
  va_end(args);
  for (char *at = fault->reason; *at; at++)
    if (*at == '\n' || *at == '\r')
      *at = ' ';
  return error;
}

void mui_fault_clear(struct mu_store_fault *fault)
{
  fault->size = sizeof *fault;
  fault->undone = fault->broken = false;
  fault->key[0] = fault->reason[0] = '\0';
}
