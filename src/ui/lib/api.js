// Asks usrlocd. Every answer sets the server's clock and tells how fresh the source is; a refusal is an `ApiError`.
import { parsed, told } from "./format.js";
import { scope } from "./scope.js";

/**
 * @typedef {{name: string, state: string, source_state: string, rows: number, as_of?: number, unreadable?: true,
 *   version?: string, lag_ms?: number, clock_offset_ms?: number}} FleetNode
 * @typedef {{state: string, as_of?: number, lag_ms?: number, nodes?: FleetNode[], suspect?: boolean}} Source
 * @typedef {{data: any, next_start_key?: string, oldest?: string, timestamp?: string, source?: Source, message?: string,
 *   error?: string, status?: string, request_id?: string, node?: string, revision?: string}} Envelope
 * @typedef {{data: any, envelope: Envelope, headers: Headers, isUnchanged?: boolean}} Answer
 * @typedef {{method?: string, query?: Record<string, string | number | undefined>, body?: unknown, signal?: AbortSignal,
 *   requestId?: string, etag?: string}} Options
 */

/** What the answers have in common: `source` with each one's, `refused` when there is no session. */
export const answers = new EventTarget();

/** usrlocd said no, or said nothing. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where it could not be reached
   * @param {string} message
   * @param {any} [data]
   * @param {number} [retryAfter] seconds
   */
  constructor(status, message, data, retryAfter) {
    super(message);
    this.status = status;
    this.data = data;
    this.retryAfter = retryAfter;
  }
}

/** Where the API is: a proxy may have all of it below a path of its own. */
const ROOT = location.pathname.replace(/\/ui\/.*$/, "");

/**
 * A path with its query, as the browser is to ask for it. What a shell or a reader could take for something else is escaped.
 *
 * @param {string} path
 * @param {Record<string, string | number | undefined>} [query]
 */
export function address(path, query = {}) {
  const all = path.startsWith("/v2/") ? { ...query, scope: scope.parameter } : query;
  const pairs = Object.entries(all).filter(([, value]) => value !== undefined && value !== "");
  const text = pairs.map(([key, value]) => `${key}=${escaped(String(value))}`).join("&");
  return ROOT + (text ? `${path}?${text}` : path);
}

/** @param {string} text */
export function escaped(text) {
  const strict = (/** @type {string} */ c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text.toWellFormed()).replace(/['()!*]/g, strict);
}

/**
 * Asks for something.
 *
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function ask(path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  if (options.etag) {
    headers["If-None-Match"] = options.etag;
  }
  if (options.requestId) {
    headers["X-Request-ID"] = options.requestId;
  }
  /** @type {Response} */
  let response;
  /** @type {string} */
  let text;
  try {
    response = await fetch(address(path, options.query), {
      method: options.method ?? "GET",
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      cache: "no-store",
    });
    text = await response.text();
  } catch (error) {
    if (options.signal?.aborted) {
      throw error;
    }
    answers.dispatchEvent(new Event("unreachable"));
    throw new ApiError(0, "usrlocd cannot be reached.");
  }
  return read(response, text, path.startsWith("/ui/"));
}

/**
 * @param {Response} response
 * @param {string} text
 * @param {boolean} isOfPage whether the page alone asks for it, and not the API's callers
 * @returns {Answer}
 */
function read(response, text, isOfPage) {
  /** @type {Envelope} */
  let envelope = { data: null };
  try {
    envelope = text ? JSON.parse(text) : envelope;
  } catch {
    // A proxy's page, or a plain 404: its status says enough.
  }
  told(envelope.timestamp ? parsed(envelope.timestamp) : parsed(response.headers.get("Date") ?? ""));
  if (envelope.message === "fleet_unreachable") {
    envelope.source = { state: "unavailable", nodes: envelope.data.nodes };
  } else if (scope.isFleet || envelope.data?.fleet === "only") {
    // Whatever is not an answer of the fleet tells of this process alone.
    envelope.source = response.ok && !isOfPage ? envelope.source : undefined;
  }
  if (envelope.source) {
    answers.dispatchEvent(new CustomEvent("source", { detail: envelope.source }));
  }
  if (response.status === 304) {
    return { data: null, envelope, headers: response.headers, isUnchanged: true };
  }
  if (response.ok) {
    return { data: envelope.data, envelope, headers: response.headers };
  }
  if (response.status === 401) {
    answers.dispatchEvent(new Event("refused"));
  }
  const after = Number(response.headers.get("Retry-After")) || undefined;
  throw new ApiError(response.status, reason(response.status, envelope), envelope.data, after);
}

/**
 * Why not, in words.
 *
 * @param {number} status
 * @param {Envelope} envelope
 */
function reason(status, envelope) {
  /** @type {Record<string, string>} */
  const known = {
    kamailio_unreachable: "Kamailio cannot be reached over JSON-RPC.",
    kamailio_timeout: "Kamailio did not answer in time.",
    datastore_unreachable: "Kamailio's table has never been read since usrlocd started.",
    fleet_unreachable: "The fleet's database cannot be reached. Each node goes on for itself.",
    too_many_requests: "Too many requests. Wait a moment.",
    invalid_credentials: "The token is wrong, was revoked, or has expired.",
    forbidden: "This token may not do that.",
  };
  const message = envelope.message ?? "";
  return known[message] ?? detail(envelope.data) ?? (message || `usrlocd answered ${status}.`);
}

/**
 * The first sentence in an error's data.
 *
 * @param {any} data
 * @returns {string | undefined}
 */
function detail(data) {
  if (typeof data === "string") {
    return data || undefined;
  }
  if (data === null || typeof data !== "object" || Array.isArray(data)) {
    return undefined;
  }
  if (typeof data.message === "string") {
    return data.message;
  }
  for (const value of Object.values(data)) {
    const found = detail(value);
    if (found) {
      return found;
    }
  }
  return undefined;
}

/** An id for a request, as usrlocd makes them. */
export function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
