// What happens, as it happens, for all tabs of a browser: one of them, which is seen, has the stream and passes on what
// it says. Where the browser cannot elect one (Web Locks want TLS or localhost) each tab has its own.

import { answers } from "../lib/api.js";
import { told } from "../lib/clock.js";
import { parsed } from "../lib/format.js";
import { session } from "../lib/session.js";
import { Stream } from "./stream.js";

/** @typedef {import("./stream.js").Frame} Frame */

/** What a gap of these causes left out only a list tells. */
const LIST_AGAIN = new Set(["too_old", "other_log", "overrun", "forgotten"]);

/** Without a word from the tab that has the stream, it is not there. */
const PATIENCE = 4000;

class Live extends EventTarget {
  /** @type {import("../lib/api.js").Source | null} */
  source = null;
  /** `null` before the first word. @type {boolean | null} */
  isConnected = null;
  isPaused = false;
  /** @type {Stream | null} */
  #stream = null;
  /** @type {string | undefined} */
  #last;
  #channel = "BroadcastChannel" in window ? new BroadcastChannel("usrlocd-live") : null;
  /** @type {AbortController | null} */
  #wish = null;

  /** Begins as soon as somebody has logged in and looks. */
  start() {
    answers.addEventListener("source", (event) => {
      this.#setSource(/** @type {CustomEvent} */ (event).detail);
      this.#setConnected(true);
    });
    answers.addEventListener("unreachable", () => this.#setConnected(false));
    this.#channel?.addEventListener("message", ({ data }) => this.#hear(data));
    session.addEventListener("change", () => this.#adjust());
    document.addEventListener("visibilitychange", () => {
      this.#adjust();
      if (!document.hidden) {
        this.dispatchEvent(new Event("relist"));
      }
    });
    window.addEventListener("pagehide", () => this.#leave());
    this.#adjust();
  }

  /** Whether a flush may be confirmed, since what is shown is what Kamailio has. */
  get isLive() {
    return this.isConnected !== false && (this.source === null || this.source.state === "live");
  }

  /** @param {boolean} isPaused */
  pause(isPaused) {
    this.isPaused = isPaused;
    this.dispatchEvent(new Event("change"));
    if (!isPaused) {
      this.dispatchEvent(new Event("relist"));
    }
  }

  #adjust() {
    const isWanted = !document.hidden && session.caller !== null;
    if (!isWanted) {
      this.#leave();
    } else if (!this.#wish) {
      this.#wish = new AbortController();
      void this.#want(this.#wish);
    }
  }

  /** @param {AbortController} wish */
  async #want(wish) {
    if (!navigator.locks || !this.#channel) {
      this.#lead();
      return;
    }
    this.#channel.postMessage({ ask: true });
    const tell = setInterval(() => this.#stream && this.#pass({}), PATIENCE / 2);
    wish.signal.addEventListener("abort", () => clearInterval(tell));
    try {
      await navigator.locks.request("usrlocd-stream", { signal: wish.signal }, () => {
        if (wish.signal.aborted) {
          return undefined;
        }
        this.#lead();
        return new Promise((done) => wish.signal.addEventListener("abort", done));
      });
    } catch {
      // This tab is no longer seen: it does not want the stream any more.
    }
  }

  #lead() {
    this.#stream = new Stream(
      (frames) => {
        this.#take(frames);
        this.#pass({ frames });
      },
      (isConnected) => {
        this.#setConnected(isConnected);
        this.#pass({});
      },
      this.#last,
    );
  }

  #leave() {
    this.#wish?.abort();
    this.#wish = null;
    this.#stream?.stop();
    this.#stream = null;
  }

  /** @param {{frames?: Frame[]}} what */
  #pass(what) {
    this.#channel?.postMessage({ ...what, isConnected: this.isConnected, source: this.source });
  }

  /** @param {{ask?: true, frames?: Frame[], isConnected?: boolean | null, source?: any}} said */
  #hear(said) {
    if (said.ask) {
      if (this.#stream) {
        this.#pass({});
      }
      return;
    }
    if (this.#stream || document.hidden || !session.caller) {
      return;
    }
    if (typeof said.isConnected === "boolean") {
      this.#setConnected(said.isConnected);
    }
    if (said.source) {
      this.#setSource(said.source);
    }
    this.#take(said.frames ?? []);
  }

  /** @param {Frame[]} frames */
  #take(frames) {
    const news = frames.filter((frame) => this.#isNews(frame));
    for (const frame of news) {
      this.#last = frame.id ?? this.#last;
      if (frame.type === "mark") {
        told(parsed(frame.at));
      }
      if (frame.source?.state) {
        this.#setSource({ ...frame.source });
      }
      if (frame.type === "bye" && frame.reason !== "shutting_down" && frame.reason !== "slow") {
        void session.look();
      }
      if (frame.type === "directory" || (frame.type === "gap" && LIST_AGAIN.has(frame.cause ?? ""))) {
        this.dispatchEvent(new Event("relist"));
      }
    }
    if (news.length > 0) {
      this.dispatchEvent(new CustomEvent("events", { detail: news }));
    }
  }

  /**
   * Whether a frame is not one that this tab had before the stream changed hands.
   *
   * @param {Frame} frame
   */
  #isNews(frame) {
    if (!frame.id || !this.#last || frame.type === "gap") {
      return true;
    }
    const [log, seq] = frame.id.split("-");
    const [lastLog, lastSeq] = this.#last.split("-");
    return log !== lastLog || Number(seq) > Number(lastSeq) || frame.type === "mark" || frame.type === "synced";
  }

  /** @param {import("../lib/api.js").Source} source */
  #setSource(source) {
    // An event tells the state alone: since when it is so, the former answer knows.
    this.source = source.state === this.source?.state ? { ...this.source, ...source } : source;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {boolean} isConnected */
  #setConnected(isConnected) {
    if (this.isConnected === isConnected) {
      return;
    }
    const wasAway = this.isConnected === false;
    this.isConnected = isConnected;
    this.dispatchEvent(new Event("change"));
    if (isConnected && wasAway) {
      this.dispatchEvent(new Event("relist"));
    }
  }
}

export const live = new Live();
