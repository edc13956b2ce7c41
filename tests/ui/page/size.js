// How much is sent, and under which rules.

import assert from "node:assert/strict";
import { test } from "node:test";
import { complaints, eventually, member, origin, page, visitor } from "../lab.js";

/** All of the page, compressed as it is sent. */
const MOST = 60_000;

test("all of the page is small, and every answer below /ui/ has the rules", async () => {
  const tab = await visitor();
  let [bytes, open] = [0, 0];
  const headers = [];
  tab.on("request", () => open++);
  tab.on("response", (response) => headers.push([response.url(), response.headers()]));
  tab.on("requestfinished", async (request) => {
    const { responseBodySize } = await request.sizes();
    bytes += new URL(request.url()).pathname.startsWith("/ui/data/") ? 0 : responseBodySize;
    open--;
  });
  await tab.goto(page);
  await tab.getByLabel("Token").waitFor();
  await tab.goto(`${page}icon.svg`);
  await eventually("everything was asked for", async () => headers.length > 25 && open === 0);
  assert.ok(bytes > 10_000 && bytes <= MOST, `${bytes} bytes`);
  for (const [url, got] of headers) {
    assert.match(
      got["content-security-policy"],
      /^default-src 'none'; script-src 'self'; .*trusted-types 'none'$/,
      url,
    );
    assert.equal(got["x-content-type-options"], "nosniff", url);
    assert.equal(got["referrer-policy"], "no-referrer", url);
    assert.equal(got["cross-origin-opener-policy"], "same-origin", url);
    assert.equal(got["cross-origin-resource-policy"], "same-origin", url);
  }
  console.log(`# the page is ${bytes} bytes`);
  await tab.context().close();
});

test("all modules are fetched at once", async () => {
  const tab = await visitor();
  await tab.goto(page);
  await tab.getByLabel("Token").waitFor();
  const [named, used] = await tab.evaluate(() => [
    [...document.querySelectorAll('link[rel="modulepreload"]')].map((link) => link.href).sort(),
    performance
      .getEntriesByType("resource")
      .map((entry) => entry.name)
      .filter((name) => name.endsWith(".js") && !name.endsWith("/main.js"))
      .sort(),
  ]);
  assert.ok(named.length > 20);
  assert.deepEqual(used, named);
  await tab.context().close();
});

test("the start of the server leads a browser to the page", async () => {
  const tab = await visitor();
  await tab.goto(origin);
  await tab.getByLabel("Token").waitFor();
  assert.equal(tab.url(), page);
  await tab.context().close();
});

test("markup cannot be made: the browser itself refuses", async () => {
  const tab = await member();
  const refused = await tab.evaluate(() => {
    try {
      document.body.innerHTML = "<b>x</b>";
      return "";
    } catch (error) {
      return String(error);
    }
  });
  assert.match(refused, /TrustedHTML/);
  // The policy's own complaint about that is the one that is wanted here.
  const isIt = (one) => one.startsWith("policy: require-trusted-types-for");
  await eventually("the policy complains", () => complaints.some(isIt));
  complaints.splice(complaints.findIndex(isIt), 1);
  await tab.context().close();
});
