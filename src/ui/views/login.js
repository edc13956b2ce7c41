// Who has no session gives a token for one.

import { ApiError } from "../lib/api.js";
import { append, h, replace } from "../lib/dom.js";
import { roughly } from "../lib/format.js";
import { session } from "../lib/session.js";
import { View } from "./view.js";

export class Login extends View {
  heading = "Log in";
  field = h("input", {
    id: "token",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  button = h("button", { type: "submit", class: "primary" }, "Log in");
  alert = h("p", { role: "alert", class: "refusal" });

  connectedCallback() {
    const form = h(
      "form",
      {
        class: "login",
        submit: (/** @type {Event} */ event) => void this.#logIn(event),
      },
      h("h1", null, "usrlocd"),
      h("p", { class: "quiet" }, "Which phones are registered at this Kamailio, as it changes."),
      h("label", { for: "token" }, "Token"),
      h("div", { class: "field" }, this.field, this.button),
      this.alert,
      h(
        "details",
        null,
        h("summary", null, "No token yet?"),
        h("p", null, "On the machine, make one that may read and flush:"),
        h("pre", null, "sudo usrlocd token new --name YOUR-NAME"),
        h(
          "p",
          null,
          "It is shown once. Over ",
          h("code", null, "ssh -L"),
          " to the Unix socket no token is needed: ",
          h("code", null, "usrlocd ui"),
          " prints the line.",
        ),
      ),
    );
    append(this, [form]);
    if (session.farewell) {
      replace(this.alert, session.farewell);
    }
    this.field.focus();
  }

  /** @param {Event} event */
  async #logIn(event) {
    event.preventDefault();
    replace(this.alert);
    this.button.disabled = true;
    try {
      await session.logIn(this.field.value.trim());
      if (!session.caller) {
        this.#refuse("The browser did not keep the session. Are cookies allowed here?");
      }
    } catch (error) {
      this.#refuse(error instanceof ApiError ? said(error) : String(error));
    }
  }

  /** @param {string} why */
  #refuse(why) {
    this.button.disabled = false;
    replace(this.alert, why);
    this.field.select();
    this.field.focus();
  }
}

/** @param {ApiError} error */
function said(error) {
  if (error.status === 401) {
    return "The token is wrong, was revoked, or has expired.";
  }
  if (error.status === 429) {
    return `Refused: too many wrong tokens from this address. Try again in ${roughly(error.retryAfter ?? 5)}.`;
  }
  return error.status === 403 ? `Refused: ${error.message}` : error.message;
}
