// SPDX-License-Identifier: ISC
// Whatever machines and devices are called: shown as text, and the layout holds.
export default async function (j) {
  const { assert } = j;
  const texts = await j.ask("hostile_machines");
  for (const [width, phone] of [[1440, false], [768, false], [390, true]]) {
    const page = await j.open("", { width, height: 900, phone });
    await j.until(page, (n) => document.querySelectorAll('.card[data-id^="h"][data-online="true"]').length === n, texts.length);
    for (const view of ["cards", "list"]) {
      const chooser = page.locator(`[data-view="${view}"]`);
      if (await chooser.count()) await chooser.click();
      await page.waitForTimeout(200);
      await j.until(page, (n) => document.querySelectorAll('.card[data-id^="h"] .name').length >= n, texts.length);
      const shown = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.card[data-id^="h"]')].map((c) => [c.dataset.id, c.querySelector(".name").textContent])));
      for (const [n, text] of texts.entries()) assert.equal(shown[`h${n}`].slice(0, 40), text.slice(0, 40), `${view} at ${width}`);
      assert.equal(await page.locator("main :is(script, iframe, object)").count(), 0);
      assert.equal(await page.locator(".card :is(img, b, i, u, svg:not([class]))").count(), 0);
      await j.fits(page, `${view} at ${width}`);
      // All cards of a row are of one height, whatever they are called; heads do not grow.
      if (view === "cards") {
        const heights = await page.evaluate(() => [...document.querySelectorAll(".card header")].map((e) => Math.round(e.getBoundingClientRect().height)));
        assert.ok(Math.max(...heights) - Math.min(...heights) <= 12, `heads of cards: ${heights}`);
      }
      if (view === "cards") {
        // What stands beside a hostile text stays in its order.
        const order = await page.evaluate(() => [...document.querySelectorAll(".card .about")].map((about) => [...about.querySelectorAll("bdi")].map((e) => e.getBoundingClientRect().left)).filter((at) => at.length > 1));
        assert.ok(order.length >= texts.length);
        for (const at of order) assert.deepEqual(at, [...at].sort((a, b) => a - b), "parts beside each other");
      }
      // A right-to-left mark turns nothing beside the name.
      const turned = await page.evaluate(() => [...document.querySelectorAll(".card .name:not(.about)")].filter((e) => e.localName !== "bdi" && getComputedStyle(e).unicodeBidi !== "isolate").length);
      assert.equal(turned, 0);
    }
    for (const n of texts.keys()) {
      await j.go(page, `/machine/h${n}`);
      await j.until(page, (text) => document.querySelector(".machine h1")?.textContent.includes(text), texts[n].slice(0, 40)); // and not the one of before
      if (texts[n] === "huge") await huge(j, page, width);
      await j.fits(page, `machine h${n} at ${width}`);
      // The window's title is text, too, and what follows the name in it stays behind it.
      await j.until(page, () => document.title.includes(" · "));
      assert.ok(!/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(await page.title()), `title of h${n}`);
      assert.equal(await page.locator("main :is(script, iframe, object)").count(), 0);
    }
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    await page.context().close();
  }
  j.quiet();
}

/** Numbers of 300 digits are shown in few, in tables, tiles and below charts, and nothing lies upon anything else. */
async function huge(j, page, width) {
  await j.until(page, () => /\dE\d{3}/.test(document.querySelector('[data-collector="zoo"] .chart .value')?.innerText ?? "") && document.querySelector(".chart canvas"));
  const herd = page.locator('[data-collector="herd"]');
  await herd.waitFor();
  j.assert.equal(await herd.locator("dd").count(), 200, "very many values are not all drawn at once");
  await herd.getByRole("button", { name: "Show the other 50 values" }).click();
  await j.until(page, () => document.querySelectorAll('[data-collector="herd"] dd').length === 250 && !document.querySelector(".more-values"));
  const seen = await page.evaluate(() => {
    const text = document.querySelector("main").innerText;
    const out = [...document.querySelectorAll(".legend, .tile, .pairs dd, .cells td")].filter((e) => e.scrollWidth > e.clientWidth + 1);
    return { long: text.match(/\S*(?:\de\+\d|\d{9})\S*/g) ?? [], out: out.map((e) => `${e.className} ${e.innerText}`) };
  });
  j.assert.deepEqual(seen, { long: [], out: [] }, `figures at ${width}`);
}
