// Events as sentences.

import { foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { address, moment, number, parsed, roughly } from "./format.js";
import { phoneLink } from "./router.js";

/** @typedef {import("../live/live.js").Frame} Frame */

/** @type {Record<string, string>} */
const ENDS = {
  expired: "expired: the phone did not refresh it in time",
  flushed: "was flushed",
  replaced: "was replaced by a new registration of the same phone",
  account_changed: "belongs to another account now",
  removed: "was removed before it expired",
};

/** @type {Record<string, [string, string]>} */
const GLYPHS = {
  registered: ["arrival", "returned"],
  terminated: ["loss", "lost"],
  moved: ["change", "moved"],
  changed: ["change", "changed"],
  burst: ["warning", "burst"],
};

/** What each type of event says. @type {Record<string, (event: Frame, one: any, former: any) => string>} */
const SENTENCES = {
  registered: ({ replaces }, one) =>
    replaces ? `registered anew ${roughly(replaces.after)} after it was gone` : `registered from ${source(one)}`,
  terminated: ({ reason, flush }) => `${ENDS[reason ?? ""] ?? "is gone"}${flush ? ` by ${flush.actor}` : ""}`,
  moved: (_, one, former) => {
    const before = source({ ...one, ...former });
    return before === source(one) ? `moved: its contact is ${one.contact}` : `moved from ${before} to ${source(one)}`;
  },
  changed: (_, __, former) => `changed: ${Object.keys(former).join(", ") || "another key"}`,
  burst: (event) =>
    `burst: ${number(event.lost ?? 0)} of ${number(event.of ?? 0)} phones${behind(event)} lost within ${roughly(Math.max(1, parsed(event.to) - parsed(event.from)))}`,
  source: (event) => `the source is ${String(event.source?.state).replace("_", " ")}`,
  directory: () => "names or owners of many registrations changed",
  gap: () => "events are missing here: usrlocd could not watch for a while",
};

/** @param {Frame} event */
export function sentence(event) {
  const { registration = {}, previous = {} } = event;
  return SENTENCES[event.type]?.(event, registration, previous) ?? event.type;
}

/** @param {any} one */
function source(one) {
  return address(one.source_ip, one.source_port);
}

/** Names of accounts by their ids, as far as events told them. @type {Map<string, string>} */
const accounts = new Map();

/**
 * Bursts of the stream have an account's id alone; other events have its name too, and so have the overview's bursts.
 *
 * @param {Frame[]} events
 */
export function learnNames(events) {
  for (const { account_id, account_name: name, group, value } of events) {
    const id = group === "account" ? value : account_id;
    if (id && name) {
      accounts.set(id, name);
    }
  }
}

/** @param {Frame} event */
function behind({ group, value = "" }) {
  /** @type {Record<string, string>} */
  const words = { proxy: " at ", source: " behind ", account: " of account " };
  const name = group === "account" ? (accounts.get(value) ?? value) : value;
  return group && words[group] ? `${words[group]}${name}` : "";
}

/**
 * An event as an entry of a list.
 *
 * @param {Frame} event
 * @param {boolean} [withUser]
 */
export function entry(event, withUser = true) {
  const [glyph, kind] = GLYPHS[event.type] ?? ["change", event.type];
  const user = event.username === undefined ? null : event.realm ? `${event.username}@${event.realm}` : event.username;
  return h(
    "li",
    { class: `event ${kind}` },
    h("time", { title: event.at }, moment(parsed(event.at), true)),
    icon(glyph),
    h(
      "span",
      null,
      withUser && user !== null ? [h("a", { href: phoneLink(event) }, foreign(user)), " "] : null,
      foreign(sentence(event)),
    ),
  );
}
