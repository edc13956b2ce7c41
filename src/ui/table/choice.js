// Choosing rows, and flushing what is chosen.

import { MOST_ASKED, NotifyDialog } from "../dialogs/notify.js";
import { Chosen } from "../dialogs/chosen.js";
import { FlushDialog, whyNot } from "../dialogs/flush.js";
import { attribute, h, setText } from "../lib/dom.js";
import { keyOf } from "./columns.js";
import { number } from "../lib/format.js";

export class Selection extends EventTarget {
  /** @type {Map<string, import("./columns.js").Item>} */
  #ones = new Map();
  /** All that match this, where they are too many to be told one by one. @type {Chosen | null} */
  #all = null;

  get size() {
    return this.#all ? this.#all.total : this.#ones.size;
  }

  get isAll() {
    return this.#all !== null;
  }

  /** @param {string} ruid */
  has(ruid) {
    return this.#all !== null || this.#ones.has(ruid);
  }

  get chosen() {
    return this.#all ?? new Chosen([...this.#ones.values()]);
  }

  /**
   * @param {import("./columns.js").Item} item
   * @param {boolean} isIn
   */
  set(item, isIn) {
    if (isIn) {
      this.#ones.set(keyOf(item), item);
    } else {
      this.#ones.delete(keyOf(item));
    }
    this.#changed();
  }

  /** @param {Chosen} all */
  take(all) {
    this.#ones = new Map(all.search === null ? all.ones.map((one) => [keyOf(one), one]) : []);
    this.#all = all.search === null ? null : all;
    this.#changed();
  }

  clear() {
    if (this.size > 0) {
      this.take(new Chosen([]));
    }
  }

  /** @param {string} ruid */
  forget(ruid) {
    if (this.#ones.delete(ruid)) {
      this.#changed();
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @typedef {import("./columns.js").Row} Row */

export class Choice {
  selection = new Selection();
  #total = 0;
  allHere = h("input", {
    type: "checkbox",
    "aria-label": "Choose this page",
    change: () => this.#choosePage(),
  });
  flush = h(
    "button",
    {
      type: "button",
      class: "danger",
      "aria-describedby": "flush-off",
      click: () => this.#open(this.selection.chosen),
    },
    "Flush…",
  );
  all = h("button", { type: "button", click: () => void this.#chooseAll() }, "Select all");
  none = h("button", { type: "button", click: () => this.selection.clear() }, "Clear choice");
  chosen = h("strong", { class: "chosen", "aria-live": "polite" });
  off = h("span", { id: "flush-off", class: "refusal" });
  sync = h("button", { type: "button", click: () => this.#notify(false) }, "Check-sync…");
  reboot = h("button", { type: "button", click: () => this.#notify(true) }, "Reboot…");
  element = h(
    "div",
    { class: "choice" },
    this.flush,
    this.chosen,
    this.all,
    this.none,
    this.sync,
    this.reboot,
    this.off,
  );
  /** @type {import("./rows.js").Rows | null} */
  rows = null;

  /**
   * @param {() => import("../dialogs/chosen.js").Query} search what is searched
   * @param {() => void} onFlushed
   */
  constructor(search, onFlushed) {
    this.search = search;
    this.onFlushed = onFlushed;
    this.selection.addEventListener("change", () => this.show());
  }

  /** @param {import("./rows.js").Rows} rows */
  attach(rows) {
    this.rows = rows;
    rows.body.addEventListener("change", ({ target }) => {
      const row = target instanceof HTMLInputElement && rows.get(target.dataset.ruid ?? "");
      if (row && row.box) {
        this.selection.set(row.item, row.box.checked);
      }
    });
    this.show();
  }

  /** @param {number} [total] how many match, if that is news */
  show(total = this.#total) {
    this.#total = total;
    const { size, isAll } = this.selection;
    const why = whyNot();
    setText(this.chosen, size > 0 ? `${number(size)} chosen` : "");
    this.flush.disabled = size === 0 || why !== "";
    attribute(this.flush, "title", why || (size === 0 ? "Choose registrations first" : null));
    setText(this.off, why);
    setText(this.all, `Select all ${number(total)} that match`);
    this.all.disabled = total === 0;
    this.none.disabled = size === 0;
    for (const button of [this.sync, this.reboot]) {
      button.disabled = size === 0 || size > MOST_ASKED;
      attribute(button, "title", size > MOST_ASKED ? `At most ${MOST_ASKED} phones are asked at a time` : null);
    }
    this.rows?.each((row) => {
      if (row.box) {
        row.box.checked = this.selection.has(keyOf(row.item));
        row.box.disabled = isAll;
      }
    });
    const items = this.rows?.items ?? [];
    this.allHere.checked = items.length > 0 && items.every((item) => this.selection.has(keyOf(item)));
  }

  #choosePage() {
    const isIn = this.allHere.checked;
    this.rows?.items.forEach((item) => this.selection.set(item, isIn));
  }

  async #chooseAll() {
    this.all.disabled = true;
    try {
      this.selection.take(await Chosen.all(this.search()));
    } catch (error) {
      this.show();
      setText(this.off, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {Row | undefined} row */
  toggle(row) {
    if (row?.box && !row.box.disabled) {
      this.selection.set(row.item, !row.box.checked);
    }
  }

  /**
   * Flushes what is chosen, else the row.
   *
   * @param {Row | undefined} row
   */
  flushByKey(row) {
    if (whyNot()) {
      return;
    }
    if (this.selection.size > 0) {
      this.#open(this.selection.chosen);
    } else if (row) {
      this.#open(new Chosen([row.item]));
    }
  }

  /** @param {boolean} isReboot */
  #notify(isReboot) {
    new NotifyDialog(this.selection.chosen.ones, isReboot);
  }

  /** @param {Chosen} chosen */
  #open(chosen) {
    new FlushDialog(chosen, () => {
      this.selection.clear();
      this.onFlushed();
    });
  }
}
