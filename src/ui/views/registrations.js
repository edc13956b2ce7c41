// All registrations: searched, sorted, page by page, live; chosen and flushed.

import { Export, Search } from "../table/tools.js";
import { ApiError, ask } from "../lib/api.js";
import { append, h, replace, setText } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { go, link, phoneLink, place } from "../lib/router.js";
import { session } from "../lib/session.js";
import { live } from "../live/live.js";
import { scope } from "../lib/scope.js";
import { Choice } from "../table/choice.js";
import { NodeFilter } from "../table/nodes.js";
import { keyOf, listFields } from "../table/columns.js";
import { Table } from "../table/table.js";
import { firstVisit } from "./health.js";
import { View } from "./view.js";

/** @typedef {import("../table/columns.js").Item} Item */

const PAGE = 100;

/** A countdown is right again within this time after a refresh, of which no event tells (ms). */
const LIST_AGAIN = 4000;

/** The same where no event tells of anything. */
const LIST_FLEET = 2000;

/** The phone that was opened last, and from where: who comes back finds its row. */
let opened = "";
let openedFrom = "";

/** Where the table is that somebody came from. */
export function tableAddress() {
  return openedFrom || link("registrations");
}

export class Registrations extends View {
  heading = "Registrations";
  #q = "";
  /** The node whose registrations are shown alone. */
  #node = "";
  #etag = "";
  #sort = "";
  #start = "";
  #page = 1;
  #next = "";
  #total = 0;
  /** Whether rows of this very search are shown. */
  #isLoaded = false;
  /** @type {import("../live/live.js").Frame[]} */
  #frames = [];
  #isPainting = false;
  search = new Search((q, isTypedOn) => go(link("registrations", [], { ...this.#what(), q }), isTypedOn));
  count = h("p", { class: "count" });
  trouble = h("div", { class: "trouble", "aria-live": "polite" });
  nodes = new NodeFilter((node) => go(link("registrations", [], { ...this.#what(), node })));
  exports = new Export(() => ({
    ...this.#search(),
    sort: this.#sort || undefined,
  }));
  choice = session.mayFlush
    ? new Choice(
        () => this.#search(),
        () => this.refresh?.now(),
      )
    : null;
  table = new Table(this.choice?.allHere ?? null, (key) => this.#sortBy(key));
  rows = this.table.rows;
  older = h("button", { type: "button", click: () => this.#forth() }, "Next page");
  newer = h("button", { type: "button", click: () => void this.#back() }, "Previous page");
  where = h("span", { class: "quiet" });
  /** @type {import("./view.js").Refresh | null} */
  refresh = null;

  connectedCallback() {
    append(this, [
      h("h1", { tabindex: -1 }, this.heading),
      h("div", { class: "search-line" }, this.search.input, this.count),
      this.search.hint,
      this.nodes.element,
      h("div", { class: "tools" }, this.choice?.element, this.exports.element),
      this.exports.box,
      this.trouble,
      this.table.element,
      h("div", { class: "pages" }, this.newer, this.where, this.older),
    ]);
    this.choice?.attach(this.rows);
    this.#read(place());
    this.refresh = this.follow((signal) => this.#load(signal), scope.isFleet ? LIST_FLEET : LIST_AGAIN);
    this.listen(live, "events", (event) => this.#hear(event.detail));
    this.listen(live, "change", () => {
      this.choice?.show();
      this.nodes.show(this.#node);
    });
    this.listen(this.table.body, "click", (event) => this.#clicked(event));
    this.every(1000, () => this.rows.tick());
    this.keys({
      "/": (event) => act(event, () => this.search.input.select()),
      j: (event) => act(event, () => this.table.move(1)),
      k: (event) => act(event, () => this.table.move(-1)),
      x: (event) => act(event, () => this.choice?.toggle(this.table.current)),
      f: (event) => act(event, () => this.choice?.flushByKey(this.table.current)),
      Enter: (event) => this.#open(event),
    });
  }

  /** @param {import("../lib/router.js").Place} to */
  show(to) {
    const [before, search] = [this.#address(), this.#q + this.#node];
    this.#read(to);
    if (this.#address() === before) {
      return;
    }
    if (this.#q + this.#node !== search) {
      this.choice?.selection.clear();
    }
    this.#isLoaded = false;
    this.refresh?.now();
  }

  /** @param {import("../lib/router.js").Place} to */
  #read({ params }) {
    this.#q = params.get("q")?.trim() ?? "";
    this.#node = (scope.isFleet && params.get("node")) || "";
    this.#sort = params.get("sort") ?? "";
    this.#start = params.get("start") ?? "";
    this.#page = Math.max(1, Number(params.get("page")) || 1);
    this.search.show(this.#q);
    this.table.showSort(this.#sort);
    this.exports.update();
    this.nodes.show(this.#node);
  }

  /** What is shown, as the page's address has it. */
  #what() {
    return { q: this.#q, node: this.#node, sort: this.#sort };
  }

  /** What narrows the list, as the API has it. */
  #search() {
    return { q: this.#q || undefined, filter_node: this.#node || undefined };
  }

  #address() {
    const page = this.#page > 1 ? String(this.#page) : undefined;
    return link("registrations", [], {
      ...this.#what(),
      start: this.#start,
      page,
    });
  }

  /** @param {string} key */
  #sortBy(key) {
    const isAgain = (this.#sort || "username") === key;
    go(
      link("registrations", [], {
        ...this.#what(),
        sort: isAgain ? `-${key}` : key,
      }),
    );
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const query = {
      ...this.#search(),
      sort: this.#sort,
      start_key: this.#start,
      page_size: PAGE,
      fields: listFields(),
    };
    try {
      const etag = scope.isFleet && this.#isLoaded ? this.#etag : "";
      const { data, envelope, headers, isUnchanged } = await ask("/v2/registrations", {
        query,
        signal,
        etag,
      });
      if (signal.aborted || isUnchanged || (live.isPaused && this.#isLoaded)) {
        return;
      }
      this.#etag = headers.get("ETag") ?? "";
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
    const isFirst = !this.#isLoaded;
    this.#isLoaded = true;
    this.rows.set(data, !isFirst);
    this.table.showTotal(this.#total);
    this.#showTrouble(isFirst);
    this.#showCount();
    this.choice?.show(this.#total);
    if (isFirst && opened) {
      this.rows.get(opened)?.element.focus();
      opened = "";
    }
  }

  /** @param {boolean} isFirst */
  #showTrouble(isFirst) {
    if (this.#total > 0) {
      replace(this.trouble);
    } else if (this.#q || this.#node) {
      replace(this.trouble, h("p", { class: "empty" }, "No registration matches this search."));
    } else if (isFirst || !this.trouble.firstChild) {
      replace(this.trouble, scope.isFleet ? noPhone() : firstVisit());
    }
  }

  #showCount() {
    const what = `${this.#total === 1 ? " registration" : " registrations"}${this.#q || this.#node ? " match" : ""}`;
    const [figure, words] = this.count.children;
    if (figure && words) {
      setText(figure, number(this.#total));
      setText(words, what);
    } else {
      replace(this.count, h("strong", { class: "figure" }, number(this.#total)), h("span", null, what));
    }
    const pages = Math.max(1, this.#page, Math.ceil(this.#total / PAGE));
    setText(this.where, `Page ${number(this.#page)} of ${number(pages)}`);
    this.older.disabled = !this.#next;
    this.newer.disabled = this.#page === 1 && !this.#start;
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    if (error.status === 400 && this.#start) {
      go(link("registrations", [], this.#what()), true);
      return;
    }
    // What is shown stays, while usrlocd cannot be reached or has other things to do: the banner says so.
    if (this.#isLoaded && error.status !== 400 && error.status !== 503) {
      return;
    }
    this.rows.clear();
    this.#isLoaded = false;
    this.table.showTotal(0);
    replace(this.count);
    replace(this.trouble, h("p", { class: "refusal" }, error.message), error.status === 503 && noList());
  }

  /** @param {import("../live/live.js").Frame[]} frames */
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
        this.rows.remove(keyOf(frame));
        this.choice?.selection.forget(keyOf(frame));
      } else {
        this.rows.change({
          ...frame.registration,
          ruid: frame.ruid,
          node: frame.node,
          account_id: frame.account_id,
        });
      }
    }
    // A change elsewhere moves rows only where they are sorted or searched by what changed.
    const isOther = (/** @type {{type: string}} */ { type }) => type === "registered" || type === "terminated";
    if (this.#q || this.#sort || frames.some(isOther)) {
      this.refresh?.soon();
    }
  }

  /** @param {KeyboardEvent} event */
  #open(event) {
    const row = this.table.current;
    if (row && event.target === row.element) {
      event.preventDefault();
      [opened, openedFrom] = [keyOf(row.item), this.#address()];
      go(phoneLink(row.item));
    }
  }

  /** @param {MouseEvent} event */
  #clicked({ target }) {
    if (target instanceof Element && target.closest("a.user")) {
      [opened, openedFrom] = [target.closest("tr")?.dataset.ruid ?? "", this.#address()];
    }
  }

  #forth() {
    const page = String(this.#page + 1);
    go(
      link("registrations", [], {
        ...this.#what(),
        start: this.#next,
        page,
      }),
    );
    scrollTo({ top: 0 });
  }

  /** The page before begins where so many rows end. */
  async #back() {
    const params = this.#what();
    if (this.#page <= 2) {
      go(link("registrations", [], params));
      return;
    }
    const query = {
      ...this.#search(),
      sort: this.#sort,
      fields: "ruid",
      page_size: (this.#page - 2) * PAGE,
    };
    try {
      const { envelope } = await ask("/v2/registrations", { query });
      go(
        link("registrations", [], {
          ...params,
          start: envelope.next_start_key,
          page: String(this.#page - 1),
        }),
      );
    } catch (error) {
      this.#fail(error);
    }
  }
}

function noPhone() {
  return h("p", { class: "empty" }, "Nobody is registered on any node.");
}

function noList() {
  return h(
    "p",
    null,
    "No list is shown rather than an empty one. ",
    h("a", { href: link("health") }, "Health"),
    " says what to do; so does ",
    h("code", null, "sudo usrlocd doctor"),
    " on the machine.",
  );
}

/**
 * @param {Event} event
 * @param {() => void} action
 */
function act(event, action) {
  event.preventDefault();
  action();
}
