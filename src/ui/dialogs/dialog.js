// A dialog: modal, closed by Escape, and away when it is closed.

import { h, replace } from "../lib/dom.js";

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
      { class: className, "aria-labelledby": id, close: () => this.element.remove() },
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
