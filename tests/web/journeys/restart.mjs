// SPDX-License-Identifier: ISC
// The server is started again under open pages: they come back by themselves, are not loaded again, and nobody signs in again.
export default async function (j) {
  const { assert } = j;
  const status = await j.open();
  const machine = await j.open("#/machine/demo");
  const mine = await j.open();
  await j.login(mine);
  await j.go(mine, "/relay");
  for (const page of [status, machine, mine]) {
    await j.live(page);
    await page.evaluate(() => (window.same = 1));
  }
  await status.waitForSelector('.card[data-id="demo"][data-online="true"]');
  await j.ask("stop");
  for (const page of [status, machine, mine]) await page.waitForSelector('#link[data-state="lost"]');
  assert.equal(await status.locator('.card[data-id="demo"]').count(), 1, "what was known stays to be seen");
  assert.ok((await status.locator("#link").innerText()).length > 5, "and it says that it is old");
  await status.waitForTimeout(2000);
  await j.ask("start");
  for (const page of [status, machine, mine]) {
    await j.live(page, 40_000);
    assert.equal(await page.evaluate(() => window.same), 1);
  }
  await status.waitForSelector('.card[data-id="demo"][data-online="true"]', { timeout: 40_000 });
  const before = await status.locator('.card[data-id="demo"]').innerText();
  await j.until(status, (old) => document.querySelector('.card[data-id="demo"]').innerText !== old, before, 30_000);
  await machine.waitForSelector(".chart canvas");
  assert.equal(await mine.locator("#sign-out").count(), 1);
  await j.until(mine, () => !document.querySelector("main .spinner") && document.querySelector("main").innerText.includes("endpoint"), null, 30_000);
  j.quiet(["WebSocket connection to", "ERR_CONNECTION_REFUSED", "Failed to load resource"]);
}
