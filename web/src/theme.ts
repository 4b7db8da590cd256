// SPDX-License-Identifier: ISC
import { signal } from "@preact/signals";
import { remember, remembered } from "./stored";

export type Theme = "auto" | "light" | "dark";

const chosen = remembered("theme");
export const theme = signal<Theme>(chosen === "light" || chosen === "dark" ? chosen : "auto");

const wantsDark = typeof matchMedia === "undefined" ? null : matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(wantsDark?.matches ?? false);
wantsDark?.addEventListener("change", (event) => (systemDark.value = event.matches));

/** What is shown now: for what is drawn by script, such as charts. */
export const isDark = (): boolean => (theme.value === "auto" ? systemDark.value : theme.value === "dark");

export function setTheme(value: Theme): void {
  theme.value = value;
  remember("theme", value === "auto" ? null : value);
  if (value === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = value;
}
