// The lab: a usrlocd beside a Kamailio, with phones to be asked for (tests/page.rs answers), and a browser.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const {
  LAB_UNIX,
  LAB_SOCKET,
  LAB_PAGE = "",
  LAB_TOKEN = "",
  LAB_READER = "",
  LAB_LEAVER = "",
  LAB_CHROMIUM,
} = process.env;

export const page = `${LAB_PAGE}/ui/`;
export const origin = LAB_PAGE;
export const tokens = { all: LAB_TOKEN, reader: LAB_READER, leaver: LAB_LEAVER };

/** The socket of usrlocd. */
export const socket = LAB_UNIX;

const wishes = connect(LAB_SOCKET);
const answers = createInterface({ input: wishes })[Symbol.asyncIterator]();

/** Asks for something, and waits until it is so. */
export async function lab(wish) {
  wishes.write(`${JSON.stringify(wish)}\n`);
  const { done, value } = await answers.next();
  if (done) {
    throw new Error(`the lab refused ${JSON.stringify(wish)}`);
  }
  return JSON.parse(value);
}

/** A phone of Acme's that registers; it is known by `name`. */
export function register(name, more = {}) {
  return lab({ do: "register", name, user: name, ...more });
}

export const browser = await chromium.launch({ executablePath: LAB_CHROMIUM, args: ["--no-sandbox"] });

/** How long a slow machine may take for what takes a moment elsewhere (ms). */
const PATIENCE = 30_000;

/** What went wrong in any tab: each test looks that nothing did. */
export const complaints = [];

/** A tab in a browser of its own, which has kept nothing, and goes nowhere but to `base`. */
export async function visitor(options = {}, base = origin) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    acceptDownloads: true,
    ...options,
  });
  context.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(base)) {
      complaints.push(`asked elsewhere: ${request.url()}`);
    }
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  context.on("page", watch);
  return context.newPage();
}

function watch(tab) {
  tab.setDefaultTimeout(PATIENCE);
  tab.on("pageerror", (error) => complaints.push(`${error.stack}`));
  tab.on("console", (message) => {
    if (message.text().startsWith("policy:")) {
      complaints.push(message.text());
    }
  });
  tab.on("dialog", (dialog) => {
    complaints.push(`a script ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
}

/** Logs in, and comes to a view. */
export async function logIn(tab, token = tokens.all, where = "", at = page) {
  await tab.goto(at + where);
  await tab.getByLabel("Token").fill(token);
  await tab.keyboard.press("Enter");
  await tab.getByRole("navigation").waitFor();
  return tab;
}

/** A visitor who has logged in. */
export async function member(where = "", token = tokens.all, options = {}) {
  return logIn(await visitor(options), token, where);
}

export const rows = (tab) => tab.getByRole("table", { name: /^Registrations/ }).locator("tbody tr[data-ruid]");
export const row = (tab, name) => rows(tab).filter({ has: tab.getByRole("link", { name, exact: true }) });
export const main = (tab) => tab.getByRole("main");
export const status = (tab) => tab.getByRole("status").first();
export const nav = (tab, name) => tab.getByRole("navigation").getByRole("link", { name: new RegExp(`^${name}`) });

/** Waits until `look` gives true. */
export async function eventually(what, look, patience = PATIENCE) {
  const end = performance.now() + patience;
  for (;;) {
    if (await look()) {
      return;
    }
    if (performance.now() > end) {
      throw new Error(`${what}: not within ${patience} ms`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Waits until the focus is there. */
export function focused(what, locator) {
  return eventually(`${what} has the focus`, () => locator.evaluate((one) => one === document.activeElement));
}

/** Closes the dialog that is open: Chromium does it a moment after the key. */
export async function escape(tab) {
  await tab.keyboard.press("Escape");
  await tab.getByRole("dialog").waitFor({ state: "hidden" });
}

/** What makes the page scroll sideways, if it does. */
export function tooWide(tab) {
  return tab.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const all = scrollWidth > clientWidth ? [...document.body.querySelectorAll("*")] : [];
    const over = all.filter((one) => one.getBoundingClientRect().right > clientWidth && !one.closest(".table-box"));
    return over.map((one) => `${one.tagName} ${one.getAttribute("class")} ${one.textContent.slice(0, 80)}`);
  });
}

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds fault with. */
export async function faults(tab) {
  await tab.evaluate(AXE);
  return tab.evaluate(async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await globalThis.axe.run(document, { runOnly: tags });
    return violations.map((one) => `${one.id}: ${one.nodes[0].html}`);
  });
}

export async function close() {
  await browser.close();
  wishes.end();
}
