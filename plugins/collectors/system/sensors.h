/* SPDX-License-Identifier: ISC */
/* Temperatures of /sys/class/hwmon. */
#ifndef SYSTEM_SENSORS_H
#define SYSTEM_SENSORS_H

#include <muster/sample.h>

struct sensors;

/* NULL: memory is out. */
struct sensors *sensors_new(const char *root);
/* Looks which sensors there are now. */
void sensors_find(struct sensors *sensors);
/* Adds the list `temperatures`; nothing where there are no sensors. */
void sensors_fill(struct sensors *sensors, mu_sample *sample);
void sensors_free(struct sensors *sensors);

#endif
