// Drawings of a day.

import { count, moment, now, roughly } from "./format.js";
import { h, s } from "./dom.js";

const WIDTH = 960;
const HALF = 48;
const DAY = 86_400;

/**
 * @typedef {{at: number, losses: number, returns: number}} Quarter
 * @typedef {{from: number, to: number, contacts: number}} Span contacts is −1 where that is not known
 */

/** @param {number} from @param {number} to */
function hours(from, to) {
  const labels = [0, 1, 2, 3, 4].map((part) =>
    h("span", null, part === 4 ? "now" : moment(from + ((to - from) * part) / 4).replace(/.*, /, "")),
  );
  return h("div", { class: "hours", "aria-hidden": "true" }, labels);
}

/**
 * Returns above, losses below, by the quarter of an hour.
 *
 * @param {Quarter[]} quarters
 */
export function lossesAndReturns(quarters) {
  const most = Math.max(4, ...quarters.map((one) => Math.max(one.losses, one.returns)));
  const step = WIDTH / Math.max(1, quarters.length);
  const bars = quarters.flatMap((one, at) => {
    const [up, down] = [one.returns, one.losses].map((value) => (value ? Math.max(2, (value / most) * (HALF - 3)) : 0));
    const x = at * step + 1;
    const width = Math.max(1, step - 2);
    return [
      up ? s("rect", { class: "returns", x, width, y: HALF - up, height: up }) : null,
      down ? s("rect", { class: "losses", x, width, y: HALF + 1, height: down }) : null,
    ];
  });
  const [lost, returned] = [sum(quarters, "losses"), sum(quarters, "returns")];
  const worst = quarters.reduce((a, b) => (b.losses > a.losses ? b : a), {
    at: 0,
    losses: 0,
    returns: 0,
  });
  const peak =
    worst.losses > 0 ? `, the most losses (${worst.losses}) in the quarter of an hour from ${moment(worst.at)}` : "";
  const name = `Losses and returns over the last 24 h: ${count(lost, "loss", "losses")}, ${count(returned, "return")}${peak}.`;
  const drawing = s(
    "svg",
    {
      class: "plot",
      viewBox: `0 0 ${WIDTH} ${2 * HALF}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": name,
    },
    s("line", { class: "axis", x1: 0, x2: WIDTH, y1: HALF, y2: HALF }),
    bars,
  );
  const end = now();
  const legend = h(
    "p",
    { class: "legend" },
    h("span", { class: "key-returns" }, `↑ ${count(returned, "return")}`),
    h("span", { class: "key-losses" }, `↓ ${count(lost, "loss", "losses")}`),
    worst.losses > 0 ? h("span", { class: "quiet" }, `worst: ${worst.losses} from ${moment(worst.at)}`) : null,
  );
  return h("div", { class: "drawing" }, legend, drawing, hours(quarters[0]?.at ?? end - DAY, end));
}

/** @param {Quarter[]} quarters @param {"losses" | "returns"} key */
function sum(quarters, key) {
  return quarters.reduce((total, one) => total + one[key], 0);
}

/**
 * When a user had how many contacts, from what there is now and what happened.
 *
 * @param {number} contacts now
 * @param {{at: number, type: string}[]} events newest first, Unix seconds
 * @param {number} known since when that is known
 * @returns {Span[]} the oldest first
 */
export function spans(contacts, events, known) {
  const end = now();
  const begin = end - DAY;
  /** @type {Span[]} */
  const found = [];
  let to = end;
  let there = contacts;
  for (const event of events) {
    if (event.at <= Math.max(begin, known)) {
      break;
    }
    const by = event.type === "registered" ? -1 : event.type === "terminated" ? 1 : 0;
    if (by !== 0) {
      found.unshift({ from: event.at, to, contacts: there });
      to = event.at;
      there = Math.max(0, there + by);
    }
  }
  const from = Math.max(begin, known);
  found.unshift({ from, to, contacts: there });
  if (from > begin) {
    found.unshift({ from: begin, to: from, contacts: -1 });
  }
  return found;
}

/**
 * The day of a phone.
 *
 * @param {Span[]} all
 * @param {number[]} losses when it was lost
 */
export function timeLine(all, losses) {
  const begin = all[0]?.from ?? 0;
  const end = all.at(-1)?.to ?? 1;
  const most = Math.max(1, ...all.map((one) => one.contacts));
  const x = (/** @type {number} */ at) => ((at - begin) / (end - begin)) * WIDTH;
  const parts = all.map(({ from, to, contacts }) => {
    const height = contacts < 0 ? HALF : (contacts / most) * (HALF - 6);
    const name = contacts < 0 ? "unknown" : contacts === 0 ? "away" : "there";
    return s("rect", {
      class: name,
      x: x(from),
      width: Math.max(0.8, x(to) - x(from)),
      y: HALF - (contacts === 0 ? 3 : height),
      height: contacts === 0 ? 3 : height,
    });
  });
  const marks = losses
    .filter((at) => at >= begin)
    .map((at) => s("line", { class: "lost", x1: x(at), x2: x(at), y1: 0, y2: HALF }));
  const seen = all.filter((one) => one.contacts >= 0);
  const length = (/** @type {Span[]} */ some) => some.reduce((total, one) => total + one.to - one.from, 0);
  const away = length(seen.filter((one) => one.contacts === 0));
  const share = Math.floor((1 - away / Math.max(1, length(seen))) * 1000) / 10;
  const unknown = length(all) - length(seen);
  const words = `registered ${share} % of the time${away > 0 ? `, away for ${roughly(away)}` : ""}, ${count(losses.length, "loss", "losses")}${unknown > 60 ? `; the history does not reach further back than ${roughly(length(seen))}` : ""}`;
  const drawing = s(
    "svg",
    {
      class: "plot day",
      viewBox: `0 0 ${WIDTH} ${HALF}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `Time line of the last 24 h: ${words}.`,
    },
    parts,
    marks,
  );
  return h(
    "div",
    { class: "drawing" },
    h("p", { class: "legend" }, `Last 24 h: ${words}.`),
    drawing,
    hours(begin, end),
  );
}
