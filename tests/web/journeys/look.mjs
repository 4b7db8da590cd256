// SPDX-License-Identifier: ISC
// Languages, themes and widths of all pages. With MUSTER_SCREENSHOTS, pictures of them.
const pages = { status: "/", machine: "/machine/demo", relay: "/relay", add: "/add", keys: "/keys", admin: "/admin", plugins: "/plugins", config: "/plugins/config", account: "/account", nothing: "/nothing" };

/** Texts that stand out too little from what is behind them: below 4.5 to 1, or 3 to 1 where they are large. Evaluated in the page. */
function faint() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (colour) => colour.slice(0, 3).map((c) => ((c /= 255), c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const found = [];
  const judge = (element, colour, wanted, what) => {
    const back = behind(element);
    let opacity = 1;
    for (let e = element; e; e = e.parentElement) opacity *= Number(getComputedStyle(e).opacity);
    const [r, g, b, a] = rgba(colour);
    const has = ratio(over([r, g, b, a * opacity], back), back);
    if (has < wanted - 0.01) found.push(`${has.toFixed(2)}: ${element.tagName}.${element.className} ${what}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true }) || element.closest(":disabled, [aria-disabled=true], .hidden, .skip, svg, canvas, [aria-hidden=true]")) continue;
    const style = getComputedStyle(element);
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join(" ").trim();
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (text) judge(element, style.color, large ? 3 : 4.5, text.slice(0, 30));
    if (element.placeholder && !element.value) judge(element, getComputedStyle(element, "::placeholder").color, 4.5, `placeholder ${element.placeholder}`);
    if (element.matches("input:not([type=checkbox], [type=radio]), select, textarea")) judge(element.parentElement, style.borderTopColor, 3, "border of a field");
  }
  return found;
}

export default async function (j) {
  const { assert } = j;
  const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await j.open();
  await j.live(light);
  const bright = await background(light);
  const pale = await light.evaluate(faint);
  await light.evaluate(() => (document.body.appendChild(document.createElement("p")).textContent = "pale") && (document.body.lastChild.style.color = "#999"));
  assert.deepEqual([pale, (await light.evaluate(faint)).length], [[], 1], "what is too pale is found");
  await light.evaluate(() => document.body.lastChild.remove());
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
    const titles = new Set();
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
        // Where one is stands in the navigation, and not where that fades.
        const where = () => {
          const nav = document.querySelector(".head nav");
          const link = nav?.querySelector("[aria-current]");
          if (!link) return null;
          const fade = nav.scrollWidth > nav.clientWidth ? 28 : 0;
          return [nav.getBoundingClientRect().right - fade - link.getBoundingClientRect().right, link.getBoundingClientRect().left - nav.getBoundingClientRect().left].map(Math.round);
        };
        let there = await page.evaluate(where);
        for (let n = 0; n < 20 && there?.some((room) => room < 0); n++) { // it goes there once it is laid out
          await page.waitForTimeout(100);
          there = await page.evaluate(where);
        }
        assert.ok(!there || there.every((room) => room >= 0), `${name} at ${width}: the navigation hides where one is: ${there}`);
        if (width === 1440) {
          let pale = await page.evaluate(faint);
          for (let n = 0; n < 10 && pale.length; n++) { // what still fades in
            await page.waitForTimeout(200);
            pale = await page.evaluate(faint);
          }
          assert.deepEqual(pale, [], `${name}, ${dark ? "dark" : "light"}: contrast`);
          const heads = await page.evaluate(() => [...document.querySelectorAll("h1, h2, h3, h4")].filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1])));
          assert.ok(heads[0] === 1 && heads.filter((n) => n === 1).length === 1 && heads.every((n, i) => i === 0 || n <= heads[i - 1] + 1), `${name}: headings ${heads}`);
          await j.until(page, (known) => !known.includes(document.title), [...titles]).catch(async () => assert.fail(`${name}: a title of its own, not ${await page.title()}`));
          titles.add(await page.title());
        }
        if (j.pictures) await page.screenshot({ path: `${j.pictures}/journey-${name}-${width}-${dark ? "dark" : "light"}-${locale.slice(0, 2)}.png`, fullPage: true });
      }
    }
    await page.context().close();
  }
  j.quiet();
}
