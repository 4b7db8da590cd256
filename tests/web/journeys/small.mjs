// SPDX-License-Identifier: ISC
// Without the relay and the session: login works, the pages that are there work, and the others say what is missing.
export default async function (j) {
  const { assert } = j;
  const page = await j.open();
  await j.live(page);
  await page.waitForSelector('.card[data-id="demo"], #empty');
  await j.login(page);
  const links = await page.locator("nav a").allInnerTexts();
  assert.ok(links.includes("API keys") && !links.includes("Relay"), links.join());
  for (const [path, plugin] of [["/relay", "relay"], ["/add", "session"]]) {
    await j.go(page, path);
    await page.waitForSelector("#missing");
    assert.ok((await page.locator("#missing").innerText()).includes(`“${plugin}”`), path);
    await j.fits(page, path);
  }
  await j.go(page, "/keys");
  await page.waitForSelector("#missing", { state: "detached" });
  await j.until(page, () => document.querySelector("main").innerText.includes("New key"));
  j.quiet();
}
