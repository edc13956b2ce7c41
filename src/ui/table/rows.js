// The rows of a table, by key: they change where they stand, come in their place, and go, while what is under the mouse,
// and what has the focus, stays where it is.

import { h } from "../lib/dom.js";
import { Row, keyOf } from "./columns.js";
import { Anchor } from "./anchor.js";

/** @typedef {import("./columns.js").Item} Item */

export class Rows {
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {HTMLTableSectionElement} body
   * @param {boolean} mayChoose
   */
  constructor(body, mayChoose) {
    this.body = body;
    this.mayChoose = mayChoose;
    this.anchor = new Anchor(body);
  }

  get items() {
    return [...this.#rows.values()].map((row) => row.item);
  }

  get size() {
    return this.#rows.size;
  }

  /** @param {string} ruid */
  get(ruid) {
    return this.#rows.get(ruid);
  }

  /**
   * Shows these, in this order.
   *
   * @param {Item[]} items
   * @param {boolean} isNews whether they are the same list a moment later, so that what is new flashes
   */
  set(items, isNews) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    this.anchor.hold(() => {
      const wanted = new Set(items.map(keyOf));
      for (const ruid of this.#rows.keys()) {
        if (!wanted.has(ruid)) {
          this.#drop(ruid, isNews);
        }
      }
      const rows = items.map((item) => this.#put(item, isNews));
      this.#order(isNews && this.anchor.isWatched ? this.#steady(rows) : rows);
    });
    if (focused instanceof HTMLElement && focused.isConnected && document.activeElement !== focused) {
      focused.focus({ preventScroll: true });
    }
  }

  /**
   * @param {Item} item
   * @param {boolean} isNews
   */
  #put(item, isNews) {
    const known = this.#rows.get(keyOf(item));
    if (known) {
      if (known.update(item) && isNews) {
        known.flash();
      }
      return known;
    }
    const row = new Row(item, this.mayChoose);
    this.#rows.set(keyOf(item), row);
    if (isNews) {
      row.flash();
    }
    return row;
  }

  /**
   * The rows with those that are there already in the order in which they are there: nothing jumps under the mouse.
   *
   * @param {Row[]} rows
   */
  #steady(rows) {
    const isThere = (/** @type {Row} */ row) => row.element.isConnected;
    const there = rows.filter(isThere);
    there.sort((a, b) => (a.element.compareDocumentPosition(b.element) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
    return rows.map((row) => (isThere(row) ? /** @type {Row} */ (there.shift()) : row));
  }

  /** @param {Row[]} rows */
  #order(rows) {
    /** @type {Element | null} */
    let at = this.body.firstElementChild;
    for (const { element } of rows) {
      while (at?.classList.contains("hole")) {
        at = at.nextElementSibling;
      }
      if (at === element) {
        at = at.nextElementSibling;
      } else if (at && at.nextElementSibling === element) {
        // One row left its place for one further down: it comes back at its turn.
        const moved = at;
        at = element.nextElementSibling;
        moved.remove();
      } else {
        this.body.insertBefore(element, at);
      }
    }
  }

  /**
   * Shows what an event told of a registration, if it is shown.
   *
   * @param {Item} item
   */
  change(item) {
    const row = this.#rows.get(keyOf(item));
    if (row?.update(item)) {
      row.flash();
    }
    return row !== undefined;
  }

  /** @param {string} ruid */
  remove(ruid) {
    if (!this.#rows.has(ruid)) {
      return false;
    }
    this.anchor.hold(() => this.#drop(ruid, true));
    return true;
  }

  /**
   * @param {string} ruid
   * @param {boolean} isNews
   */
  #drop(ruid, isNews) {
    const element = this.#rows.get(ruid)?.element;
    this.#rows.delete(ruid);
    if (!element) {
      return;
    }
    if (element.contains(document.activeElement)) {
      const next = element.nextElementSibling ?? element.previousElementSibling;
      if (next instanceof HTMLElement) {
        next.focus({ preventScroll: true });
      }
    }
    if (isNews && this.anchor.isOn(element)) {
      // Whoever is about to click here must not hit the next one.
      const hole = h("tr", { class: "hole", "aria-hidden": "true" }, h("th", { colspan: 10 }));
      hole.style.setProperty("--height", `${element.offsetHeight}px`);
      element.replaceWith(hole);
      hole.addEventListener("mouseleave", () => hole.remove(), { once: true });
    } else {
      element.remove();
    }
  }

  clear() {
    this.#rows.clear();
    this.body.replaceChildren();
  }

  tick() {
    for (const row of this.#rows.values()) {
      row.tick();
    }
  }

  /** @param {(row: Row) => void} visit */
  each(visit) {
    this.#rows.forEach(visit);
  }
}
