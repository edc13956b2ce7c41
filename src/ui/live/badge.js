// How fresh the page is, in words.

import { h, replace } from "../lib/dom.js";
import { listed, moment, number } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { isLive, live } from "./live.js";

export class Badge {
  status = h("span", { role: "status", class: "badge" });
  button = h("button", {
    type: "button",
    class: "quiet-button",
    click: () => live.pause(!live.isPaused),
  });
  element = h("div", { class: "freshness" }, this.status, this.button);
  #said = "";

  constructor() {
    live.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const [state, words, extra] = said();
    const said_ = `${state} ${words} ${extra} ${live.isPaused}`;
    if (said_ === this.#said) {
      return;
    }
    this.#said = said_;
    this.status.className = `badge ${state}`;
    // Milliseconds are for the eye: read aloud again and again they would only disturb.
    replace(
      this.status,
      h("span", { class: "dot", "aria-hidden": "true" }),
      words,
      extra ? h("span", { "aria-hidden": "true", class: "lag" }, ` ${extra}`) : null,
      live.isPaused ? " · paused" : null,
    );
    replace(this.button, icon(live.isPaused ? "play" : "pause"), live.isPaused ? "Go on" : "Pause");
  }
}

/** @returns {[string, string, string]} state, words, and what is added for the eye */
function said() {
  if (live.isConnected === false) {
    return ["gone", "not connected, reconnecting …", ""];
  }
  const { source } = live;
  if (!source) {
    return ["gone", "connecting …", ""];
  }
  switch (source.state) {
    case "live":
      return ["live", "live", source.lag_ms === undefined ? "" : lag(source.lag_ms)];
    case "partial":
      return ["late", `partial: ${missed(source)}`, ""];
    case "catching_up":
      return ["late", "catching up", ""];
    case "stale":
      if (source.nodes) {
        return ["stale", source.nodes.length ? "stale: no node is live" : "stale: no node yet", ""];
      }
      return ["stale", `stale since ${source.as_of ? moment(source.as_of) : "its start"}`, ""];
    default:
      return ["stale", "unavailable", ""];
  }
}

/** @param {import("../lib/api.js").Source} source */
function missed({ nodes = [] }) {
  const isOver = (/** @type {any} */ { state, rows }) => state === "stopped" && rows === 0;
  const others = nodes.filter((node) => !isOver(node) && (!isLive(node) || node.unreadable));
  return listed(
    others.map((node) => node.name),
    5,
  );
}

/** @param {number} ms */
function lag(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${number(Math.round(ms / 100) / 10)} s`;
}
