// SPDX-License-Identifier: ISC
// The server's time, every few seconds: for "last seen 5 min ago".
import { computed, signal } from "@preact/signals";
import { skew } from "./live";

const local = signal(Date.now());
setInterval(() => {
  if (!document.hidden) local.value = Date.now();
}, 5000);
document.addEventListener("visibilitychange", () => (local.value = Date.now()));

export const now = computed(() => local.value + skew.value);
