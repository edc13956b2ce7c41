// The fleet on the page: of `usrlocd fleet`, and of a node that may ask for it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  eventually,
  faults,
  lab,
  logIn,
  main,
  nav,
  register,
  row,
  rows,
  status,
  tokens,
  tooWide,
  visitor,
} from "../lab.js";

/** Where the two are; the first who asks starts them. */
const started = () => lab({ do: "start-fleet" });

/** A visitor of one of the two, who has logged in. */
async function at(base, where = "", options = {}) {
  return logIn(await visitor(options, base), tokens.all, where, `${base}/ui/`);
}

/** A node has been silent for so long, as far as the database knows. */
const silence = (name, seconds) => lab({ do: "silence", name, seconds });

const nodes = (tab) => tab.getByRole("table", { name: "Nodes" }).locator("tbody tr");
const node = (tab, name) => nodes(tab).filter({ has: tab.getByRole("link", { name, exact: true }) });

const isRaw = (tab) => tab.evaluate(() => /[\u202a-\u202e]/.test(new XMLSerializer().serializeToString(document)));

test("the nodes of a fleet are listed, and what to do about a lost one", async () => {
  const fleet = await started();
  const tab = await at(fleet.reader);
  await main(tab).getByRole("heading", { name: "Nodes", level: 1 }).waitFor();
  await node(tab, "k1").getByText("live").first().waitFor();
  assert.equal(await nodes(tab).count(), 4);
  await status(tab).getByText("live").waitFor();
  await main(tab).getByText("4 of 4 nodes live").waitFor();
  assert.deepEqual(await tab.getByRole("navigation").first().getByRole("link").allInnerTexts(), [
    "Nodes",
    "Registrations",
    "Accounts",
    "Flapping",
  ]);
  await silence("k2", 200);
  await status(tab).getByText("partial: k2").waitFor();
  await main(tab).getByText("3 of 4 nodes live").waitFor();
  const lost = await node(tab, "k2").innerText();
  assert.match(lost, /lost/);
  assert.match(lost, /usrlocd nodes forget NAME/);
  assert.match(await main(tab).innerText(), /<img src=x onerror=alert\(1\)>\\u\{202e\}k9/);
  assert.equal(await tab.locator("main img").count(), 0);
  assert.equal(await isRaw(tab), false);
  await silence("k2", -3600);
  await tab.context().close();
});

test("registrations of a fleet have a node, by which they are chosen", async () => {
  const fleet = await started();
  await register("of-k1");
  const tab = await at(fleet.reader, "#/registrations");
  await row(tab, "of-k1").getByText("k1", { exact: true }).waitFor();
  const moved = rows(tab).filter({ hasText: "moved" });
  await eventually("one phone on three nodes", async () => (await moved.count()) === 3);
  await moved.filter({ hasText: "superseded by k3" }).waitFor();
  assert.equal(await moved.filter({ hasText: "superseded" }).count(), 1);
  await silence("k2", 200);
  await moved.getByText("k2 (lost)").waitFor();
  await silence("k2", -3600);
  await moved.getByText("k2, superseded by k3", { exact: true }).waitFor();

  const choice = main(tab).getByLabel("Node", { exact: true });
  await eventually("the nodes can be chosen", async () => (await choice.locator("option").count()) === 5);
  const hostile = await choice.locator("option").filter({ hasText: "onerror" }).innerText();
  await choice.selectOption({ label: hostile });
  await eventually("its row alone", async () => (await rows(tab).count()) === 1);
  assert.equal(await isRaw(tab), false);
  assert.match(decodeURIComponent(tab.url()), /node=<img/);
  await tab.goBack();
  await eventually("all of them", async () => (await rows(tab).count()) > 3);
  await choice.focus();
  const k2 = await choice.locator("option").filter({ hasText: "k2" }).innerText();
  await choice.selectOption({ label: k2 });
  await eventually("k2's row alone", async () => (await rows(tab).count()) === 1);
  await main(tab).getByRole("button", { name: "Node k2: show all nodes" }).click();
  await eventually("all again", async () => (await rows(tab).count()) > 3);

  // Nobody tells of changes: it is asked for them.
  await register("came-later");
  await row(tab, "came-later").waitFor();
  await row(tab, "came-later").getByRole("link").click();
  await main(tab)
    .getByRole("heading", { name: /came-later/ })
    .waitFor();
  await main(tab).getByText("k1", { exact: true }).first().waitFor();
  await tab.goBack();
  await nav(tab, "Accounts").click();
  await main(tab).getByRole("link", { name: "fleet.test" }).click();
  await eventually("its rows", async () => (await rows(tab).count()) === 3);
  await tab.context().close();
});

test("a node shows itself, or the fleet as the address says", async () => {
  const fleet = await started();
  await register("both");
  const tab = await at(fleet.node, "#/registrations");
  await row(tab, "both").waitFor();
  assert.equal(await rows(tab).filter({ hasText: "moved" }).count(), 0);
  await tab.getByRole("link", { name: "The fleet" }).click();
  await rows(tab).filter({ hasText: "superseded by k3" }).waitFor();
  assert.match(tab.url(), /scope=fleet/);
  await status(tab).getByText("live").waitFor();
  await row(tab, "both").getByText("k1", { exact: true }).waitFor();
  await nav(tab, "Nodes").click();
  await node(tab, "k3").waitFor();
  assert.match(tab.url(), /scope=fleet/);
  await tab.reload();
  await node(tab, "k3").waitFor();
  const csv = await tab.evaluate(() => fetch("/v2/registrations?scope=fleet&accept=csv").then((got) => got.text()));
  assert.match(csv, /k3/);
  await tab.getByRole("link", { name: "This node" }).click();
  await main(tab).getByRole("heading", { name: "Overview", level: 1 }).waitFor();
  assert.doesNotMatch(tab.url(), /scope/);
  await status(tab).getByText("live").waitFor();
  await tab.context().close();
});

for (const look of [
  { colorScheme: "light" },
  { colorScheme: "dark" },
  { colorScheme: "dark", viewport: { width: 320, height: 640 } },
]) {
  test(`the fleet is for everybody: ${JSON.stringify(look)}`, async () => {
    const fleet = await started();
    await silence("k3", 30);
    const tab = await at(fleet.node, "#/nodes?scope=fleet", look);
    await node(tab, "k3").getByText("stale").first().waitFor();
    const shots = process.env.LAB_SHOTS;
    const name = `${look.colorScheme}-${look.viewport?.width ?? 1280}`;
    for (const view of ["Nodes", "Registrations", "Accounts", "Flapping"]) {
      await nav(tab, view).click();
      await main(tab).getByRole("heading", { name: view, level: 1 }).waitFor();
      await status(tab).getByText("partial: k3").waitFor();
      assert.deepEqual(await faults(tab), [], view);
      assert.deepEqual(await tooWide(tab), [], view);
      if (shots) {
        await tab.screenshot({ path: `${shots}/${view}-${name}.png` });
      }
    }
    await silence("k3", -3600);
    await tab.context().close();
  });
}
