/* SPDX-License-Identifier: ISC */
/* A link to the database with the statements that are prepared on it, the one used last first. On workers. */
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

struct mui_prepared {
  struct mui_prepared *newer, *older;
  void *statement;
  size_t len;
  char text[];
};

int mui_link_init(struct mui_link *link, const struct mu_store_driver *driver, void *self, bool writer)
{
  *link = (struct mui_link){.driver = driver, .self = self, .writer = writer};
  link->prepared = mu_map_new();
  if (!link->prepared)
    return MU_ENOMEM;
  if (pthread_mutex_init(&link->lock, NULL) != 0) {
    mu_map_free(link->prepared);
    link->prepared = NULL;
    return MU_ENOMEM;
  }
  return 0;
}

void mui_link_fini(struct mui_link *link)
{
  if (!link->prepared)
    return;
  mui_link_close(link);
  mu_map_free(link->prepared);
  link->prepared = NULL;
  pthread_mutex_destroy(&link->lock);
}

/* ---- prepared statements --------------------------------------------------------------------- */

static void take_out(struct mui_link *link, struct mui_prepared *prepared)
{
  *(prepared->newer ? &prepared->newer->older : &link->newest) = prepared->older;
  *(prepared->older ? &prepared->older->newer : &link->oldest) = prepared->newer;
}

static void put_first(struct mui_link *link, struct mui_prepared *prepared)
{
  prepared->newer = NULL;
  prepared->older = link->newest;
  *(link->newest ? &link->newest->newer : &link->oldest) = prepared;
  link->newest = prepared;
}

static void forget(struct mui_link *link, struct mui_prepared *prepared)
{
  take_out(link, prepared);
  mu_map_del(link->prepared, (struct mu_str){prepared->text, prepared->len});
  link->driver->release(link->handle, prepared->statement);
  link->count--;
  free(prepared);
}

/* Keeps the statement; false: without memory it is not kept. */
static bool keep_it(struct mui_link *link, struct mu_str sql, void *statement, size_t keep)
{
  while (link->count >= keep && link->oldest)
    forget(link, link->oldest);
  struct mui_prepared *prepared = malloc(sizeof *prepared + sql.len);
  if (!prepared)
    return false;
  prepared->statement = statement;
  prepared->len = sql.len;
  memcpy(prepared->text, sql.at, sql.len);
  if (mu_map_add(link->prepared, sql, prepared) != 0) {
    free(prepared);
    return false;
  }
  put_first(link, prepared);
  link->count++;
  return true;
}

int mui_link_run(struct mui_link *link, struct mu_str sql, const struct mu_store_run *run, size_t keep,
                 int64_t *changed, struct mu_store_fault *fault)
{
  const struct mu_store_driver *driver = link->driver;
  *changed = 0;
  link->statements++;
  struct mui_prepared *prepared = mu_map_get(link->prepared, sql);
  if (prepared) {
    take_out(link, prepared);
    put_first(link, prepared);
    return driver->run(link->handle, prepared->statement, run, changed, fault);
  }
  void *statement = NULL;
  int error = driver->prepare(link->handle, sql, &statement, fault);
  if (error)
    return error;
  bool kept = keep > 0 && keep_it(link, sql, statement, keep);
  error = driver->run(link->handle, statement, run, changed, fault);
  if (!kept)
    driver->release(link->handle, statement);
  return error;
}

/* ---- opening and closing --------------------------------------------------------------------- */

int mui_link_open(struct mui_link *link, struct mu_store_fault *fault)
{
  if (link->handle)
    return 0;
  void *handle = NULL;
  int error = link->driver->open(link->self, link->writer, &handle, fault);
  if (error)
    return error;
  link->opened++;
  pthread_mutex_lock(&link->lock);
  link->handle = handle;
  pthread_mutex_unlock(&link->lock);
  return 0;
}

void mui_link_close(struct mui_link *link)
{
  if (!link->handle)
    return;
  while (link->oldest)
    forget(link, link->oldest);
  pthread_mutex_lock(&link->lock);
  void *handle = link->handle;
  link->handle = NULL;
  pthread_mutex_unlock(&link->lock);
  link->driver->close(handle);
}

void mui_link_judge(struct mui_link *link, int error, bool step, const struct mu_store_fault *fault)
{
  if (fault->broken || error == MU_ETIMEOUT || (step && error == MU_EUNAVAILABLE))
    mui_link_close(link);
}

int mui_link_step(struct mui_link *link, enum mu_store_step step, struct mu_store_fault *fault)
{
  int error = link->driver->step(link->handle, step, fault);
  mui_link_judge(link, error, true, fault);
  return error;
}

void mui_link_interrupt(struct mui_link *link)
{
  if (!link->driver->interrupt)
    return;
  pthread_mutex_lock(&link->lock);
  if (link->handle)
    link->driver->interrupt(link->handle);
  pthread_mutex_unlock(&link->lock);
}
