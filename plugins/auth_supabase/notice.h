/* SPDX-License-Identifier: ISC */
/* What notify.sql tells of a deleted row: {"id":…,"owner":…}, or the id alone, as it was before. Pure. */
#ifndef AUTH_SUPABASE_NOTICE_H
#define AUTH_SUPABASE_NOTICE_H

#include <muster/base.h>

struct notice {
  char id[129];
  char owner[201]; /* "": not told */
};

/* False: it names no row. The id is from outside, and of no type yet. */
bool notice_read(struct mu_str text, struct notice *notice);

#endif
