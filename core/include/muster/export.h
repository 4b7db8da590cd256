/* SPDX-License-Identifier: ISC */
/**
 * @file export.h
 * Symbol visibility and compiler attributes.
 */
#ifndef MUSTER_EXPORT_H
#define MUSTER_EXPORT_H

#ifdef __cplusplus
#define MU_EXTERN extern "C"
#else
#define MU_EXTERN extern
#endif

/** Marks a function of the SDK. libmuster.so exports these under the version node MUSTER_1. */
#define MU_API MU_EXTERN __attribute__((visibility("default")))

/** Marks the one symbol that a plugin exports. */
#define MU_EXPORT __attribute__((visibility("default"), used))

#define MU_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define MU_MUST_USE __attribute__((warn_unused_result))

#endif
