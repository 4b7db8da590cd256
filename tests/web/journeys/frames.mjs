// SPDX-License-Identifier: ISC
// 500 machines, a report each second: frames of the status page, in cards and in the list.
const SECONDS = 12;

export default async function (j) {
  const { assert } = j;
  const page = await j.open();
  await j.until(page, (n) => /500/.test(document.body.innerText) || document.querySelectorAll(".card").length >= n, 400, 60_000);
  await j.live(page);
  const wire = await page.context().newCDPSession(page);
  await wire.send("Performance.enable");
  const busy = async () => Object.fromEntries((await wire.send("Performance.getMetrics")).metrics.map((m) => [m.name, m.value]));
  let heard = 0;
  await wire.send("Network.enable");
  wire.on("Network.webSocketFrameReceived", () => heard++);
  for (const view of ["cards", "list"]) {
    const chooser = page.locator(`[data-view="${view}"]`);
    if (await chooser.count()) await chooser.click();
    await page.waitForTimeout(2000);
    const before = await busy();
    heard = 0;
    const { frames, long, changed } = await page.evaluate(
      (ms) =>
        new Promise((done) => {
          const frames = [], changed = new Set();
          let long = 0, last = performance.now();
          const end = last + ms;
          new PerformanceObserver((list) => (long += list.getEntries().length)).observe({ type: "longtask" });
          const watch = new MutationObserver((all) => all.forEach((m) => changed.add(m.target.parentElement?.closest(".card")?.dataset.id)));
          watch.observe(document.querySelector("main"), { subtree: true, characterData: true });
          requestAnimationFrame(function frame(now) {
            frames.push(now - last);
            last = now;
            if (now < end) return requestAnimationFrame(frame);
            watch.disconnect();
            done({ frames: frames.sort((a, b) => a - b), long, changed: changed.size });
          });
          // Someone scrolls meanwhile.
          let down = 0;
          const scroll = setInterval(() => (performance.now() > end ? clearInterval(scroll) : window.scrollTo(0, (down = (down + 40) % 3000))), 50);
        }),
      SECONDS * 1000,
    );
    const after = await busy();
    const share = (name) => (((after[name] - before[name]) / SECONDS) * 100).toFixed(1);
    const at = (part) => frames[Math.floor((frames.length - 1) * part)];
    j.say(
      `${view}: ${frames.length} frames in ${SECONDS} s, median ${at(0.5).toFixed(1)} ms, p95 ${at(0.95).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(0)} ms; ${long} long tasks; ` +
        `main thread busy ${share("TaskDuration")} % (script ${share("ScriptDuration")} %, layout ${share("LayoutDuration")} %, style ${share("RecalcStyleDuration")} %); ` +
        `${Math.round(heard / SECONDS)} messages/s; ${changed} machines changed in sight`,
    );
    assert.ok(heard / SECONDS > 250, `reports reach the page: ${heard / SECONDS}/s`);
    assert.ok(changed > 5, "values change");
    assert.ok(at(0.5) < 50 && at(0.95) < 200, `frames: median ${at(0.5)}, p95 ${at(0.95)}`);
    assert.ok(share("TaskDuration") < 80, `main thread: ${share("TaskDuration")} %`);
  }
  // Back from a machine, to the same line of the long list, of which only what is near is drawn.
  for (const view of ["cards", "list"]) {
    await page.click(`[data-view="${view}"]`);
    await page.evaluate(() => scrollTo(0, 0.6 * document.documentElement.scrollHeight));
    await page.waitForTimeout(500);
    const [down, id] = await page.evaluate(() => [scrollY, [...document.querySelectorAll(".card")].find((c) => c.getBoundingClientRect().top > innerHeight / 2).dataset.id]);
    await page.click(`.card[data-id="${id}"] a`);
    await page.waitForSelector(".machine");
    await j.until(page, () => scrollY === 0);
    await page.goBack();
    await j.until(page, ([y, id]) => Math.abs(scrollY - y) <= 2 && document.activeElement.closest(".card")?.dataset.id === id, [down, id]);
  }
  j.quiet();
}
