/* SPDX-License-Identifier: ISC */
/* Small files below a root that are read now and then. */
#ifndef SYSTEM_FILES_H
#define SYSTEM_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* At most size - 1 bytes, NUL-terminated; the bytes read, or -1 when the file cannot be read (`text` is "" then). */
long file_read(const char *root, const char *path, char *text, size_t size);
/* The first line, without blanks around it; false when there is none. */
bool file_line(const char *root, const char *path, char *line, size_t size);
bool file_there(const char *root, const char *path);

#endif
