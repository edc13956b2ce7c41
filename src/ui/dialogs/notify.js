// The dialog that asks a phone to act: to fetch its configuration, or to reboot.

import { ApiError, ask } from "../lib/api.js";
import { foreign, h } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { aor } from "./chosen.js";
import { Dialog } from "./dialog.js";

/** @typedef {{username: string, realm?: string, contact?: string, ruid: string, user_agent?: string}} Contact */

export class NotifyDialog {
  /**
   * @param {string} account
   * @param {Contact[]} contacts those of one user
   * @param {boolean} isReboot
   */
  constructor(account, contacts, isReboot) {
    this.account = account;
    this.contacts = contacts;
    this.isReboot = isReboot;
    const what = count(contacts.length, "phone");
    this.dialog = new Dialog(isReboot ? `Reboot ${what}?` : `Check-sync for ${what}?`, "notify");
    const cancel = this.dialog.closeButton("Cancel");
    const name = isReboot ? `Reboot ${what}` : `Send check-sync to ${what}`;
    const send = h(
      "button",
      {
        type: "button",
        class: isReboot ? "danger" : "primary",
        click: () => void this.#send(),
      },
      name,
    );
    const means = isReboot
      ? "Kamailio sends each phone a NOTIFY that asks it to reboot. A call in progress may be cut; most phones wait for its end."
      : "Kamailio sends each phone a NOTIFY that asks it to fetch its configuration. Some phones restart where it has changed.";
    const rows = contacts.map((one) =>
      h(
        "li",
        null,
        foreign(aor(one)),
        " at ",
        foreign(one.contact ?? "an unknown address"),
        one.user_agent ? foreign(one.user_agent, "quiet") : null,
      ),
    );
    this.dialog.show(
      [h("p", null, means), h("ul", { class: "aors", tabindex: 0, "aria-label": "Who" }, rows)],
      [cancel, send],
    );
    this.dialog.open(cancel);
  }

  async #send() {
    const close = this.dialog.closeButton("Close");
    this.dialog.show([h("p", { "aria-live": "polite" }, "Waiting for the phones …")], [close]);
    const { username } = this.contacts[0] ?? { username: "" };
    const path = `/v2/accounts/${encodeURIComponent(this.account)}/registrations/${encodeURIComponent(username)}/notify`;
    const data = {
      event: "check-sync",
      reboot: this.isReboot,
      ruids: this.contacts.map((one) => one.ruid),
    };
    try {
      const answer = await ask(path, { method: "POST", body: { data } });
      this.#show(answer.data, close);
    } catch (error) {
      const told = error instanceof ApiError ? error.data : null;
      if (Array.isArray(told)) {
        this.#show(told, close);
      } else {
        const message = error instanceof Error ? error.message : String(error);
        this.dialog.show([h("p", { class: "refusal", role: "alert" }, message)], [close]);
      }
    }
    close.focus();
  }

  /**
   * @param {{username: string, realm?: string, contact?: string, status: number | null, reason?: string}[]} answers
   * @param {HTMLElement} close
   */
  #show(answers, close) {
    const rows = answers.map((one) => {
      const isGood = one.status !== null && one.status >= 200 && one.status < 300;
      const said =
        one.status === null
          ? `no answer${one.reason ? `: ${one.reason}` : ""}`
          : `answered ${one.status} ${one.reason ?? ""}`;
      return h(
        "li",
        { class: isGood ? "good" : "bad" },
        foreign(aor(one)),
        " at ",
        foreign(one.contact ?? "?"),
        " ",
        foreign(said, "outcome"),
      );
    });
    this.dialog.heading.textContent = this.isReboot
      ? "Reboot: what the phones said"
      : "Check-sync: what the phones said";
    const none = h("p", null, "No phone of this user is registered, so none was asked.");
    this.dialog.show(
      [rows.length ? h("ul", { class: "aors", tabindex: 0, "aria-label": "Who" }, rows) : none],
      [close],
    );
  }
}
