// The phones that come and go, the worst first.

import { ask } from "../lib/api.js";
import { foreign, h, replace } from "../lib/dom.js";
import { listed, moment, number, parsed } from "../lib/format.js";
import { phoneLink } from "../lib/router.js";
import { Listing } from "./view.js";

/** More are not shown. */
const SHOWN = 500;

export class Flapping extends Listing {
  heading = "Flapping";

  connectedCallback() {
    this.build("Flapping phones", ["User", "Score", "Losses in 24 h", "Since", "Addresses", "Devices"]);
    this.follow((signal) => this.trying(signal, () => this.#load(signal)), 5000);
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const { data } = await ask("/v2/flapping", { signal });
    replace(
      this.lead,
      h("strong", { class: "figure" }, number(data.length)),
      data.length === 1 ? " phone flaps" : " phones flap",
      " now: lost again and again, a few minutes apart.",
    );
    const rows = data
      .slice(0, SHOWN)
      .map((/** @type {any} */ one) => [
        h("a", { href: phoneLink(one) }, foreign(one.realm ? `${one.username}@${one.realm}` : one.username)),
        h("span", { class: "number" }, number(one.score)),
        h("span", { class: "number" }, number(one.losses_24h)),
        moment(parsed(one.since)),
        foreign(listed(one.addresses ?? [], 3)),
        foreign(listed(one.user_agents ?? [], 2)),
      ]);
    this.fill(
      rows,
      "No phone flaps now. A phone is listed here from a score of 3,000 on: four losses five minutes apart.",
    );
  }
}
