// SPDX-License-Identifier: ISC
// An endpoint is made, its device speaks and obeys, and it is deleted again.
const HOSTILE = '<img src=x onerror="window.hacked=1"> \u001b[31mred\u001b[0m \u202ereversed';

/** A dialog that is closed while its request is under way: the outcome is a notice, and what is on the screen by then stays. */
async function closedTooEarly(j, page) {
  const { assert } = j;
  let answer;
  const routes = /\/api\/endpoints(\/[\w-]+)?$/;
  await page.route(routes, async (route) => {
    if (route.request().method() === "GET") return route.continue();
    await new Promise((go) => (answer = go)).then((fails) => (fails ? route.abort() : route.continue()));
  });
  const told = (text) => j.until(page, (wanted) => document.querySelector("#notices").innerText.includes(wanted), text);
  const submitAndClose = async () => {
    answer = undefined;
    await page.locator("dialog button[type=submit]").click();
    while (!answer) await page.waitForTimeout(20);
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
  };
  await j.go(page, "/relay");
  const make = page.getByRole("button", { name: "New endpoint" }).first();
  for (const fails of [true, false]) {
    await make.click();
    await page.locator("dialog input").first().fill("Left behind");
    await submitAndClose();
    answer(fails);
    await told(fails ? "The server is not responding" : "Endpoint created");
    assert.equal(await page.evaluate(() => location.hash), "#/relay");
  }
  await page.getByRole("button", { name: "Delete: Left behind" }).click();
  await submitAndClose();
  await make.click(); // another dialog by then
  await page.locator("dialog input").first().fill("Not to be lost");
  answer(false);
  await told("Endpoint deleted");
  await page.waitForTimeout(300);
  assert.equal(await page.locator("dialog input").first().inputValue(), "Not to be lost");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await j.until(page, () => document.querySelector("main .state-title")?.innerText === "No endpoints yet");
  await page.unroute(routes);
}

export default async function (j) {
  const { assert } = j;
  const page = await j.open();
  await j.login(page);
  await closedTooEarly(j, page);
  await page.click('nav a:has-text("Relay")');
  await page.getByRole("button", { name: "New endpoint" }).first().click();
  await page.waitForSelector("dialog[open]");
  await page.locator("dialog input").first().fill("Journey <b>bold</b>");
  await page.locator('dialog input[type=radio][value="JSON"], dialog label:has-text("JSON") input').first().check();
  await page.locator("dialog button[type=submit]").click();
  await page.waitForSelector("#endpoint");
  assert.equal(await page.locator("#endpoint h1 bdi, #endpoint h1 .name").first().innerText(), "Journey <b>bold</b>");
  const address = await page.locator("#endpoint .copy code").first().innerText();
  assert.match(address, /^wss?:\/\/.*\/ws\/[\w-]{10}$/);

  // What it is to send is code, and reads from its left edge.
  await page.waitForSelector("#devices .copy code");
  assert.ok(["left", "start"].includes(await page.evaluate(() => getComputedStyle(document.querySelector("#devices .copy code")).textAlign)));
  // Deleting looks like what it is.
  const [leave, save] = await page.evaluate(() => ["button.leave", "#mode button[type=submit]"].map((name) => getComputedStyle(document.querySelector(name)).color));
  assert.notEqual(leave, save);

  // A device comes, speaks, and is asked for something.
  await j.ask("device", { address, id: "lamp", name: "Lamp <i>1</i>" });
  await j.until(page, () => document.querySelector("#devices")?.innerText.includes("Lamp <i>1</i>"));
  await j.ask("device_says", { message: { temperature: 21.5, note: HOSTILE } });
  await j.until(page, () => document.querySelector("#messages")?.innerText.includes("21.5"));
  assert.ok((await page.locator("#messages").innerText()).includes("<img src=x onerror="));
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("#endpoint :is(h1, #devices, #messages) :is(img, script, b b, i)").count(), 0);

  await page.getByRole("button", { name: /Send a command to Lamp/ }).click();
  await page.locator("dialog input").first().fill("setLight");
  await page.locator("dialog textarea").fill('{"on": true}');
  await page.locator("dialog button[type=submit]").click();
  await page.waitForSelector(".command-result :text('success'), .command-result .ok", { timeout: 15_000 });
  const got = await j.ask("device_heard");
  assert.deepEqual(got.map((c) => [c.command, c.params]), [["setLight", { on: true }]]);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });

  await page.getByRole("button", { name: /Values/i }).first().click();
  await j.until(page, () => document.querySelector("dialog")?.innerText.includes("temperature") && document.querySelector("dialog").innerText.includes("°C"));
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: /^Rename/ }).click();
  await page.locator("dialog input").first().fill("Desk lamp");
  await page.locator("dialog button[type=submit]").click();
  await j.until(page, () => document.querySelector("#devices").innerText.includes("Desk lamp"));
  for (const width of [768, 390, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await j.fits(page, `endpoint at ${width}`);
  }
  await j.ask("device_leaves");
  await j.until(page, () => document.querySelector("#devices .dot")?.getAttribute("aria-label") === "offline");

  await page.locator("button.leave").click();
  await page.locator("dialog button.danger, dialog button[type=submit]").first().click();
  await j.until(page, () => location.hash === "#/relay" && !document.body.innerText.includes("Journey"));
  await j.until(page, () => document.activeElement?.id === "main"); // what opened the dialog is gone
  j.quiet(["ERR_FAILED", `404 (Not Found) ${j.url}/api/endpoints/`]); // the page may ask for its news in the moment it is deleted
}
