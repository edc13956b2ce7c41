// What is chosen in the table.

import { Chosen } from "../dialogs/chosen.js";

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
      this.#ones.set(item.ruid, item);
    } else {
      this.#ones.delete(item.ruid);
    }
    this.#changed();
  }

  /** @param {Chosen} all */
  take(all) {
    this.#ones = new Map(all.search === null ? all.ones.map((one) => [one.ruid, one]) : []);
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
