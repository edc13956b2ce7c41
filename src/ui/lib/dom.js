// Builds elements. Whatever goes in as text stays text: there are text nodes and attributes here, and no markup; and of
// what phones and callers send a person sees every character.

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

const SVG = "http://www.w3.org/2000/svg";

/** Links lead within the page, or to a download of ours. */
const OWN_LINK = /^(#|\/(?!\/)|blob:)/;

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, unknown>} Props */

/**
 * An HTML element. A property that is a function listens to the event of its name; `true` is an attribute without a
 * value; `false`, `null` and `undefined` are none.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  fill(element, props ?? {}, children);
  return element;
}

/**
 * An SVG element.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, props ?? {}, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Props} props
 * @param {(Child | Child[])[]} children
 */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") {
      element.addEventListener(name, /** @type {EventListener} */ (value));
    } else {
      attribute(element, name, value);
    }
  }
  append(element, children);
}

/**
 * Sets an attribute, or takes it away.
 *
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (/^(on|style$|srcdoc$|src$)/.test(name)) {
    throw new TypeError(`${name} is not an attribute that this page sets`);
  }
  if (name === "href" && !OWN_LINK.test(text)) {
    throw new TypeError("a link leads within the page");
  }
  const shown = printable(text);
  if (element.getAttribute(name) !== shown) {
    element.setAttribute(name, shown);
  }
}

/**
 * Appends elements and texts.
 *
 * @param {Element} element
 * @param {(Child | Child[])[]} children
 */
export function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) {
      continue;
    }
    element.append(child instanceof Node ? child : printable(String(child)));
  }
}

/**
 * Puts these in the place of what an element holds.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * Sets an element's text, if it differs.
 *
 * @param {Element} element
 * @param {string | number} text
 * @returns {boolean} whether it did
 */
export function setText(element, text) {
  const shown = printable(String(text));
  if (element.textContent === shown) {
    return false;
  }
  element.textContent = shown;
  return true;
}

/**
 * Text that somebody else wrote, isolated from the direction of what stands around it.
 *
 * @param {string} text
 * @param {string} [className]
 */
export function foreign(text, className) {
  return h("bdi", { class: className }, text);
}
