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
  await page.waitForTimeout(1500);
  const colours = await drawn(page);
  assert.ok(colours.filter((n) => n > 2).length >= 3, `charts are drawn: ${colours}`);

  for (const span of await page.locator("button[data-span]").all()) {
    await span.click();
    assert.equal(await span.getAttribute("aria-pressed"), "true");
  }
  assert.ok((await page.locator("button[data-span]").count()) >= 2);
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
  }
  await j.go(page, "/machine/no-such-machine");
  await j.until(page, () => !document.querySelector(".machine") && document.querySelector("main").innerText.length > 10);
  j.quiet();
}
