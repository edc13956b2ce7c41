// The contacts of a user, with everything that is known of each.

import { foreign, h, replace, setText } from "../lib/dom.js";
import { address, moment, unix, utc } from "../lib/format.js";
import { keyOf, onNode, remaining } from "../table/columns.js";

/** @typedef {import("../table/columns.js").Item} Item */

/** Keys that hold Gregorian seconds, and Unix seconds. */
const GREGORIAN = new Set(["event_timestamp", "last_registration", "initial_registration"]);
const UNIX = new Set(["expires_at"]);

export class Contacts {
  element = h("section", { class: "contacts", "aria-label": "Contacts" });
  /** @type {Map<string, {left: HTMLElement, item: Item}>} */
  #shown = new Map();
  #open = new Set();

  /** @param {Item[]} items */
  show(items) {
    if (this.element.contains(document.activeElement)) {
      // Somebody reads here: the countdown goes on, and the rest waits.
      for (const item of items) {
        const shown = this.#shown.get(keyOf(item));
        if (shown) {
          shown.item = item;
        }
      }
      this.tick();
      if (items.length === this.#shown.size) {
        return;
      }
    }
    this.#shown.clear();
    replace(
      this.element,
      ...items.map((item, at) =>
        this.#card(item, items.length > 1 ? `Contact ${at + 1} of ${items.length}` : "Contact"),
      ),
    );
  }

  /**
   * @param {any} item
   * @param {string} title
   */
  #card(item, title) {
    const left = h("span", null, remaining(item));
    this.#shown.set(keyOf(item), { left, item });
    /** @type {[string, import("../lib/dom.js").Child][]} */
    const main = [
      ["Contact", foreign(item.contact ?? "–")],
      ["Source", foreign(address(item.source_ip, item.source_port))],
      ["Transport", foreign(item.proxy_protocol ?? "unknown")],
      ["Device", foreign(item.user_agent ?? "unknown")],
      ["Expires in", left],
      ["Since", item.initial_registration ? moment(unix(item.initial_registration)) : "unknown"],
      ["Ruid", h("code", null, item.ruid)],
    ];
    if (item.node) {
      main.push(["Node", foreign(onNode(item))]);
    }
    const rest = Object.entries(item).filter(([, value]) => value !== null && value !== "");
    const details = h(
      "details",
      { open: this.#open.has(keyOf(item)) },
      h("summary", null, "Everything known"),
      h(
        "dl",
        null,
        rest.flatMap(([key, value]) => [h("dt", null, key), h("dd", null, foreign(valueOf(key, value)))]),
      ),
    );
    details.addEventListener("toggle", () =>
      details.open ? this.#open.add(keyOf(item)) : this.#open.delete(keyOf(item)),
    );
    return h(
      "article",
      { class: "card" },
      h("h2", null, title),
      h(
        "dl",
        { class: "facts" },
        main.flatMap(([key, value]) => [h("dt", null, key), h("dd", null, value)]),
      ),
      details,
    );
  }

  tick() {
    for (const { left, item } of this.#shown.values()) {
      setText(left, remaining(item));
    }
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
function valueOf(key, value) {
  if (typeof value === "number" && GREGORIAN.has(key)) {
    return `${value} (${utc(unix(value))})`;
  }
  if (typeof value === "number" && UNIX.has(key)) {
    return `${value} (${utc(value)})`;
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
