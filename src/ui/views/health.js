// What `usrlocd doctor` finds; and what to do next where nobody is registered.

import { ask } from "../lib/api.js";
import { append, foreign, h, replace, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { link } from "../lib/router.js";
import { session } from "../lib/session.js";
import { View } from "./view.js";

/** @typedef {{name: string, state: "ok" | "warning" | "error", text?: string, advice?: string}} Finding */

const WORST_FIRST = ["error", "warning", "ok"];

/** @param {Finding[]} findings */
function worstFirst(findings) {
  return [...findings].sort((a, b) => WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state));
}

/**
 * One finding as an entry of a list.
 *
 * @param {Finding} one
 */
export function finding(one) {
  const steps = (one.advice ?? "").split("\n").filter(Boolean);
  return h(
    "li",
    { class: `finding ${one.state}` },
    h("span", { class: "state" }, icon(one.state), one.state),
    h(
      "div",
      null,
      h("strong", null, one.name),
      one.text ? h("p", null, foreign(one.text)) : null,
      steps.map((step) => h("p", { class: "advice" }, "→ ", h("code", null, foreign(step)))),
    ),
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
    const words = [
      errors && `${errors} error${errors > 1 ? "s" : ""}`,
      warnings && `${warnings} warning${warnings > 1 ? "s" : ""}`,
    ].filter(Boolean);
    setText(this.summary, words.length ? `${words.join(", ")}. Begin with the first.` : "All checks are ok.");
    this.summary.className = `lead ${errors ? "error" : warnings ? "warning" : "ok"}`;
    replace(this.list, ...worstFirst(findings).map(finding));
    setText(
      this.note,
      details
        ? "The same, and more, on the machine: sudo usrlocd doctor"
        : "Details are shown to those who may see all accounts.",
    );
  }
}

export function firstVisit() {
  const findings = h("ul", { class: "findings" });
  void fill(findings);
  const commands = session.caller?.commands ?? [];
  return h(
    "section",
    { class: "first", "aria-label": "What to do next" },
    h("h2", null, "Nobody is registered"),
    h(
      "p",
      null,
      "usrlocd reads Kamailio's location table, and the table is empty. Phones show up here within a second of registering at Kamailio.",
    ),
    h(
      "ol",
      null,
      h(
        "li",
        null,
        "Let a phone register at this Kamailio. In write-back mode (db_mode 2) Kamailio writes its table once a minute by default, so wait that long.",
      ),
      h(
        "li",
        null,
        "If it is still missing, see what is checked below, and the whole of it in ",
        h("a", { href: link("health") }, "Health"),
        ".",
      ),
      commands.length > 0
        ? commands.map((command) => h("li", null, h("code", null, command)))
        : h("li", null, "On the machine: ", h("code", null, "sudo usrlocd doctor")),
    ),
    findings,
  );
}

/** @param {Element} list */
async function fill(list) {
  try {
    const { data } = await ask("/ui/data/health");
    append(list, worstFirst(data.findings).map(finding));
  } catch {
    append(list, [h("li", null, "The checks are not available now.")]);
  }
}
