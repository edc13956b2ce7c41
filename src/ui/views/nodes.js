// The nodes of the fleet: which of them live, and what to do about the others.

import { ApiError, ask } from "../lib/api.js";
import { attribute, foreign, h, replace } from "../lib/dom.js";
import { count, moment, number } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { link } from "../lib/router.js";
import { isLive, live } from "../live/live.js";
import { Listing } from "./view.js";

/** @typedef {import("../lib/api.js").FleetNode} FleetNode */

/** So far apart clocks may be (ms). */
const CLOCKS_APART = 2000;

/** @type {Record<string, string>} */
const ADVICE = {
  restarting: "It compares what it published with what it has. Wait some seconds.",
  stale: "No sign of life for some seconds. Its registrations end with their deadlines.",
  lost: "Start usrlocd on it, or mend its way to the database. If it will not come back: usrlocd nodes forget NAME",
  stopped: "It was stopped. Its registrations end with their deadlines.",
};

/** @param {FleetNode} node */
function advice(node) {
  const { state, source_state: source, clock_offset_ms: offset = 0 } = node;
  const told = [
    state !== "live"
      ? ADVICE[state]
      : source === "live"
        ? ""
        : "Kamailio's table is not read there as it should be: usrlocd doctor on that node says why.",
    node.unreadable ? "A newer usrlocd publishes there: upgrade this one. Lists lack registrations of it." : "",
    Math.abs(offset) > CLOCKS_APART ? "Synchronize its clock with the database's." : "",
  ];
  return told.filter(Boolean).join(" ");
}

/** @param {number | undefined} ms */
const milliseconds = (ms) => (ms === undefined ? "–" : `${number(ms)} ms`);

/** @param {FleetNode} node */
function mark(node) {
  const kind = isLive(node) ? "ok" : node.state === "lost" || node.source_state === "stale" ? "error" : "warning";
  const name = kind === "warning" ? "tag" : `mark ${kind}`;
  return h("span", { class: name }, icon(kind), node.state);
}

export class Nodes extends Listing {
  heading = "Nodes";

  connectedCallback() {
    this.build("Nodes", ["Node", "State", "Registrations", "Source", "As of", "Lag", "Clock", "Version", "What to do"]);
    attribute(this.table ?? this, "class", "nodes");
    this.follow((signal) => this.trying(signal, () => this.#load(signal)), 2000);
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    this.#show(await nodes(signal));
  }

  /** @param {FleetNode[]} all */
  #show(all) {
    const alive = all.filter(isLive).length;
    const rows = all.reduce((sum, node) => sum + node.rows, 0);
    const lead = [`${number(alive)} of ${count(all.length, "node")} live`, count(rows, "registration")].join(", ");
    if (this.lead.dataset.said !== lead) {
      this.lead.dataset.said = lead;
      replace(this.lead, h("strong", { class: "figure" }, number(alive)), lead.slice(number(alive).length));
    }
    this.fill(
      // Those that need somebody come first.
      [...all.filter((node) => !isLive(node)), ...all.filter(isLive)].map((node) => [
        h("a", { href: link("registrations", [], { node: node.name }) }, foreign(node.name)),
        mark(node),
        h("span", { class: "number" }, number(node.rows)),
        node.source_state.replace("_", " "),
        node.as_of ? moment(node.as_of, true) : "never",
        milliseconds(node.lag_ms),
        milliseconds(node.clock_offset_ms),
        foreign(node.version ?? "–"),
        advice(node) || "–",
      ]),
      "No node has published anything yet: set [fleet] url on each node and restart usrlocd there.",
    );
  }
}

/**
 * Those who may not see all are told less of each node.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<FleetNode[]>}
 */
async function nodes(signal) {
  try {
    return (await ask("/v2/nodes", { signal })).data;
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) {
      return live.source?.nodes ?? [];
    }
    throw error;
  }
}
