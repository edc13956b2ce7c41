// The shell: who looks, where one goes, and what is fresh; in it, one view.

import { keep, setting, withKeys } from "./lib/keys.js";
import { ApiError } from "./lib/api.js";
import { append, attribute, h, replace } from "./lib/dom.js";
import { icon } from "./lib/icons.js";
import { go, link, place, views } from "./lib/router.js";
import { scope } from "./lib/scope.js";
import { session } from "./lib/session.js";
import { showHelp } from "./dialogs/dialog.js";
import { Badge } from "./live/badge.js";
import { live } from "./live/live.js";
import { Accounts } from "./views/accounts.js";
import { Flapping } from "./views/flapping.js";
import { Flushes } from "./views/flushes.js";
import { Health } from "./views/health.js";
import { Login } from "./views/login.js";
import { Nodes } from "./views/nodes.js";
import { Overview } from "./views/overview.js";
import { Phone } from "./views/phone.js";
import { Registrations } from "./views/registrations.js";

/** @typedef {import("./views/view.js").View} View */

/** @type {Record<string, new () => View>} */
const CLASSES = {
  overview: Overview,
  registrations: Registrations,
  accounts: Accounts,
  flapping: Flapping,
  flushes: Flushes,
  health: Health,
  nodes: Nodes,
  phone: Phone,
  login: Login,
};

for (const [name, View] of Object.entries(CLASSES)) {
  customElements.define(`usrlocd-${name}`, View);
}

/** After `g`. @type {Record<string, string>} */
const LETTERS = {
  o: "overview",
  n: "nodes",
  r: "registrations",
  a: "accounts",
  l: "flapping",
  u: "flushes",
  h: "health",
};

const THEMES = ["auto", "dark", "light"];

class App extends HTMLElement {
  main = h("main", { id: "main", tabindex: -1 });
  nav = h("nav", { "aria-label": "Views" });
  who = h("div", { class: "who" });
  banner = h("p", { class: "banner", hidden: true });
  /** @type {View | null} */
  #view = null;
  #shown = "";
  #said = "";
  #isOfFleet = false;
  /** When `g` was pressed. */
  #going = 0;

  connectedCallback() {
    attribute(document.documentElement, "data-theme", setting("theme", "auto"));
    const badge = new Badge();
    const skip = h(
      "a",
      {
        href: "#main",
        class: "skip",
        click: (/** @type {Event} */ event) => this.#skip(event),
      },
      "Skip to the content",
    );
    const help = h("button", { type: "button", class: "quiet-button", click: showHelp }, icon("help"), "Keys");
    const theme = h("button", {
      type: "button",
      class: "quiet-button",
      click: () => this.#turnTheme(theme),
    });
    this.#nameTheme(theme);
    const brand = h("p", { class: "brand" }, icon("flapping"), "usrlocd");
    const rail = h(
      "header",
      { class: "rail" },
      brand,
      this.nav,
      h("div", { class: "rail-end" }, theme, help, this.who),
    );
    append(this, [
      skip,
      rail,
      h(
        "div",
        { class: "content" },
        h("section", { class: "top", "aria-label": "Freshness" }, badge.element, this.banner),
        this.main,
      ),
    ]);
    this.#listen();
    live.start();
    void this.#begin();
  }

  #listen() {
    window.addEventListener("hashchange", () => this.#go());
    window.addEventListener("popstate", () => this.#go());
    window.addEventListener("place", () => this.#go());
    session.addEventListener("change", () => this.#go(true));
    live.addEventListener("change", () => this.#showBanner());
    withKeys({
      "?": () => showHelp(),
      p: () => session.caller && live.pause(!live.isPaused),
      g: () => (this.#going = performance.now()),
      ...Object.fromEntries(Object.entries(LETTERS).map(([letter, name]) => [letter, () => this.#jump(name)])),
    });
  }

  async #begin() {
    try {
      await session.start();
    } catch (error) {
      const message = error instanceof ApiError ? error.message : String(error);
      replace(
        this.main,
        h("h1", null, "usrlocd"),
        h("p", { class: "refusal" }, message),
        h("p", null, "Trying again …"),
      );
      setTimeout(() => void this.#again(), 2000);
    }
  }

  async #again() {
    try {
      await session.look();
    } catch {
      setTimeout(() => void this.#again(), 2000);
    }
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    this.main.focus();
  }

  /** @param {HTMLElement} button */
  #turnTheme(button) {
    const next = THEMES[(THEMES.indexOf(setting("theme", "auto")) + 1) % THEMES.length] ?? "auto";
    keep("theme", next);
    attribute(document.documentElement, "data-theme", next);
    this.#nameTheme(button);
  }

  /** @param {HTMLElement} button */
  #nameTheme(button) {
    replace(button, icon("theme"), `Colours: ${setting("theme", "auto")}`);
  }

  /** @param {string} view */
  #jump(view) {
    if (performance.now() - this.#going < 1500 && session.caller) {
      this.#going = 0;
      go(link(view));
    }
  }

  /** @param {boolean} [isAnew] whoever looks may do other things now */
  #go(isAnew = false) {
    if (!session.isKnown) {
      return;
    }
    const to = place();
    const isThere = to.view === "phone" || views().some(([view]) => view === to.view);
    const name = session.caller ? (isThere ? to.view : (views()[0]?.[0] ?? "")) : "login";
    const isSame = this.#shown === name && this.#view !== null && this.#isOfFleet === scope.isFleet;
    if (isSame && !isAnew) {
      this.#view?.show(to);
    } else {
      this.#open(name, isAnew);
    }
    const title = this.#view?.heading ?? "";
    document.title = `${title} · usrlocd`;
    this.#showBanner();
  }

  /**
   * @param {string} name
   * @param {boolean} isAnew
   */
  #open(name, isAnew) {
    document
      .querySelectorAll("dialog[open]")
      .forEach((dialog) => dialog instanceof HTMLDialogElement && dialog.close());
    const View = CLASSES[name] ?? Overview;
    this.#isOfFleet = scope.isFleet;
    const wasShown = this.#shown;
    this.#view = new View();
    this.#shown = name;
    this.classList.toggle("outside", name === "login");
    replace(this.main, this.#view);
    this.#showNavigation(name);
    scrollTo({ top: 0 });
    const heading = this.#view.querySelector("h1");
    if (wasShown && !isAnew && name !== "login" && heading) {
      heading.focus({ preventScroll: true });
    }
  }

  /** @param {string} name */
  #showNavigation(name) {
    const links = views().map(([view, title]) => {
      const isHere = view === name || (view === "registrations" && name === "phone");
      return h(
        "li",
        null,
        h(
          "a",
          {
            href: link(view),
            "aria-current": isHere ? (name === "phone" ? "true" : "page") : null,
          },
          icon(view),
          title,
        ),
      );
    });
    const focused = this.nav.contains(document.activeElement) ? document.activeElement?.getAttribute("href") : null;
    replace(this.nav, session.caller ? h("ul", null, links) : null);
    if (focused) {
      [...this.nav.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
    }
    const { caller } = session;
    const rights = caller && !session.mayFlush ? " (reads only)" : "";
    const where = caller?.fleet === "only" ? "for the fleet" : `on ${caller?.node}`;
    replace(
      this.who,
      caller?.fleet === "too" && this.#switch(name),
      caller && h("p", { class: "quiet" }, `${caller.name}${rights} ${where}`),
      caller &&
        caller.via !== "socket" &&
        h(
          "button",
          {
            type: "button",
            class: "quiet-button",
            click: () => void session.logOut(),
          },
          icon("leave"),
          "Log out",
        ),
    );
  }

  /**
   * The way from this node to the fleet and back.
   *
   * @param {string} name
   */
  #switch(name) {
    const view = name === "registrations" || name === "accounts" || name === "flapping" ? name : "";
    const way = (/** @type {string} */ value, /** @type {string} */ words) =>
      h(
        "a",
        { href: link(view, [], { scope: value }), "aria-current": scope.isFleet === (value !== "") ? "true" : null },
        words,
      );
    return h(
      "p",
      { class: "switch", role: "group", "aria-label": "Show" },
      way("", "This node"),
      way("fleet", "The fleet"),
    );
  }

  #help() {
    return this.#isOfFleet
      ? h("a", { href: link("nodes") }, "See Nodes")
      : h("a", { href: link("health") }, "See Health");
  }

  /** What is to be known before anything on the page is believed. */
  #showBanner() {
    const state = live.source?.state;
    const why =
      live.isConnected === false
        ? "Not connected to usrlocd. What is shown is the last that was known; it goes on by itself as soon as usrlocd is back."
        : this.#isOfFleet
          ? ofFleet()
          : state === "stale"
            ? "Kamailio's table cannot be read, so what is shown is the last that was known. Flushing is off."
            : state === "unavailable"
              ? "Kamailio's table has never been read since usrlocd started."
              : "";
    this.banner.hidden = why === "" || !session.caller;
    if (this.#said !== why) {
      this.#said = why;
      replace(this.banner, why, why && live.isConnected !== false ? this.#help() : null);
    }
    this.main.classList.toggle("not-live", why !== "");
  }
}

/** The same of a fleet. */
function ofFleet() {
  const { state, suspect } = live.source ?? {};
  return state === "unavailable"
    ? "The fleet's database cannot be reached, so what is shown is the last that was known. Each node goes on for itself."
    : state === "stale"
      ? "No node of the fleet is live, so what is shown is the last that was known. Flushing is off."
      : suspect
        ? "Many nodes stopped publishing within seconds: suspect the fleet's database or the network rather than the nodes."
        : "";
}

customElements.define("usrlocd-app", App);
