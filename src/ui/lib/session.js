// Who looks. Asked for again every few seconds, so that a token that is revoked or changed shows at once.

import { ApiError, answers, ask } from "./api.js";
import { scope } from "./scope.js";

/**
 * @typedef {{name: string, rights: string[], all_accounts: boolean, accounts: {id: string, name?: string}[], node: string,
 *   version: string, expires_at: number | null, via: string, fleet?: "only" | "too" | null, commands?: string[], notify_events?: string[]}} Caller
 */

const LOOK_AGAIN = 4000;

class Session extends EventTarget {
  /** @type {Caller | null} */
  caller = null;
  /** Why there is none, where that is to be said. */
  farewell = "";
  /** Whether usrlocd has said who looks, or that nobody may. */
  isKnown = false;
  #channel = "BroadcastChannel" in window ? new BroadcastChannel("usrlocd-session") : null;
  #looks = 0;
  #isLeaving = false;

  /** Begins to look. */
  start() {
    answers.addEventListener("refused", () =>
      this.#lose("Your session has ended: the token was revoked or has expired."),
    );
    this.#channel?.addEventListener("message", () => void this.look());
    document.addEventListener("visibilitychange", () => void this.#lookIfSeen());
    setInterval(() => void this.#lookIfSeen(), LOOK_AGAIN);
    return this.look();
  }

  get mayFlush() {
    return this.caller?.rights.includes("flush") ?? false;
  }

  async #lookIfSeen() {
    if (!document.hidden && this.caller) {
      await this.look();
    }
  }

  /** Asks who looks. */
  async look() {
    const look = ++this.#looks;
    try {
      const { data } = await ask("/ui/data/session");
      if (look === this.#looks) {
        this.#become(data);
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) {
        this.#lose("This token may not read anything any more.");
      } else if (!this.isKnown && !(error instanceof ApiError && error.status === 401)) {
        throw error;
      }
    }
  }

  /** @param {Caller} caller */
  #become(caller) {
    const isSame = this.caller !== null && rights(caller) === rights(this.caller);
    this.caller = caller;
    scope.offered = caller.fleet ?? null;
    this.isKnown = true;
    this.farewell = "";
    if (!isSame) {
      this.dispatchEvent(new Event("change"));
    }
  }

  /** @param {string} why */
  #lose(why) {
    if (this.#isLeaving) {
      return;
    }
    const isNews = this.caller !== null || !this.isKnown;
    this.farewell = this.caller ? why : this.farewell;
    this.caller = null;
    this.isKnown = true;
    if (isNews) {
      this.dispatchEvent(new Event("change"));
      this.#channel?.postMessage("ended");
    }
  }

  /**
   * Logs in; throws an `ApiError` where that is refused.
   *
   * @param {string} token
   */
  async logIn(token) {
    await ask("/ui/session", {
      method: "POST",
      body: { data: { auth_token: token } },
    });
    await this.look();
    this.#channel?.postMessage("begun");
  }

  async logOut() {
    this.#looks++;
    this.#isLeaving = true;
    const failure = await ask("/ui/session", { method: "DELETE" }).catch((/** @type {ApiError} */ error) => error);
    this.#isLeaving = false;
    this.caller = null;
    this.farewell =
      failure instanceof ApiError && failure.status !== 401
        ? "usrlocd did not confirm the logout. Your session may last up to an hour longer."
        : "You are logged out.";
    this.dispatchEvent(new Event("change"));
    this.#channel?.postMessage("ended");
  }
}

/**
 * What decides on what is shown; how long the session lasts does not.
 *
 * @param {Caller} caller
 */
function rights({ name, rights: own, all_accounts: all, accounts, via }) {
  return JSON.stringify([name, own, all, accounts.map(({ id }) => id), via]);
}

export const session = new Session();
