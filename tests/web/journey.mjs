// SPDX-License-Identifier: ISC
// node journey.mjs NAME: goes one of the journeys in a real browser. tests/e2e/test_journeys.py starts the server, and this.
// Lines of JSON: {"given": …} comes first; {"do", …} asks the tests for something, which answer with {"done": …}; {"say"} is printed there.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => JSON.parse((await lines.next()).value);
const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const { given } = await hear();

const browser = await chromium.launch({
  executablePath: given.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--hide-scrollbars"],
});

/** What a browser complains of: scripts, policies, files. A server that is away is expected where a journey says so. */
const complaints = [];
const secrets = new Set();
const addresses = [];

const j = {
  ...given,
  assert,
  browser,
  complaints,
  say: (text) => tell({ say: text }),
  /** What only the tests can do: restart the server, be a device, … */
  async ask(what, more = {}) {
    tell({ do: what, ...more });
    return (await hear()).done;
  },
  /** A page of a browser of its own. */
  async open(path = "", { width = 1440, height = 1000, dark = false, locale = "en-US", phone = false, at = given.url, cookie = "" } = {}) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", locale, isMobile: phone, hasTouch: phone, ignoreHTTPSErrors: at.startsWith("https:") });
    if (cookie) await context.addCookies([{ url: at, name: cookie.split("=")[0], value: cookie.split("=")[1] }]);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url}`));
    page.on("request", (request) => addresses.push(request.url()));
    page.on("websocket", (socket) => addresses.push(socket.url()));
    await page.goto(`${at}/${path}`);
    return page;
  },
  async login(page, name = given.user, password = given.password) {
    await page.evaluate(() => (location.hash = "#/login"));
    await page.fill("#login input[name=username]", name);
    await page.fill("#login input[name=password]", password);
    await page.click("#login button[type=submit]");
    await page.waitForSelector("#sign-out");
    const token = await page.evaluate(() => Object.values(sessionStorage).join(" ") + Object.values(localStorage).join(" "));
    for (const found of token.matchAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g)) secrets.add(found[0]);
  },
  go: (page, path) => page.evaluate((to) => (location.hash = `#${to}`), path),
  /** Until check() is true of the page; it is evaluated there. */
  until: (page, check, argument, timeout = 20_000) => page.waitForFunction(check, argument, { timeout, polling: 100 }),
  live: (page, timeout = 30_000) => page.waitForSelector('#link[data-state="live"]', { timeout }),
  /** Nothing makes the page wider than the window, once it has been laid out for it. */
  async fits(page, what) {
    const look = () => {
      const room = document.documentElement.clientWidth;
      return document.documentElement.scrollWidth > room ? [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > room + 1).slice(0, 5).map((e) => `${e.tagName}.${e.className}`) : null;
    };
    let wide = await page.evaluate(look);
    for (let n = 0; n < 20 && wide; n++) {
      await page.waitForTimeout(100);
      wide = await page.evaluate(look);
    }
    assert.equal(wide, null, `${what}: reaches out of the window: ${wide}`);
  },
  quiet(but = []) {
    assert.deepEqual(complaints.filter((text) => !but.some((word) => text.includes(word))), []);
  },
};

let failed = null;
try {
  await (await import(`./journeys/${process.argv[2]}.mjs`)).default(j);
  const told = addresses.filter((address) => address.includes("token=") || [...secrets].some((secret) => address.includes(secret)));
  assert.deepEqual(told, [], "a token is in an address");
} catch (error) {
  failed = error.stack ?? String(error);
  for (const [n, context] of browser.contexts().entries())
    for (const page of context.pages()) {
      const file = `${given.folder}/failed-${process.argv[2]}-${n}.png`;
      await page.screenshot({ path: file, timeout: 5000 }).then(() => (failed += `\npicture: ${file}`), () => {});
    }
}
await browser.close();
tell({ failed, complaints });
process.exit(failed ? 1 : 0);
