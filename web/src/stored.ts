// SPDX-License-Identifier: ISC
// What the browser remembers. Storage may be forbidden or full: then nothing is remembered, and nothing breaks.

export function remembered(name: string, where: "local" | "session" = "local"): string | null {
  try {
    return (where === "local" ? localStorage : sessionStorage).getItem(`muster.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string | null, where: "local" | "session" = "local"): void {
  try {
    const storage = where === "local" ? localStorage : sessionStorage;
    if (value === null) storage.removeItem(`muster.${name}`);
    else storage.setItem(`muster.${name}`, value);
  } catch {
    // not remembered
  }
}
