// The dialog of a flush: how many and whose, by a dry run; then, when that is confirmed, what became of it.

import { ApiError, ask, requestId } from "../lib/api.js";
import { foreign, h, replace } from "../lib/dom.js";
import { count, listed, number } from "../lib/format.js";
import { link } from "../lib/router.js";
import { live } from "../live/live.js";
import { Dialog } from "./dialog.js";

/** @typedef {import("./chosen.js").Chosen} Chosen */

/** More than this many are confirmed by their number. */
const CASUAL = 10;

/** So many are named. */
const NAMED = 10;

export class FlushDialog {
  #id = requestId();
  #flushed = 0;

  /**
   * @param {Chosen} chosen
   * @param {() => void} onDone called when something may have gone
   */
  constructor(chosen, onDone) {
    this.chosen = chosen;
    this.onDone = onDone;
    this.dialog = new Dialog(`Flush ${chosen.words}?`, "flush");
    this.cancel = this.dialog.closeButton("Cancel");
    this.confirm = h(
      "button",
      {
        type: "button",
        class: "danger",
        disabled: true,
        click: () => void this.#flush(),
      },
      "Flush",
    );
    this.field = h("input", {
      id: "flush-number",
      inputmode: "numeric",
      autocomplete: "off",
      input: () => this.#check(),
    });
    this.reason = h("p", { class: "refusal", "aria-live": "polite" });
    this.would = -1;
    this.dialog.show([h("p", { class: "quiet" }, "Asking what would go …")], [this.cancel, this.confirm]);
    this.dialog.open(this.cancel);
    const check = () => this.#check();
    live.addEventListener("change", check);
    this.dialog.element.addEventListener("close", () => live.removeEventListener("change", check));
    void this.#dryRun();
  }

  /** @param {boolean} isDry */
  #request(isDry) {
    const { query, body } = this.chosen.request;
    return ask("/v2/registrations", {
      method: "DELETE",
      query: isDry ? { ...query, dry_run: "true" } : query,
      body,
      requestId: isDry ? requestId() : this.#id,
    });
  }

  async #dryRun() {
    try {
      const [{ headers }, accounts] = await Promise.all([this.#request(true), this.chosen.accounts()]);
      this.would = Number(headers.get("X-Would-Flush") ?? this.chosen.total);
      this.#propose(accounts);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** @param {{names: string[], isAll: boolean}} accounts */
  #propose(accounts) {
    if (!this.dialog.element.open) {
      return;
    }
    const { users } = this.chosen;
    const what = count(this.would, "registration");
    this.dialog.heading.textContent = `Flush ${what}?`;
    this.confirm.textContent = `Flush ${what}`;
    const more = this.chosen.search !== null || users.length > NAMED;
    const of = count(accounts.names.length, "account");
    const body = [
      h(
        "p",
        null,
        h("strong", { class: "figure" }, number(this.would)),
        ` of ${accounts.isAll ? of : `${of} or more`}: `,
        foreign(listed(accounts.names, 5)),
      ),
      h("p", { class: "quiet" }, more ? "The first ten users:" : "Users:"),
      h(
        "ul",
        { class: "aors", tabindex: 0, "aria-label": "Who" },
        users.slice(0, NAMED).map((user) => h("li", null, foreign(user))),
      ),
      this.chosen.search === null
        ? null
        : h(
            "p",
            { class: "note" },
            "These are more than 2,000, so all that match the search will go. Phones that register meanwhile are included.",
          ),
      h("p", null, "Kamailio forgets them. A phone gets no calls until it registers again by itself."),
      this.would > CASUAL
        ? h("p", null, h("label", { for: "flush-number" }, `Type ${this.would} to confirm`), this.field)
        : null,
      this.reason,
    ];
    this.dialog.show(body, [this.cancel, this.confirm]);
    this.#check();
  }

  /** Whether it may be confirmed now, and why not. */
  #check() {
    const isTyped = this.would <= CASUAL || this.field.value.trim() === String(this.would);
    this.confirm.disabled = !(this.would > 0 && isTyped && live.isLive);
    const why = this.would === 0 ? "None of them is registered any more: there is nothing to flush." : whyNot();
    if (this.reason.textContent !== why) {
      replace(this.reason, why);
    }
  }

  async #flush() {
    if (this.confirm.disabled) {
      return;
    }
    const bar = h("progress", {
      max: this.would,
      value: 0,
      "aria-label": "Flushed so far",
    });
    const text = h("p", { "aria-live": "polite" }, "Asking Kamailio to remove them, one at a time …");
    const hide = this.dialog.closeButton("Close and go on");
    this.dialog.show([text, bar], [hide]);
    hide.focus();
    const follow = (/** @type {Event} */ event) => this.#count(/** @type {CustomEvent} */ (event).detail, bar);
    live.addEventListener("events", follow);
    try {
      const { headers } = await this.#request(false);
      this.#done(Number(headers.get("X-Flushed") ?? this.would), [], 0);
    } catch (error) {
      this.#failed(error);
    } finally {
      live.removeEventListener("events", follow);
      this.onDone();
    }
  }

  /**
   * @param {import("../live/live.js").Frame[]} frames
   * @param {HTMLProgressElement} bar
   */
  #count(frames, bar) {
    this.#flushed += frames.filter(
      (frame) => frame.reason === "flushed" && frame.flush?.request_id === this.#id,
    ).length;
    bar.value = this.#flushed;
  }

  /** @param {unknown} error */
  #failed(error) {
    const data = error instanceof ApiError ? error.data : null;
    if (Array.isArray(data?.failed)) {
      this.#done(data.flushed ?? 0, data.failed, data.failed_total ?? data.failed.length);
    } else {
      this.#refuse(error);
    }
  }

  /**
   * @param {number} flushed
   * @param {{aor: string, reason: string}[]} failed
   * @param {number} total
   */
  #done(flushed, failed, total) {
    const { users } = this.chosen;
    const gone = users.filter((user) => !failed.some((failure) => failure.aor === user));
    const close = this.dialog.closeButton("Close");
    this.dialog.heading.textContent = total > 0 ? "Flush incomplete" : "Flush done";
    const body = [
      h(
        "p",
        { "aria-live": "polite" },
        h("strong", { class: "figure" }, number(flushed)),
        flushed === 1 ? " registration flushed." : " registrations flushed.",
      ),
      flushed > 0 && gone.length <= NAMED && this.chosen.search === null
        ? h(
            "ul",
            { class: "aors", tabindex: 0, "aria-label": "Who" },
            gone.map((user) => h("li", null, foreign(user))),
          )
        : null,
      total > 0
        ? h("p", { class: "refusal" }, `${number(total)} not flushed. They are still listed; trying again is safe.`)
        : null,
      total > 0
        ? h(
            "ul",
            { class: "failures", tabindex: 0, "aria-label": "Failures" },
            failed.map((one) => h("li", null, foreign(one.aor), " failed: ", foreign(one.reason))),
          )
        : null,
      total > failed.length
        ? h("p", { class: "quiet" }, `and ${number(total - failed.length)} more, see the log of usrlocd.`)
        : null,
      h("p", null, h("a", { href: link("flushes"), click: () => this.dialog.close() }, "See all flushes")),
    ];
    this.dialog.show(body, [close]);
    close.focus();
  }

  /** @param {unknown} error */
  #refuse(error) {
    const close = this.dialog.closeButton("Close");
    const message = error instanceof Error ? error.message : String(error);
    const isAway = error instanceof ApiError && (error.status === 503 || error.status === 504);
    this.dialog.heading.textContent = "Flush refused";
    const body = [
      h("p", { class: "refusal", role: "alert" }, message),
      isAway
        ? h("p", null, "Nothing is confirmed as flushed. Health says what to do.")
        : h("p", null, "Asking again is always safe."),
      isAway ? h("p", null, h("a", { href: link("health"), click: () => this.dialog.close() }, "See Health")) : null,
    ];
    this.dialog.show(body, [close]);
    close.focus();
  }
}

/** Why no flush can be confirmed now; empty where one can. */
export function whyNot() {
  if (live.isConnected === false) {
    return "Flush is off: the page is not connected to usrlocd, so what is shown is not live.";
  }
  if (!live.isLive) {
    return `Flush is off while the source is ${live.source?.state.replace("_", " ")}, not live: the list may be wrong.`;
  }
  return "";
}
