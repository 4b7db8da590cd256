// SPDX-License-Identifier: ISC
// The operator wants a token of who did not sign in: it opens the live status and the past of machines, and stands in no address.
export default async function (j) {
  const { assert } = j;
  const page = await j.open("#/machine/demo");
  const pasts = [];
  page.on("response", (answer) => answer.url().includes("/history") && pasts.push(answer));
  await j.go(page, "/");
  await page.fill("input[name=token]", "wrong-token-of-the-page");
  await page.click("form button[type=submit]");
  await page.waitForSelector('form [role="alert"]');
  assert.deepEqual(pasts, [], "nothing is asked for without a token");
  await page.fill("input[name=token]", j.pageToken);
  await page.click("form button[type=submit]");
  await page.waitForSelector('.card[data-id="demo"][data-online="true"]');
  await page.click('.card[data-id="demo"] a');
  await page.waitForSelector(".chart canvas");
  await j.until(page, () => performance.getEntriesByType("resource").some((e) => e.name.includes("/history")));
  for (const answer of pasts) assert.equal(answer.status(), 200);
  assert.ok(pasts.length > 0 && Array.isArray((await pasts[0].json()).t));
  await page.reload(); // it is remembered as long as the window
  await page.waitForSelector(".chart canvas");
  j.quiet(["401"]);
}
