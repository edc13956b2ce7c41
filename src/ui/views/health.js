// What `usrlocd doctor` finds.

import { ask } from "../lib/api.js";
import { append, foreign, h, replace, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { View } from "./view.js";

/** @typedef {{name: string, state: "ok" | "warning" | "error", text?: string, advice?: string}} Finding */

const WORST_FIRST = ["error", "warning", "ok"];

/**
 * One finding as an entry of a list.
 *
 * @param {Finding} one
 */
export function finding(one) {
  return h(
    "li",
    { class: `finding ${one.state}` },
    h("span", { class: "state" }, icon(one.state), one.state),
    h("div", null, h("strong", null, one.name), one.text ? h("p", null, foreign(one.text)) : null, one.advice ? h("p", { class: "advice" }, "→ ", foreign(one.advice)) : null),
  );
}

export class Health extends View {
  heading = "Health";
  summary = h("p", { class: "lead", "aria-live": "polite" });
  list = h("ul", { class: "findings" });
  note = h("p", { class: "quiet" });

  connectedCallback() {
    append(this, [h("h1", { tabindex: -1 }, this.heading), this.summary, this.list, this.note]);
    this.follow((signal) => this.#load(signal), 5000);
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    try {
      const { data } = await ask("/ui/data/health", { signal });
      this.#show(data);
    } catch (error) {
      if (!signal.aborted && error instanceof Error) {
        setText(this.summary, error.message);
      }
    }
  }

  /** @param {{findings: Finding[], details: boolean}} data */
  #show({ findings, details }) {
    const of = (/** @type {string} */ state) => findings.filter((one) => one.state === state).length;
    const [errors, warnings] = [of("error"), of("warning")];
    const words = [errors && `${errors} error${errors > 1 ? "s" : ""}`, warnings && `${warnings} warning${warnings > 1 ? "s" : ""}`].filter(Boolean);
    setText(this.summary, words.length ? `${words.join(", ")}. Begin with the first.` : "All checks are ok.");
    this.summary.className = `lead ${errors ? "error" : warnings ? "warning" : "ok"}`;
    const sorted = [...findings].sort((a, b) => WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state));
    replace(this.list, ...sorted.map(finding));
    setText(this.note, details ? "The same, and more, on the machine: sudo usrlocd doctor" : "Details are shown to those who may see all accounts.");
  }
}
