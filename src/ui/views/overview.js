// What somebody wants to know first who was woken up: how many, is it well, and if not, where to look.

import { ask } from "../lib/api.js";
import { append, foreign, h, replace } from "../lib/dom.js";
import { count, moment, number, parsed } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { lossesAndReturns } from "../lib/plot.js";
import { link } from "../lib/router.js";
import { entry, sentence } from "../lib/words.js";
import { live } from "../live/live.js";
import { firstVisit } from "./first-visit.js";
import { View } from "./view.js";

/** @typedef {import("../live/stream.js").Frame} Frame */
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
        h("section", { class: "card wide" }, h("h2", null, "Events"), log),
      ),
    ]);
    this.refresh = this.follow((signal) => this.#load(signal), 2500);
    this.listen(live, "events", (event) => this.#hear(event.detail));
    void this.#past();
  }

  /** What happened before somebody looked. */
  async #past() {
    try {
      const { data } = await ask("/v2/history", { query: { page_size: LISTED }, signal: this.gone });
      const known = new Set(this.#events.map((event) => event.id));
      this.#events.push(...data.filter((/** @type {Frame} */ event) => !known.has(event.id)));
      this.#showLog();
    } catch {
      // Without a history the log begins now.
      this.#showLog();
    }
  }

  /** @param {Frame[]} frames */
  #hear(frames) {
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
        replace(this.headline, h("p", { class: "refusal" }, error.message), h("p", null, h("a", { href: link("health") }, "Health"), " says what to do."));
      }
    }
  }

  /** @param {any} data */
  #show(data) {
    replace(
      this.headline,
      h("p", { class: "total" }, h("strong", { class: "figure" }, number(data.total)), " ", h("a", { href: link("registrations") }, data.total === 1 ? "registration" : "registrations")),
      h("p", { class: "quiet" }, `in ${count(data.account_count, "account")}, ${number(data.states.expiring)} expiring within a minute, ${number(data.states.permanent)} permanent`),
    );
    replace(this.matters, ...matters(data));
    replace(this.plot, lossesAndReturns(data.plot ?? []));
    rank(this.accounts, data.accounts.map((/** @type {any} */ one) => [one.name || one.realm || one.id, one.count, `account:${one.id}`]), data.total);
    rank(this.transports, data.transports.map((/** @type {any} */ one) => [one.value, one.count, `transport:${one.value}`]), data.total);
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
function matters({ states, bursts = [], kamailio }) {
  /** @type {Node[]} */
  const found = [];
  const isWell = kamailio.state === "ok";
  if (!live.isLive) {
    found.push(matter("error", ["What is shown is not live. ", h("a", { href: link("health") }, "See Health")]));
  }
  for (const burst of bursts.slice(0, 3)) {
    const q = burst.group === "source" ? `ip:${burst.value}` : burst.group === "account" ? `account:${burst.value}` : "";
    const where = link("registrations", [], { q });
    found.push(matter("error", [h("time", null, moment(parsed(burst.at), true)), " ", foreign(sentence({ ...burst, type: "burst" })), " ", h("a", { href: where }, "see who is left")]));
  }
  if (!isWell) {
    found.push(matter("warning", ["Kamailio's RPC: ", kamailio.state, ". ", foreign(kamailio.text ?? ""), " ", h("a", { href: link("health") }, "See Health")]));
  }
  const coming = [states.flapping && `${number(states.flapping)} flapping`, states.unstable && `${number(states.unstable)} unstable`].filter(Boolean);
  if (coming.length > 0) {
    found.push(matter("warning", [`Phones that come and go: ${coming.join(", ")}. `, h("a", { href: link("flapping") }, "See who")]));
  }
  if (found.length === 0) {
    return [matter("ok", ["Nothing needs you now: Kamailio answers, no bursts within the hour, 0 phones flapping."])];
  }
  if (isWell) {
    found.push(matter("ok", ["Kamailio answers", bursts.length ? "." : ", no bursts within the hour", bursts.length ? "" : coming.length ? "." : ", 0 flapping."]));
  }
  return found;
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
    return h("li", null, h("a", { href: link("registrations", [], { q }) }, foreign(name)), " ", h("span", { class: "number" }, number(value)), bar);
  });
  replace(list, ...(entries.length ? entries : [h("li", { class: "quiet" }, "none")]));
  if (focused) {
    [...list.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus({ preventScroll: true });
  }
}
