// Above the table: the search box, and the ways to take what it finds elsewhere.

import { address, ask } from "../lib/api.js";
import { append, attribute, h, replace } from "../lib/dom.js";
import { scope } from "../lib/scope.js";
import { session } from "../lib/session.js";

/** After so long without a key the search is made (ms); so soon after it another is the same search, typed on. */
const TYPED = 200;
const TYPED_ON = 2000;

const WORDS = ["user:", "realm:", "account:", "ua:", "ip:", "transport:", "expires:<60"];

export class Search {
  #q = "";
  #typing = 0;
  #typedAt = Number.NEGATIVE_INFINITY;
  /** Whether all that changed was typed, letter by letter. */
  #isTyped = true;
  input = h("input", {
    type: "search",
    placeholder: "User, realm, device, address …",
    "aria-label": "Search registrations",
    "aria-describedby": "search-hint",
    autocomplete: "off",
    spellcheck: "false",
    input: (/** @type {InputEvent} */ event) => this.#type(event),
    keydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
  });
  hint = h(
    "p",
    { class: "hint", id: "search-hint" },
    "Narrow by ",
    [...WORDS, scope.isFleet ? "node:" : "flapping:yes"].flatMap((word) => [h("code", null, word), " "]),
  );

  /** @param {(q: string, isTypedOn: boolean) => void} onSearch */
  constructor(onSearch) {
    this.onSearch = onSearch;
  }

  /** @param {string} q what is searched now */
  show(q) {
    this.#q = q;
    if (this.input.value.trim() !== q) {
      this.input.value = q;
    }
  }

  /** @param {InputEvent} event */
  #type({ inputType = "", data }) {
    this.#isTyped &&= inputType.startsWith("delete") || (inputType === "insertText" && data?.length === 1);
    clearTimeout(this.#typing);
    this.#typing = window.setTimeout(() => this.#now(), TYPED);
  }

  #now() {
    clearTimeout(this.#typing);
    const q = this.input.value.trim();
    const former = this.#q;
    if (q === former) {
      return;
    }
    const isSame = q !== "" && former !== "" && (q.startsWith(former) || former.startsWith(q));
    const isTypedOn = isSame && this.#isTyped && performance.now() - this.#typedAt < TYPED_ON;
    this.#isTyped = true;
    this.#typedAt = performance.now();
    this.onSearch(q, isTypedOn);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Enter") {
      this.#now();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#now();
      this.input.blur();
    }
  }
}

export class Export {
  /** @param {() => {q?: string, sort?: string, filter_node?: string}} query */
  constructor(query) {
    this.query = query;
    this.csv = h("a", { href: "#", download: "registrations.csv" }, "CSV");
    this.json = h("button", { type: "button", class: "link", click: () => void this.#saveJson() }, "JSON");
    this.line = h("code", { class: "curl", tabindex: 0 });
    this.box = h("div", { class: "curl-box", hidden: true }, this.line);
    this.show = h(
      "button",
      {
        type: "button",
        class: "link",
        "aria-expanded": "false",
        click: () => this.#toggle(),
      },
      "curl",
    );
    this.note = h("span", { "aria-live": "polite" });
    this.element = h(
      "div",
      { class: "export" },
      h("span", { class: "quiet" }, "Export"),
      this.csv,
      this.json,
      this.show,
      this.note,
    );
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
