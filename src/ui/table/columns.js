// The columns of the registrations, and how each is shown.

import { address, exactly, moment, now, number, unix, utc } from "../lib/format.js";
import { attribute, h, s, setText } from "../lib/dom.js";
import { phoneLink } from "../lib/router.js";
import { scope } from "../lib/scope.js";

/**
 * @typedef {{ruid: string, username: string, realm?: string, account_name?: string, account_realm?: string, account_id?: string,
 *   user_agent?: string, contact?: string, source_ip?: string, source_port?: string, proxy_protocol?: string,
 *   expires_at?: number, granted_expires?: number, permanent?: boolean, initial_registration?: number,
 *   node?: string, node_state?: string, superseded_by?: {node: string, ruid: string},
 *   flap?: {score: number, losses_24h: number, flapping: boolean}}} Item
 */

/** As `[history.flap] unstable` has it. */
const UNSTABLE = 6;

/** Under so many seconds a registration is about to end. */
const SOON = 60;

/** @type {{key: string, title: string, show: (item: Item) => string, hint?: (item: Item) => string}[]} */
const OF_NODE = [
  { key: "username", title: "User", show: (item) => item.username },
  {
    key: "realm",
    title: "Account",
    show: (item) => [item.account_name, item.realm].filter(Boolean).join(" · ") || "no account",
  },
  {
    key: "user_agent",
    title: "Device",
    show: (item) => item.user_agent ?? "–",
  },
  { key: "contact", title: "Contact", show: (item) => item.contact ?? "–" },
  {
    key: "source_ip",
    title: "Source",
    show: (item) => address(item.source_ip, item.source_port),
  },
  {
    key: "proxy_protocol",
    title: "Via",
    show: (item) => item.proxy_protocol ?? "–",
  },
  {
    key: "expires_at",
    title: "Expires in",
    show: remaining,
    hint: (item) => (item.expires_at ? utc(item.expires_at) : ""),
  },
  {
    key: "initial_registration",
    title: "Since",
    show: (item) => (item.initial_registration ? moment(unix(item.initial_registration)).replace(/,.*/, "") : "–"),
    hint: (item) => (item.initial_registration ? utc(unix(item.initial_registration)) : ""),
  },
];

const OF_FLEET = [...OF_NODE, { key: "node", title: "Node", show: onNode, hint: onNode }];

/** Those that there are now. */
export function columns() {
  return scope.isFleet ? OF_FLEET : OF_NODE;
}

/** The keys that a list is asked for. */
const FIELDS = [
  ...OF_NODE.map((column) => column.key),
  "account_name",
  "account_realm",
  "account_id",
  "source_port",
  "granted_expires",
  "permanent",
  "ruid",
];

export function listFields() {
  return [...FIELDS, ...(scope.isFleet ? ["node", "node_state", "superseded_by"] : ["flap"])].join(",");
}

/**
 * What a registration is known by: two nodes may have the same ruid.
 *
 * @param {{ruid?: string, node?: string}} item
 */
export function keyOf({ ruid = "", node }) {
  return scope.isFleet ? `${node} ${ruid}` : ruid;
}

/** @param {Item} item */
export function onNode({ node = "–", node_state: state = "live", superseded_by: newer }) {
  return `${node}${state === "live" ? "" : ` (${state})`}${newer ? `, superseded by ${newer.node}` : ""}`;
}

/** @param {Item} item */
export function remaining(item) {
  if (item.permanent || item.expires_at === undefined) {
    return "permanent";
  }
  return exactly(item.expires_at - now());
}

/** One registration in the table. */
export class Row {
  /** @param {Item} item @param {boolean} mayChoose */
  constructor(item, mayChoose) {
    this.item = item;
    this.columns = columns();
    const key = keyOf(item);
    this.box = mayChoose ? h("input", { type: "checkbox", "data-ruid": key }) : null;
    this.link = h("a", { href: phoneLink(item), class: "user" }, h("bdi"));
    this.tag = h("span", { class: "tag", hidden: true });
    this.bar = s("rect", { class: "bar", height: 2, width: 0 });
    this.cells = this.columns.map((column) =>
      h("td", { class: `c-${column.key}` }, column.key === "username" ? null : h("bdi")),
    );
    this.cells[0]?.append(this.link, this.tag);
    const drawn = s(
      "svg",
      {
        class: "left",
        viewBox: "0 0 100 2",
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      },
      this.bar,
    );
    this.cells[6]?.append(drawn);
    this.element = h(
      "tr",
      { tabindex: -1, "data-ruid": key },
      this.box && h("td", { class: "c-choose" }, this.box),
      this.cells,
    );
    this.update(item);
  }

  /**
   * Shows what the registration is now.
   *
   * @param {Item} item
   * @returns {boolean} whether that differs, the countdown aside
   */
  update(item) {
    this.item = {
      ...this.item,
      ...item,
      superseded_by: item.superseded_by,
      flap: item.flap ?? (item.ruid === this.item.ruid ? this.item.flap : undefined),
    };
    let differs = false;
    this.columns.forEach((column, at) => {
      const cell = /** @type {HTMLElement} */ (this.cells[at]);
      const text = column.show(this.item);
      const place = /** @type {HTMLElement} */ (cell.querySelector("bdi"));
      if (setText(place, text) && column.key !== "expires_at") {
        differs = true;
        attribute(cell, "title", column.hint ? column.hint(this.item) : text);
      }
    });
    attribute(this.link, "href", phoneLink(this.item));
    if (this.box) {
      attribute(this.box, "aria-label", `Choose ${this.item.username}`);
    }
    this.#showTag();
    this.tick();
    return differs;
  }

  /** Counts down. */
  tick() {
    const cell = /** @type {HTMLElement} */ (this.cells[6]);
    setText(/** @type {HTMLElement} */ (cell.querySelector("bdi")), remaining(this.item));
    const { expires_at: end, granted_expires: granted } = this.item;
    const left = end === undefined ? 0 : end - now();
    attribute(this.bar, "width", granted ? Math.round(Math.min(1, Math.max(0, left / granted)) * 100) : 0);
    cell.classList.toggle("soon", end !== undefined && left < SOON);
  }

  #showTag() {
    const { flap } = this.item;
    const text = flap?.flapping
      ? `flapping ${number(flap.score)}`
      : (flap?.losses_24h ?? 0) >= UNSTABLE
        ? "unstable"
        : "";
    this.tag.hidden = text === "";
    setText(this.tag, text);
    this.element.classList.toggle("superseded", this.item.superseded_by !== undefined);
    attribute(this.tag, "title", text && flap ? `Lost ${flap.losses_24h} times within 24 h` : null);
  }

  flash() {
    const { classList } = this.element;
    const next = classList.contains("flash-a") ? "flash-b" : "flash-a";
    classList.remove("flash-a", "flash-b");
    classList.add(next);
  }
}
