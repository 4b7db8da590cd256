// SPDX-License-Identifier: ISC
// An administrator makes an invite code, somebody registers with it, adds a machine with the lines that the page shows, and is banned.
export default async function (j) {
  const { assert } = j;
  const admin = await j.open();
  await j.login(admin, "admin", j.adminPassword);
  await j.go(admin, "/admin/codes");
  await admin.getByRole("button", { name: "New invite code" }).click();
  await admin.locator("dialog button[type=submit]").click();
  await j.until(admin, () => document.querySelector("dialog .copy code, #codes .copy code"));
  // The focus is in the dialog that follows, and then where it all began.
  assert.ok(await admin.evaluate(() => document.querySelector("dialog").contains(document.activeElement)));
  const code = (await admin.locator(".copy code").first().innerText()).match(/[\w-]{8,12}$/)[0];
  await admin.keyboard.press("Escape");
  await j.until(admin, () => document.activeElement?.innerText === "New invite code");
  await admin.getByRole("button", { name: "New invite code" }).click();
  await admin.getByRole("button", { name: "Cancel" }).click();
  await j.until(admin, () => !document.querySelector("dialog") && document.activeElement?.innerText === "New invite code");

  const name = `new_${Date.now() % 1_000_000}`;
  const page = await j.open("#/register");
  await page.waitForSelector("#register");
  await j.fits(page, "register");
  await j.until(page, () => document.activeElement?.name === "code"); // to be typed at once
  await page.fill("#register [name=code]", code);
  await page.fill("#register [name=username]", name);
  await page.fill("#register [name=email]", "no address");
  await page.fill("#register [name=password]", "short");
  await page.click("#register button[type=submit]");
  await j.until(page, () => document.querySelectorAll('#register [aria-invalid="true"]').length === 2 && document.activeElement?.name === "email"); // at the first of them
  await page.fill("#register [name=email]", `${name}@example.org`);
  await page.fill("#register [name=password]", j.password);
  await page.click("#register button[type=submit]");
  await page.waitForSelector("#sign-out, #login");
  if (await page.locator("#login").count()) await j.login(page, name);

  // With an administrator's link the code is there already.
  const linked = await j.open(`#/register?code=${code}`);
  await j.until(linked, (text) => document.activeElement?.name === "username" && document.querySelector("#register [name=code]").value === text, code);
  await linked.context().close();

  // A machine: the lines that are shown are pasted, and the page sees it come; not another one, which comes back meanwhile.
  const watch = await j.open();
  await watch.waitForSelector('[data-id="second"][data-online="true"]');
  await j.ask("stop_agent", { id: "second" });
  await watch.waitForSelector('[data-id="second"][data-online="false"]');
  await j.go(page, "/add");
  await j.until(page, () => document.activeElement?.name === "machine");
  await page.fill("#add input[name=machine]", "journey-machine");
  await page.click("#add button[type=submit]");
  await page.waitForSelector("#lines .copy code");
  const [join, start] = await page.locator("#lines .copy code").allInnerTexts();
  assert.equal(start, "sudo systemctl enable --now muster-agent");
  assert.equal(await page.evaluate(() => document.activeElement.localName), "h2"); // not nowhere
  assert.match(await page.locator("#lines").innerText(), /Other machines cannot reach 127\.0\.0\.1/);
  await j.ask("start_agent", { id: "second" });
  await watch.waitForSelector('[data-id="second"][data-online="true"]');
  await watch.context().close();
  await page.waitForTimeout(500);
  assert.ok(!(await page.locator("#add").innerText()).includes("is here."), "somebody else's machine was greeted");
  await j.fits(page, "the lines");
  await j.ask("paste", { line: join });
  await j.until(page, () => document.querySelector("#add").innerText.includes("is here."));
  await j.until(page, (host) => document.querySelector("#add .arrived").innerText.includes(host), j.hostname); // its name comes a moment after it
  await page.click('#add a[href*="/machine/"]');
  await page.waitForSelector(".machine .tiles");
  const key = join.match(/'([^']+)'/)[1];
  await j.go(page, "/keys");
  await j.until(page, () => document.querySelector("main").innerText.includes("journey-machine"));
  assert.ok(!(await page.content()).includes(key), "the key is shown once");
  for (const width of [768, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await j.fits(page, `keys at ${width}`);
  }
  await j.go(page, "/");
  await page.waitForSelector('.card[data-online="true"]');
  await j.until(page, (user) => [...document.querySelectorAll(".card")].some((c) => c.innerText.includes(user)), name);

  // Banned: the page is signed out by itself, and the log says why.
  await j.go(admin, "/admin");
  // Nothing that is pressed is smaller than a finger.
  await admin.waitForSelector("#users a.figure");
  const small = await admin.evaluate(() => [...document.querySelectorAll("main :is(a, button, input, select)")].map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()]).filter(([, box]) => box.width < 24 || box.height < 24).map(([text]) => text));
  assert.deepEqual(small, []);
  await admin.getByRole("button", { name: `Ban: ${name}`, exact: true }).click();
  await admin.locator("dialog input").first().fill("because <b>of</b> this");
  await admin.locator("dialog button.danger, dialog button[type=submit]").first().click();
  await page.waitForSelector("#sign-out", { state: "detached", timeout: 10_000 });
  await j.until(admin, () => document.querySelector("#users").innerText.includes("because <b>of</b> this"));
  await j.go(admin, "/admin/log");
  await j.until(admin, (user) => document.querySelector("main").innerText.includes(user) && document.querySelector("main").innerText.includes("because <b>of</b> this"), name);
  assert.equal(await admin.locator("main b b, main p b > b").count(), 0);
  for (const path of ["/admin", "/admin/codes", "/admin/log"]) {
    await j.go(admin, path);
    for (const width of [768, 390]) {
      await admin.setViewportSize({ width, height: 900 });
      await admin.waitForTimeout(200);
      await j.fits(admin, `${path} at ${width}`);
    }
  }
  j.quiet(["401", "403"]);
}
