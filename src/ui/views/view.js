// What all views have in common: they listen while they are shown, and ask again as things change.

import { append, h, replace } from "../lib/dom.js";
import { withKeys } from "../lib/keys.js";
import { live } from "../live/live.js";

/** @typedef {import("../lib/router.js").Place} Place */

/** Between two questions, at least (ms). */
const REST = 200;

export class View extends HTMLElement {
  #gone = new AbortController();
  /** What the document is called while this view is shown. */
  heading = "";

  /** Aborted when the view goes. */
  get gone() {
    return this.#gone.signal;
  }

  disconnectedCallback() {
    this.#gone.abort();
  }

  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: any) => void} action
   */
  listen(target, type, action) {
    target.addEventListener(type, action, { signal: this.gone });
  }

  /**
   * Again and again while somebody looks and has not paused.
   *
   * @param {number} pause ms
   * @param {() => void} action
   */
  every(pause, action) {
    const timer = setInterval(() => {
      if (!document.hidden && !live.isPaused) {
        action();
      }
    }, pause);
    this.gone.addEventListener("abort", () => clearInterval(timer));
  }

  /** @param {import("../lib/keys.js").Keys} keys */
  keys(keys) {
    this.gone.addEventListener("abort", withKeys(keys));
  }

  /**
   * Asks by `load` now, every `pause` ms, and soon after something happened.
   *
   * @param {(signal: AbortSignal) => Promise<void>} load
   * @param {number} pause ms
   */
  follow(load, pause) {
    const refresh = new Refresh(load);
    this.gone.addEventListener("abort", () => refresh.stop());
    this.listen(live, "relist", () => live.isPaused || refresh.soon());
    this.every(pause, () => refresh.soon());
    refresh.now();
    return refresh;
  }

  /**
   * The place has changed, and it is this view's still.
   *
   * @param {Place} _place
   */
  show(_place) {}
}

/** Asks one question at a time, and not more often than the answers allow. */
export class Refresh {
  /** @type {AbortController | null} */
  #running = null;
  #timer = 0;
  #isWanted = false;
  #pause = REST;

  /** @param {(signal: AbortSignal) => Promise<void>} load it tells its own failures */
  constructor(load) {
    this.load = load;
  }

  /** As soon as may be. */
  soon() {
    if (this.#running || this.#timer) {
      this.#isWanted = true;
    } else {
      this.now();
    }
  }

  /** At once: what was asked before does not count any more. */
  now() {
    this.stop();
    void this.#run();
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#isWanted = false;
  }

  async #run() {
    const own = new AbortController();
    this.#running = own;
    const began = performance.now();
    try {
      await this.load(own.signal);
    } catch (error) {
      if (!own.signal.aborted) {
        throw error;
      }
    }
    if (own.signal.aborted) {
      return;
    }
    this.#running = null;
    // An answer that takes long costs the server much: it is asked for less often.
    this.#pause = Math.min(3000, Math.max(REST, 3 * (performance.now() - began)));
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      if (this.#isWanted) {
        this.#isWanted = false;
        this.now();
      }
    }, this.#pause);
  }
}

/** @typedef {import("../lib/dom.js").Child} Child */

export class Listing extends View {
  lead = h("p", { class: "lead", "aria-live": "polite" });
  body = h("tbody");
  empty = h("p", { class: "empty" });
  tools = h("div", { class: "tools" });
  pages = h("div", { class: "pages" });

  /**
   * @param {string} name
   * @param {string[]} titles
   */
  build(name, titles) {
    this.table = h(
      "table",
      { "aria-label": name },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          titles.map((title) => h("th", { scope: "col" }, title)),
        ),
      ),
      this.body,
    );
    this.box = h(
      "div",
      {
        class: "table-box",
        tabindex: 0,
        role: "region",
        "aria-label": `Table: ${name}`,
        hidden: true,
      },
      this.table,
    );
    append(this, [h("h1", { tabindex: -1 }, this.heading), this.lead, this.tools, this.empty, this.box, this.pages]);
  }

  /**
   * @param {(Child | Child[])[][]} rows
   * @param {string} otherwise what it says where there is none
   */
  fill(rows, otherwise) {
    const focused =
      document.activeElement instanceof HTMLAnchorElement && this.body.contains(document.activeElement)
        ? document.activeElement.getAttribute("href")
        : null;
    replace(
      this.body,
      ...rows.map((cells) =>
        h(
          "tr",
          null,
          cells.map((cell) => h("td", null, cell)),
        ),
      ),
    );
    replace(this.empty, rows.length ? "" : otherwise);
    if (this.box) {
      this.box.hidden = rows.length === 0;
    }
    const again = focused && [...this.body.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
    if (again) {
      again.focus({ preventScroll: true });
    }
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => Promise<void>} load
   */
  async trying(signal, load) {
    try {
      await load();
    } catch (error) {
      if (!signal.aborted && error instanceof Error) {
        replace(this.empty, error.message);
      }
    }
  }
}
