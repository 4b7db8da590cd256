/* SPDX-License-Identifier: ISC */
/* Samples from the side that hands them to collectors. */
#ifndef MUI_JSON_SAMPLE_H
#define MUI_JSON_SAMPLE_H

#include <muster/sample.h>

#include "base/instance.h"

struct json_object;

/* `root` must outlive the sample. NULL when memory is out. */
MUI_API mu_sample *mui_sample_new(const char *root, int64_t mono_ns);
MUI_API void mui_sample_free(mu_sample *sample);
/* The metrics as one JSON object, which now belongs to the caller; what is set afterwards is left out. */
MUI_API struct json_object *mui_sample_take(mu_sample *sample);
/* How many metrics were left out: not finite, name malformed or given twice, outside of a row, memory out. */
MUI_API unsigned mui_sample_omitted(const mu_sample *sample);

#endif
