// A dialog: modal, closed by Escape, and away when it is closed. The simplest of them: the help.

import { h, replace } from "../lib/dom.js";
import { letters } from "../lib/keys.js";

let ids = 0;

/** @typedef {import("../lib/dom.js").Child} Child */

export class Dialog {
  /**
   * @param {string} title
   * @param {string} [className]
   */
  constructor(title, className = "") {
    const id = `dialog-${++ids}`;
    this.heading = h("h2", { id }, title);
    this.body = h("div", { class: "dialog-body" });
    this.buttons = h("div", { class: "buttons" });
    this.element = h(
      "dialog",
      {
        class: className,
        "aria-labelledby": id,
        close: () => this.element.remove(),
      },
      this.heading,
      this.body,
      this.buttons,
    );
    document.body.append(this.element);
  }

  /** @param {HTMLElement} [focus] */
  open(focus) {
    this.element.showModal();
    focus?.focus();
  }

  close() {
    this.element.close();
  }

  /**
   * What it shows now; the first button has the focus.
   *
   * @param {Child[]} body
   * @param {HTMLElement[]} buttons
   */
  show(body, buttons) {
    const hadFocus = this.element.contains(document.activeElement);
    replace(this.body, ...body);
    replace(this.buttons, ...buttons);
    if (hadFocus && !this.element.contains(document.activeElement)) {
      buttons[0]?.focus();
    }
  }

  /** @param {string} name */
  closeButton(name) {
    return h("button", { type: "button", click: () => this.close() }, name);
  }
}

/** @type {[string[], string][]} */
const KEYS = [
  [["/"], "search"],
  [["j", "k"], "next row, previous row"],
  [["Enter"], "open the phone of the row"],
  [["Esc"], "back to the table; leave the search"],
  [["x"], "choose the row"],
  [["f"], "flush what is chosen, or the row"],
  [["p"], "pause, go on"],
  [["g", "o n r a l u h"], "go to Overview, Nodes, Registrations, Accounts, fLapping, flUshes, Health"],
  [["?"], "this help"],
];

export function showHelp() {
  const dialog = new Dialog("Keyboard", "help");
  const rows = KEYS.map(([keys, what]) => [
    h("dt", null, keys.map((key, at) => [at ? " " : null, h("kbd", null, key)]).flat()),
    h("dd", null, what),
  ]);
  const box = h("input", {
    type: "checkbox",
    id: "letters",
    change: () => {
      letters.areOn = box.checked;
    },
  });
  box.checked = letters.areOn;
  const close = dialog.closeButton("Close");
  const option = h("p", null, h("label", { for: "letters" }, box, " Single-letter keys"));
  dialog.show([h("dl", { class: "keys" }, rows.flat()), option], [close]);
  dialog.open(close);
}
