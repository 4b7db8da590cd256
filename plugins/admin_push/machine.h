/* SPDX-License-Identifier: ISC */
/* A machine as its owner's admins get it. */
#ifndef ADMIN_PUSH_MACHINE_H
#define ADMIN_PUSH_MACHINE_H

#include <muster/muster.h>

/* What a machine tells of itself, and the figures that stand in for it. */
struct machine_reader {
  mu_schema *told, *figures;
};

/* 0 or MU_ENOMEM. */
int machine_reader_init(struct machine_reader *reader);
void machine_reader_fini(struct machine_reader *reader);

/*
 * The object Machine of docs/session.md. `figures`: the canonical form, a JSON object that was checked, which goes in as it is written; or
 * NULL. NULL when memory is out.
 */
mu_text *machine_text(const struct machine_reader *reader, const struct mu_machine *machine, const mu_text *figures);
/* {"type":"machine_update","event":event,"machine":machine} */
mu_text *machine_update(const char *event, struct mu_str machine);

#endif
