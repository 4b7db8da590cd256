// SPDX-License-Identifier: ISC
// Figures as people read them. What is no figure is a dash, never NaN.
import { lang, texts } from "./text";

const t = texts(
  {
    days: "{d} d {h} h", daysOnly: "{d} d", hours: "{h} h {m} min", minutes: "{m} min", seconds: "{s} s",
    ago: "{span} ago", now: "just now", yes: "yes", no: "no",
  },
  {
    days: "{d} 天 {h} 小时", daysOnly: "{d} 天", hours: "{h} 小时 {m} 分", minutes: "{m} 分钟", seconds: "{s} 秒",
    ago: "{span}前", now: "刚刚", yes: "是", no: "否",
  },
);

/** Numbers and their units stay on one line: "196 GiB used" does not end in "196". */
export const firm = (text: string): string => text.replace(/(\d) (?=[KMGTPE]?i?B\b|%|°C)/g, "$1\u00a0");

export const dash = "–";
export const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
export function bytes(value: unknown): string {
  if (!isNumber(value) || value < 0) return dash;
  let n = value;
  let unit = 0;
  // Not "1024 KiB": what rounds up to the next unit is shown in it.
  for (; n >= 1023.5 && unit < units.length - 1; unit++) n /= 1024;
  return `${n >= 99_999.5 ? huge(n) : unit === 0 || n >= 99.95 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

export const speed = (value: unknown): string => (isNumber(value) && value >= 0 ? `${bytes(value)}/s` : dash);
export const percent = (value: unknown): string => (isNumber(value) && Math.abs(value) < 1e6 ? `${value.toFixed(value < 9.95 ? 1 : 0)} %` : dash);
export const degrees = (value: unknown): string => (isNumber(value) && Math.abs(value) < 1e5 ? `${value.toFixed(1)} °C` : dash);

export function span(seconds: unknown): string {
  if (!isNumber(seconds)) return dash;
  const whole = Math.max(0, Math.floor(seconds));
  const d = Math.floor(whole / 86400);
  const h = Math.floor(whole / 3600) % 24;
  const m = Math.floor(whole / 60) % 60;
  if (d >= 100_000) return t("daysOnly", { d: huge(d) });
  if (d > 0) return t("days", { d, h });
  if (h > 0) return t("hours", { h, m });
  return m > 0 ? t("minutes", { m }) : t("seconds", { s: whole });
}

/** A time that was measured: below two minutes, every part of a second counts. */
export const duration = (seconds: unknown): string => (isNumber(seconds) && Math.abs(seconds) < 120 ? t("seconds", { s: number(seconds) }) : span(seconds));

/** How long ago; clocks differ, so what lies ahead is "just now". */
export function ago(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  return seconds < 3 ? t("now") : t("ago", { span: span(seconds) });
}

const locale = () => (lang.value === "zh" ? "zh-CN" : "en-GB");
const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();
function made<T extends Intl.NumberFormat | Intl.DateTimeFormat>(name: string, make: (locale: string) => T): T {
  const key = `${locale()} ${name}`;
  if (!formats.has(key)) formats.set(key, make(locale()));
  return formats.get(key) as T;
}

/** What has so many digits that nobody counts them: 1.23E308. */
const huge = (value: number): string => made("huge", (l) => new Intl.NumberFormat(l, { notation: "scientific", maximumSignificantDigits: 3 })).format(value);

/** Below 1, digits count from the first that is not 0: a small number is not none. */
export function number(value: unknown, digits = 2): string {
  if (!isNumber(value)) return dash;
  if (Math.abs(value) >= 1e15) return huge(value);
  const small = digits > 0 && Math.abs(value) < 1 && Math.abs(value) >= 1e-9;
  return made(small ? "small" : `n${digits}`, (l) => new Intl.NumberFormat(l, small ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: digits })).format(value);
}
export const count = (value: unknown): string => number(value, 0);
/** The load of the last 1, 5 and 15 minutes. */
export const loads = (list: readonly number[]): string => list.map((n) => (Math.abs(n) < 1e6 ? n.toFixed(2) : number(n))).join("  ");
export const dateTime = (ms: unknown): string =>
  isNumber(ms) && Math.abs(ms) < 8.64e15 ? made("dt", (l) => new Intl.DateTimeFormat(l, { dateStyle: "medium", timeStyle: "medium" })).format(ms) : dash;
export const time = (ms: unknown): string =>
  isNumber(ms) && Math.abs(ms) < 8.64e15 ? made("t", (l) => new Intl.DateTimeFormat(l, { timeStyle: "medium" })).format(ms) : dash;
export const yesNo = (value: boolean): string => t(value ? "yes" : "no");

/** The flag of a country as letters that systems with pictures of flags show as one; empty for what is no country code. */
export function flag(country: string): string {
  if (!/^[a-z]{2}$/i.test(country)) return "";
  return String.fromCodePoint(...[...country.toUpperCase()].map((letter) => 0x1f1e6 + letter.charCodeAt(0) - 65));
}

const regions = new Map<string, Intl.DisplayNames>();
/** Codes that are for private use, or for "nobody knows": they have names, and no flags. */
const noCountry = /^(AA|EZ|Q[M-Z]|X[A-JL-Z]|ZZ)$/;

/** Empty for a code that nobody has given to a country. */
export function countryName(country: string): string {
  if (!/^[a-z]{2}$/i.test(country)) return "";
  const code = country.toUpperCase();
  try {
    regions.set(locale(), regions.get(locale()) ?? new Intl.DisplayNames([locale()], { type: "region", fallback: "none" }));
    return noCountry.test(code) ? "" : (regions.get(locale())!.of(code) ?? "");
  } catch {
    return "";
  }
}
/** Codes of earlier days have a name and no flag; so has "UK", which people write. */
export const hasFlag = (country: string): boolean => countryName(country) !== "" && !/^(AN|BU|CS|DD|FX|NT|SU|TP|UK|YD|YU|ZR)$/i.test(country);

/** "open_files" → "Open files" */
export const words = (name: string): string => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/** A value of a collector that this page does not know. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return dash;
  if (Array.isArray(value)) return value.map(plain).join(" · ");
  if (typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${plain(v)}`).join(", ");
  if (typeof value === "boolean") return yesNo(value);
  return typeof value === "number" ? number(value) : String(value);
}
