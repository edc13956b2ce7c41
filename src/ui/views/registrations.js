// All registrations: searched, sorted, page by page, live; chosen and flushed.

import { ApiError, ask } from "../lib/api.js";
import { append, attribute, h, replace, setText } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { go, link, phoneLink, place } from "../lib/router.js";
import { session } from "../lib/session.js";
import { live } from "../live/live.js";
import { Chosen } from "../dialogs/chosen.js";
import { FlushDialog, whyNot } from "../dialogs/flush.js";
import { COLUMNS, LIST_FIELDS } from "../table/columns.js";
import { Export } from "../table/export.js";
import { Rows } from "../table/rows.js";
import { Selection } from "../table/selection.js";
import { firstVisit } from "./first-visit.js";
import { View } from "./view.js";

/** @typedef {import("../table/columns.js").Item} Item */

const PAGE = 100;

/** A countdown is right again within this time after a refresh, of which no event tells (ms). */
const LIST_AGAIN = 4000;

/** After so long without a key the search is made (ms); so soon after it another is the same search, typed on. */
const TYPED = 200;
const TYPED_ON = 2000;

/** The phone that was opened last, and from where: who comes back finds its row. */
let opened = "";
let openedFrom = "";

/** Where the table is that somebody came from. */
export function table() {
  return openedFrom || link("registrations");
}

export class Registrations extends View {
  heading = "Registrations";
  #q = "";
  #sort = "";
  #start = "";
  #page = 1;
  #next = "";
  #total = 0;
  #isLoaded = false;
  #typedAt = 0;
  #typing = 0;
  #selection = new Selection();
  /** @type {import("../live/stream.js").Frame[]} */
  #frames = [];
  #isPainting = false;

  connectedCallback() {
    this.#build();
    this.#read(place());
    this.refresh = this.follow((signal) => this.#load(signal), LIST_AGAIN);
    this.listen(live, "events", (event) => this.#hear(event.detail));
    this.listen(live, "change", () => this.#showChoice());
    this.listen(this.#selection, "change", () => this.#showChoice());
    this.every(1000, () => this.rows.tick());
    this.keys({
      "/": (event) => this.#act(event, () => this.search.select()),
      j: (event) => this.#act(event, () => this.#move(1)),
      k: (event) => this.#act(event, () => this.#move(-1)),
      x: (event) => this.#act(event, () => this.#toggle()),
      f: (event) => this.#act(event, () => this.#flushByKey()),
      Enter: (event) => this.#open(event),
    });
  }

  /** @param {Event} event @param {() => void} action */
  #act(event, action) {
    event.preventDefault();
    action();
  }

  #build() {
    const mayChoose = session.mayFlush;
    this.search = h("input", {
      type: "search",
      id: "search",
      placeholder: "User, realm, device, address …",
      "aria-label": "Search registrations",
      "aria-describedby": "search-hint",
      autocomplete: "off",
      spellcheck: "false",
      input: () => this.#type(),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#searchKey(event),
    });
    this.count = h("p", { class: "count" });
    this.trouble = h("div", { class: "trouble", "aria-live": "polite" });
    this.exports = new Export(() => ({ q: this.#q || undefined, sort: this.#sort || undefined }));
    this.body = h("tbody");
    this.rows = new Rows(this.body, mayChoose);
    this.heads = COLUMNS.map((column) => h("th", { scope: "col", class: `c-${column.key}` }, h("button", { type: "button", click: () => this.#sortBy(column.key) }, column.title, icon("up"), icon("down"))));
    this.allHere = h("input", { type: "checkbox", "aria-label": "Choose this page", change: () => this.#choosePage() });
    this.table = h(
      "table",
      { "aria-label": "Registrations" },
      h("thead", null, h("tr", null, mayChoose && h("th", { scope: "col", class: "c-choose" }, this.allHere), this.heads)),
      this.body,
    );
    this.box = h("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Table of registrations" }, this.table);
    this.body.addEventListener("change", (event) => this.#chose(event));
    this.body.addEventListener("click", (event) => this.#clicked(event));
    this.older = h("button", { type: "button", click: () => this.#turn(1) }, "Next page");
    this.newer = h("button", { type: "button", click: () => void this.#back() }, "Previous page");
    this.where = h("span", { class: "quiet" });
    append(this, [
      h("h1", { tabindex: -1 }, this.heading),
      h("div", { class: "search-line" }, this.search, this.count),
      h("p", { class: "hint", id: "search-hint" }, "Narrow by ", ["user:", "realm:", "account:", "ua:", "ip:", "transport:", "expires:<60", "flapping:yes"].map((word) => [h("code", null, word), " "]).flat()),
      h("div", { class: "tools" }, mayChoose && this.#choice(), this.exports.element),
      this.exports.box,
      this.trouble,
      this.box,
      h("div", { class: "pages" }, this.newer, this.where, this.older),
    ]);
  }

  #choice() {
    this.flush = h("button", { type: "button", class: "danger", disabled: true, "aria-describedby": "flush-off", click: () => this.#openFlush(this.#selection.chosen) }, "Flush…");
    this.all = h("button", { type: "button", click: () => void this.#chooseAll() }, "Select all");
    this.none = h("button", { type: "button", hidden: true, click: () => this.#selection.clear() }, "Clear choice");
    this.off = h("span", { id: "flush-off", class: "refusal" });
    return h("div", { class: "choice" }, this.flush, this.all, this.none, this.off);
  }

  /** @param {import("../lib/router.js").Place} to */
  show(to) {
    const before = this.#address();
    const search = this.#q;
    this.#read(to);
    if (this.#address() === before) {
      return;
    }
    if (this.#q !== search) {
      this.#selection.clear();
    }
    this.#isLoaded = false;
    this.refresh?.now();
  }

  /** @param {import("../lib/router.js").Place} to */
  #read({ params }) {
    this.#q = params.get("q") ?? "";
    this.#sort = params.get("sort") ?? "";
    this.#start = params.get("start") ?? "";
    this.#page = Math.max(1, Number(params.get("page")) || 1);
    if (this.search && document.activeElement !== this.search) {
      this.search.value = this.#q;
    } else if (this.search && this.search.value.trim() !== this.#q) {
      this.search.value = this.#q;
    }
    this.#showSort();
    this.exports?.update();
  }

  #address() {
    const page = this.#page > 1 ? String(this.#page) : undefined;
    return link("registrations", [], { q: this.#q, sort: this.#sort, start: this.#start, page });
  }

  #showSort() {
    const [key, isDown] = this.#sort.startsWith("-") ? [this.#sort.slice(1), true] : [this.#sort || "username", false];
    COLUMNS.forEach((column, at) => {
      const order = column.key !== key ? null : isDown ? "descending" : "ascending";
      attribute(/** @type {Element} */ (this.heads?.[at]), "aria-sort", order);
    });
  }

  /** @param {string} key */
  #sortBy(key) {
    const current = this.#sort || "username";
    go(link("registrations", [], { q: this.#q, sort: current === key ? `-${key}` : key }));
  }

  #type() {
    clearTimeout(this.#typing);
    this.#typing = window.setTimeout(() => this.#searchNow(), TYPED);
  }

  #searchNow() {
    clearTimeout(this.#typing);
    const q = this.search?.value.trim() ?? "";
    if (q === this.#q) {
      return;
    }
    const isTypedOn = performance.now() - this.#typedAt < TYPED_ON && (q.startsWith(this.#q) || this.#q.startsWith(q)) && q !== "" && this.#q !== "";
    this.#typedAt = performance.now();
    go(link("registrations", [], { q, sort: this.#sort }), isTypedOn);
  }

  /** @param {KeyboardEvent} event */
  #searchKey(event) {
    if (event.key === "Enter") {
      this.#searchNow();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#searchNow();
      this.search?.blur();
    }
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const query = { q: this.#q, sort: this.#sort, start_key: this.#start, page_size: PAGE, fields: LIST_FIELDS };
    try {
      const { data, envelope, headers } = await ask("/v2/registrations", { query, signal });
      if (signal.aborted || (live.isPaused && this.#isLoaded)) {
        return;
      }
      this.#next = envelope.next_start_key ?? "";
      this.#total = Number(headers.get("X-Total") ?? data.length);
      this.#showRows(data);
    } catch (error) {
      if (!signal.aborted) {
        this.#fail(error);
      }
    }
  }

  /** @param {Item[]} data */
  #showRows(data) {
    this.#frames = [];
    this.rows?.set(data, this.#isLoaded);
    const isFirst = !this.#isLoaded;
    this.#isLoaded = true;
    this.classList.remove("failed");
    const isEmpty = this.#total === 0;
    if (!isEmpty) {
      replace(/** @type {Element} */ (this.trouble));
    } else if (this.#q) {
      replace(/** @type {Element} */ (this.trouble), h("p", { class: "empty" }, "No registration matches this search."));
    } else if (isFirst || !this.trouble?.firstChild) {
      replace(/** @type {Element} */ (this.trouble), firstVisit());
    }
    /** @type {HTMLElement} */ (this.box).hidden = isEmpty;
    this.#showCount();
    this.#showChoice();
    if (isFirst && opened) {
      this.rows?.get(opened)?.element.focus();
      opened = "";
    }
  }

  #showCount() {
    const what = this.#total === 1 ? "registration" : "registrations";
    replace(/** @type {Element} */ (this.count), h("strong", { class: "figure" }, number(this.#total)), this.#q ? ` ${what} match` : ` ${what}`);
    const pages = Math.max(1, Math.ceil(this.#total / PAGE));
    setText(/** @type {Element} */ (this.where), `Page ${number(this.#page)} of ${number(Math.max(pages, this.#page))}`);
    /** @type {HTMLButtonElement} */ (this.older).disabled = !this.#next;
    /** @type {HTMLButtonElement} */ (this.newer).disabled = this.#page === 1 && !this.#start;
    attribute(/** @type {Element} */ (this.table), "aria-rowcount", this.#total + 1);
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    const trouble = /** @type {Element} */ (this.trouble);
    if (error.status === 0 && this.#isLoaded) {
      return;
    }
    if (error.status === 400 && this.#start) {
      go(link("registrations", [], { q: this.#q, sort: this.#sort }), true);
      return;
    }
    const health = error.status === 503 ? h("p", null, "No list is shown rather than an empty one. ", h("a", { href: link("health") }, "Health"), " says what to do; so does ", h("code", null, "usrlocd doctor"), " on the machine.") : null;
    replace(trouble, h("p", { class: "refusal" }, error.message), health);
    this.rows?.clear();
    this.#isLoaded = false;
    /** @type {HTMLElement} */ (this.box).hidden = true;
    replace(/** @type {Element} */ (this.count));
  }

  /** @param {import("../live/stream.js").Frame[]} frames */
  #hear(frames) {
    if (live.isPaused) {
      return;
    }
    this.#frames.push(...frames.filter((frame) => frame.registration));
    if (this.#frames.length > 0 && !this.#isPainting) {
      this.#isPainting = true;
      requestAnimationFrame(() => this.#paint());
    }
  }

  /** Shows what happened since the last frame of the screen. */
  #paint() {
    this.#isPainting = false;
    const frames = this.#frames.splice(0);
    if (live.isPaused || frames.length === 0) {
      return;
    }
    for (const frame of frames) {
      if (frame.type === "terminated") {
        this.rows?.remove(frame.ruid ?? "");
        this.#selection.forget(frame.ruid ?? "");
      } else {
        this.rows?.change({ ...frame.registration, ruid: frame.ruid, account_id: frame.account_id });
      }
    }
    this.refresh?.soon();
  }

  #showChoice() {
    if (!this.flush || !this.all || !this.none || !this.off || !this.rows) {
      return;
    }
    const { size, isAll } = this.#selection;
    const why = whyNot();
    setText(this.flush, size > 0 ? `Flush ${number(size)}…` : "Flush…");
    this.flush.disabled = size === 0 || why !== "";
    attribute(this.flush, "title", why || (size === 0 ? "Choose registrations first" : null));
    setText(this.off, why);
    setText(this.all, `Select all ${number(this.#total)} that match`);
    this.all.disabled = this.#total === 0;
    this.none.hidden = size === 0;
    this.rows.each((row) => {
      if (row.box) {
        row.box.checked = this.#selection.has(row.item.ruid);
        row.box.disabled = isAll;
      }
    });
    /** @type {HTMLInputElement} */ (this.allHere).checked = this.rows.size > 0 && this.rows.items.every((item) => this.#selection.has(item.ruid));
  }

  /** @param {Event} event */
  #chose({ target }) {
    const row = target instanceof HTMLInputElement && this.rows?.get(target.dataset.ruid ?? "");
    if (row) {
      this.#selection.set(row.item, row.box?.checked ?? false);
    }
  }

  #choosePage() {
    const isIn = this.allHere?.checked ?? false;
    this.rows?.items.forEach((item) => this.#selection.set(item, isIn));
  }

  async #chooseAll() {
    try {
      this.#selection.take(await Chosen.all(this.#q));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {Chosen} chosen */
  #openFlush(chosen) {
    new FlushDialog(chosen, () => {
      this.#selection.clear();
      this.refresh?.now();
    });
  }

  #current() {
    const row = document.activeElement?.closest("tr[data-ruid]");
    return row instanceof HTMLElement && this.body?.contains(row) ? row : null;
  }

  /** @param {number} by */
  #move(by) {
    const rows = /** @type {HTMLElement[]} */ ([...(this.body?.querySelectorAll("tr[data-ruid]") ?? [])]);
    const current = this.#current();
    const at = current ? rows.indexOf(current) + by : 0;
    rows[Math.max(0, Math.min(rows.length - 1, at))]?.focus();
  }

  #toggle() {
    const row = this.rows?.get(this.#current()?.dataset.ruid ?? "");
    if (row?.box && !row.box.disabled) {
      this.#selection.set(row.item, !row.box.checked);
    }
  }

  #flushByKey() {
    const row = this.rows?.get(this.#current()?.dataset.ruid ?? "");
    if (!session.mayFlush || whyNot()) {
      return;
    }
    if (this.#selection.size > 0) {
      this.#openFlush(this.#selection.chosen);
    } else if (row) {
      this.#openFlush(new Chosen([row.item]));
    }
  }

  /** @param {KeyboardEvent} event */
  #open(event) {
    const row = this.rows?.get(this.#current()?.dataset.ruid ?? "");
    if (row && event.target === row.element) {
      event.preventDefault();
      [opened, openedFrom] = [row.item.ruid, this.#address()];
      go(phoneLink(row.item));
    }
  }

  /** @param {MouseEvent} event */
  #clicked({ target }) {
    const isLink = target instanceof Element && target.closest("a.user");
    if (isLink) {
      [opened, openedFrom] = [target.closest("tr")?.dataset.ruid ?? "", this.#address()];
    }
  }

  /** @param {number} by */
  #turn(by) {
    const page = this.#page + by;
    go(link("registrations", [], { q: this.#q, sort: this.#sort, start: this.#next, page: String(page) }));
    scrollTo({ top: 0 });
  }

  /** The page before: where it begins is where so many rows end. */
  async #back() {
    const params = { q: this.#q, sort: this.#sort };
    if (this.#page <= 2) {
      go(link("registrations", [], params));
      return;
    }
    const query = { ...params, fields: "ruid", page_size: (this.#page - 2) * PAGE };
    try {
      const { envelope } = await ask("/v2/registrations", { query });
      go(link("registrations", [], { ...params, start: envelope.next_start_key, page: String(this.#page - 1) }));
    } catch (error) {
      this.#fail(error);
    }
  }
}
