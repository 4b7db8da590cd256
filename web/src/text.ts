// SPDX-License-Identifier: ISC
// Words in two languages. A page keeps its own in a words.ts beside it, so that nobody loads words of pages they do not open.
import { signal } from "@preact/signals";
import { remember, remembered } from "./stored";

export type Lang = "en" | "zh";
export type Values = Readonly<Record<string, string | number>>;

function firstLang(): Lang {
  const chosen = remembered("lang");
  if (chosen === "en" || chosen === "zh") return chosen;
  return typeof navigator !== "undefined" && /^zh\b/i.test(navigator.language) ? "zh" : "en";
}

export const lang = signal<Lang>(firstLang());

export function setLang(value: Lang): void {
  lang.value = value;
  remember("lang", value);
  document.documentElement.lang = value === "zh" ? "zh-CN" : "en";
}

/** Every table that was made, for the test that compares them. */
export const tables: { en: Readonly<Record<string, string>>; zh: Readonly<Record<string, string>> }[] = [];

/** "{n} key|{n} keys": the first form is for one, the other for every other number. */
export function fill(pattern: string, values?: Values): string {
  if (!values) return pattern;
  const forms = pattern.split("|");
  const chosen = forms.length === 2 && values["n"] !== undefined ? forms[Number(values["n"]) === 1 ? 0 : 1]! : pattern;
  return chosen.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** A function that gives a text in the language of the moment; components that use it are drawn again when that changes. */
export function texts<T extends Record<string, string>>(en: T, zh: { readonly [K in keyof T]: string }): (key: keyof T, values?: Values) => string {
  tables.push({ en, zh });
  return (key, values) => fill((lang.value === "zh" ? zh : en)[key] as string, values);
}
