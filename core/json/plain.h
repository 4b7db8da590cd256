/* SPDX-License-Identifier: ISC */
/* Resolving the escapes of strings that the scan has accepted. */
#ifndef MUI_JSON_PLAIN_H
#define MUI_JSON_PLAIN_H

#include <stddef.h>

/* `to` needs `len` bytes at most: no escape is shorter than what it stands for. The length written. */
size_t mui_json_plain(const char *from, size_t len, char *to);

#endif
