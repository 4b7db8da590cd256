// SPDX-License-Identifier: ISC
import { afterEach, expect, test } from "vitest";
import { ago, bytes, count, countryName, degrees, duration, firm, flag, hasFlag, loads, number, percent, plain, span, speed, words } from "./format";
import { lang } from "./text";

afterEach(() => void (lang.value = "en"));
const odd: unknown[] = [undefined, null, NaN, Infinity, "5", {}, [], { valueOf: () => 1 }];

test("what is no figure is a dash", () => {
  for (const value of odd) for (const show of [bytes, speed, percent, span, degrees, number]) expect(show(value)).toBe("–");
});

test("sizes", () => {
  expect([0, 1023, 1024, 1536, 10 * 1024, 1023.9 * 1024, 5 * 1024 ** 3, 1e30].map(bytes)).toEqual(["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 KiB", "1.0 MiB", "5.0 GiB", "8.67E11 EiB"]);
  expect(speed(2048)).toBe("2.0 KiB/s");
  expect(bytes(-1)).toBe("–");
});

test("a number and its unit stay together", () => {
  expect(firm("196 GiB used, 281 GiB free")).toBe("196\u00a0GiB used, 281\u00a0GiB free");
  expect(firm("2 B, 41 %, 5 Boats")).toBe("2\u00a0B, 41\u00a0%, 5 Boats");
});

test("shares", () => expect([0, 9.94, 9.96, 12.4, 100, 1e300].map(percent)).toEqual(["0.0 %", "9.9 %", "10 %", "12 %", "100 %", "–"]));

test("times", () => {
  expect([0, 59.9, 60, 3600, 90061, -5].map(span)).toEqual(["0 s", "59 s", "1 min", "1 h 0 min", "1 d 1 h", "0 s"]);
  expect(ago(1000, 500)).toBe("just now");
  expect(ago(0, 60_000)).toBe("1 min ago");
  lang.value = "zh";
  expect(ago(0, 3_600_000)).toBe("1 小时 0 分前");
});

test("small numbers and short times are not none", () => {
  expect([0, 0.0042, 0.34567, -0.5, 0.1 + 0.2, 1e-12, 1.005, 75.126].map((n) => number(n))).toEqual(["0", "0.0042", "0.346", "-0.5", "0.3", "0", "1.01", "75.13"]);
  expect(count(0.4)).toBe("0");
  expect([0, 0.35, 75, 119.5, 120, 3600].map(duration)).toEqual(["0 s", "0.35 s", "75 s", "119.5 s", "2 min", "1 h 0 min"]);
  expect(duration(NaN)).toBe("–");
});

test("the greatest numbers are as short as others", () => {
  for (const language of ["en", "zh"] as const) {
    lang.value = language;
    for (const value of [1e308, -1e300, Number.MAX_VALUE, 1e15, -1e15, 1e21, 99_999 * 2 ** 60, 1e30])
      for (const show of [bytes, speed, number, count, percent, degrees, span, duration, plain, (n: number) => loads([n])]) expect(show(value), String(value)).toMatch(/^(–|0 (s|秒)|-?\d{1,5}([.,]\d\d?)?(E\d+)?( .{1,6})?)$/);
  }
  lang.value = "en";
  expect([1e308, -1e300, 1e15].map((n) => number(n))).toEqual(["1E308", "-1E300", "1E15"]);
  expect(number(999_999_999_999_999)).toBe("999,999,999,999,999");
  expect([bytes(99_999 * 2 ** 60), bytes(1e5 * 2 ** 60), speed(1e308)]).toEqual(["99999 EiB", "1E5 EiB", "8.67E289 EiB/s"]);
  expect([span(99_999 * 86400), span(1e308)]).toEqual(["99999 d 0 h", "1.16E303 d"]);
  expect(loads([0.5, 1e300])).toBe("0.50  1E300");
});

test("countries", () => {
  expect(flag("de")).toBe("🇩🇪");
  for (const bad of ["", "D", "DEU", "<i>", "1a"]) expect([flag(bad), countryName(bad)]).toEqual(["", ""]);
  expect(countryName("DE")).toBe("Germany");
  for (const none of ["XX", "ZZ", "QQ", "xa", "EZ"]) expect([countryName(none), hasFlag(none)]).toEqual(["", false]);
  expect([hasFlag("UK"), hasFlag("su"), hasFlag("gb"), hasFlag("XK"), hasFlag("EU")]).toEqual([false, false, true, true, true]);
  lang.value = "zh";
  expect(countryName("DE")).toBe("德国");
});

test("values of collectors that nobody knows", () => {
  expect(plain([1, 2.345, "x"])).toBe("1 · 2.35 · x");
  expect(plain({ a: true, b: null })).toBe("a yes, b –");
  expect(plain("<b>")).toBe("<b>");
  expect(words("open_files")).toBe("Open files");
});
