// Keeps what is under the mouse where it is while rows above it come and go: the page is scrolled by as much, and where
// there is nothing to scroll, room is made until the mouse leaves.

/** Whoever has not moved the mouse for so long is not about to click (ms). */
const REST = 3000;

export class Anchor {
  #x = -1;
  #y = -1;
  #movedAt = Number.NEGATIVE_INFINITY;

  /** @param {HTMLElement} body the rows' parent */
  constructor(body) {
    this.body = body;
    body.addEventListener("mousemove", (event) => {
      [this.#x, this.#y, this.#movedAt] = [event.clientX, event.clientY, performance.now()];
    });
    body.addEventListener("mouseleave", () => {
      this.#movedAt = Number.NEGATIVE_INFINITY;
      this.#room(0, 0);
      body.querySelectorAll(".hole").forEach((hole) => hole.remove());
    });
  }

  /** Whether somebody moves the mouse over the rows. */
  get isWatched() {
    return performance.now() - this.#movedAt < REST;
  }

  /** @param {Element} row */
  isOn(row) {
    return this.isWatched && this.#under() === row;
  }

  #under() {
    return document.elementFromPoint(this.#x, this.#y)?.closest("tr") ?? null;
  }

  /**
   * Changes the rows.
   *
   * @param {() => void} change
   */
  hold(change) {
    const row = this.isWatched ? this.#under() : null;
    const before = row?.getBoundingClientRect().top;
    change();
    if (!row?.isConnected || before === undefined) {
      return;
    }
    const moved = row.getBoundingClientRect().top - before;
    if (moved !== 0) {
      this.#scroll(moved);
    }
  }

  /** @param {number} by */
  #scroll(by) {
    const page = document.documentElement;
    const below = page.scrollHeight - page.clientHeight - page.scrollTop;
    if (by > below) {
      this.#room(0, by - below);
    } else if (-by > page.scrollTop) {
      this.#room(-by - page.scrollTop, 0);
    }
    page.scrollBy({ top: by, behavior: "instant" });
  }

  /**
   * @param {number} above
   * @param {number} below
   */
  #room(above, below) {
    const { style } = document.documentElement;
    const isOver = above === 0 && below === 0;
    const add = (/** @type {string} */ name, /** @type {number} */ more) => {
      const had = Number.parseFloat(style.getPropertyValue(name)) || 0;
      style.setProperty(name, isOver ? "0px" : `${had + more}px`);
    };
    add("--above", above);
    add("--below", below);
  }
}
