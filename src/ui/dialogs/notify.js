// The dialog that asks phones to act: to fetch their configuration, or to reboot.

import { ApiError, ask } from "../lib/api.js";
import { attribute, foreign, h } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { owner } from "../lib/owner.js";
import { aor } from "./chosen.js";
import { Dialog } from "./dialog.js";

/**
 * @typedef {{username: string, realm?: string, contact?: string, ruid: string, user_agent?: string, account_id?: string}} Contact
 * @typedef {{username: string, realm?: string, contact?: string, status: number | null, reason?: string}} Reply
 */

/** More are not asked at a time: whoever means hundreds means the command line. */
export const MOST_ASKED = 50;

export class NotifyDialog {
  #gone = new AbortController();

  /**
   * @param {Contact[]} contacts
   * @param {boolean} isReboot
   */
  constructor(contacts, isReboot) {
    this.contacts = contacts;
    this.isReboot = isReboot;
    const what = count(contacts.length, "phone");
    this.dialog = new Dialog(isReboot ? `Reboot ${what}?` : `Check-sync for ${what}?`, "notify");
    this.dialog.element.addEventListener("close", () => this.#gone.abort());
    const cancel = this.dialog.closeButton("Cancel");
    const name = isReboot ? `Reboot ${what}` : `Send check-sync to ${what}`;
    const kind = isReboot ? "danger" : "primary";
    const send = h("button", { type: "button", class: kind, click: () => void this.#send() }, name);
    const means = isReboot
      ? "Kamailio sends each phone a NOTIFY that asks it to reboot. A call in progress may be cut; most phones wait for its end."
      : "Kamailio sends each phone a NOTIFY that asks it to fetch its configuration. Some phones restart where it has changed.";
    const rows = contacts.map((one) => h("li", null, named(one), " ", foreign(one.user_agent ?? "", "quiet")));
    this.dialog.show([h("p", null, means), list("Which phones", rows)], [cancel, send]);
    this.dialog.open(cancel);
  }

  /** The contacts by their user. */
  #users() {
    /** @type {Map<string, Contact[]>} */
    const users = new Map();
    for (const one of this.contacts) {
      users.set(aor(one), [...(users.get(aor(one)) ?? []), one]);
    }
    return [...users.values()];
  }

  async #send() {
    const close = this.dialog.closeButton("Close");
    const replies = list("What the phones answered", []);
    const waiting = h("p", { "aria-live": "polite" }, "Waiting for the phones …");
    this.dialog.show([waiting, replies], [close]);
    close.focus();
    for (const contacts of this.#users()) {
      if (this.#gone.signal.aborted) {
        return;
      }
      replies.append(...(await this.#ask(contacts)));
    }
    this.dialog.heading.textContent = this.isReboot
      ? "Reboot: what the phones said"
      : "Check-sync: what the phones said";
    waiting.remove();
  }

  /**
   * Asks the phones of one user.
   *
   * @param {Contact[]} contacts
   */
  async #ask(contacts) {
    const [one] = contacts;
    if (!one) {
      return [];
    }
    try {
      const account = one.account_id ?? (await owner(one.realm ?? "", one.username, this.#gone.signal));
      if (!account) {
        return [h("li", { class: "bad" }, named(one), " is not asked: it belongs to no account.")];
      }
      const path = `/v2/accounts/${encodeURIComponent(account)}/registrations/${encodeURIComponent(one.username)}/notify`;
      const data = { event: "check-sync", reboot: this.isReboot, ruids: contacts.map(({ ruid }) => ruid) };
      const answer = await ask(path, { method: "POST", body: { data } });
      const none = h("li", { class: "bad" }, named(one), " is not registered any more, so it was not asked.");
      return answer.data.length > 0 ? answer.data.map(reply) : [none];
    } catch (error) {
      const told = error instanceof ApiError ? error.data : null;
      const message = error instanceof Error ? error.message : String(error);
      return Array.isArray(told)
        ? told.map(reply)
        : [h("li", { class: "bad" }, named(one), ": ", foreign(message, "outcome"))];
    }
  }
}

/** @param {Contact | Reply} one */
function named(one) {
  return h("span", null, foreign(aor(one)), " at ", foreign(one.contact ?? "an unknown address"));
}

/**
 * @param {string} name
 * @param {Node[]} entries
 */
function list(name, entries) {
  const made = h("ul", { class: "aors", tabindex: 0 }, entries);
  attribute(made, "aria-label", name);
  return made;
}

/** @param {Reply} one */
function reply(one) {
  const isGood = one.status !== null && one.status >= 200 && one.status < 300;
  const reason = one.reason ?? "";
  const said = one.status === null ? `no answer${reason ? `: ${reason}` : ""}` : `answered ${one.status} ${reason}`;
  return h("li", { class: isGood ? "good" : "bad" }, named(one), " ", foreign(said, "outcome"));
}
