// All of it by keyboard.

import assert from "node:assert/strict";
import { test } from "node:test";
import { escape, eventually, focused, main, member, nav, register, row } from "../lab.js";

const currentRow = (tab) =>
  tab.evaluate(() => document.activeElement?.closest("tr")?.querySelector("a.user")?.textContent ?? "");

test("search, walk, choose, flush: without a mouse", async () => {
  for (const user of ["key-a", "key-b", "key-c"]) {
    await register(user);
  }
  const tab = await member("#/registrations");
  await row(tab, "key-a").waitFor();
  await tab.keyboard.press("/");
  await focused("the search", tab.getByRole("searchbox"));
  await tab.keyboard.type("key-");
  await tab.keyboard.press("Escape");
  await eventually("three rows", async () => (await main(tab).locator("tbody tr").count()) === 3);
  assert.equal(await tab.getByRole("searchbox").inputValue(), "key-");
  await tab.keyboard.press("j");
  assert.equal(await currentRow(tab), "key-a");
  await tab.keyboard.press("k");
  assert.equal(await currentRow(tab), "key-a");
  await tab.keyboard.press("j");
  assert.equal(await currentRow(tab), "key-b");
  await tab.keyboard.press("x");
  assert.equal(await row(tab, "key-b").getByRole("checkbox").isChecked(), true);
  await tab.keyboard.press("f");
  const dialog = tab.getByRole("dialog");
  const confirm = dialog.getByRole("button", { name: /^Flush 1/ });
  await eventually("it may be confirmed", async () => confirm.isEnabled());
  await tab.keyboard.press("Tab");
  while (!(await confirm.evaluate((one) => one === document.activeElement))) {
    await tab.keyboard.press("Tab");
  }
  await tab.keyboard.press("Enter");
  await dialog.getByText(/1 registration flushed/).waitFor();
  await focused("Close", dialog.getByRole("button", { name: "Close" }));
  await tab.keyboard.press("Enter");
  await dialog.waitFor({ state: "hidden" });
  await eventually("it is gone", async () => (await row(tab, "key-b").count()) === 0);
  // Whether its row went before the dialog or after it decides where the focus is; the first row is where `k` ends.
  await tab.keyboard.press("k");
  await tab.keyboard.press("k");
  assert.equal(await currentRow(tab), "key-a");
  await tab.keyboard.press("f");
  await dialog.getByText("key-a@acme.test").waitFor();
  await escape(tab);
  await tab.context().close();
});

test("the help names the keys, and turns letters off", async () => {
  const tab = await member("#/registrations?q=key-");
  await row(tab, "key-a").waitFor();
  await tab.keyboard.press("?");
  const dialog = tab.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Keyboard" }).waitFor();
  const text = await dialog.innerText();
  for (const key of ["/", "j", "k", "Enter", "x", "f", "p", "?"]) {
    assert.ok(text.includes(key), key);
  }
  await dialog.getByRole("checkbox").uncheck();
  await escape(tab);
  await tab.keyboard.press("j");
  assert.equal(await currentRow(tab), "");
  await tab.reload();
  await row(tab, "key-a").waitFor();
  await tab.keyboard.press("j");
  assert.equal(await currentRow(tab), "");
  await tab.getByRole("button", { name: "Keys" }).click();
  await dialog.getByRole("checkbox").check();
  await escape(tab);
  await tab.keyboard.press("j");
  assert.equal(await currentRow(tab), "key-a");
  await tab.keyboard.press("g");
  await tab.keyboard.press("h");
  await main(tab).getByRole("heading", { name: "Health" }).waitFor();
  assert.equal(await nav(tab, "Health").getAttribute("aria-current"), "page");
  await tab.context().close();
});
