// SPDX-License-Identifier: ISC
// Public status: two real agents, seen without a login.
export default async function (j) {
  const { assert } = j;
  const heard = [];
  const page = await j.open();
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => heard.push(String(payload))));
  await page.reload();
  await j.live(page);
  await page.waitForSelector('.card[data-id="demo"][data-online="true"]');
  await j.until(page, () => document.querySelectorAll(".card[data-online=true] .bar").length >= 6);
  const card = page.locator('.card[data-id="demo"]');
  for (const word of ["CPU", "Memory", "Disk", "Machine demo"]) assert.ok((await card.innerText()).includes(word), word);
  assert.ok((await page.locator("h2").allInnerTexts()).some((text) => text.startsWith("lab")));
  assert.equal(await page.locator("#sign-in").count(), 1);

  // In place: the same elements, other texts; the order stays.
  await page.evaluate(() => (window.before = [...document.querySelectorAll(".card, .card *")]));
  const order = () => page.evaluate(() => [...document.querySelectorAll(".card")].map((c) => c.dataset.id));
  const text = await page.locator("main").innerText();
  const first = await order();
  await j.until(page, (old) => document.querySelector("main").innerText !== old, text);
  await page.waitForTimeout(3000);
  assert.deepEqual(await order(), first);
  const names = await page.evaluate(() => [...document.querySelectorAll(".card")].map((c) => c.querySelector(".name").textContent).filter((name) => name.startsWith("Machine ")));
  assert.deepEqual(names, ["Machine demo", "Machine second"]);
  assert.ok((await page.evaluate(() => window.before.filter((e) => !e.isConnected).length)) <= 1);

  await page.fill("#search", "second");
  await j.until(page, () => document.querySelectorAll(".card").length === 1);
  await page.fill("#search", "no such machine");
  await page.waitForSelector("#empty");
  await page.fill("#search", "");
  await j.until(page, (n) => document.querySelectorAll(".card").length === n, first.length);

  // No address of a machine reaches the page.
  assert.ok(heard.length > 3);
  for (const frame of heard) assert.ok(!/"ip"|\b127\.0\.0\.1\b/.test(frame), frame);
  assert.ok(!/\b\d+\.\d+\.\d+\.\d+\b/.test(await page.locator("main").innerText()));

  // By keyboard alone: a card's link is reached, and opens.
  await page.locator("#search").focus();
  for (let n = 0; n < 20 && !(await page.evaluate(() => document.activeElement.closest(".card"))); n++) await page.keyboard.press("Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).boxShadow + getComputedStyle(document.activeElement, "::after").outlineStyle);
  assert.notEqual(outline, "nonenonenone", "focus is seen");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".machine");

  // An agent that ends is shown as offline, and as back.
  await j.go(page, "/");
  await j.ask("stop_agent", { id: "second" });
  await page.waitForSelector('.card[data-id="second"][data-online="false"]', { timeout: 30_000 });
  await j.ask("start_agent", { id: "second" });
  await page.waitForSelector('.card[data-id="second"][data-online="true"]', { timeout: 30_000 });
  await j.fits(page, "status");

  // Whoever goes back finds the list as it was: the same place, the link that was followed in focus.
  await page.setViewportSize({ width: 390, height: 500 });
  await page.click('[data-view="list"]');
  assert.deepEqual(await page.locator(".machines thead th").evaluateAll((all) => all.filter((th) => th.scrollWidth > th.clientWidth).map((th) => th.textContent)), [], "heads of the list are whole");
  await page.click('[data-view="cards"]');
  const link = page.locator('.card[data-id="second"] a');
  const down = await link.evaluate((a) => { a.scrollIntoView({ block: "center" }); return scrollY; });
  assert.ok(down > 100, `there is something to scroll: ${down}`);
  const kept = ([y, id]) => Math.abs(scrollY - y) <= 2 && document.activeElement.closest(".card")?.dataset.id === id;
  for (const back of [() => page.goBack(), () => page.click(".machine .back a")]) {
    await link.click();
    await page.waitForSelector(".machine");
    await j.until(page, () => scrollY === 0 && document.title.startsWith("Machine second · "));
    await back();
    await j.until(page, kept, [down, "second"]);
    await page.evaluate(() => document.activeElement.blur());
  }
  await page.goForward(); // "back" to the machine is no new page
  await page.waitForSelector(".machine");
  await page.goBack();
  await j.until(page, (y) => Math.abs(scrollY - y) <= 2, down);

  // Stylesheets of other pages stay loaded, and change nothing here.
  await page.setViewportSize({ width: 1440, height: 1000 });
  const looks = () => page.locator('.card[data-id="demo"]').evaluate((card) => [card, ...card.querySelectorAll(".facts, .about, .bars, header")].map((e) => `${e.className}: ${getComputedStyle(e).display} ${getComputedStyle(e).margin} ${Math.round(e.getBoundingClientRect().left - card.getBoundingClientRect().left)}`));
  await page.reload();
  await j.live(page);
  await page.waitForSelector('.card[data-id="demo"] .bar');
  const alone = await looks();
  await j.login(page);
  for (const path of ["/relay", "/keys", "/account", "/machine/demo"]) {
    await j.go(page, path);
    await page.waitForFunction(() => document.querySelector("main h1") && !document.querySelector("main .spinner"));
  }
  await j.go(page, "/");
  await page.waitForSelector('.card[data-id="demo"] .bar');
  assert.deepEqual(await looks(), alone);
  j.quiet();
}
