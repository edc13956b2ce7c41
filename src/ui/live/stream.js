// One stream of events from usrlocd, kept up: after an interruption it goes on where it was.

import { answers } from "../lib/api.js";

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
 *   happened_at?: number, stats?: any, replaces?: any}} Frame
 */

export class Stream {
  #abort = new AbortController();
  #watchdog = 0;
  #failures = 0;

  /**
   * @param {(frames: Frame[]) => void} onFrames
   * @param {(isConnected: boolean) => void} onConnected
   * @param {string | undefined} last the id after which it goes on
   */
  constructor(onFrames, onConnected, last) {
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
      const since = this.last ? `&since=${this.last}` : "";
      const url = `/v2/registrations?watch=true&fields=${FIELDS.join(",")}${since}`;
      this.#listen(once);
      const response = await fetch(url, { signal: once.signal, cache: "no-store" });
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
