/* SPDX-License-Identifier: ISC */
/* In what this machine runs, by reading files only. */
#ifndef SYSTEM_VIRTUALIZATION_H
#define SYSTEM_VIRTUALIZATION_H

#include <stddef.h>

/* "docker", "lxc", "kvm", …; the innermost kind; "vm" for an unknown hypervisor, "" on bare metal. */
void virtualization_read(const char *root, char *kind, size_t size);

#endif
