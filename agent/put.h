/* SPDX-License-Identifier: ISC */
/* Files for other people's eyes, whole or not at all. */
#ifndef AGENT_PUT_H
#define AGENT_PUT_H

#include <muster/base.h>

/*
 * Writes the file, readable by everybody, whatever the umask. One that is there is replaced (of programs that do so at once, one's is
 * left), or with `first` it stays: EEXIST. False: errno.
 */
bool put_file(const char *path, struct mu_str text, bool first);
/* There, and open to everybody if it had to be made. False: errno. */
bool put_folder(const char *folder);

#endif
