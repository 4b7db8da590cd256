/* SPDX-License-Identifier: ISC */
/* Alert rules. */
#include "relay.h"

int alerts_init(struct relay *relay)
{
  (void)relay;
  return 0;
}

void alerts_fini(struct relay *relay)
{
  (void)relay;
}

void alerts_load(struct endpoint *endpoint)
{
  (void)endpoint;
}

void alerts_unload(struct endpoint *endpoint)
{
  (void)endpoint;
}

void alerts_value(struct device *device, const struct data_value *value)
{
  (void)device;
  (void)value;
}
