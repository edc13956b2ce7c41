// The audit: who flushed what, and what became of it.

import { ask } from "../lib/api.js";
import { foreign, h, replace, setText } from "../lib/dom.js";
import { moment, number, utc } from "../lib/format.js";
import { go, link, place } from "../lib/router.js";
import { Listing } from "./view.js";

const PAGE = 50;

export class Flushes extends Listing {
  heading = "Flushes";
  #start = place().params.get("start") ?? "";

  connectedCallback() {
    this.build("Flushes", ["When", "Token", "Account", "User", "Flushed", "Not flushed", "Outcome", "From", "Request"]);
    this.refresh = this.follow((signal) => this.trying(signal, () => this.#load(signal)), 5000);
  }

  /** @param {import("../lib/router.js").Place} to */
  show(to) {
    this.#start = to.params.get("start") ?? "";
    this.refresh?.now();
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const query = { page_size: PAGE, start_key: this.#start };
    const { data, envelope } = await ask("/ui/data/flushes", { query, signal });
    setText(this.lead, data.length ? "Who flushed what, the latest first." : "");
    const rows = data.map((/** @type {any} */ one) => [
      h("time", { title: utc(seconds(one.at)) }, moment(seconds(one.at), true)),
      foreign(one.actor ?? "–"),
      foreign(one.account_name || one.account_id || "no account"),
      foreign(one.username ?? "all that matched"),
      h("span", { class: "number" }, number(one.flushed ?? 0)),
      h("span", { class: one.failed ? "number bad" : "number" }, number(one.failed ?? 0)),
      foreign(one.outcome ?? "–"),
      foreign(one.remote ?? "–"),
      h("code", { class: "id" }, one.request_id ?? ""),
    ]);
    this.fill(rows, "No flush yet: nothing was flushed through usrlocd that is yours to see.");
    const next = envelope.next_start_key;
    const turn = (/** @type {string | undefined} */ start) => () => go(link("flushes", [], { start }));
    replace(
      this.pages,
      this.#start ? h("button", { type: "button", click: turn(undefined) }, "Latest") : null,
      next ? h("button", { type: "button", click: turn(next) }, "Older") : null,
    );
  }
}

/** @param {number | string} at */
function seconds(at) {
  return typeof at === "number" ? at : Date.parse(at) / 1000;
}
