/* SPDX-License-Identifier: ISC */
/* Files for other people's eyes, whole or not at all. */
#ifndef AGENT_PUT_H
#define AGENT_PUT_H

#include <muster/base.h>

/* Replaces the file, readable by everybody, whatever the umask. Programs that do so at once: one of theirs is left. False: errno. */
bool put_file(const char *path, struct mu_str text);
/* There, and open to everybody if it had to be made. False: errno. */
bool put_folder(const char *folder);

#endif
