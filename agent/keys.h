/* SPDX-License-Identifier: ISC */
/* Saved keys: one file for each server in a folder that only this user can open. */
#ifndef AGENT_KEYS_H
#define AGENT_KEYS_H

#include <muster/base.h>

/*
 * Where they are kept: `configured`, else $STATE_DIRECTORY (its first), else $XDG_CONFIG_HOME/muster, else ~/.config/muster, else
 * /var/lib/muster. NULL: memory is out.
 */
char *keys_folder(const char *configured);
/* The file's name for "host:port": another one for every other server. `out` of 256 bytes. */
void keys_name(const char *server, char *out);

/*
 * Files of any name in that folder. What is wrong is logged in the name of `in`, which may be NULL. 0, MU_ENOENT, MU_EPERM (file or
 * folder belong to somebody else, can be opened by others, or are links), MU_EIO, MU_ENOMEM.
 */
int keys_read(const mu_instance *in, const char *folder, const char *name, struct mu_buf *content);
int keys_write(const mu_instance *in, const char *folder, const char *name, struct mu_str content);
/* The same where no file of that name is there; MU_EEXIST: another program was first. */
int keys_add(const mu_instance *in, const char *folder, const char *name, struct mu_str content);
int keys_remove(const mu_instance *in, const char *folder, const char *name);

#endif
