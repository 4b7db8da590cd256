// SPDX-License-Identifier: ISC
// The machine page: charts with a past from the moment of opening, spans, zoom, and a collector that the page does not know.
const drawn = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll(".chart")].map((chart) => {
      const canvas = chart.querySelector("canvas");
      if (!canvas?.width) return 0;
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 64) seen.add(`${data[at] >> 4} ${data[at + 1] >> 4} ${data[at + 2] >> 4}`);
      return seen.size;
    }),
  );

export default async function (j) {
  const { assert } = j;
  await j.ask("past", { seconds: 25 }); // the ring has a value each ten seconds
  const page = await j.open("#/machine/demo");
  await page.waitForSelector(".chart canvas");
  await j.live(page);
  const told = await page.evaluate(async () => {
    const names = performance.getEntriesByType("resource").map((e) => e.name).filter((name) => name.includes("/history"));
    return names.length ? (await fetch(names[0])).json() : null;
  });
  assert.ok(told, "the page asked for the past");
  const cpu = told.series.findIndex((s) => s.name === "cpu.percent");
  assert.ok(cpu >= 0 && told.v[cpu].some((value) => value !== null), "there is a past");
  assert.ok(told.t.length <= 1000);
  const charts = await page.locator(".chart").evaluateAll((all) => all.map((c) => c.dataset.chart));
  assert.ok(charts.length >= 4, charts.join());
  assert.ok(charts.some((name) => name?.startsWith("example.")), "a drop-in collector has its chart");
  let colours = await drawn(page);
  for (let n = 0; n < 100 && colours.filter((n) => n > 2).length < 3; n++) {
    await page.waitForTimeout(200);
    colours = await drawn(page);
  }
  assert.ok(colours.filter((n) => n > 2).length >= 3, `charts are drawn: ${colours}`);

  for (const span of await page.locator("button[data-span]").all()) {
    await span.click();
    assert.equal(await span.getAttribute("aria-pressed"), "true");
  }
  assert.ok((await page.locator("button[data-span]").count()) >= 2);
  // No further out than what is kept, nowhere into hours that nobody has.
  for (let n = 0; n < 12 && (await page.locator('button[data-zoom="zoomOut"][aria-disabled="true"]').count()) === 0; n++) await page.click('button[data-zoom="zoomOut"]');
  assert.equal(await page.locator('button[data-zoom="zoomOut"][aria-disabled="true"]').count(), 1, "zooming out ends");
  assert.equal(await page.locator('button[data-zoom="earlier"][aria-disabled="true"]').count(), 1, "there is nothing earlier");
  await page.locator("button[data-span]").first().click();

  // Zoomed by the pointer: what stands beside the figures is values, not dashes.
  const plot = await page.locator('[data-chart="cpu"] .u-over').boundingBox();
  await page.mouse.move(plot.x + plot.width * 0.85, plot.y + 40);
  await page.mouse.down();
  await page.mouse.move(plot.x + plot.width - 4, plot.y + 50, { steps: 5 });
  await page.mouse.up();
  await page.waitForSelector("#follow");
  await page.waitForTimeout(1200);
  for (const id of ["cpu", "memory"]) await j.until(page, (id) => [...document.querySelectorAll(`[data-chart="${id}"] .legend .value`)].some((e) => /\d/.test(e.innerText)), id); // values after a zoom
  await page.click("#follow");

  // Figures of a row are of one height, and stand on one line.
  const rows = await page.locator(".chart").evaluateAll((all) => all.map((c) => ({ top: Math.round(c.getBoundingClientRect().top), height: Math.round(c.getBoundingClientRect().height), plot: Math.round(c.querySelector(".plot").getBoundingClientRect().top) })));
  for (const one of rows) for (const other of rows) if (one.top === other.top) assert.deepEqual(one, other);

  await page.click('button[data-zoom="zoomIn"]');
  await page.waitForSelector("#follow");
  await page.click('button[data-zoom="earlier"]');
  await page.click("#follow");
  await page.waitForSelector("#follow", { state: "detached" });

  await j.until(page, () => document.querySelectorAll(".tables table tbody tr").length >= 1); // disks, interfaces
  assert.ok((await page.locator("main").innerText()).includes(j.hostname));
  for (const width of [1440, 768, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await page.waitForTimeout(300);
    await j.fits(page, `machine at ${width}`);
    const cut = await page.locator(".tile .more, .tile .big, .tile .rate-line").evaluateAll((all) => all.filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== "inline").map((e) => e.textContent));
    assert.deepEqual(cut, [], `tiles at ${width} show their texts whole`);
    const wide = await page.locator(".table-wrap").evaluateAll((all) => all.filter((e) => e.scrollWidth > e.clientWidth && (e.tabIndex !== 0 || innerWidth < 500)).map((e) => e.textContent.slice(0, 60)));
    assert.deepEqual(wide, [], `tables at ${width}`);
  }
  await j.go(page, "/machine/no-such-machine");
  await j.until(page, () => !document.querySelector(".machine") && document.querySelector("main h1")?.innerText.length > 10);
  j.quiet();
}
