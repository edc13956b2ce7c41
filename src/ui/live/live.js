// What happens, as it happens, for all tabs of a browser: one of them, which is seen, has the stream and passes on what
// it says. Where the browser cannot elect one (Web Locks want TLS or localhost) each tab has its own.

import { address, answers } from "../lib/api.js";
import { parsed, told } from "../lib/format.js";
import { scope } from "../lib/scope.js";
import { session } from "../lib/session.js";
import { Poll } from "./poll.js";

/** The keys of a registration that the page shows as it changes. */
export const FIELDS = [
  "username",
  "realm",
  "account_name",
  "account_realm",
  "user_agent",
  "contact",
  "source_ip",
  "source_port",
  "proxy_protocol",
  "expires_at",
  "granted_expires",
  "permanent",
  "initial_registration",
  "ruid",
];

/** usrlocd sends a mark every 15 s: a connection that is silent for longer is dead. */
const SILENCE = 25_000;

/** The pause before the next attempt: short, since whoever looks waits. */
const PAUSES = [300, 600, 1000, 2000, 3000];

/**
 * @typedef {{type: string, id?: string, at?: string, account_id?: string, account_name?: string, realm?: string,
 *   username?: string, ruid?: string, reason?: string, registration?: any, previous?: any, source?: any, flush?: any,
 *   group?: string, value?: string, lost?: number, of?: number, from?: string, to?: string, cause?: string,
 *   happened_at?: number, stats?: any, replaces?: any, node?: string}} Frame
 */

export class Stream {
  #abort = new AbortController();
  #watchdog = 0;
  #failures = 0;

  /**
   * @param {(frames: Frame[]) => void} onFrames
   * @param {(isConnected: boolean) => void} onConnected
   * @param {string | undefined} last the id after which it goes on
   * @param {() => void} onNone called where there is no stream
   */
  constructor(onFrames, onConnected, last, onNone) {
    this.onNone = onNone;
    this.onFrames = onFrames;
    this.onConnected = onConnected;
    this.last = last;
    void this.#run();
  }

  stop() {
    this.#abort.abort();
    clearTimeout(this.#watchdog);
  }

  async #run() {
    while (!this.#abort.signal.aborted) {
      const wait = await this.#connect();
      if (this.#abort.signal.aborted) {
        return;
      }
      this.onConnected(false);
      const pause = wait ?? PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  /** Reads until the stream ends; how long to wait before the next, if that was said (ms). */
  async #connect() {
    const once = new AbortController();
    const stop = () => once.abort();
    this.#abort.signal.addEventListener("abort", stop);
    try {
      const url = address("/v2/registrations", { watch: "true", fields: FIELDS.join(","), since: this.last });
      this.#listen(once);
      const response = await fetch(url, {
        signal: once.signal,
        cache: "no-store",
      });
      if (!response.ok || !response.body) {
        return this.#refused(response);
      }
      this.#failures = 0;
      this.onConnected(true);
      await this.#read(response.body, once);
    } catch {
      // It could not be reached, or was cut: so the next attempt is made.
    } finally {
      this.#abort.signal.removeEventListener("abort", stop);
      once.abort();
      clearTimeout(this.#watchdog);
    }
    return undefined;
  }

  /** @param {Response} response */
  #refused(response) {
    if (response.status === 401) {
      answers.dispatchEvent(new Event("refused"));
    }
    if (response.status === 400) {
      if (scope.isFleet && !this.last) {
        this.onNone();
      }
      this.last = undefined;
    }
    const after = Number(response.headers.get("Retry-After"));
    return after > 0 ? Math.min(after, 10) * 1000 : undefined;
  }

  /** @param {AbortController} once */
  #listen(once) {
    clearTimeout(this.#watchdog);
    this.#watchdog = window.setTimeout(() => once.abort(), SILENCE);
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortController} once
   */
  async #read(body, once) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      this.#listen(once);
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      const frames = lines.filter(Boolean).map((line) => /** @type {Frame} */ (JSON.parse(line)));
      for (const frame of frames) {
        this.last = frame.id ?? this.last;
      }
      this.onFrames(frames);
    }
  }
}

/** What a gap of these causes left out only a list tells. */
const LIST_AGAIN = new Set(["too_old", "other_log", "overrun", "forgotten"]);

/** Who was away for longer does not hear all that happened (ms). */
const LONG = 60_000;

/** Without a word from the tab that has the stream, it is not there. */
const PATIENCE = 4000;

/** @param {import("../lib/api.js").FleetNode} node */
export const isLive = (node) => node.state === "live" && node.source_state === "live";

class Live extends EventTarget {
  /** @type {import("../lib/api.js").Source | null} */
  source = null;
  /** `null` before the first word. @type {boolean | null} */
  isConnected = null;
  isPaused = false;
  #isOfFleet = false;
  /** @type {Stream | Poll | null} */
  #stream = null;
  /** @type {string | undefined} */
  #last;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {AbortController | null} */
  #wish = null;
  #leftAt = Number.POSITIVE_INFINITY;

  /** Begins as soon as somebody has logged in and looks. */
  start() {
    answers.addEventListener("source", (event) => {
      this.#setSource(/** @type {CustomEvent} */ (event).detail);
      this.#setConnected(true);
    });
    answers.addEventListener("unreachable", () => this.#setConnected(false));
    this.#tune();
    session.addEventListener("change", () => this.#turn());
    for (const type of ["place", "hashchange", "popstate"]) {
      window.addEventListener(type, () => this.#turn());
    }
    document.addEventListener("visibilitychange", () => {
      this.#adjust();
      if (!document.hidden) {
        this.dispatchEvent(new Event("relist"));
      }
    });
    window.addEventListener("pagehide", () => this.#leave());
    window.addEventListener("pageshow", () => this.#adjust());
    this.#adjust();
  }

  /** Whether a flush may be confirmed, since what is shown is what Kamailio has. */
  get isLive() {
    const { state } = this.source ?? { state: "live" };
    // The nodes of a fleet that are not live are known by name, and refuse by themselves.
    return this.isConnected !== false && (state === "live" || (this.#isOfFleet && state === "partial"));
  }

  /** Begins anew where something else is shown. */
  #turn() {
    if (scope.isFleet !== this.#isOfFleet) {
      this.#isOfFleet = scope.isFleet;
      this.#leave();
      this.#last = undefined;
      this.source = null;
      this.#tune();
      this.dispatchEvent(new Event("change"));
    }
    this.#adjust();
  }

  get #name() {
    return this.#isOfFleet ? "-fleet" : "";
  }

  /** Hears the tabs that show the same. */
  #tune() {
    this.#channel?.close();
    this.#channel = "BroadcastChannel" in window ? new BroadcastChannel(`usrlocd-live${this.#name}`) : null;
    this.#channel?.addEventListener("message", ({ data }) => this.#hear(data));
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
      if (performance.now() - this.#leftAt > LONG) {
        // A list tells the same with less than all that happened meanwhile.
        this.#last = undefined;
      }
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
      await navigator.locks.request(`usrlocd-stream${this.#name}`, { signal: wish.signal }, () => {
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
      () => this.#poll(),
    );
  }

  #poll() {
    this.#stream?.stop();
    this.#stream = new Poll(() => {
      this.#pass({ frames: [{ type: "directory" }] });
      this.dispatchEvent(new Event("relist"));
    });
  }

  #leave() {
    this.#leftAt = performance.now();
    this.#wish?.abort();
    this.#wish = null;
    this.#stream?.stop();
    this.#stream = null;
  }

  /** @param {{frames?: Frame[]}} what */
  #pass(what) {
    this.#channel?.postMessage({
      ...what,
      isConnected: this.isConnected,
      source: this.source,
    });
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
    if (this.#isOfFleet) {
      return frame.id !== this.#last;
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
