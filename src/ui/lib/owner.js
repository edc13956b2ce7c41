// Which account a user of a realm belongs to, where the address of a phone does not say so.

import { ask } from "./api.js";
import { scope } from "./scope.js";
import { session } from "./session.js";

/**
 * The account's id; `undefined` where none is found, empty where the registration belongs to none.
 *
 * @param {string} realm
 * @param {string} username
 * @param {AbortSignal} signal
 * @returns {Promise<string | undefined>}
 */
export async function owner(realm, username, signal) {
  const query = {
    filter_username: username,
    filter_realm: realm || undefined,
    fields: "account_id",
    page_size: 1,
  };
  const [found] = (await ask("/v2/registrations", { query, signal })).data;
  if (found) {
    return found.account_id ?? "";
  }
  const wanted = realm.toLowerCase();
  const isIt = (/** @type {any} */ one) => [one.id, one.realm, one.name].some((text) => text?.toLowerCase() === wanted);
  const data = scope.isFleet
    ? (await ask("/v2/registrations/count", { query: { accounts: "true" }, signal })).data.accounts
    : (await ask("/ui/data/accounts", { signal })).data;
  const named = [...data, ...(session.caller?.accounts ?? [])].find(isIt);
  if (named || scope.isFleet) {
    return named?.id;
  }
  const kept = await ask("/ui/data/owner", { query: { username, realm: realm || undefined }, signal });
  return kept.data.account_id ?? undefined;
}
