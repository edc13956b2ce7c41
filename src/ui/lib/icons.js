// Small drawings, each one stroke on a grid of 16.

import { s } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  overview: "M2 13V9m4 4V4m4 9V7m4 6V2",
  registrations: "M2 3.5h12M2 8h12M2 12.5h8",
  nodes: "M3 2h10v5H3zM3 9h10v5H3zM5.5 4.5h.01M5.5 11.5h.01",
  accounts: "M2 14V5l6-3 6 3v9M6 14v-4h4v4",
  flapping: "M1 9h3l2-6 3 10 2-4h4",
  flushes: "M3 4h10M6 4V2h4v2M4.5 4l.7 10h5.6l.7-10",
  health: "M8 14S2 10 2 6a3 3 0 0 1 6-1 3 3 0 0 1 6 1c0 4-6 8-6 8Z",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  back: "M10 3 5 8l5 5",
  pause: "M5 3v10M11 3v10",
  play: "M4 3l9 5-9 5Z",
  help: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2c-.8.5-1.1.9-1.1 1.8M8 13h.01",
  theme: "M8 2a6 6 0 1 0 0 12V2Z",
  leave: "M6 2H2v12h4M10 5l3 3-3 3M13 8H6",
  ok: "M3 8.5l3.5 3.5L13 4.5",
  warning: "M8 2 1.5 13.5h13L8 2Zm0 5v3m0 2h.01",
  error: "M4 4l8 8M12 4l-8 8",
  arrival: "M8 13V3M4 7l4-4 4 4",
  loss: "M8 3v10M4 9l4 4 4-4",
  change: "M2 6h10l-3-3M14 10H4l3 3",
};

/**
 * An icon; whoever does not see it misses nothing.
 *
 * @param {string} name
 */
export function icon(name) {
  return s(
    "svg",
    {
      class: "icon",
      viewBox: "0 0 16 16",
      "aria-hidden": "true",
      focusable: "false",
    },
    s("path", { d: PATHS[name] ?? "" }),
  );
}
