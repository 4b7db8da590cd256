/* SPDX-License-Identifier: ISC */
/**
 * @file group.h
 * Fan-out: one message to many connections, framed once. Loop thread only.
 */
#ifndef MUSTER_GROUP_H
#define MUSTER_GROUP_H

#include <muster/conn.h>

enum mu_group_policy {
  /** Live state: only the newest message of each key waits for a slow reader. Nobody is closed for slowness. */
  MU_GROUP_CONFLATE,
  /** A stream: a reader over its bound is closed with 1013 and counted. */
  MU_GROUP_DROP,
};

typedef struct mu_group mu_group;

/** An empty group; belongs to the instance. The name is for the log and is not kept. NULL when memory is out. */
MU_API mu_group *mu_group_new(mu_instance *in, const char *name, enum mu_group_policy policy);
/** Lets everybody go (no connection is closed). NULL is allowed. */
MU_API void mu_group_free(mu_group *group);
/** 0, MU_EEXIST, MU_ECLOSED, MU_ENOMEM, or MU_EBUSY: its admission is pending. A connection leaves by itself when it closes. */
MU_API int mu_group_join(mu_group *group, mu_conn *conn);
MU_API void mu_group_leave(mu_group *group, mu_conn *conn);
MU_API size_t mu_group_count(const mu_group *group);
/**
 * Sends `text` to every member. `key` names what it is the state of (MU_GROUP_CONFLATE; 0: not conflated,
 * bounded by dropping the oldest). Takes its own references.
 */
MU_API void mu_group_publish(mu_group *group, uint64_t key, mu_text *text);
/**
 * For state that is told in differences: who has nothing waiting for `key` gets `change`, and whose waiting message it would replace gets the
 * whole state instead. `whole` is called at most once, when somebody needs it, and gives a reference; NULL: out of memory, who needs it is
 * closed. MU_GROUP_CONFLATE only; `key` is not 0. Takes its own references.
 */
MU_API void mu_group_change(mu_group *group, uint64_t key, mu_text *change, mu_text *(*whole)(void *context),
                            void *context);
/** Sends to every member but `except` (NULL: to all), not conflated, as a text or a binary message. Takes its own references. */
MU_API void mu_group_relay(mu_group *group, mu_text *text, bool binary, const mu_conn *except);

#endif
