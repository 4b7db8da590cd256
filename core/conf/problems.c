/* SPDX-License-Identifier: ISC */
/* Problems: collected, then printed in the order of the files. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logging.h"
#include "conf/internal.h"

/* Texts from files must not steer the terminal. To be freed; NULL: out of memory. */
static char *defused(const char *text)
{
  size_t room = 6 * strlen(text) + 8;
  char *plain = malloc(room);
  if (plain)
    plain[mui_log_escape(plain, 0, room, text)] = '\0';
  return plain;
}

void mui_problem(struct mui_problems *problems, bool warning, const char *file, unsigned line, const char *format, ...)
{
  if (!warning)
    problems->errors++; /* counted even if it cannot be kept */
  struct mui_problem *list = realloc(problems->list, (problems->count + 1) * sizeof(*list));
  if (!list)
    return;
  problems->list = list;
  struct mui_problem problem = {.warning = warning, .line = line};
  char *text;
  va_list args;
  va_start(args, format);
  int done = vasprintf(&text, format, args);
  va_end(args);
  if (done < 0)
    return;
  problem.text = defused(text);
  problem.file = file ? defused(file) : NULL;
  free(text);
  if (problem.text && (problem.file || !file)) {
    list[problems->count++] = problem;
    return;
  }
  free(problem.text);
  free(problem.file);
}

static int by_place(const void *a, const void *b)
{
  const struct mui_problem *p = *(struct mui_problem *const *)a, *q = *(struct mui_problem *const *)b;
  if (!p->file || !q->file) {
    if (p->file || q->file)
      return p->file ? 1 : -1;
  } else {
    int order = strcmp(p->file, q->file);
    if (order)
      return order;
    if (p->line != q->line)
      return p->line < q->line ? -1 : 1;
  }
  return p < q ? -1 : p > q; /* as found */
}

static void print_one(const struct mui_problem *problem, FILE *to)
{
  if (to == stderr)
    fputs(mui_log_mark(problem->warning ? MU_LOG_WARN : MU_LOG_ERROR), to);
  if (problem->file && problem->line > 0)
    fprintf(to, "%s:%u: ", problem->file, problem->line);
  else if (problem->file)
    fprintf(to, "%s: ", problem->file);
  fprintf(to, "%s: %s\n", problem->warning ? "warning" : "error", problem->text);
}

void mui_problems_print(const struct mui_problems *problems, void *to)
{
  if (problems->count == 0)
    return;
  const struct mui_problem **order = malloc(problems->count * sizeof(*order));
  for (size_t i = 0; order && i < problems->count; i++)
    order[i] = &problems->list[i];
  if (order)
    qsort(order, problems->count, sizeof(*order), by_place);
  for (size_t i = 0; i < problems->count; i++)
    print_one(order ? order[i] : &problems->list[i], to);
  free(order);
}

void mui_problems_free(struct mui_problems *problems)
{
  for (size_t i = 0; i < problems->count; i++) {
    free(problems->list[i].file);
    free(problems->list[i].text);
  }
  free(problems->list);
  *problems = (struct mui_problems){0};
}
