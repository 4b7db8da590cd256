// SPDX-License-Identifier: ISC
// Without the relay and the session: login works, the pages that are there work, and the others say what is missing; then without accounts, too.
export default async function (j) {
  const { assert } = j;
  const page = await j.open();
  await j.live(page);
  await page.waitForSelector('.card[data-id="demo"], #empty');
  await j.login(page);
  const links = await page.locator("nav a").allInnerTexts();
  assert.ok(links.includes("API keys") && !links.includes("Relay"), links.join());
  await missing(j, page, { "/relay": "relay", "/add": "session" });
  await j.go(page, "/keys");
  await page.waitForSelector("#missing", { state: "detached" });
  await j.until(page, () => document.querySelector("main").innerText.includes("New key"));
  await page.context().close();

  // The least that there is: the machines without a login, and nobody who could sign in to see the plugins.
  await j.ask("restart_without", { plugins: ["auth_accounts"] });
  const least = await j.open();
  await j.live(least);
  await least.waitForSelector('.card[data-id="demo"], #empty');
  assert.equal(await least.locator("nav a").count(), 0); // one page is no choice
  assert.equal(await least.locator("#sign-in").count(), 0);
  const accounts = ["/keys", "/account", "/admin", "/admin/codes", "/admin/log", "/register"];
  await missing(j, least, { "/relay": "relay", "/relay/1": "relay", "/add": "session", ...Object.fromEntries(accounts.map((path) => [path, "auth_accounts"])) });
  await j.go(least, "/plugins");
  await j.until(least, () => /No plugin of this server checks passwords.*“auth_accounts”/.test(document.querySelector("main").innerText));
  assert.match(await least.evaluate(() => location.hash), /^#\/login\?to=/);
  assert.equal(await least.locator("#missing, input").count(), 0);
  await j.fits(least, "/plugins");
  await j.go(least, "/");
  await least.waitForSelector('.card[data-id="demo"], #empty');
  j.quiet();
}

/** Each page names the plugin that it needs, without asking for a login. */
async function missing(j, page, wanted) {
  for (const [path, plugin] of Object.entries(wanted)) {
    await j.go(page, path);
    await j.until(page, (name) => document.querySelector("#missing")?.innerText.includes(`“${name}”`), plugin);
    j.assert.equal(await page.evaluate(() => location.hash), `#${path}`);
    await j.fits(page, path);
  }
}
