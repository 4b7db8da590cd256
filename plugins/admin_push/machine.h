/* SPDX-License-Identifier: ISC */
/* A machine as its owner's admins get it. */
#ifndef ADMIN_PUSH_MACHINE_H
#define ADMIN_PUSH_MACHINE_H

#include <muster/muster.h>

/* Reads what a machine tells of itself. Freed with mu_schema_free(). 0 or MU_ENOMEM. */
int machine_reader_new(mu_schema **reader);

/* The object Machine of docs/session.md. `metrics`: the canonical form, or NULL. NULL when memory is out or a number is not finite. */
mu_text *machine_text(const mu_schema *reader, const struct mu_machine *machine, struct json_object *metrics);
/* {"type":"machine_update","event":event,"machine":machine} */
mu_text *machine_update(const char *event, struct mu_str machine);

#endif
