// The table of registrations: its heads, which sort, and its rows, one of which is current.

import { attribute, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { columns } from "./columns.js";
import { Rows } from "./rows.js";

export class Table {
  body = h("tbody");
  columns = columns();

  /**
   * @param {HTMLInputElement | null} allHere the box that chooses the whole page, where one may choose
   * @param {(key: string) => void} onSort
   */
  constructor(allHere, onSort) {
    this.rows = new Rows(this.body, allHere !== null);
    this.heads = this.columns.map((column) => {
      const sort = h(
        "button",
        { type: "button", click: () => onSort(column.key) },
        column.title,
        icon("up"),
        icon("down"),
      );
      return h("th", { scope: "col", class: `c-${column.key}` }, sort);
    });
    const first = allHere && h("th", { scope: "col", class: "c-choose" }, allHere);
    this.table = h(
      "table",
      { class: "registrations", "aria-label": "Registrations" },
      h("thead", null, h("tr", null, first, this.heads)),
      this.body,
    );
    this.element = h(
      "div",
      {
        class: "table-box",
        tabindex: 0,
        role: "region",
        "aria-label": "Table of registrations",
      },
      this.table,
    );
  }

  /** @param {string} sort a key, with `-` before it downwards; empty for the usual order, by user */
  showSort(sort) {
    const isDown = sort.startsWith("-");
    const key = sort.replace(/^-/, "") || "username";
    this.columns.forEach((column, at) => {
      const order = column.key !== key ? null : isDown ? "descending" : "ascending";
      attribute(/** @type {Element} */ (this.heads[at]), "aria-sort", order);
    });
  }

  /** @param {number} total of all pages */
  showTotal(total) {
    attribute(this.table, "aria-rowcount", total + 1);
    this.element.hidden = total === 0;
  }

  /** The row that has the focus, itself or something in it. */
  get current() {
    const row = document.activeElement?.closest("tr[data-ruid]");
    return row instanceof HTMLElement && this.body.contains(row) ? this.rows.get(row.dataset.ruid ?? "") : undefined;
  }

  /**
   * Moves the focus to another row; from nowhere to the first.
   *
   * @param {number} by
   */
  move(by) {
    const rows = /** @type {HTMLElement[]} */ ([...this.body.querySelectorAll("tr[data-ruid]")]);
    const current = this.current?.element;
    const at = current ? rows.indexOf(current) + by : 0;
    rows[Math.max(0, Math.min(rows.length - 1, at))]?.focus();
  }
}
