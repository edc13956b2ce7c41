// What a person does and sees. The parts share one Kamailio, so each has users of its own. All of them are known before
// the first begins: the browser ends when there are no more.

import "./page/hooks.js";
import "./page/session.js";
import "./page/search.js";
import "./page/hostile.js";
import "./page/flush.js";
import "./page/phone.js";
import "./page/live.js";
import "./page/keyboard.js";
import "./page/views.js";
import "./page/size.js";
import "./page/fleet.js";
import "./page/ways.js";
import "./page/lost.js";
import "./page/large.js";
