/* SPDX-License-Identifier: ISC */
/* For the test: how file systems are asked for their sizes. */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <sys/statvfs.h>

typedef int (*disk_statvfs_fn)(const char *path, struct statvfs *fs);

/* Replaces statvfs() for one instance. */
void disk_set_statvfs(void *self, disk_statvfs_fn fn);

#endif
