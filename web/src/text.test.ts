// SPDX-License-Identifier: ISC
import { afterEach, expect, test } from "vitest";
import { fill, lang, tables, texts } from "./text";

afterEach(() => void (lang.value = "en"));

test("values are filled in, and what has none stays", () => {
  expect(fill("{a} of {b}", { a: 1 })).toBe("1 of {b}");
  expect(fill("{n} key|{n} keys", { n: 1 })).toBe("1 key");
  expect(fill("{n} key|{n} keys", { n: 0 })).toBe("0 keys");
  expect(fill("a|b", { other: 1 })).toBe("a|b");
  expect(fill("{x}", { x: "{x} <b>" })).toBe("{x} <b>");
});

test("a text follows the language", () => {
  const t = texts({ hi: "hi {name}" }, { hi: "你好 {name}" });
  expect(t("hi", { name: "A" })).toBe("hi A");
  lang.value = "zh";
  expect(t("hi", { name: "A" })).toBe("你好 A");
  tables.pop();
});

test("every text is there in both languages, with the same values", async () => {
  const modules = import.meta.glob(["./**/words.ts", "./format.ts"]);
  expect(Object.keys(modules).length).toBeGreaterThan(2);
  for (const load of Object.values(modules)) await load();
  const values = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
  expect(tables.length).toBeGreaterThanOrEqual(Object.keys(modules).length);
  for (const { en, zh } of tables) {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
    for (const [key, text] of Object.entries(en)) {
      expect(text.trim(), key).not.toBe("");
      expect(zh[key]!.trim(), key).not.toBe("");
      expect(values(zh[key]!), key).toEqual(values(text));
    }
  }
});
