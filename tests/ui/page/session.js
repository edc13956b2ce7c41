// Who may look.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, focused, lab, logIn, main, member, nav, page, register, row, tokens, visitor } from "../lab.js";

test("a wrong token is refused in words, the right one leads on", async () => {
  const tab = await visitor();
  await tab.goto(page);
  const field = tab.getByLabel("Token");
  assert.equal(await field.getAttribute("type"), "password");
  await focused("the field", field);
  await field.fill("not-a-token-of-this-lab");
  await tab.getByRole("button", { name: "Log in" }).click();
  await tab.getByRole("alert").filter({ hasText: /wrong/ }).waitFor();
  await field.fill(tokens.all);
  await tab.keyboard.press("Enter");
  await tab.getByRole("heading", { name: "Overview" }).waitFor();
  // Nobody is registered yet: what to do next is said, also what doctor finds.
  await main(tab).getByRole("heading", { name: "Nobody is registered" }).waitFor();
  await main(tab).getByText("database_readable").waitFor();
  const cookies = await tab.context().cookies();
  assert.match(cookies[0].name, /^usrlocd-session-/);
  assert.equal(cookies[0].httpOnly, true);
  const kept = await tab.evaluate(() =>
    JSON.stringify({ ...localStorage, ...sessionStorage, at: location.href, cookie: document.cookie }),
  );
  assert.ok(!kept.includes(tokens.all));
  await tab.context().close();
});

test("a deep link outlives the login, and the session a reload; logging out ends it", async () => {
  await register("deep");
  const tab = await member("#/registrations?q=deep");
  await row(tab, "deep").waitFor();
  await tab.reload();
  await row(tab, "deep").waitFor();
  await tab.getByRole("button", { name: "Log out" }).click();
  await tab.getByRole("alert").filter({ hasText: "You are logged out" }).waitFor();
  assert.equal(await tab.getByText("deep", { exact: true }).count(), 0);
  await tab.reload();
  await tab.getByLabel("Token").waitFor();
  assert.deepEqual(await tab.context().cookies(), []);
  await tab.context().close();
});

test("who may only read sees no flush", async () => {
  const tab = await member("#/registrations", tokens.reader);
  await row(tab, "deep").waitFor();
  assert.equal(await tab.getByRole("button", { name: /flush/i }).count(), 0);
  await row(tab, "deep").getByRole("link").click();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  assert.equal(await tab.getByRole("button", { name: /flush|reboot/i }).count(), 0);
  const status = await tab.evaluate(async () => (await fetch("/v2/registrations?q=deep", { method: "DELETE" })).status);
  assert.equal(status, 403);
  await tab.context().close();
});

test("a token that is revoked takes the screen with it", async () => {
  const tab = await member("#/registrations?q=deep", tokens.leaver);
  const other = await tab.context().newPage();
  await other.goto(`${page}#/health`);
  await nav(other, "Health").waitFor();
  await lab({ do: "revoke", name: "leaver" });
  await eventually("the screen goes", async () => (await row(tab, "deep").count()) === 0, 7000);
  await tab
    .getByRole("alert")
    .filter({ hasText: /revoked|expired/ })
    .waitFor();
  await other.getByLabel("Token").waitFor();
  await logIn(tab, tokens.all, "#/registrations?q=deep");
  await row(tab, "deep").waitFor();
  await tab.context().close();
});
