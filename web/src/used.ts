// SPDX-License-Identifier: ISC
// How much of something is used, in words.
import type { Summary } from "./figures";
import { bytes } from "./format";
import { t } from "./words";

export const usedOf = (used: number | undefined, total: number | undefined): string =>
  used === undefined || total === undefined ? "" : t("usedOf", { used: bytes(used), total: bytes(total) });

/** A share of disks is of what can be used at all: used and free are not the whole where root has a reserve. */
export const diskUsed = (s: Summary): string =>
  s.diskUsed === undefined || s.diskFree === undefined ? usedOf(s.diskUsed, s.diskTotal) : t("usedFree", { used: bytes(s.diskUsed), free: bytes(s.diskFree) });
