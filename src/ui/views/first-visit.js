// Nobody is registered: what that means, and what to do next.

import { ask } from "../lib/api.js";
import { append, h } from "../lib/dom.js";
import { link } from "../lib/router.js";
import { session } from "../lib/session.js";
import { finding } from "./health.js";

export function firstVisit() {
  const findings = h("ul", { class: "findings" });
  void fill(findings);
  const commands = session.caller?.commands ?? [];
  return h(
    "section",
    { class: "first", "aria-label": "What to do next" },
    h("h2", null, "Nobody is registered"),
    h("p", null, "usrlocd reads Kamailio's location table, and the table is empty. Phones show up here within a second of registering at Kamailio."),
    h(
      "ol",
      null,
      h("li", null, "Let a phone register at this Kamailio. In write-back mode (db_mode 2) Kamailio writes its table once a minute by default, so wait that long."),
      h("li", null, "If it still is not here, see what is checked below, and the whole of it in ", h("a", { href: link("health") }, "Health"), "."),
      commands.length > 0 ? commands.map((command) => h("li", null, h("code", null, command))) : h("li", null, "On the machine: ", h("code", null, "sudo usrlocd doctor")),
    ),
    findings,
  );
}

/** @param {Element} list */
async function fill(list) {
  try {
    const { data } = await ask("/ui/data/health");
    append(list, data.findings.map(finding));
  } catch {
    append(list, [h("li", null, "The checks are not available now.")]);
  }
}
