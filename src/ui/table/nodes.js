// The nodes of the fleet above the table: the registrations of one of them alone.

import { attribute, h, replace, setText } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { scope } from "../lib/scope.js";
import { live } from "../live/live.js";

export class NodeFilter {
  #said = "";
  /** The names, in the order of the choices. @type {string[]} */
  #names = [];
  select = h("select", { id: "node", change: () => this.onChoose(this.#names[this.select.selectedIndex] ?? "") });
  chipText = h("span");
  chip = h("button", { type: "button", class: "chip", click: () => this.onChoose("") }, this.chipText, icon("error"));
  element = h(
    "div",
    { class: "tools", hidden: !scope.isFleet },
    h("label", { for: "node" }, "Node"),
    this.select,
    this.chip,
  );

  /** @param {(node: string) => void} onChoose a name; empty for all */
  constructor(onChoose) {
    this.onChoose = onChoose;
  }

  /** @param {string} chosen */
  show(chosen) {
    this.chip.hidden = !chosen;
    attribute(this.chip, "aria-label", `Node ${chosen}: show all nodes`);
    setText(this.chipText, `Node ${chosen}`);
    const nodes = live.source?.nodes ?? [];
    const said = JSON.stringify([chosen, nodes.map(({ name, state, rows }) => [name, state, rows])]);
    // Whoever is about to choose is not disturbed.
    const isChosen = this.#names[this.select.selectedIndex] === chosen;
    if (this.#said === said || (isChosen && document.activeElement === this.select)) {
      return;
    }
    this.#said = said;
    const words = nodes.map(({ name, state, rows }) => `${name}: ${state}, ${number(rows)}`);
    this.#names = ["", ...nodes.map(({ name }) => name)];
    if (!this.#names.includes(chosen)) {
      this.#names.push(chosen);
      words.push(chosen);
    }
    replace(
      this.select,
      ["All nodes", ...words].map((text) => h("option", null, text)),
    );
    this.select.selectedIndex = this.#names.indexOf(chosen);
  }
}
