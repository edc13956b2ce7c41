// The page's entry: it puts the shell in place, and the shell does the rest.

import { App } from "./app.js";

customElements.define("usrlocd-app", App);
