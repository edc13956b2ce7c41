// The accounts, the largest first.

import { ask } from "../lib/api.js";
import { foreign, h, replace, setText } from "../lib/dom.js";
import { count, number } from "../lib/format.js";
import { link } from "../lib/router.js";
import { scope } from "../lib/scope.js";
import { Listing } from "./view.js";

/** @typedef {{id: string, name?: string, realm?: string, count: number, flapping?: number, losses_24h?: number}} Account */

/** More than this many are found by their name. */
const SHOWN = 500;

export class Accounts extends Listing {
  heading = "Accounts";
  /** @type {Account[]} */
  #accounts = [];
  search = h("input", {
    type: "search",
    placeholder: "Name, realm or id …",
    "aria-label": "Search accounts",
    autocomplete: "off",
    input: () => this.#show(),
  });

  connectedCallback() {
    const ofNode = scope.isFleet ? [] : ["Flapping", "Losses in 24 h"];
    this.build("Accounts", ["Account", "Registered", "Realm", ...ofNode]);
    this.tools.append(this.search);
    this.keys({ "/": (event) => this.#find(event) });
    this.follow((signal) => this.trying(signal, () => this.#load(signal)), 5000);
  }

  /** @param {KeyboardEvent} event */
  #find(event) {
    event.preventDefault();
    this.search.select();
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const data = await accounts(signal);
    this.#accounts = data;
    const total = this.#accounts.reduce((sum, one) => sum + one.count, 0);
    replace(
      this.lead,
      h("strong", { class: "figure" }, number(data.length)),
      data.length === 1 ? " account with " : " accounts with ",
      `${count(total, "registration")}`,
    );
    this.#show();
  }

  #show() {
    const word = this.search.value.trim().toLowerCase();
    const found = this.#accounts.filter((one) =>
      [one.id, one.name, one.realm].some((text) => text?.toLowerCase().includes(word)),
    );
    const rows = found
      .slice(0, SHOWN)
      .map((one) => [
        h("a", { href: link("registrations", [], { q: `account:${one.id}` }) }, foreign(one.name || one.id)),
        h("span", { class: "number" }, number(one.count)),
        foreign(one.realm ?? "–"),
        ...(scope.isFleet
          ? []
          : [one.flapping ? h("span", { class: "tag" }, number(one.flapping)) : "0", number(one.losses_24h ?? 0)]),
      ]);
    this.fill(
      rows,
      word
        ? "No account has that in its name, realm or id."
        : "No account is known yet: they appear with their first registration, or from the directory file.",
    );
    setText(
      this.pages,
      found.length > SHOWN ? `The first ${SHOWN} of ${number(found.length)}: search for the others.` : "",
    );
  }
}

/**
 * Those of the fleet have no history here.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<Account[]>}
 */
export async function accounts(signal) {
  if (!scope.isFleet) {
    return (await ask("/ui/data/accounts", { signal })).data;
  }
  const { data } = await ask("/v2/registrations/count", { query: { accounts: "true" }, signal });
  return data.accounts.sort((/** @type {Account} */ one, /** @type {Account} */ other) => other.count - one.count);
}
