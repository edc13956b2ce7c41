// The server's clock, as its answers tell it. The viewer's own may be wrong, and nothing here asks it.

/** Seconds that the server's clock is ahead of `performance.now()`. */
let offset = Number.NaN;

/** An answer that differs by more than this means that a clock was set, or that this machine slept. */
const STEP = 2;

/**
 * Takes note of a moment that the server told as its own now. It was true a little before, so of several the latest
 * counts.
 *
 * @param {number} seconds Unix time
 */
export function told(seconds) {
  if (!Number.isFinite(seconds)) {
    return;
  }
  const seen = seconds - performance.now() / 1000;
  offset = Math.abs(seen - offset) <= STEP ? Math.max(seen, offset) : seen;
}

/** The server's time in Unix seconds; `NaN` before its first answer. */
export function now() {
  return offset + performance.now() / 1000;
}
