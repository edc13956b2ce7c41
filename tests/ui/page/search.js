// Finding registrations, and giving others the address of what was found.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { test } from "node:test";
import { eventually, main, member, register, row, rows, tokens } from "../lab.js";

const names = async (tab) => rows(tab).locator("a.user").allTextContents();

test("search and sort are in the address; back and forward walk them", async () => {
  for (const user of ["find-a", "find-b", "find-c"]) {
    await register(user, { user_agent: `Finder ${user}` });
  }
  const tab = await member("#/registrations");
  const box = tab.getByRole("searchbox", { name: /^Search/ });
  await box.fill("find-");
  await eventually("three rows", async () => (await rows(tab).count()) === 3);
  await eventually("the search", async () =>
    /^3 registrations match/.test(await main(tab).locator(".count").innerText()),
  );
  assert.match(tab.url(), /q=find-/);
  await tab.getByRole("columnheader", { name: "Device" }).getByRole("button").click();
  await tab.getByRole("columnheader", { name: "Device" }).getByRole("button").click();
  await eventually("downwards", async () => (await names(tab)).join() === "find-c,find-b,find-a");
  assert.equal(await tab.getByRole("columnheader", { name: "Device" }).getAttribute("aria-sort"), "descending");
  await box.fill("find-b");
  await eventually("one row", async () => (await rows(tab).count()) === 1);
  const other = await member(new URL(tab.url()).hash);
  await eventually("the same for others", async () => (await names(other)).join() === "find-b");
  await tab.goBack();
  await eventually("back", async () => (await names(tab)).join() === "find-c,find-b,find-a");
  assert.equal(await box.inputValue(), "find-");
  await tab.goForward();
  await eventually("forth", async () => (await names(tab)).join() === "find-b");
  await box.fill("nobody-is-called-this");
  await main(tab).getByText("No registration matches").waitFor();
  await box.fill("expires:<");
  await main(tab).locator(".refusal").filter({ hasText: /\S/ }).first().waitFor();
  await box.fill("");
  await eventually("all", async () => (await rows(tab).count()) > 3);
  await other.context().close();
  await tab.context().close();
});

test("what is found can be taken elsewhere", async () => {
  const tab = await member("#/registrations?q=find-&sort=-username");
  await eventually("three rows", async () => (await rows(tab).count()) === 3);
  const [csv] = await Promise.all([tab.waitForEvent("download"), tab.getByRole("link", { name: "CSV" }).click()]);
  const lines = (await readFile(await csv.path(), "utf8")).trim().split("\n");
  assert.equal(lines.length, 4);
  assert.match(lines[1], /find-c/);
  const [json] = await Promise.all([tab.waitForEvent("download"), tab.getByRole("button", { name: "JSON" }).click()]);
  const items = JSON.parse(await readFile(await json.path(), "utf8"));
  assert.deepEqual(
    items.map((item) => item.username),
    ["find-c", "find-b", "find-a"],
  );
  await tab.getByRole("button", { name: "curl" }).click();
  const line = await tab.locator("code.curl").innerText();
  assert.match(line, /\$TOKEN/);
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { env: { ...process.env, TOKEN: tokens.all } });
  assert.deepEqual(
    JSON.parse(stdout).data.map((item) => item.username),
    ["find-c", "find-b", "find-a"],
  );
  await tab.context().close();
});

test("pages are the server's: forth, back, and by address", async () => {
  for (let at = 0; at < 103; at++) {
    await register(`page-${String(at).padStart(3, "0")}`);
  }
  const tab = await member("#/registrations?q=page-");
  await eventually("a full page", async () => (await rows(tab).count()) === 100);
  await main(tab).getByText("103 registrations match").waitFor();
  const [next, former] = [tab.getByRole("button", { name: /^Next/ }), tab.getByRole("button", { name: /^Previous/ })];
  assert.equal(await former.isDisabled(), true);
  await next.click();
  await row(tab, "page-102").waitFor();
  assert.equal(await rows(tab).count(), 3);
  assert.equal(await next.isDisabled(), true);
  const other = await member(new URL(tab.url()).hash);
  await row(other, "page-102").waitFor();
  await other.getByRole("button", { name: /^Previous/ }).click();
  await row(other, "page-000").waitFor();
  await tab.goBack();
  await row(tab, "page-000").waitFor();
  await row(tab, "page-000").getByRole("link").waitFor();
  await other.context().close();
  await tab.context().close();
});
