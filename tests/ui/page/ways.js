// The ways by which a browser comes to the page: a forwarded socket, a proxy that has it below a path, a later visit.

import assert from "node:assert/strict";
import { createServer as listen, connect } from "node:net";
import { createServer, request } from "node:http";
import { test } from "node:test";
import { eventually, logIn, main, member, origin, page, register, row, socket, tokens, visitor } from "../lab.js";

/** A port of this machine's on which `server` listens. */
async function port(server) {
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server.address().port;
}

test("over a forwarded socket nobody logs in, and all can be done", async () => {
  await register("tunnel");
  // As `ssh -L 8000:/run/usrlocd/usrlocd.sock HOST` does it.
  const tunnel = listen((near) => {
    const far = connect(socket);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      one.pipe(other);
      one.on("error", () => other.destroy());
    }
  });
  const base = `http://localhost:${await port(tunnel)}`;
  const tab = await visitor({}, base);
  await tab.goto(`${base}/ui/#/registrations?q=tunnel`);
  await row(tab, "tunnel").getByRole("checkbox").check();
  assert.equal(await tab.getByRole("button", { name: "Log out" }).count(), 0);
  assert.deepEqual(await tab.context().cookies(), []);
  await tab.getByRole("button", { name: "curl" }).click();
  const line = await tab.locator("code.curl").innerText();
  assert.ok(line.includes(base) && !line.includes("TOKEN"), line);
  await main(tab).getByRole("button", { name: "Flush…" }).click();
  const dialog = tab.getByRole("dialog");
  await dialog.getByRole("button", { name: "Flush 1 registration" }).click();
  await dialog.getByText(/1 registration flushed/).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await main(tab).getByText("No registration matches").waitFor();
  await register("tunnel");
  await row(tab, "tunnel").waitFor();
  await tab.context().close();
  tunnel.close();
});

test("a proxy may have it below a path of its own", async () => {
  await register("below");
  const proxy = createServer((asked, answer) => {
    const path = asked.url.replace(/^\/voice(?=\/)/, "");
    if (path === asked.url) {
      answer.writeHead(404).end("somebody else's");
      return;
    }
    const { method, headers } = asked;
    const passed = request(new URL(path, origin), { method, headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      answer.flushHeaders();
      got.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  const base = `http://127.0.0.1:${await port(proxy)}`;
  const tab = await visitor({}, base);
  const strays = [];
  tab.on("response", (response) => response.status() === 404 && strays.push(response.url()));
  await logIn(tab, tokens.all, "#/registrations?q=below", `${base}/voice/ui/`);
  await row(tab, "below").waitFor();
  await register("below-2");
  await row(tab, "below-2").waitFor();
  const [csv] = await Promise.all([tab.waitForEvent("download"), tab.getByRole("link", { name: "CSV" }).click()]);
  assert.match(csv.url(), /\/voice\/v2\/registrations/);
  await tab.getByRole("button", { name: "curl" }).click();
  assert.match(await tab.locator("code.curl").innerText(), /\/voice\/v2\/registrations\?q=below/);
  await row(tab, "below").getByRole("link").click();
  await main(tab)
    .getByText(/^Registered/)
    .waitFor();
  assert.deepEqual(strays, []);
  await tab.context().close();
  proxy.close();
});

test("a later visit asks for nothing but the page", async () => {
  const tab = await member("#/health");
  await main(tab).getByRole("heading", { name: "Health" }).waitFor();
  const sent = async () => {
    const all = await tab.evaluate(() =>
      performance.getEntriesByType("resource").map(({ name, transferSize }) => [name, transferSize]),
    );
    const files = all.filter(([name]) => name.startsWith(page) && !name.includes("/ui/data/"));
    assert.ok(files.length > 25, `${files.length} files`);
    return files.filter(([, bytes]) => bytes > 0).map(([name]) => name);
  };
  await tab.goto("about:blank");
  await tab.goto(`${page}#/health`);
  await main(tab).getByRole("heading", { name: "Health" }).waitFor();
  await eventually("all modules are there", async () => (await tab.locator("nav a").count()) > 5);
  assert.deepEqual(await sent(), []);
  await tab.context().close();
});
