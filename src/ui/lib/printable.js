// Text that phones and callers send, made so that a person sees every character of it. The same characters are escaped
// as on the command line (src/terminal.rs).

const UNSEEN = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180e\\u200b-\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}" +
    "\\u{e0000}-\\u{e0fff}\\ud800-\\udfff]",
  "gu",
);

/**
 * The text with an escape, as `\u{202e}`, for each character that is not seen as itself.
 *
 * @param {string} text
 */
export function printable(text) {
  return text.replace(UNSEEN, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);
}
