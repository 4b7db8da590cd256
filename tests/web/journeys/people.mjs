// SPDX-License-Identifier: ISC
// What belongs to people: API keys, adding a machine, registration with an invite code; an administrator's users, bans and log.
export default async function (j) {
  const { assert } = j;
  const admin = await j.open();
  await j.login(admin, "admin", j.adminPassword);
  const code = await j.ask("invite");
  await j.go(admin, "/admin");
  await admin.waitForSelector("#admin");
  await j.until(admin, (user) => document.querySelector("#admin").innerText.includes(user), j.user);
  await j.go(admin, "/admin/codes");
  await j.until(admin, (text) => document.querySelector("main").innerText.includes(text), code);

  const page = await j.open("#/register");
  await page.waitForSelector("#register");
  const inputs = page.locator("#register input");
  assert.ok((await inputs.count()) >= 4);
  await j.fits(page, "register");

  const mine = await j.open();
  await j.login(mine);
  await j.go(mine, "/add");
  await mine.waitForSelector("#add");
  await mine.locator("#add input").first().fill("journey-machine");
  await mine.locator("#add button[type=submit]").first().click();
  await j.until(mine, () => document.querySelector("#add").innerText.includes("muster-agent --join"));
  const shown = await mine.locator("#add").innerText();
  assert.ok(shown.includes("systemctl enable --now muster-agent"), shown);
  await j.go(mine, "/keys");
  await j.until(mine, () => document.querySelector("main").innerText.includes("journey-machine"));
  assert.ok(!(await mine.locator("main").innerText()).includes("--join"), "the key is shown once");
  for (const width of [768, 390]) {
    await mine.setViewportSize({ width, height: 900 });
    await j.fits(mine, `keys at ${width}`);
  }
  j.quiet();
}
