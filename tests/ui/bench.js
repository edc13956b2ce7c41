// The page over many registrations, measured for tests/bench/page.py: a wish comes in on each line, and an answer goes out.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [, , base, token, executablePath] = process.argv;
const args = ["--no-sandbox", "--enable-precise-memory-info"];
const browser = await chromium.launch({ executablePath, args });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const tab = await context.newPage();
let elsewhere = 0;
context.on("request", (request) => {
  elsewhere += !/^(blob|data):/.test(request.url()) && !request.url().startsWith(base);
});

/** Bytes that a first visit loads, as they are sent. */
async function firstVisit() {
  await tab.goto(`${base}/ui/`, { waitUntil: "networkidle" });
  const bytes = await tab.evaluate(() =>
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
      .filter((one) => !one.name.includes("/ui/data/"))
      .reduce((sum, one) => sum + one.encodedBodySize, 0),
  );
  await tab.getByLabel("Token").fill(token);
  await tab.keyboard.press("Enter");
  await tab.getByRole("navigation").waitFor();
  return bytes;
}

/** Milliseconds from the beginning of a navigation until a whole table is painted. */
async function table() {
  await tab.goto("about:blank");
  await tab.goto(`${base}/ui/#/registrations`, { waitUntil: "commit" });
  return tab.evaluate(
    () =>
      new Promise((done) => {
        const look = () => {
          if (document.querySelectorAll("tbody tr[data-ruid]").length < 100) {
            setTimeout(look, 1);
          } else {
            requestAnimationFrame(() => done(performance.now()));
          }
        };
        look();
      }),
  );
}

/** From here on each source address that changes is noted with the moment at which it is painted. */
function watch() {
  return tab.evaluate(() => {
    window.painted = [];
    const look = (changes) => {
      const cells = new Set(
        changes.map(({ target }) => (target.nodeType === Node.TEXT_NODE ? target.parentElement : target)),
      );
      const texts = [...cells].map((cell) => cell.closest(".c-source_ip")?.textContent).filter(Boolean);
      requestAnimationFrame(() => {
        const now = performance.timeOrigin + performance.now();
        window.painted.push(...texts.map((text) => [text, now]));
      });
    };
    const everything = { childList: true, characterData: true, subtree: true };
    new MutationObserver(look).observe(document.querySelector("tbody"), everything);
  });
}

/** What was painted since, and the bytes that the tab's objects take. */
async function painted() {
  const session = await context.newCDPSession(tab);
  await session.send("HeapProfiler.collectGarbage");
  const heap = await tab.evaluate(() => performance.memory.usedJSHeapSize);
  return { painted: await tab.evaluate(() => window.painted), heap, elsewhere };
}

/** Each row on the screen: who, and from where. */
function shown() {
  return tab.evaluate(() =>
    [...document.querySelectorAll("tbody tr[data-ruid]")].map((row) =>
      [".user", ".c-source_ip bdi"].map((part) => row.querySelector(part).textContent),
    ),
  );
}

const wishes = { firstVisit, table, watch, painted, shown };
for await (const wish of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify((await wishes[wish]()) ?? null));
}
await browser.close();
