// What was chosen: these registrations by their ruid, or all that match a search.

import { ask } from "../lib/api.js";
import { count } from "../lib/format.js";
import { scope } from "../lib/scope.js";

/** So many ruids a request takes. */
export const MOST = 2000;

/** So many registrations are looked through for whose they are. */
const LOOKED = 100_000;

/**
 * @typedef {{ruid: string, username: string, realm?: string, account_name?: string, node?: string}} One
 * @typedef {Record<string, string | undefined>} Query what narrows a list, as the API names it
 */

export class Chosen {
  /**
   * @param {One[]} ones
   * @param {Query | null} search where all that match it are meant, also those that come to match
   * @param {number} total
   */
  constructor(ones, search = null, total = ones.length) {
    this.ones = ones;
    this.search = search;
    this.total = total;
  }

  /**
   * All that match a search now.
   *
   * @param {Query} search
   */
  static async all(search) {
    const query = {
      ...search,
      fields: `ruid,username,realm,account_name${scope.isFleet ? ",node" : ""}`,
      page_size: MOST,
    };
    const { data, headers, envelope } = await ask("/v2/registrations", {
      query,
    });
    const total = Number(headers.get("X-Total") ?? data.length);
    return envelope.next_start_key ? new Chosen(data, search, total) : new Chosen(data);
  }

  /** The request that means these. */
  get request() {
    return this.search === null
      ? {
          query: {},
          body: { data: { ruids: this.ones.map((one) => one.ruid) } },
        }
      : {
          query: Object.values(this.search).some(Boolean) ? this.search : { has_key: "ruid" },
          body: undefined,
        };
  }

  /** Names of the first users, each once. */
  get users() {
    return [...new Set(this.ones.map(aor))];
  }

  /** Names of the accounts, and of how many registrations that is known. */
  async accounts() {
    let rows = this.ones;
    if (this.search !== null) {
      const query = {
        ...this.search,
        fields: "realm,account_name",
        page_size: LOOKED,
      };
      rows = (await ask("/v2/registrations", { query })).data;
    }
    const names = [...new Set(rows.map((row) => row.account_name || row.realm || "no account"))].sort();
    return { names, isAll: rows.length >= this.total };
  }

  get words() {
    return count(this.total, "registration");
  }
}

/** @param {{username: string, realm?: string}} one */
export function aor(one) {
  return one.realm ? `${one.username}@${one.realm}` : one.username;
}
