/* SPDX-License-Identifier: ISC */
/* What the tests of store/1 on SQLite share: a store over a file of its own. */
#ifndef STORE_SQLITE_TEST_FRAME_H
#define STORE_SQLITE_TEST_FRAME_H

#include <fcntl.h>
#include <sqlite3.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "sqlite.h"
#include "store.h"

static char path[128];
static struct place place;

static inline void setup_with(const struct mu_store_limits *limits)
{
  frame_up();
  snprintf(path, sizeof path, "%s/muster.db", folder);
  place = (struct place){.path = path, .synchronous = SYNCHRONOUS_NORMAL};
  driver = &sqlite_driver;
  driver_self = &place;
  CU_ASSERT_EQUAL_FATAL(file_judge(runtime.core, &place), 0);
  front_up(limits);
}

static inline void setup(void)
{
  setup_with(&limits_default);
}

static inline void make_users(void)
{
  CU_ASSERT_EQUAL(
      write_now("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT COLLATE NOCASE UNIQUE, age INTEGER NOT NULL "
                "DEFAULT 0 CHECK (age >= 0), score REAL, created_at DATETIME(3))",
                NULL),
      0);
  CU_ASSERT_EQUAL(write_now("CREATE TABLE pets (id INTEGER PRIMARY KEY, owner TEXT REFERENCES users (id))", NULL), 0);
}

#endif
