// Very many registrations, of which 200 change each second.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, lab, logIn, rows, status, tokens, visitor } from "../lab.js";

const ROWS = 100_000;

/** How long they change (s); `make bench` measures a minute. */
const SECONDS = 20;

/** What the screen shows of each row: who, and from where. */
const shown = (tab) =>
  rows(tab).evaluateAll((all) =>
    all.map((one) => [".user", ".c-source_ip bdi"].map((part) => one.querySelector(part).textContent).join(" ")),
  );

/** The same as the list has it. */
async function listed(tab) {
  const items = await tab.evaluate(async () => {
    const answer = await fetch("/v2/registrations?page_size=100&fields=username,source_ip,source_port");
    return (await answer.json()).data;
  });
  return items.map((one) => `${one.username} ${one.source_ip}:${one.source_port}`);
}

test("at 100,000 rows with 200 changes a second the screen ends as the list is", async () => {
  const { origin } = await lab({ do: "start-large", rows: ROWS });
  const tab = await logIn(await visitor({}, origin), tokens.all, "#/registrations", `${origin}/ui/`);
  await eventually("a full page", async () => (await rows(tab).count()) === 100);
  await status(tab).getByText(/^live/).waitFor();
  const before = await shown(tab);
  assert.deepEqual(before, await listed(tab));
  for (let turn = 0; turn < SECONDS * 10; turn++) {
    const next = new Promise((done) => setTimeout(done, 100));
    await lab({ do: "change-large" });
    await next;
  }
  const now = await listed(tab);
  assert.ok(now.filter((one) => !before.includes(one)).length > 90, "most rows that are shown have changed");
  await eventually("the screen has them", async () => JSON.stringify(await shown(tab)) === JSON.stringify(now));
  await status(tab).getByText(/^live/).waitFor();
  await tab.context().close();
});
