/* SPDX-License-Identifier: ISC */
/* Files that are there whole or not at all, and for other people's eyes. */
#ifndef AGENT_PUT_H
#define AGENT_PUT_H

#include <muster/base.h>

/*
 * A file that is complete gets its name, instead of what has it, or with `first` only if nothing has: EEXIST. False: errno, and it is
 * still `fresh`.
 */
bool put_name(int dir, const char *fresh, const char *name, bool first);
/*
 * Writes the file, readable by everybody, whatever the umask. One that is there is replaced (of programs that do so at once, one's is
 * left), or with `first` it stays: EEXIST. False: errno.
 */
bool put_file(const char *path, struct mu_str text, bool first);
/* There, and open to everybody if it had to be made. False: errno. */
bool put_folder(const char *folder);

#endif
