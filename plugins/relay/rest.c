/* SPDX-License-Identifier: ISC */
/* The REST API. */
#include "relay.h"

int rest_init(struct relay *relay)
{
  (void)relay;
  return 0;
}

int rest_start(struct relay *relay)
{
  (void)relay;
  return 0;
}

void rest_fini(struct relay *relay)
{
  (void)relay;
}
