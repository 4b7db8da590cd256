/* SPDX-License-Identifier: ISC */
/* What the files of device groups share. */
#ifndef RELAY_REST_GROUPS_H
#define RELAY_REST_GROUPS_H

#include "rest_wide.h"

enum { GROUP_MEMBERS_MAX = 500 };

/** A group of who asks. */
struct group {
  rest_then next;
  char *id, *name, *endpoint;
  int64_t devices;
};
/** The group that the path names (:id), everything that waits of its endpoint written: then `next` with this struct as `kept`. */
int group_flushed(struct relay *relay, mu_http *request, rest_then next);
int group_none(mu_http *request);

#endif
