// SPDX-License-Identifier: ISC
// Stylesheets of pages stay loaded when another page is shown: each stands below the class of its own page.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { pageClass } from "./scope";

const folder = join(dirname(fileURLToPath(import.meta.url)), "pages");
const sheets = readdirSync(folder).flatMap((page) => readdirSync(join(folder, page)).filter((name) => name.endsWith(".css")).map((name) => ({ page, text: readFileSync(join(folder, page, name), "utf8") })));

/** The selectors that stand on the first level, with what is between their braces. */
function rules(text: string): { selector: string; body: string }[] {
  const found: { selector: string; body: string }[] = [];
  const plain = text.replace(/\/\*[^]*?\*\//g, "");
  let depth = 0, start = 0, open = 0;
  for (let i = 0; i < plain.length; i++) {
    if (plain[i] === "{" && depth++ === 0) open = i;
    if (plain[i] !== "}" || --depth > 0) continue;
    const rule = { selector: plain.slice(start, open).trim(), body: plain.slice(open + 1, i) };
    if (rule.selector.startsWith("@media")) found.push(...rules(rule.body));
    else found.push(rule);
    start = i + 1;
  }
  return found;
}

test("there are stylesheets to be judged", () => expect(sheets.length).toBeGreaterThan(6));

test.each(sheets)("$page: every rule is of its own page", ({ page, text }) => {
  const scope = page === "parts" ? ":where(.console)" : `:where(.at-${page})`;
  for (const { selector, body } of rules(text)) {
    if (selector.startsWith(":root")) expect(body.replace(/--[\w-]+:[^;]*;?/g, "").trim(), "only colours are of all pages").toBe("");
    else expect(selector).toBe(scope);
  }
});

test("each page has the classes that its stylesheets stand below", () => {
  const routes = readFileSync(join(folder, "../routes.ts"), "utf8");
  const pages = [...routes.matchAll(/\{ path: "([^"]+)".*\}/g)].map(([line, path]) => ({ path: path!, ...(line.includes("role: ") ? { role: "user" as const } : {}) }));
  expect(pages.length).toBeGreaterThan(10);
  const classes = new Set(pages.flatMap((page) => pageClass(page).split(" ")));
  for (const { page } of sheets) expect(classes).toContain(page === "parts" ? "console" : `at-${page}`);
});
