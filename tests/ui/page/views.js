// Every view: its name, what it says, that everybody can use it, and that it fits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, faults, logIn, main, member, nav, page, register, row, tooWide, visitor } from "../lab.js";

const VIEWS = ["Overview", "Registrations", "Accounts", "Flapping", "Flushes", "Health"];
test("views have names, titles and addresses of their own", async () => {
  const tab = await member();
  const titles = new Set();
  for (const name of VIEWS) {
    await nav(tab, name).click();
    await main(tab).getByRole("heading", { name, level: 1 }).waitFor();
    assert.equal(await nav(tab, name).getAttribute("aria-current"), "page");
    titles.add(await tab.title());
    const other = await tab.context().newPage();
    await other.goto(tab.url());
    await main(other).getByRole("heading", { name, level: 1 }).waitFor();
    await other.close();
  }
  assert.equal(titles.size, VIEWS.length);
  await tab.context().close();
});

test("the overview says how many, where, and whether it is well", async () => {
  await register("over-1", { realm: "over.test", plain: true });
  const tab = await member();
  await main(tab)
    .getByText(/over\.test\s+1/)
    .first()
    .waitFor();
  for (const word of [/udp\s+\d/, /flapping/, /burst/, /Kamailio/]) {
    await eventually(String(word), async () => word.test(await main(tab).innerText()));
  }
  await main(tab).getByRole("img", { name: /loss/i }).waitFor();
  await nav(tab, "Accounts").click();
  await main(tab).getByRole("link", { name: "over.test" }).click();
  await row(tab, "over-1").waitFor();
  await nav(tab, "Flapping").click();
  await main(tab)
    .getByText(/No phone flaps now/)
    .waitFor();
  await nav(tab, "Health").click();
  await main(tab)
    .getByText(/\bok\b/)
    .first()
    .waitFor();
  const health = await main(tab).innerText();
  assert.match(health, /Kamailio/);
  assert.match(health, /database|table/);
  await tab.context().close();
});

for (const look of [
  { colorScheme: "light" },
  { colorScheme: "dark" },
  { forcedColors: "active" },
  { colorScheme: "dark", reducedMotion: "reduce", viewport: { width: 320, height: 640 } },
]) {
  test(`axe has nothing to find fault with, and nothing is too wide: ${JSON.stringify(look)}`, async () => {
    await register("axe");
    const tab = await visitor(look);
    const check = async (what) => {
      assert.deepEqual(await faults(tab), [], what);
      assert.deepEqual(await tooWide(tab), [], `${what} is too wide`);
    };
    await tab.goto(page);
    await tab.getByLabel("Token").waitFor();
    await check("login");
    await logIn(tab);
    for (const name of VIEWS) {
      await nav(tab, name).click();
      await main(tab).getByRole("heading", { name, level: 1 }).waitFor();
      await eventually(`${name} is there`, async () => (await main(tab).innerText()).length > name.length + 40);
      await check(name);
    }
    await tab.goto(`${page}#/phone/acme.test/axe`);
    await main(tab)
      .getByRole("img", { name: /^Time line/ })
      .waitFor();
    await check("a phone");
    await main(tab)
      .getByRole("button", { name: /^Flush/ })
      .click();
    await eventually("the dry run is done", async () =>
      tab
        .getByRole("dialog")
        .getByRole("button", { name: /^Flush \d/ })
        .isEnabled(),
    );
    await check("flush dialog");
    await tab.keyboard.press("Escape");
    await main(tab)
      .getByRole("button", { name: /^Reboot/ })
      .click();
    await tab.getByRole("dialog").getByText("axe@acme.test").first().waitFor();
    await check("reboot dialog");
    await tab.context().close();
  });
}
