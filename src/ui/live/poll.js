// Looks again and again where there is no stream of what happens.

import { ask } from "../lib/api.js";

const PAUSE = 2000;

export class Poll {
  #revision = "";
  #isAsking = false;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.timer = setInterval(() => void this.#look(), PAUSE);
    void this.#look();
  }

  stop() {
    clearInterval(this.timer);
  }

  async #look() {
    if (this.#isAsking) {
      return;
    }
    this.#isAsking = true;
    try {
      const { envelope } = await ask("/v2/registrations/count");
      if (this.#revision && this.#revision !== envelope.revision) {
        this.onChange();
      }
      this.#revision = envelope.revision ?? "";
    } catch {
      // Whoever listens to answers knows.
    }
    this.#isAsking = false;
  }
}
