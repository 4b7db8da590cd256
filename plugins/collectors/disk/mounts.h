/* SPDX-License-Identifier: ISC */
/* Which file systems are disks: mountinfo in, one disk per device out. */
#ifndef DISK_MOUNTS_H
#define DISK_MOUNTS_H

#include <muster/conf.h>

/* Beyond this many devices the rest is left out: nobody reads such a report. */
#define DISKS_MAX 256

struct disk_config {
  struct mu_list include; /* patterns of mount points; empty: all */
  struct mu_list exclude;
  struct mu_list include_types; /* file system types that count as disks besides the physical ones */
  struct mu_list exclude_types;
};

/* One disk: a device, and the mount point that speaks for it. */
struct disk {
  char *path;
  char *device; /* as mountinfo names it; the pool of a zfs */
  char *fstype;
  unsigned major, minor;
  bool whole;      /* `path` shows the file system's root, not a bind mount or a subvolume */
  bool pooled;     /* zfs: further data sets add what they use */
  char **datasets; /* mount points of a pool's data sets, `path` among them */
  size_t datasets_count;
  /* Kept by disk.c over the samples. */
  uint64_t read, written; /* bytes since boot */
  bool counted;           /* `read` and `written` are set */
  char link[64];          /* the kernel's name of the device, "sda1", "dm-0"; "" when unknown */
};

struct disks {
  struct disk list[DISKS_MAX];
  size_t count;
};

/*
 * Fills `disks` from the text of mountinfo. `filesystems` is the text of /proc/filesystems (physical: without "nodev"), NULL
 * when it cannot be read: then what is mounted from /dev/… is physical. Lines that are no mountinfo are skipped.
 * @return 0 or MU_ENOMEM, with `disks` empty
 */
int mounts_parse(struct disks *disks, const char *mountinfo, const char *filesystems, const struct disk_config *config);
void mounts_clear(struct disks *disks);

#endif
