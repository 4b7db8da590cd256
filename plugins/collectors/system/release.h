/* SPDX-License-Identifier: ISC */
/* The distribution, from os-release. */
#ifndef SYSTEM_RELEASE_H
#define SYSTEM_RELEASE_H

/* "" is unknown. */
struct release {
  char platform[64]; /* "debian" */
  char family[64];   /* "debian", "rhel", … */
  char version[64];  /* "12.11" */
};

void release_read(const char *root, struct release *release);

#endif
