/* SPDX-License-Identifier: ISC */
/* What the files of the WebSocket side share among themselves. */
#ifndef RELAY_SERVER_H
#define RELAY_SERVER_H

#include "relay.h"

/* ---- endpoints.c ------------------------------------------------------------------------------- */

int endpoints_init(struct relay *relay);
void endpoints_fini(struct relay *relay);

#endif
