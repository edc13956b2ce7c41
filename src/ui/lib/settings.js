// What this browser keeps: the colours, and whether single letters are keys. Neither tokens nor data.

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
