// SPDX-License-Identifier: ISC
// What is loaded, how it does, and with which options; secrets stay hidden.
export default async function (j) {
  const { assert } = j;
  const page = await j.open();
  const answers = [];
  page.on("response", async (answer) => answer.url().includes("/api/console/") && answers.push(await answer.text().catch(() => "")));
  await j.login(page, "admin", j.adminPassword);
  await j.go(page, "/plugins");
  await page.waitForSelector("#plugins .plugin");
  const names = await page.locator(".plugin b").allInnerTexts();
  for (const name of j.plugins) assert.ok(names.includes(name), `${name} in ${names}`);
  assert.equal(await page.locator(".plugin.failed").count(), 0);
  assert.equal(await page.locator(".plugin.running").count(), names.length);
  const row = page.locator(".plugin", { hasText: "server_status" }).locator("button.row");
  await row.click();
  assert.equal(await row.getAttribute("aria-expanded"), "true");
  await j.until(page, () => /p99/i.test(document.querySelector(".plugin .details")?.innerText ?? ""));
  await page.getByRole("link", { name: "Configuration" }).or(page.getByRole("tab", { name: "Configuration" })).first().click();
  await page.waitForSelector(".config .options");
  const text = await page.locator("main").innerText();
  assert.ok(text.includes("jwt_secret") && text.includes("secret"));
  assert.ok(answers.length >= 2);
  // Lists are entries of one row each, and what is not set is not in the way; who looks for it finds it.
  assert.ok((await page.locator(".config .entries li").count()) > 5);
  assert.ok(!(await page.locator(".config").allInnerTexts()).some((said) => said.includes("not set") || said.includes("tls.key")), "what is not set");
  await page.getByRole("checkbox", { name: "Show options that are not set" }).check();
  await j.until(page, () => document.querySelector("main").innerText.includes("tls.key"));
  await page.getByRole("checkbox", { name: "Show options that are not set" }).uncheck();
  await page.getByRole("searchbox", { name: "Search options" }).fill("hash_threads");
  await j.until(page, () => document.querySelectorAll(".config").length === 1 && document.querySelector(".config").innerText.includes("hash_threads"));
  await page.getByRole("searchbox", { name: "Search options" }).fill("no such option");
  await page.getByRole("button", { name: "Clear search" }).click();
  await j.until(page, () => document.querySelectorAll(".config").length > 5 && document.activeElement?.matches("input.search"));
  await page.setViewportSize({ width: 390, height: 900 });
  const tall = await page.evaluate(() => document.documentElement.scrollHeight);
  assert.ok(tall < 9000, `the configuration is ${tall} pixels tall on a phone`);
  for (const secret of j.secrets) for (const said of [text, ...answers]) assert.ok(!said.includes(secret), "a secret is shown");
  for (const width of [768, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await j.fits(page, `plugins at ${width}`);
  }
  j.quiet();
}
