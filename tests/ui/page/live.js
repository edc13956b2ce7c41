// What happens is on the screen, and the page says how fresh it is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, lab, logIn, main, member, page, register, row, rows, status, tokens, visitor } from "../lab.js";

test("rows come, change and go by themselves, and stay where they are", async () => {
  await register("live-b");
  const tab = await member("#/registrations?q=live-");
  await row(tab, "live-b").waitFor();
  await status(tab).getByText(/^live/).waitFor();
  await row(tab, "live-b").focus();
  await register("live-a");
  await row(tab, "live-a").waitFor();
  assert.equal(await row(tab, "live-b").evaluate((one) => one === document.activeElement), true);
  await lab({ do: "unregister", name: "live-a" });
  await eventually("it goes", async () => (await row(tab, "live-a").count()) === 0);
  await eventually("one is counted", async () => /^1 registration/.test(await main(tab).locator(".count").innerText()));
  await tab.context().close();
});

test("nothing moves under the mouse", async () => {
  await register("mouse-m");
  const tab = await member("#/registrations?q=mouse-");
  await row(tab, "mouse-m").waitFor();
  await status(tab).getByText(/^live/).waitFor();
  const top = async () => (await row(tab, "mouse-m").boundingBox()).y;
  const before = await top();
  await tab.mouse.move(600, before + 8);
  await tab.mouse.move(604, before + 9);
  const come = register("mouse-a");
  let moved = Promise.resolve();
  const moving = setInterval(() => (moved = tab.mouse.move(600 + Math.random() * 9, before + 9)), 300);
  await row(tab, "mouse-a").waitFor();
  await come;
  assert.ok(Math.abs((await top()) - before) <= 1, `${before} to ${await top()}`);
  await lab({ do: "unregister", name: "mouse-a" });
  await eventually("it goes", async () => (await row(tab, "mouse-a").count()) === 0);
  assert.ok(Math.abs((await top()) - before) <= 1, `${before} to ${await top()}`);
  clearInterval(moving);
  await moved;
  await tab.context().close();
});

test("paused, rows do not change; then all is caught up with", async () => {
  await register("pause-a");
  const tab = await member("#/registrations?q=pause-");
  await row(tab, "pause-a").waitFor();
  await tab.keyboard.press("p");
  await tab
    .getByText(/paused/)
    .first()
    .waitFor();
  const before = await rows(tab).allInnerTexts();
  const other = await member("#/registrations?q=pause-");
  await register("pause-b");
  await row(other, "pause-b").waitFor();
  for (let at = 0; at < 2; at++) {
    await other.waitForResponse((response) => response.url().includes("/v2/registrations?q=pause-"));
  }
  assert.deepEqual(await rows(tab).allInnerTexts(), before);
  await tab.keyboard.press("p");
  await row(tab, "pause-b").waitFor();
  await other.context().close();
  await tab.context().close();
});

test("usrlocd killed and back: it is said, and nothing is missed", async () => {
  await register("back-a");
  await register("back-b");
  const tab = await member("#/registrations?q=back-");
  await eventually("two rows", async () => (await rows(tab).count()) === 2);
  await lab({ do: "kill" });
  await status(tab)
    .getByText(/not connected/)
    .waitFor();
  await main(tab).getByRole("row").first().waitFor();
  await lab({ do: "unregister", name: "back-a" });
  await register("back-c");
  await lab({ do: "start" });
  await status(tab).getByText(/^live/).waitFor();
  await eventually(
    "what changed meanwhile",
    async () => (await rows(tab).locator("a.user").allTextContents()).join() === "back-b,back-c",
  );
  await tab.goto(`${page}#/overview`);
  await main(tab).getByRole("log").getByText("back-c").first().waitFor();
  await tab.context().close();
});

test("a table that cannot be read is said, and nothing is flushed meanwhile", async () => {
  await register("stale-a");
  const tab = await member("#/registrations?q=stale-");
  await row(tab, "stale-a").getByRole("checkbox").check();
  const flush = main(tab).getByRole("button", { name: "Flush…" });
  await eventually("it may be flushed", async () => flush.isEnabled());
  await lab({ do: "hide-table" });
  await status(tab)
    .getByText(/^stale since/)
    .waitFor();
  await eventually("it may not", async () => flush.isDisabled());
  await main(tab)
    .getByText(/Flush is off while the source is stale, not live/)
    .waitFor();
  assert.equal(await row(tab, "stale-a").count(), 1);
  await lab({ do: "show-table" });
  await status(tab).getByText(/^live/).waitFor();
  await eventually("it may again", async () => flush.isEnabled());
  await tab.context().close();
});

test("a viewer's wrong clock changes no countdown", async () => {
  await register("clock", { expires: 600 });
  const tab = await member("#/health");
  await tab.clock.install({ time: new Date("2031-01-01T00:00:00Z") });
  await tab.goto(`${page}#/registrations?q=clock`);
  await tab.reload();
  await row(tab, "clock").waitFor();
  await tab.clock.runFor(1000);
  const left = await row(tab, "clock").locator(".c-expires_at").innerText();
  assert.match(left, /^(9 min \d\d s|10 min 00 s)/);
  await tab.context().close();
});

test("two browsers see the same, and eight tabs of one have one stream", async () => {
  const one = await visitor();
  const streams = [];
  one.context().on("request", (request) => request.url().includes("watch=true") && streams.push(request.url()));
  await logIn(one, tokens.all, "#/registrations?q=both-");
  const tabs = [one];
  for (let at = 1; at < 8; at++) {
    const tab = await one.context().newPage();
    await tab.goto(one.url());
    tabs.push(tab);
  }
  const two = await member("#/registrations?q=both-");
  await register("both-a");
  for (const tab of [...tabs, two]) {
    await row(tab, "both-a").waitFor();
  }
  assert.equal(streams.length, 1, streams.join("\n"));
  await two.context().close();
  await one.context().close();
});
