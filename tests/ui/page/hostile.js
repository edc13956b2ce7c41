// Anybody who can send a REGISTER writes into the page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, main, member, register, row, rows } from "../lab.js";

const MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><svg onload=alert(3)>";
const BIDI = "evil\u202egnp.exe\u200b\u2066";

test("what phones send is text: no markup, no script, no hidden character", async () => {
  await register("hostile-1", {
    user_agent: MARKUP,
    call_id: "<b>\"'&@lab",
    contact: "sip:x@192.0.2.1;a=%3Cimg%20src=x%20onerror=alert(4)%3E",
  });
  await register("hostile-2", { user_agent: BIDI, contact: "sip:y@192.0.2.2" });
  await register("hostile-3", { user_agent: "W".repeat(3000), contact: `sip:${"z".repeat(400)}@192.0.2.3` });
  const tab = await member("#/registrations?q=hostile-");
  await eventually("three rows", async () => (await rows(tab).count()) === 3);
  const elements = () => tab.locator("main :is(img, script, b, iframe)").count();
  assert.equal(await elements(), 0);
  assert.match(await row(tab, "hostile-1").innerText(), /<img src=x onerror=alert\(1\)>/);
  assert.match(await row(tab, "hostile-2").innerText(), /evil\\u\{202e\}/);
  const isRaw = () =>
    tab.evaluate(() => /[\u202a-\u202e\u2066-\u2069\u200b]/.test(new XMLSerializer().serializeToString(document)));
  assert.equal(await isRaw(), false);
  const { height } = await row(tab, "hostile-3").boundingBox();
  assert.ok(height < 160, `${height} px`);
  for (const name of ["hostile-1", "hostile-2", "hostile-3"]) {
    await tab.goto(`${tab.url().split("#")[0]}#/phone/acme.test/${name}`);
    await main(tab)
      .getByRole("heading", { name: new RegExp(name) })
      .waitFor();
    await main(tab).getByText("Everything known").click();
    assert.equal(await elements(), 0);
    assert.equal(await isRaw(), false);
  }
  await tab.goto(`${tab.url().split("#")[0]}#/overview`);
  await main(tab).getByRole("log").getByText("hostile-2").first().waitFor();
  assert.equal(await isRaw(), false);
  const title = await tab.title();
  assert.match(title, /Overview/);
  await tab.context().close();
});

test("an address that somebody made up is text as well", async () => {
  const tab = await member("#/registrations?q=%3Cimg+src%3Dx+onerror%3Dalert(5)%3E&sort=nonsense&start=x");
  await main(tab).locator(".trouble").getByText(/\S/).first().waitFor();
  await tab.goto(`${tab.url().split("#")[0]}#/phone/acme.test/%3Cscript%3Ealert(6)%3C%2Fscript%3E%E2%80%AE`);
  await main(tab)
    .getByText(/Unknown: no phone/)
    .waitFor();
  assert.equal(await tab.locator("main script").count(), 0);
  assert.match(await main(tab).getByRole("heading").first().innerText(), /<script>.*\\u\{202e\}/);
  await tab.context().close();
});
