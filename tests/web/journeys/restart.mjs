// SPDX-License-Identifier: ISC
// The server is started again under open pages: they come back by themselves, are not loaded again, and nobody signs in again.
export default async function (j) {
  const { assert } = j;
  const status = await j.open();
  const machine = await j.open("#/machine/demo");
  const mine = await j.open();
  await j.login(mine);
  await j.go(mine, "/relay");
  const kept = await j.open();
  await j.login(kept);
  await j.go(kept, "/");
  // Whoever goes to a page while the server is away: to one that was seen before, and to ones that are still to be loaded.
  const asking = await j.open();
  await j.login(asking);
  await j.go(asking, "/keys");
  await asking.getByRole("button", { name: "New key" }).first().waitFor();
  await j.go(asking, "/");
  const first = await j.open();
  await j.login(first);
  await j.go(first, "/");
  const unseen = await j.open();
  const late = [asking, first, unseen];
  const sockets = [];
  kept.on("websocket", (socket) => sockets.push(socket.url()));
  for (const page of [status, machine, mine, kept, ...late]) {
    await j.live(page);
    await page.evaluate(() => (window.same = 1));
  }
  await status.waitForSelector('.card[data-id="demo"][data-online="true"]');
  await j.ask("stop");
  for (const page of [status, machine, mine, ...late]) await page.waitForSelector('#link[data-state="lost"]');
  await j.go(asking, "/keys");
  await j.go(first, "/account");
  await j.go(unseen, "/machine/demo");
  for (const page of late) await j.until(page, () => document.querySelector("main .state-box:not(.loading)")?.innerText.includes("not responding"));
  assert.equal(await status.locator('.card[data-id="demo"]').count(), 1, "what was known stays to be seen");
  assert.ok((await status.locator("#link").innerText()).length > 5, "and it says that it is old");
  await status.waitForTimeout(2000);
  // Who is signed in does not become nobody because a ticket is not to be had.
  const refusals = [{ status: 503 }, { status: 429, headers: { "Retry-After": "1" } }, { status: 500, body: "not JSON" }, "abort"];
  let asked = 0;
  await kept.route("**/api/console/ticket", (route) => {
    const answer = refusals[Math.min(asked++, refusals.length - 1)];
    return answer === "abort" ? route.abort() : route.fulfill(answer);
  });
  sockets.length = 0;
  await j.ask("start");
  for (const page of [status, machine, mine]) {
    await j.live(page, 40_000);
    assert.equal(await page.evaluate(() => window.same), 1);
  }
  // They have what they went for without anybody doing anything, and it looks as it should.
  await asking.getByRole("button", { name: "New key" }).first().waitFor({ timeout: 40_000 });
  await first.waitForSelector("main input[type=password]", { timeout: 40_000 });
  await unseen.waitForSelector(".chart canvas", { timeout: 40_000 });
  assert.equal(await unseen.locator(".machine").evaluate((e) => getComputedStyle(e).display), "grid", "the page that was loaded late has its style sheet");
  for (const page of late) {
    await j.live(page, 40_000);
    assert.equal(await page.evaluate(() => window.same), 1);
    assert.equal(await page.locator("main .state-box.error").count(), 0);
  }
  await status.waitForSelector('.card[data-id="demo"][data-online="true"]', { timeout: 40_000 });
  const before = await status.locator('.card[data-id="demo"]').innerText();
  await j.until(status, (old) => document.querySelector('.card[data-id="demo"]').innerText !== old, before, 30_000);
  await machine.waitForSelector(".chart canvas");
  for (let n = 0; n < 40 && asked < refusals.length; n++) {
    await kept.locator("#link button").click({ timeout: 2000 }).catch(() => {}); // "Reconnect now"
    await kept.waitForTimeout(500);
  }
  assert.ok(asked >= refusals.length, `${asked} tickets were asked for`);
  assert.deepEqual(sockets, [], "it did not connect as nobody");
  assert.equal(await kept.locator("#link").getAttribute("data-state"), "lost");
  assert.equal(await kept.locator('.card[data-id="demo"]').count(), 1, "what was known stays");
  assert.equal(await kept.locator("#sign-out").count(), 1);
  await kept.unroute("**/api/console/ticket");
  await kept.locator("#link button").click({ timeout: 2000 }).catch(() => {});
  await j.live(kept, 40_000);
  assert.equal(await kept.evaluate(() => window.same), 1);
  assert.equal(await kept.locator("#sign-out").count(), 1);
  assert.equal(await mine.locator("#sign-out").count(), 1);
  await j.until(mine, () => !document.querySelector("main .spinner") && document.querySelector("main").innerText.includes("endpoint"), null, 30_000);
  j.quiet(["WebSocket connection to", "ERR_CONNECTION_REFUSED", "Failed to load resource"]);
}
