// SPDX-License-Identifier: ISC
// Login and roles; the session ends when the password changes; a token is never in an address.
export default async function (j) {
  const { assert } = j;
  const page = await j.open("#/keys"); // for users: to the login, and back here
  await page.waitForSelector("#login");
  await page.fill("#login input[name=username]", j.user);
  await page.fill("#login input[name=password]", "Wrong-password-1");
  // What was typed can be looked at, and hidden again.
  const show = page.getByRole("button", { name: /^Show password/ });
  const password = page.locator("#login input[name=password]");
  for (const [pressed, type] of [["true", "text"], ["false", "password"]]) {
    await show.click();
    assert.equal(await show.getAttribute("aria-pressed"), pressed);
    assert.equal(await password.getAttribute("type"), type);
    assert.equal(await password.inputValue(), "Wrong-password-1");
  }
  await page.click("#login button[type=submit]");
  await page.waitForSelector('#login [role="alert"]');
  await page.fill("#login input[name=password]", j.password);
  await page.click("#login button[type=submit]");
  await j.until(page, () => location.hash.startsWith("#/keys"));
  await page.waitForSelector("#sign-out");
  assert.ok((await page.locator("#account-link").innerText()).includes(j.user));
  assert.equal(await page.evaluate(() => Object.values(localStorage).join("").includes("eyJ")), false, "only for this window, unless asked");
  const links = await page.locator("nav a").allInnerTexts();
  assert.ok(links.includes("Relay") && !links.includes("Plugins") && !links.includes("Administration"), links.join());
  await j.live(page);
  await j.go(page, "/plugins");
  await j.until(page, () => document.querySelector("main").innerText.includes("Only administrators"));
  await page.reload();
  await page.waitForSelector("#sign-out");

  await page.click("#sign-out");
  await page.waitForSelector("#sign-in");
  await j.go(page, "/relay");
  await page.waitForSelector("#login");

  // One that is missing is what the keyboard is at.
  await page.fill("#login input[name=username]", j.user);
  await page.keyboard.press("Enter");
  await j.until(page, () => document.activeElement?.name === "password" && document.activeElement.getAttribute("aria-invalid") === "true");

  // "Stay signed in" holds in a new page of the same browser.
  await page.fill("#login input[name=username]", j.user);
  await page.fill("#login input[name=password]", j.password);
  await page.check("#login input[name=stay]");
  await page.click("#login button[type=submit]");
  await page.waitForSelector("#sign-out");
  const other = await page.context().newPage();
  await other.goto(j.url);
  await other.waitForSelector("#sign-out");
  await other.close();
  await j.live(page);

  // The password is changed somewhere else: this page is signed out by itself, quietly.
  await j.ask("change_password");
  await page.waitForSelector("#sign-out", { state: "detached", timeout: 15_000 });
  await page.waitForSelector("#login, #sign-in");
  j.quiet(["401"]);

  // Whoever signs in in one tab, to stay, is signed in in the others: the one that asks for a login goes on to what was wanted.
  const waiting = await j.open("#/keys");
  await waiting.waitForSelector("#login");
  const beside = await waiting.context().newPage();
  await beside.goto(`${j.url}/#/login`);
  await beside.fill("#login input[name=username]", j.user);
  await beside.fill("#login input[name=password]", `${j.password}x`);
  await beside.check("#login input[name=stay]");
  await beside.click("#login button[type=submit]");
  await beside.waitForSelector("#sign-out");
  await j.until(waiting, () => location.hash === "#/keys" && document.querySelector("#sign-out") && !document.querySelector("#login"));
  await waiting.context().close();

  // An administrator.
  const admin = await j.open();
  await j.login(admin, "admin", j.adminPassword);
  const all = await admin.locator("nav a").allInnerTexts();
  for (const word of ["Relay", "Plugins", "Administration", "API keys", "Add a machine"]) assert.ok(all.includes(word), `${word} in ${all}`);
  j.quiet(["401"]);
}
