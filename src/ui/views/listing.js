// A plain table: columns, rows, and words where there is none.

import { append, h, replace } from "../lib/dom.js";
import { View } from "./view.js";

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
    this.table = h("table", { "aria-label": name }, h("thead", null, h("tr", null, titles.map((title) => h("th", { scope: "col" }, title)))), this.body);
    this.box = h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": `Table: ${name}`, hidden: true }, this.table);
    append(this, [h("h1", { tabindex: -1 }, this.heading), this.lead, this.tools, this.empty, this.box, this.pages]);
  }

  /**
   * @param {(Child | Child[])[][]} rows
   * @param {string} otherwise what it says where there is none
   */
  fill(rows, otherwise) {
    const focused = document.activeElement instanceof HTMLAnchorElement && this.body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    replace(this.body, ...rows.map((cells) => h("tr", null, cells.map((cell) => h("td", null, cell)))));
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
