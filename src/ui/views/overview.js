// What somebody wants to know first who was woken up: how many, is it well, and if not, where to look.

import { ask } from "../lib/api.js";
import { append, foreign, h, replace } from "../lib/dom.js";
import { count, moment, number, parsed } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { lossesAndReturns } from "../lib/plot.js";
import { link } from "../lib/router.js";
import { entry, learnNames, sentence } from "../lib/words.js";
import { live } from "../live/live.js";
import { firstVisit } from "./health.js";
import { View } from "./view.js";

/** @typedef {import("../live/live.js").Frame} Frame */
/** @typedef {import("../lib/dom.js").Child} Child */

/** So many events are listed. */
const LISTED = 50;

/** Types that the log does not list. */
const QUIET = new Set(["hello", "mark", "synced", "bye", "present", "refreshed"]);

export class Overview extends View {
  heading = "Overview";
  headline = h("div", { class: "headline" });
  matters = h("ul", { class: "matters", "aria-label": "What matters now" });
  plot = h("figure", { "aria-label": "Losses and returns, last 24 h" });
  accounts = h("ul", { class: "ranking" });
  transports = h("ul", { class: "ranking" });
  log = h("ul", { class: "events" });
  welcome = h("div");
  /** @type {Frame[]} */
  #events = [];
  #isPainting = false;
  #isEmpty = false;

  connectedCallback() {
    const log = h("div", { role: "log", "aria-live": "off", "aria-label": "Events", tabindex: 0 }, this.log);
    append(this, [
      h("h1", { tabindex: -1 }, this.heading),
      this.headline,
      this.matters,
      this.welcome,
      h("section", { class: "card" }, h("h2", null, "Losses and returns, last 24 h"), this.plot),
      h(
        "div",
        { class: "columns" },
        h("section", { class: "card" }, h("h2", null, "Accounts"), this.accounts),
        h("section", { class: "card" }, h("h2", null, "Transports"), this.transports),
        h("section", { class: "card" }, h("h2", null, "Events"), log),
      ),
    ]);
    this.refresh = this.follow((signal) => this.#load(signal), 2500);
    this.listen(live, "events", (event) => this.#hear(event.detail));
    this.listen(live, "relist", () => live.isPaused || void this.#past());
    void this.#past();
  }

  /** What happened before somebody looked. */
  async #past() {
    try {
      const { data } = await ask("/v2/history", {
        query: { page_size: LISTED },
        signal: this.gone,
      });
      learnNames(data);
      const known = new Set(this.#events.map((event) => event.id));
      this.#events.push(...data.filter((/** @type {Frame} */ event) => !known.has(event.id)));
      this.#events.sort((a, b) => parsed(b.at) - parsed(a.at));
      this.#showLog();
    } catch {
      // Without a history the log begins now.
      this.#showLog();
    }
  }

  /** @param {Frame[]} frames */
  #hear(frames) {
    if (frames.some((frame) => frame.type === "gap" && frame.cause === "forgotten")) {
      // The history, which is read again, says what is left to be shown.
      this.#events = [];
    }
    learnNames(frames);
    const news = frames.filter((frame) => !QUIET.has(frame.type));
    if (live.isPaused || news.length === 0) {
      return;
    }
    this.#events = [...news.slice(-LISTED).reverse(), ...this.#events].slice(0, LISTED);
    if (!this.#isPainting) {
      this.#isPainting = true;
      setTimeout(() => this.#showLog(), 250);
    }
    this.refresh?.soon();
  }

  #showLog() {
    this.#isPainting = false;
    if (this.log.contains(document.activeElement) || this.log.matches(":hover")) {
      // Nothing moves under the mouse, nor away from the keyboard: it is shown when they have left.
      setTimeout(() => this.isConnected && !this.#isPainting && this.#showLog(), 1000);
      return;
    }
    const none = h("li", { class: "quiet" }, "Nothing happened yet.");
    replace(this.log, ...(this.#events.length ? this.#events.slice(0, LISTED).map((event) => entry(event)) : [none]));
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    try {
      const { data } = await ask("/ui/data/overview", { signal });
      this.#show(data);
    } catch (error) {
      if (!signal.aborted && error instanceof Error && !this.plot.firstChild) {
        replace(
          this.headline,
          h("p", { class: "refusal" }, error.message),
          h("p", null, h("a", { href: link("health") }, "Health"), " says what to do."),
        );
      }
    }
  }

  /** @param {any} data */
  #show(data) {
    replace(
      this.headline,
      h(
        "p",
        { class: "total" },
        h("strong", { class: "figure" }, number(data.total)),
        " ",
        h("a", { href: link("registrations") }, data.total === 1 ? "registration" : "registrations"),
      ),
      h(
        "p",
        { class: "quiet" },
        `in ${count(data.account_count, "account")}, ${number(data.states.expiring)} expiring within a minute, ${number(data.states.permanent)} permanent`,
      ),
    );
    learnNames(data.bursts ?? []);
    replace(this.matters, ...matters(data));
    replace(this.plot, lossesAndReturns(data.plot ?? []));
    rank(
      this.accounts,
      data.accounts.map((/** @type {any} */ one) => [one.name || one.realm || one.id, one.count, `account:${one.id}`]),
      data.total,
    );
    rank(
      this.transports,
      data.transports.map((/** @type {any} */ one) => [one.value, one.count, `transport:${one.value}`]),
      data.total,
    );
    if ((data.total === 0) !== this.#isEmpty) {
      this.#isEmpty = data.total === 0;
      replace(this.welcome, this.#isEmpty ? firstVisit() : null);
    }
  }
}

/**
 * What needs a person, the worst first; each with where to go.
 *
 * @param {any} data
 */
function matters({ total, states, bursts = [], kamailio }) {
  const health = h("a", { href: link("health") }, "See Health");
  /** @type {Node[]} */
  const found = bursts.slice(0, 3).map(burstMatter);
  if (!live.isLive) {
    found.unshift(matter("error", ["What is shown is not live. ", health]));
  }
  if (kamailio.state === "unreachable") {
    found.push(
      matter("error", [
        "Kamailio cannot be reached over JSON-RPC, so flushing fails. ",
        foreign(kamailio.text ?? ""),
        " ",
        health,
      ]),
    );
  }
  if (states.flapping || states.unstable) {
    const words = `${number(states.flapping)} flapping, ${number(states.unstable)} unstable`;
    found.push(
      matter("warning", [`Phones that come and go: ${words}. `, h("a", { href: link("flapping") }, "See who")]),
    );
  }
  const answers = kamailio.state === "ok" ? "Kamailio answers" : `Kamailio's RPC: ${kamailio.state}`;
  const rest = `${answers}, ${count(bursts.length, "burst")} within the hour, ${number(states.flapping)} flapping.`;
  if (total === 0) {
    return [...found, matter("warning", ["Nobody is registered: below is what to do next. ", rest])];
  }
  return [...found, found.length === 0 ? matter("ok", ["Nothing needs you now. ", rest]) : matter("plain", [rest])];
}

/** @param {Frame} burst */
function burstMatter(burst) {
  const q = { source: `ip:${burst.value}`, account: `account:${burst.value}` }[burst.group ?? ""] ?? "";
  return matter("error", [
    h("time", null, moment(parsed(burst.at), true)),
    " ",
    foreign(sentence({ ...burst, type: "burst" })),
    " ",
    h("a", { href: link("registrations", [], { q }) }, "See who is left"),
  ]);
}

/** @param {string} state @param {Child[]} words */
function matter(state, words) {
  return h("li", { class: state }, icon(state), h("span", null, words));
}

/**
 * Names with their numbers, the largest first.
 *
 * @param {Element} list
 * @param {[string, number, string][]} rows name, number, search
 * @param {number} total
 */
function rank(list, rows, total) {
  const focused = list.contains(document.activeElement) ? document.activeElement?.getAttribute("href") : null;
  const entries = rows.map(([name, value, q]) => {
    const bar = h("span", { class: "share", "aria-hidden": "true" });
    bar.style.setProperty("--share", `${(value / Math.max(1, total)) * 100}%`);
    return h(
      "li",
      null,
      h("a", { href: link("registrations", [], { q }) }, foreign(name)),
      " ",
      h("span", { class: "number" }, number(value)),
      bar,
    );
  });
  replace(list, ...(entries.length ? entries : [h("li", { class: "quiet" }, "none")]));
  if (focused) {
    [...list.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus({ preventScroll: true });
  }
}
