// The keys, and the switch that turns single letters off (WCAG 2.1.4).

import { h } from "../lib/dom.js";
import { letters } from "../lib/keys.js";
import { Dialog } from "./dialog.js";

/** @type {[string[], string][]} */
const KEYS = [
  [["/"], "search"],
  [["j", "k"], "next row, previous row"],
  [["Enter"], "open the phone of the row"],
  [["Esc"], "back to the table; leave the search"],
  [["x"], "choose the row"],
  [["f"], "flush what is chosen, or the row"],
  [["p"], "pause, go on"],
  [["g", "o r a l u h"], "go to Overview, Registrations, Accounts, fLapping, flUshes, Health"],
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
