// SPDX-License-Identifier: ISC
// A page of another site: no live channel, no answers of the API, and no frame around the console.
export default async function (j) {
  const { assert } = j;
  const page = await j.open("", { at: j.foreign });
  for (const path of ["/api/console/live", "/ws-frontend"])
    assert.equal(await page.evaluate((url) => new Promise((done) => { const s = new WebSocket(url); s.onopen = () => done("open"); s.onclose = ({ code }) => done(code); }), j.ws + path), 1006, path);
  for (const path of ["/api/console/site", "/api/console/plugins", "/api/auth/me"])
    assert.equal(await page.evaluate((url) => fetch(url).then((a) => `read ${a.status}`, () => "refused"), j.url + path), "refused", path);
  assert.equal(
    await page.evaluate((url) => fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"username":"a","password":"b"}' }).then((a) => `read ${a.status}`, () => "refused"), `${j.url}/api/auth/login`),
    "refused",
  );
  const framed = await page.evaluate((url) => new Promise((done) => { const f = document.createElement("iframe"); f.src = url; f.onload = () => done(true); document.body.append(f); }), j.url);
  assert.ok(framed);
  const inside = page.frames().find((f) => f !== page.mainFrame());
  assert.equal(await inside.evaluate(() => document.querySelectorAll("#app, #main, .card, header").length).catch(() => 0), 0, "the console is shown in a frame");
  // Its own page, meanwhile, is served as ever.
  await j.live(await j.open());
}
