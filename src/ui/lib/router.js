// Where one is: a view, what it is of, and its parameters, all of it behind the `#` of the address. So an address can be
// given to somebody else, and back and forward walk what was searched, sorted and opened.

import { scope } from "./scope.js";

/** @typedef {{view: string, parts: string[], params: URLSearchParams}} Place */

/** The views that the navigation has, with their headings. @type {[string, string][]} */
const VIEWS = [
  ["overview", "Overview"],
  ["registrations", "Registrations"],
  ["accounts", "Accounts"],
  ["flapping", "Flapping"],
  ["flushes", "Flushes"],
  ["health", "Health"],
];

/** The same where the fleet is shown. @type {[string, string][]} */
const OF_FLEET = [
  ["nodes", "Nodes"],
  ["registrations", "Registrations"],
  ["accounts", "Accounts"],
  ["flapping", "Flapping"],
];

/** Those that there are now. */
export function views() {
  return scope.isFleet ? OF_FLEET : VIEWS;
}

/** Where the viewer is. @returns {Place} */
export function place() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", ...parts] = path.split("/").map(decoded);
  return {
    view: view || (views()[0]?.[0] ?? ""),
    parts,
    params: new URLSearchParams(query),
  };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The address of a place. What need not be escaped is left readable.
 *
 * @param {string} view
 * @param {string[]} [parts]
 * @param {Record<string, string | undefined>} [params]
 */
export function link(view, parts = [], params = {}) {
  const path = [view, ...parts].map(readable).join("/");
  const all = { ...params, scope: "scope" in params ? params.scope : scope.parameter };
  const pairs = Object.entries(all).filter(([, value]) => value);
  const query = pairs.map(([key, value]) => `${key}=${readable(value ?? "").replaceAll("%20", "+")}`).join("&");
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** @param {string} text */
function readable(text) {
  return encodeURIComponent(text.toWellFormed()).replace(/%(3A|40|3C|2C|2A)/g, (hex) => decodeURIComponent(hex));
}

/**
 * A phone's address.
 *
 * @param {{username?: string, realm?: string, account_id?: string}} phone
 */
export function phoneLink(phone) {
  return link("phone", [phone.realm || "-", phone.username ?? ""], {
    account: phone.account_id,
  });
}

/**
 * Goes somewhere.
 *
 * @param {string} to
 * @param {boolean} [isCorrection] the place is the same, said better: back does not lead to what it was
 */
export function go(to, isCorrection = false) {
  if (to === location.hash) {
    return;
  }
  history[isCorrection ? "replaceState" : "pushState"](null, "", to);
  window.dispatchEvent(new Event("place"));
}
