// A phone: opened from its row, with its day, why it was away, and what can be done.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, lab, main, member, page, register, row, rows } from "../lab.js";

test("a phone has its contacts, its day, and why it went", async () => {
  const { source } = await register("desk", { user_agent: "Desk Phone 3" });
  const tab = await member("#/registrations?q=desk&sort=-username");
  await row(tab, "desk").getByRole("link").click();
  const body = main(tab);
  await body.getByRole("heading", { name: /^desk/ }).waitFor();
  assert.match(tab.url(), /desk/);
  await body.getByText(source).first().waitFor();
  const text = await body.innerText();
  for (const word of ["Registered", "Desk Phone 3", "udp", "uloc-"]) {
    assert.ok(text.includes(word), `${word} in ${text}`);
  }
  await body.getByRole("img", { name: /^Time line of the last 24 h/ }).waitFor();
  await lab({ do: "unregister", name: "desk" });
  await body.getByText("Not registered now").waitFor();
  await body.getByText(/removed at .* before it expired/).waitFor();
  await body
    .getByRole("list", { name: /^History/ })
    .getByText(/removed before it expired/)
    .waitFor();
  await tab.keyboard.press("Escape");
  await eventually("the table as it was", async () => /q=desk&sort=-username/.test(tab.url()));
  await tab.context().close();
});

test("one that expires was silent", async () => {
  const tab = await member("#/phone/acme.test/silent");
  await main(tab)
    .getByText(/^Unknown/)
    .waitFor();
  await register("silent", { expires: 5 });
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await main(tab).getByText("Not registered now").waitFor({ timeout: 30_000 });
  await main(tab)
    .getByText(/silent from then on/)
    .waitFor();
  await tab.context().close();
});

test("another name in the address is the other phone, and an unknown one is said to be", async () => {
  await register("left");
  await register("right");
  const tab = await member("#/phone/acme.test/left");
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await tab.goto(tab.url().replace("left", "right"));
  await main(tab)
    .getByRole("heading", { name: /^right/ })
    .waitFor();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await tab.goto(tab.url().replace("right", "nobody-at-all"));
  await main(tab)
    .getByText(/Unknown: no phone of nobody-at-all/)
    .waitFor();
  await tab.context().close();
});

test("phones are asked to act, and what they answer is shown", async () => {
  await register("act-good");
  await register("act-mute");
  await lab({ do: "answer", name: "act-good", status: "200 OK" });
  const tab = await member("#/phone/acme.test/act-good");
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await main(tab).getByRole("button", { name: "Check-sync…" }).click();
  const dialog = tab.getByRole("dialog");
  await dialog.getByText("act-good@acme.test").waitFor();
  await dialog.getByRole("button", { name: /^Send check-sync/ }).click();
  await dialog.getByText(/answered 200 OK/).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await tab.goto(`${page}#/registrations?q=act-`);
  await row(tab, "act-good").getByRole("checkbox").check();
  await row(tab, "act-mute").getByRole("checkbox").check();
  await main(tab).getByRole("button", { name: "Reboot…" }).click();
  await dialog.getByRole("button", { name: /^Reboot 2 phones/ }).click();
  await dialog.getByText(/act-good@acme\.test.*answered 200/).waitFor();
  await dialog.getByText(/act-mute@acme\.test.*no answer/).waitFor();
  await tab.context().close();
});

test("of a phone of no account is said why less is known, and it is flushed all the same", async () => {
  await register("stray", { to: "tel:+15550100", plain: true });
  const tab = await member("#/registrations?q=5550100");
  await eventually("it is listed", async () => (await rows(tab).count()) === 1);
  await rows(tab).getByRole("link").click();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await main(tab)
    .getByText(/no realm.*no account/)
    .waitFor();
  assert.equal(await main(tab).getByRole("button", { name: "Reboot…" }).isDisabled(), true);
  assert.equal(await main(tab).getByRole("img").count(), 0);
  await main(tab)
    .getByRole("button", { name: /^Flush/ })
    .click();
  await tab.getByRole("dialog").getByText("no account").waitFor();
  await tab.keyboard.press("Escape");
  await tab.context().close();
});

test("a row knows its account, so its phone is there with one question", async () => {
  await register("owned");
  const tab = await member("#/registrations?q=owned");
  const asked = [];
  tab.on("request", (request) => asked.push(request.url()));
  await row(tab, "owned").getByRole("link").click();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  assert.match(tab.url(), /owned\?account=ac0+$/);
  const lookUps = asked.filter((url) => /fields=account_id(&|$)|\/ui\/data\/accounts/.test(url));
  assert.deepEqual(lookUps, []);
  await tab.context().close();
});

test("it is flushed from its page, and its row has the focus on the way back", async () => {
  await register("from-page-1");
  await register("from-page-2");
  const tab = await member("#/registrations?q=from-page");
  await row(tab, "from-page-2").waitFor();
  await tab.keyboard.press("j");
  await tab.keyboard.press("j");
  await tab.keyboard.press("Enter");
  await main(tab)
    .getByRole("heading", { name: /^from-page-2/ })
    .waitFor();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  await tab.keyboard.press("Escape");
  await eventually("its row has the focus", () =>
    row(tab, "from-page-2").evaluate((one) => one.contains(document.activeElement)),
  );
  await row(tab, "from-page-2").getByRole("link").click();
  await main(tab)
    .getByRole("button", { name: /^Flush/ })
    .click();
  await tab
    .getByRole("dialog")
    .getByRole("button", { name: /^Flush 1/ })
    .click();
  await tab
    .getByRole("dialog")
    .getByText(/1 registration flushed/)
    .waitFor();
  await tab.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await main(tab).getByText("Not registered now").waitFor();
  await main(tab)
    .getByText(/Flushed by lab/)
    .waitFor();
  await tab.goto(page);
  await tab.context().close();
});
