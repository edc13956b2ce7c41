// Keys, and what this browser keeps: the colours, and whether single letters are keys. Neither tokens nor data.
// A view says what a letter does; none does anything while one types, or where letters are switched off.

const PREFIX = "usrlocd-";

/**
 * @param {string} name
 * @param {string} otherwise
 */
export function setting(name, otherwise) {
  try {
    return localStorage.getItem(PREFIX + name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
export function keep(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // A browser that keeps nothing is asked again next time.
  }
}

/** @typedef {Record<string, (event: KeyboardEvent) => void>} Keys */

/** @type {Keys[]} */
const layers = [];

export const letters = {
  get areOn() {
    return setting("letters", "on") === "on";
  },
  /** @param {boolean} areOn */
  set areOn(areOn) {
    keep("letters", areOn ? "on" : "off");
  },
};

/**
 * These keys count until the returned function is called; they win over those that were there before.
 *
 * @param {Keys} keys
 */
export function withKeys(keys) {
  layers.unshift(keys);
  return () => {
    const at = layers.indexOf(keys);
    if (at >= 0) {
      layers.splice(at, 1);
    }
  };
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) {
    return false;
  }
  const isChoice = target instanceof HTMLInputElement && /^(checkbox|radio|button)$/.test(target.type);
  return target.isContentEditable || (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !isChoice);
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
    return;
  }
  if (document.querySelector("dialog[open]")) {
    return;
  }
  const isLetter = event.key.length === 1;
  if (isLetter && (!letters.areOn || isTyping(event.target))) {
    return;
  }
  const action = layers.find((keys) => keys[event.key])?.[event.key];
  action?.(event);
});
