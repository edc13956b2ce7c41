// The server's clock; numbers, times and addresses, as a person reads them.

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

const NUMBER = new Intl.NumberFormat("en");
const TIME = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
});
const SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
});

/** Seconds from year 0, in which Kazoo counts, to 1970. */
const GREGORIAN = 62167219200;

/** @param {number} value */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * A number with its noun.
 *
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/**
 * A span of time to the second.
 *
 * @param {number} seconds
 */
export function exactly(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (h > 0) {
    return `${h} h ${two(m)} min ${two(s)} s`;
  }
  return m > 0 ? `${m} min ${two(s)} s` : `${s} s`;
}

/**
 * A span of time, roughly.
 *
 * @param {number} seconds
 */
export function roughly(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) {
    return `${s} s`;
  }
  if (s < 5400) {
    return `${Math.round(s / 60)} min`;
  }
  if (s < 172800) {
    return `${Math.round(s / 3600)} h`;
  }
  return `${Math.round(s / 86400)} d`;
}

/**
 * A moment: the time of day, and the day where it is not today.
 *
 * @param {number} seconds Unix time
 * @param {boolean} [withSeconds]
 */
export function moment(seconds, withSeconds = false) {
  const date = new Date(seconds * 1000);
  const today = new Date((Number.isNaN(now()) ? seconds : now()) * 1000);
  const time = (withSeconds ? SECONDS : TIME).format(date);
  return date.toDateString() === today.toDateString() ? time : `${DAY.format(date)}, ${time}`;
}

/**
 * A moment in full, for titles.
 *
 * @param {number} seconds Unix time
 */
export function utc(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime())
    ? ""
    : date
        .toISOString()
        .replace("T", " ")
        .replace(/\.\d+Z$/, " UTC");
}

/** @param {string | undefined} text RFC 3339 */
export function parsed(text) {
  return Date.parse(text ?? "") / 1000;
}

/** @param {number} seconds Kazoo's */
export function unix(seconds) {
  return seconds - GREGORIAN;
}

/**
 * An address and its port.
 *
 * @param {string | undefined} ip
 * @param {string | number | undefined} port
 */
export function address(ip, port) {
  if (!ip || ip === "undefined") {
    return "unknown";
  }
  const host = ip.includes(":") && !ip.startsWith("[") ? `[${ip}]` : ip;
  return port === undefined || port === "undefined" ? ip : `${host}:${port}`;
}

/**
 * A list in a sentence.
 *
 * @param {string[]} texts
 * @param {number} most
 */
export function listed(texts, most) {
  const rest = texts.length - most;
  const shown = texts.slice(0, most).join(", ");
  return rest > 0 ? `${shown} and ${number(rest)} more` : shown;
}
