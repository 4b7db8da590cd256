/* SPDX-License-Identifier: ISC */
/* Shared texts as the network side sees them. */
#ifndef MUI_BASE_TEXT_H
#define MUI_BASE_TEXT_H
#include "base/instance.h"

/*
 * The text as one whole, unmasked WebSocket frame: the header is written into the room before the data, so nothing is
 * copied. Loop thread only (the header is shared by all who send it). Valid while a reference is held.
 */
MUI_API const char *mui_text_frame(mu_text *text, bool binary, size_t *len);

/* How long that frame is, without making it. */
MUI_API size_t mui_text_frame_len(const mu_text *text);

#endif
