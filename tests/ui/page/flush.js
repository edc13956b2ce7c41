// Flushing: a dry run, a confirmation, and what became of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { escape, eventually, focused, lab, main, member, nav, page, register, row, rows } from "../lab.js";

const dialog = (tab) => tab.getByRole("dialog");

test("two rows: who, how many, confirmed, gone, and in the audit", async () => {
  for (const user of ["gone-1", "gone-2", "gone-not"]) {
    await register(user, { plain: true });
  }
  const tab = await member("#/registrations?q=gone-");
  const flush = main(tab).getByRole("button", { name: /^Flush/ });
  await row(tab, "gone-1").waitFor();
  assert.equal(await flush.isDisabled(), true);
  await row(tab, "gone-1").getByRole("checkbox").check();
  await row(tab, "gone-2").getByRole("checkbox").check();
  await flush.click();
  await dialog(tab).getByRole("heading", { name: "Flush 2 registrations?" }).waitFor();
  // Its heading says what was chosen; what would go is told by a dry run.
  const confirm = dialog(tab).getByRole("button", { name: "Flush 2 registrations" });
  await eventually("it may be confirmed", async () => (await confirm.count()) === 1 && (await confirm.isEnabled()));
  await focused("Cancel", dialog(tab).getByRole("button", { name: "Cancel" }));
  const text = await dialog(tab).innerText();
  for (const word of ["gone-1", "gone-2", "1 account", "acme.test"]) {
    assert.ok(text.includes(word), `${word} in ${text}`);
  }
  await confirm.click();
  await dialog(tab)
    .getByText(/2 registrations flushed/)
    .waitFor();
  await dialog(tab).getByText("gone-2@acme.test").waitFor();
  await dialog(tab).getByRole("button", { name: "Close" }).click();
  await eventually(
    "they go",
    async () => (await row(tab, "gone-1").count()) + (await row(tab, "gone-2").count()) === 0,
  );
  assert.equal(await row(tab, "gone-not").count(), 1);
  await nav(tab, "Flushes").click();
  const audit = main(tab).getByRole("table").locator("tbody tr").first();
  await audit.getByText("lab").first().waitFor();
  await eventually("whose, and how many", async () => /acme\.test[\s\S]*2/.test(await audit.innerText()));
  await tab.context().close();
});

test("more than ten want their number; Cancel and Escape leave all as it is", async () => {
  for (let at = 10; at < 22; at++) {
    await register(`many-${at}`);
  }
  const tab = await member("#/registrations?q=many-");
  await eventually("twelve rows", async () => (await rows(tab).count()) === 12);
  await main(tab).getByRole("button", { name: "Select all 12 that match" }).click();
  await main(tab).getByRole("button", { name: "Flush…" }).click();
  const field = dialog(tab).getByRole("textbox");
  await field.waitFor();
  const confirm = dialog(tab).getByRole("button", { name: /^Flush/ });
  assert.equal(await confirm.isDisabled(), true);
  await field.fill("11");
  assert.equal(await confirm.isDisabled(), true);
  await escape(tab);
  assert.equal(await rows(tab).count(), 12);
  await main(tab).getByRole("button", { name: "Flush…" }).click();
  // A phone that comes now was not shown, so it is not meant.
  await register("many-99");
  await field.fill("12");
  await confirm.click();
  await dialog(tab)
    .getByText(/12 registrations flushed/)
    .waitFor({ timeout: 60_000 });
  await dialog(tab).getByRole("button", { name: "Close" }).click();
  await eventually(
    "one is left",
    async () => (await rows(tab).locator("a.user").allTextContents()).join() === "many-99",
  );
  await tab.context().close();
});

test("a Kamailio that cannot be reached is said, and nothing goes", async () => {
  await register("kept");
  const tab = await member("#/registrations?q=kept");
  await row(tab, "kept").getByRole("checkbox").check();
  await lab({ do: "stop-kamailio" });
  await main(tab)
    .getByRole("button", { name: /^Flush/ })
    .click();
  await dialog(tab)
    .getByRole("button", { name: /^Flush 1/ })
    .click();
  await dialog(tab)
    .getByText(/Kamailio cannot be reached/)
    .waitFor();
  await dialog(tab).getByRole("button", { name: "Close" }).click();
  assert.equal(await row(tab, "kept").count(), 1);
  await lab({ do: "start-kamailio" });
  await tab.context().close();
});

test("while usrlocd is away no flush can be confirmed, and why is said", async () => {
  const tab = await member("#/registrations?q=kept");
  await row(tab, "kept").getByRole("checkbox").check();
  await main(tab).getByRole("button", { name: "Flush…" }).click();
  const confirm = dialog(tab).getByRole("button", { name: /^Flush/ });
  await eventually("it may be confirmed", async () => confirm.isEnabled());
  await lab({ do: "kill" });
  await eventually("it may not", async () => confirm.isDisabled());
  await dialog(tab)
    .getByText(/Flush is off.*not live/)
    .waitFor();
  await lab({ do: "start" });
  await eventually("it may again", async () => confirm.isEnabled());
  await tab.goto(page);
  await tab.context().close();
});
