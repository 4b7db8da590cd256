// SPDX-License-Identifier: ISC
// What goes over the wire until there is something to see: files as they are sent, and messages of the live channel.
async function count(page, fresh = true) {
  const wire = await page.context().newCDPSession(page);
  const sum = { files: 0, messages: 0, requests: [] };
  await wire.send("Network.enable");
  await wire.send("Network.setCacheDisabled", { cacheDisabled: fresh });
  const names = new Map();
  wire.on("Network.requestWillBeSent", ({ requestId, request }) => names.set(requestId, request.url));
  wire.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    sum.files += encodedDataLength;
    sum.requests.push(`${(names.get(requestId) ?? "").replace(/^.*\//, "/")} ${encodedDataLength}`);
  });
  wire.on("Network.webSocketFrameReceived", ({ response }) => (sum.messages += response.payloadData.length));
  return sum;
}

export default async function (j) {
  const { assert } = j;
  const blank = await j.open("api/health");
  const sum = await count(blank);
  await blank.goto(`${j.url}/`);
  await blank.waitForSelector('.card[data-online="true"] .bar');
  await blank.waitForTimeout(500);
  j.say(`public status: ${sum.files} bytes of files, ${sum.messages} of the live channel: ${sum.requests.join(", ")}`);
  assert.ok(sum.files > 5000 && sum.files + sum.messages <= 60 * 1024, `${sum.files} + ${sum.messages}`);

  // The console: from nothing to the relay, signed in.
  await blank.goto(`${j.url}/api/health`);
  sum.files = sum.messages = 0;
  sum.requests = [];
  await blank.goto(`${j.url}/#/relay`);
  await blank.waitForSelector("#login");
  await blank.fill("#login input[name=username]", j.user);
  await blank.fill("#login input[name=password]", j.password);
  await blank.click("#login button[type=submit]");
  await blank.getByRole("button", { name: "New endpoint" }).first().waitFor();
  j.say(`console: ${sum.files} bytes of files, ${sum.messages} of the live channel: ${sum.requests.join(", ")}`);
  assert.ok(sum.files + sum.messages <= 120 * 1024, `${sum.files} + ${sum.messages}`);
  assert.ok(sum.files > 20_000);

  // The second time only what may have changed is sent.
  const again = await j.open();
  await again.waitForSelector(".card");
  const second = await count(again, false);
  await again.reload();
  await again.waitForSelector('.card[data-online="true"] .bar');
  j.say(`public status, the second time: ${second.files} bytes of files: ${second.requests.join(", ")}`);
  assert.ok(second.requests.length > 3 && second.files < 6000, second.requests.join(", "));
  j.quiet(["favicon"]);
}
