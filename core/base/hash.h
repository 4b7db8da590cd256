/* SPDX-License-Identifier: ISC */
/* SipHash-1-3: keys come from outside, so the hash must not be predictable. */
#ifndef MUI_BASE_HASH_H
#define MUI_BASE_HASH_H
#include "base/instance.h"

MUI_API uint64_t mui_hash(const uint64_t seed[2], const void *data, size_t len);

#endif
