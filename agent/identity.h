/* SPDX-License-Identifier: ISC */
/* Which machine this is, without telling what other programs know it by. */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include <muster/base.h>

/* "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx" */
#define IDENTITY_SIZE 37

/*
 * From root/etc/machine-id, which cannot be found from it. Without such a file: made once and kept in `folder`; if that fails,
 * for this run only. Problems are logged in the name of `in`, which may be NULL. 0, or MU_EIO: there are no random numbers.
 */
int identity_find(const mu_instance *in, const char *root, const char *folder, char out[IDENTITY_SIZE]);

#endif
