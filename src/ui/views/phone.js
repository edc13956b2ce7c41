// One user's phones: where they are, what happened to them in a day, why they were away, and what can be done.

import { count, moment, now, number, parsed } from "../lib/format.js";
import { ApiError, ask } from "../lib/api.js";
import { append, attribute, foreign, h, replace, setText } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { owner } from "../lib/owner.js";
import { spans, timeLine } from "../lib/plot.js";
import { go, link, place } from "../lib/router.js";
import { session } from "../lib/session.js";
import { entry } from "../lib/words.js";
import { live } from "../live/live.js";
import { Chosen } from "../dialogs/chosen.js";
import { FlushDialog, whyNot } from "../dialogs/flush.js";
import { NotifyDialog } from "../dialogs/notify.js";
import { Contacts } from "./contacts.js";
import { tableAddress } from "./registrations.js";
import { View } from "./view.js";

/** @typedef {import("../table/columns.js").Item} Item */

/** So many events of a day are drawn. */
const EVENTS = 1000;

/** So many are listed. */
const LISTED = 100;

const NO_ACCOUNT = "It belongs to no account, and phones are asked to act by account";

export class Phone extends View {
  heading = "";
  #realm = "";
  #username = "";
  /** @type {string | undefined} */
  #account;
  /** How often something happened to it; and how often it had when its history was shown. */
  #happened = 1;
  #said = "";
  #told = 0;
  /** @type {Item[]} */
  #items = [];
  title = "";
  name = h("h1", { tabindex: -1 });
  state = h("p", { class: "lead", "aria-live": "polite" });
  actions = h("div", { class: "tools" });
  why = h("section", { class: "card why", hidden: true });
  day = h("section", { class: "card", hidden: true });
  contacts = new Contacts();
  history = h("section", { class: "card", hidden: true });
  orphan = h("section", { class: "card", hidden: true, "aria-label": "No account" }, noAccount());

  connectedCallback() {
    const back = h(
      "a",
      {
        href: link("registrations"),
        class: "back",
        click: (/** @type {Event} */ event) => this.#leave(event),
      },
      icon("back"),
      "Back to registrations",
    );
    this.#read(place());
    append(this, [
      h("p", null, back),
      this.name,
      this.state,
      this.actions,
      this.orphan,
      this.why,
      this.day,
      this.contacts.element,
      this.history,
    ]);
    this.#buildActions();
    this.refresh = this.follow((signal) => this.#load(signal), 4000);
    this.listen(live, "events", (event) => this.#hear(event.detail));
    this.listen(live, "relist", () => this.#happened++);
    this.listen(live, "change", () => this.#showActions());
    this.every(1000, () => this.contacts.tick());
    this.keys({
      Escape: (event) => this.#leave(event),
      f: () => this.flush && !this.flush.disabled && this.#openFlush(),
    });
  }

  #buildActions() {
    if (!session.mayFlush) {
      return;
    }
    this.flush = h(
      "button",
      {
        type: "button",
        class: "danger",
        "aria-describedby": "phone-off",
        click: () => this.#openFlush(),
      },
      "Flush…",
    );
    this.sync = h("button", { type: "button", click: () => this.#notify(false) }, "Check-sync…");
    this.reboot = h("button", { type: "button", click: () => this.#notify(true) }, "Reboot…");
    this.off = h("span", { id: "phone-off", class: "refusal" });
    append(this.actions, [this.flush, this.sync, this.reboot, this.off]);
  }

  /** @param {import("../lib/router.js").Place} to */
  show(to) {
    this.#read(to);
    this.#happened++;
    this.#items = [];
    for (const part of [this.orphan, this.why, this.day, this.history]) {
      part.hidden = true;
    }
    this.contacts.show([]);
    setText(this.state, "");
    this.#said = "";
    this.refresh?.now();
  }

  /** @param {import("../lib/router.js").Place} to */
  #read({ parts, params }) {
    const [realm = "", username = ""] = parts;
    this.#realm = realm === "-" ? "" : realm;
    this.#username = username;
    this.#account = params.get("account") ?? undefined;
    this.heading = this.#realm ? `${username}@${this.#realm}` : username;
    replace(this.name, foreign(this.heading));
  }

  /** @param {Event} event */
  #leave(event) {
    event.preventDefault();
    go(tableAddress());
  }

  /** @param {import("../live/live.js").Frame[]} frames */
  #hear(frames) {
    const own = this.#username.toLowerCase();
    if (!live.isPaused && frames.some((frame) => frame.username?.toLowerCase() === own)) {
      this.#happened++;
      this.refresh?.soon();
    }
  }

  get #path() {
    return `/v2/accounts/${encodeURIComponent(this.#account ?? "")}/registrations/${encodeURIComponent(this.#username)}`;
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    let isListed = true;
    try {
      this.#account ??= await owner(this.#realm, this.#username, signal);
      if (this.#account === undefined) {
        this.#unknown();
        return;
      }
      const items = await this.#listed(signal);
      isListed = items !== undefined;
      const happened = this.#happened;
      if (items) {
        this.#items = items;
        this.#showItems();
      }
      if (this.#account && (this.#told !== happened || !items)) {
        await Promise.all([this.#loadWhy(signal), this.#loadHistory(signal)]);
        this.#told = happened;
      }
      if (!items) {
        // The history knows whom the list does not know any more.
        this.#items = [];
        this.#showItems();
      }
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      // 503: there is no history that could know it.
      if (error instanceof ApiError && (isListed ? [403, 404] : [403, 404, 503]).includes(error.status)) {
        this.#unknown();
      } else {
        setText(this.state, error instanceof Error ? error.message : String(error));
      }
    }
  }

  /**
   * What is registered; `undefined` where nothing is known of such a user.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<Item[] | undefined>}
   */
  async #listed(signal) {
    const query = {
      filter_username: this.#username,
      filter_realm: this.#realm || undefined,
    };
    try {
      const { data } = this.#account
        ? await ask(this.#path, { signal })
        : await ask("/v2/registrations", { query, signal });
      return data.filter(
        (/** @type {Item} */ item) => !this.#realm || (item.realm ?? "").toLowerCase() === this.#realm.toLowerCase(),
      );
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) {
        return undefined;
      }
      throw error;
    }
  }

  #unknown() {
    this.#items = [];
    this.#said = "";
    this.contacts.show([]);
    setText(
      this.state,
      `Unknown: no phone of ${this.heading} is registered, and none was within the last hour. Check the spelling.`,
    );
    this.#showActions();
  }

  #showItems() {
    const total = this.#items.length;
    const flap = this.#items.find((item) => item.flap)?.flap;
    const comes = flap?.flapping
      ? `flapping, score ${number(flap.score)}, ${count(flap.losses_24h, "loss", "losses")} in 24 h`
      : "";
    const account = this.#items[0]?.account_name ?? this.#account ?? "";
    const words = total === 0 ? "Not registered now" : total === 1 ? "Registered" : `Registered with ${total} contacts`;
    const said = [words, account, comes].join();
    if (said !== this.#said) {
      this.#said = said;
      replace(
        this.state,
        h("span", { class: total ? "mark ok" : "mark error" }, icon(total ? "ok" : "error"), words),
        account ? [" · account ", foreign(account)] : " · no account",
        comes && h("span", { class: "tag" }, comes),
      );
    }
    this.contacts.show(this.#items);
    this.orphan.hidden = this.#account !== "" || total === 0;
    this.#showActions();
  }

  #showActions() {
    const isNone = this.#items.length === 0;
    const why = whyNot();
    for (const button of [this.flush, this.sync, this.reboot]) {
      if (button) {
        const needsAccount = button !== this.flush;
        button.disabled = isNone || (why !== "" && !needsAccount) || (needsAccount && !this.#account);
        attribute(button, "title", needsAccount && this.#account === "" ? NO_ACCOUNT : null);
      }
    }
    if (this.off) {
      setText(this.off, isNone ? "" : why);
    }
  }

  #openFlush() {
    new FlushDialog(new Chosen(this.#items), () => this.refresh?.now());
  }

  /** @param {boolean} isReboot */
  #notify(isReboot) {
    new NotifyDialog(
      this.#items.map((item) => ({ ...item, account_id: this.#account })),
      isReboot,
    );
  }

  /** @param {AbortSignal} signal */
  async #loadWhy(signal) {
    const { data } = await ask(`${this.#path}/why`, { signal });
    const others = Object.entries(/** @type {Record<string, {value: string, lost: number}>} */ (data.others ?? {}));
    replace(
      this.why,
      h("h2", null, data.loss ? "Why it was last away" : "Why"),
      h("p", { class: "sentence" }, foreign(data.sentence)),
      h(
        "ul",
        { class: "plain" },
        (data.facts ?? []).map((/** @type {string} */ fact) => h("li", null, foreign(fact))),
        others.map(([by, one]) =>
          h(
            "li",
            null,
            `Lost around then by the same ${by.replace("_", " ")} (`,
            foreign(one.value),
            `): ${number(one.lost)}`,
          ),
        ),
      ),
    );
    this.why.hidden = false;
  }

  /** @param {AbortSignal} signal */
  async #loadHistory(signal) {
    const query = { from: Math.floor(now() - 86_400), page_size: EVENTS };
    const { data, envelope } = await ask(`${this.#path}/history`, {
      query,
      signal,
    });
    /** @type {import("../live/live.js").Frame[]} */
    const own = data.filter(
      (/** @type {any} */ event) =>
        !event.username || !this.#realm || (event.realm ?? "").toLowerCase() === this.#realm.toLowerCase(),
    );
    const steps = own
      .filter((event) => event.username)
      .map((event) => ({
        at: parsed(event.at),
        type: event.type,
        reason: event.reason,
      }));
    const isCut = data.length >= EVENTS;
    const known = isCut ? (steps.at(-1)?.at ?? 0) : parsed(envelope.oldest) || 0;
    const lost = steps.filter(
      (step) => step.type === "terminated" && (step.reason === "expired" || step.reason === "removed"),
    );
    replace(
      this.day,
      h("h2", null, "Time line"),
      timeLine(
        spans(this.#items.length, steps, known),
        lost.map((step) => step.at),
      ),
    );
    this.day.hidden = false;
    const since = envelope.oldest ? ` The history reaches back to ${moment(parsed(envelope.oldest))}.` : "";
    replace(
      this.history,
      h("h2", { id: "history" }, "History of 24 h"),
      own.length > 0
        ? h(
            "ul",
            { class: "events", "aria-labelledby": "history" },
            own.slice(0, LISTED).map((event) => entry(event, false)),
          )
        : h("p", { class: "quiet" }, `Nothing happened.${since}`),
      own.length > LISTED
        ? h("p", { class: "quiet" }, `The latest ${LISTED} of ${isCut ? "more than " : ""}${number(own.length)}.`)
        : null,
    );
    this.history.hidden = false;
  }
}

/** Why less is shown of a phone that no account has, and what gives it one. */
function noAccount() {
  return [
    h("h2", null, "No account"),
    h(
      "p",
      null,
      "Kamailio's row has no realm, so it belongs to no account. History, why, check-sync and reboot go by account and are not available for it; a flush is.",
    ),
    h(
      "p",
      null,
      "To give such phones an account, set ",
      h("code", null, "default_realm"),
      " in ",
      h("code", null, "[kamailio]"),
      " of usrlocd's configuration.",
    ),
  ];
}
