// SPDX-License-Identifier: ISC
// Languages, themes and widths of all pages. With MUSTER_SCREENSHOTS, pictures of them.
const pages = { status: "/", machine: "/machine/demo", relay: "/relay", add: "/add", keys: "/keys", admin: "/admin", plugins: "/plugins", config: "/plugins/config", account: "/account", nothing: "/nothing" };

export default async function (j) {
  const { assert } = j;
  const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await j.open();
  await j.live(light);
  const bright = await background(light);
  assert.equal(await light.evaluate(() => document.documentElement.lang), "en");

  // By hand, and remembered.
  await light.click("#theme");
  await light.click("#theme");
  await j.until(light, (old) => getComputedStyle(document.body).backgroundColor !== old, bright);
  await light.click("#language");
  await j.until(light, () => document.documentElement.lang.startsWith("zh") && document.body.innerText.includes("主机"));
  await light.reload();
  await j.until(light, () => document.body.innerText.includes("主机"));
  assert.notEqual(await background(light), bright);
  await light.click("#language");
  await j.until(light, () => document.documentElement.lang === "en");

  // As the system and the browser have it.
  const zh = await j.open("", { locale: "zh-CN", dark: true });
  await j.until(zh, () => document.documentElement.lang.startsWith("zh"));
  assert.notEqual(await background(zh), bright);
  await zh.context().close();

  for (const [dark, locale] of [[false, "en-US"], [true, "zh-CN"], ...(j.pictures ? [[true, "en-US"], [false, "zh-CN"]] : [])]) {
    const page = await j.open("", { dark, locale });
    await j.login(page, "admin", j.adminPassword);
    for (const [name, path] of Object.entries(pages)) {
      await j.go(page, path);
      await page.waitForFunction(() => !document.querySelector("main .spinner"), null, { timeout: 20_000 });
      for (const width of [1440, 768, 390]) {
        await page.setViewportSize({ width, height: 900 });
        await page.waitForTimeout(150);
        await j.fits(page, `${name} at ${width}, ${locale}`);
        // What can be tapped says what it is.
        const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a, input, select, textarea")].filter((e) => e.getClientRects().length && !(e.getAttribute("aria-label") || e.innerText?.trim() || e.labels?.length || e.title || e.placeholder)).map((e) => e.outerHTML.slice(0, 120)));
        assert.deepEqual(nameless, [], `${name}: without a name`);
        if (j.pictures) await page.screenshot({ path: `${j.pictures}/journey-${name}-${width}-${dark ? "dark" : "light"}-${locale.slice(0, 2)}.png`, fullPage: true });
      }
    }
    await page.context().close();
  }
  j.quiet();
}
