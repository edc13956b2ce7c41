// Events as sentences.

import { foreign, h } from "./dom.js";
import { icon } from "./icons.js";
import { address, moment, number, parsed, roughly } from "./format.js";
import { phoneLink } from "./router.js";

/** @typedef {import("../live/stream.js").Frame} Frame */

/** @type {Record<string, string>} */
const ENDS = {
  expired: "expired: the phone did not refresh it in time",
  flushed: "was flushed",
  replaced: "was replaced by a new registration of the same phone",
  account_changed: "belongs to another account now",
  removed: "was removed before its time",
};

/** @type {Record<string, [string, string]>} */
const GLYPHS = {
  registered: ["arrival", "returned"],
  terminated: ["loss", "lost"],
  moved: ["change", "moved"],
  changed: ["change", "changed"],
  burst: ["warning", "burst"],
};

/** @param {Frame} event */
export function sentence(event) {
  const { registration: one = {}, previous: former = {} } = event;
  switch (event.type) {
    case "registered":
      return event.replaces ? `registered anew ${roughly(event.replaces.after)} after it was gone` : `registered from ${address(one.source_ip, one.source_port)}`;
    case "terminated":
      return `${ENDS[event.reason ?? ""] ?? "is gone"}${event.flush ? ` by ${event.flush.actor}` : ""}`;
    case "moved":
      return `moved from ${address(former.source_ip ?? one.source_ip, former.source_port ?? one.source_port)} to ${address(one.source_ip, one.source_port)}`;
    case "changed":
      return `changed: ${Object.keys(former).join(", ") || "another key"}`;
    case "burst":
      return `burst: ${number(event.lost ?? 0)} of ${number(event.of ?? 0)} phones${behind(event)} lost within ${roughly(parsed(event.to) - parsed(event.from))}`;
    case "source":
      return `the source is ${String(event.source?.state).replace("_", " ")}`;
    case "directory":
      return "names or owners of many registrations changed";
    case "gap":
      return "events are missing here: usrlocd could not watch for a while";
    default:
      return event.type;
  }
}

/** @param {Frame} event */
function behind({ group, value }) {
  /** @type {Record<string, string>} */
  const words = { proxy: " at ", source: " behind ", account: " of account " };
  return group && words[group] ? `${words[group]}${value}` : "";
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
    h("span", null, withUser && user !== null ? [h("a", { href: phoneLink(event) }, foreign(user)), " "] : null, foreign(sentence(event))),
  );
}
