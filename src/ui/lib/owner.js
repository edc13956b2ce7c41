// Which account a user of a realm belongs to: lists do not say so, events do.

import { address, ask } from "./api.js";
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
  const found = await present(realm, username, signal);
  if (found !== undefined) {
    return found;
  }
  const wanted = realm.toLowerCase();
  const isIt = (/** @type {any} */ one) => [one.id, one.realm, one.name].some((text) => text?.toLowerCase() === wanted);
  const { data } = await ask("/ui/data/accounts", { signal });
  return [...data, ...(session.caller?.accounts ?? [])].find(isIt)?.id;
}

/**
 * What the first frames of a stream say of a registration that is there.
 *
 * @param {string} realm
 * @param {string} username
 * @param {AbortSignal} signal
 * @returns {Promise<string | undefined>}
 */
async function present(realm, username, signal) {
  const once = new AbortController();
  signal.addEventListener("abort", () => once.abort(), { once: true });
  const query = {
    watch: "true",
    initial: "true",
    fields: "ruid",
    events: "directory",
    filter_username: username,
    filter_realm: realm || undefined,
  };
  try {
    const response = await fetch(address("/v2/registrations", query), {
      signal: once.signal,
    });
    if (!response.ok || !response.body) {
      return undefined;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      text += value ?? "";
      const frames = text
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
      const one = frames.find((frame) => frame.type === "present");
      if (one || done || frames.some((frame) => frame.type === "synced")) {
        return one && (one.account_id ?? "");
      }
    }
  } catch {
    return undefined;
  } finally {
    once.abort();
  }
}
