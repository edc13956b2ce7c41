// What was lost: phones that went together, a history that was forgotten, and a table that was never there.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, lab, logIn, main, member, register, row, tokens, visitor } from "../lab.js";

test("phones that go together are a burst, at once and in each one's why", async () => {
  const users = Array.from({ length: 24 }, (_, at) => `burst-${String(at).padStart(2, "0")}`);
  for (const user of users) {
    await register(user, { account: "branch", account_name: "Branch", realm: "branch.test" });
  }
  // Others have the same proxy and network, so the account is the smallest group that all of them have.
  for (const user of ["beside-1", "beside-2", "beside-3"]) {
    await register(user);
  }
  const tab = await member("#/overview");
  await main(tab)
    .getByText(/Branch\s+24/)
    .waitFor();
  for (const name of users) {
    await lab({ do: "unregister", name });
  }
  const told = /2\d of 2\d .*Branch|Branch.*2\d of 2\d/;
  await main(tab).getByRole("list", { name: "What matters now" }).getByText(told).waitFor();
  await main(tab).getByRole("log").getByText(told).waitFor();
  await main(tab).getByRole("log").getByRole("link", { name: "burst-07@branch.test" }).first().click();
  await main(tab)
    .getByText(/2\d of 2\d phones/)
    .first()
    .waitFor();
  await tab.context().close();
});

test("what is forgotten goes from the screen too", async () => {
  await register("forget-me");
  await register("forget-not");
  const phone = await member("#/phone/acme.test/forget-me");
  const history = main(phone).getByRole("list", { name: /^History/ });
  await history.getByText(/registered/i).waitFor();
  const tab = await phone.context().newPage();
  await tab.goto(`${phone.url().split("#")[0]}#/overview`);
  const log = main(tab).getByRole("log");
  await log.getByText("forget-me").first().waitFor();
  await lab({ do: "forget", name: "forget-me@acme.test" });
  await eventually("the log has it no more", async () => (await log.getByText("forget-me").count()) === 0);
  await log.getByText("forget-not").first().waitFor();
  await main(phone).getByText("Nothing happened").waitFor();
  await register("forget-again");
  await log.getByText("forget-again").first().waitFor();
  await phone.context().close();
});

test("whom nothing but the history knows has his day, and why he went, with and without his account in the address", async () => {
  await register("gone", { account: "left", account_name: "Left", realm: "left.test" });
  const tab = await member("#/registrations?q=gone");
  await row(tab, "gone").waitFor();
  await lab({ do: "unregister", name: "gone" });
  await eventually("it is gone", async () => (await row(tab, "gone").count()) === 0);
  await tab.context().close();
  // As an hour does: the account has no phone, no directory names it, and nothing remembers that it had one.
  await lab({ do: "lose-store" });
  const id = "left".padEnd(32, "0");
  for (const where of ["left.test/gone", "-/gone", `left.test/GONE?account=${id}`]) {
    const late = await member(`#/phone/${where}`);
    await main(late).getByText("Not registered now").waitFor();
    await main(late)
      .getByText(/removed at .* before it expired/)
      .waitFor();
    await main(late)
      .getByRole("img", { name: /^Time line/ })
      .waitFor();
    await late.context().close();
  }
  const other = await member(`#/phone/left.test/nobody?account=${id}`);
  await main(other)
    .getByText(/^Unknown: no phone of nobody@left/)
    .waitFor();
  await other.context().close();
});

test("a table that was never read is no empty table", async () => {
  const { origin } = await lab({ do: "start-blind" });
  const tab = await visitor({}, origin);
  await logIn(tab, tokens.all, "#/registrations", `${origin}/ui/`);
  await main(tab)
    .getByText(/has never been read/)
    .waitFor();
  await tab.getByRole("status").getByText("unavailable").waitFor();
  assert.equal(await main(tab).getByRole("table").count(), 0);
  assert.equal(await main(tab).getByRole("button", { name: "Flush…" }).isDisabled(), true);
  await main(tab)
    .getByText(/Flush is off.*not live/)
    .waitFor();
  await main(tab).getByRole("link", { name: "Health" }).click();
  await main(tab)
    .getByText(/nothing\.sqlite/)
    .first()
    .waitFor();
  await tab.goto(`${origin}/ui/#/overview`);
  await main(tab)
    .getByText(/never been read|unavailable/)
    .first()
    .waitFor();
  await tab.context().close();
});
