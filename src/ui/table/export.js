// What is searched, as CSV, as JSON, and as the line for a shell that gives it.

import { address, ask } from "../lib/api.js";
import { append, attribute, h, replace } from "../lib/dom.js";
import { session } from "../lib/session.js";

export class Export {
  /** @param {() => {q?: string, sort?: string}} query */
  constructor(query) {
    this.query = query;
    this.csv = h("a", { href: "#", download: "registrations.csv" }, "CSV");
    this.json = h("button", { type: "button", class: "link", click: () => void this.#saveJson() }, "JSON");
    this.line = h("code", { class: "curl", tabindex: 0 });
    this.box = h("div", { class: "curl-box", hidden: true }, this.line);
    this.show = h("button", { type: "button", class: "link", "aria-expanded": "false", click: () => this.#toggle() }, "curl");
    this.note = h("span", { "aria-live": "polite" });
    this.element = h("div", { class: "export" }, h("span", { class: "quiet" }, "Export"), this.csv, this.json, this.show, this.note);
  }

  /** The search is another one. */
  update() {
    attribute(this.csv, "href", address("/v2/registrations", { accept: "csv", ...this.query() }));
    replace(this.line, curl(address("/v2/registrations", this.query())));
  }

  #toggle() {
    this.box.hidden = !this.box.hidden;
    attribute(this.show, "aria-expanded", String(!this.box.hidden));
  }

  async #saveJson() {
    replace(this.note);
    try {
      const { data } = await ask("/v2/registrations", { query: this.query() });
      save("registrations.json", "application/json", JSON.stringify(data, null, 2));
    } catch (error) {
      append(this.note, [error instanceof Error ? error.message : String(error)]);
    }
  }
}

/**
 * @param {string} path
 * @returns {string} the line; what is in the path is escaped so that single quotes hold it
 */
function curl(path) {
  const url = `'${location.origin}${path}'`;
  return session.caller?.via === "socket" ? `curl -sS ${url}` : `curl -sS -H "X-Auth-Token: $TOKEN" ${url}`;
}

/**
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
