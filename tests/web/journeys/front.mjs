// SPDX-License-Identifier: ISC
// A proxy with a login in front, which is in a cookie: every request carries it, and a login here goes along with it.
export default async function (j) {
  const { assert } = j;
  const shut = await j.open("", { at: j.front });
  assert.ok((await shut.content()).includes("403"), "without the cookie nobody is let in");
  const page = await j.open("", { at: j.front, cookie: "gate=open" });
  const refused = [];
  page.on("response", (answer) => answer.status() >= 400 && refused.push(`${answer.status()} ${answer.url()}`));
  await page.waitForSelector('.card[data-id="demo"][data-online="true"]');
  await j.until(page, (name) => document.querySelector(".brand").innerText.trim() === name, j.hostname);
  for (const signedIn of [false, true]) {
    if (signedIn) await j.login(page);
    await j.go(page, "/");
    await j.live(page);
    const past = page.waitForResponse((answer) => answer.url().includes("/history"));
    await page.click('.card[data-id="demo"] a');
    const answer = await past;
    assert.equal(answer.status(), 200, signedIn ? "signed in" : "not signed in");
    assert.ok(Array.isArray((await answer.json()).t));
    await page.waitForSelector(".chart canvas");
  }
  assert.deepEqual(refused, []);
  j.quiet(["403"]);
}
