// What a person does and sees. The parts share one Kamailio, so each has users of its own.

import assert from "node:assert/strict";
import { after, afterEach } from "node:test";
import { close, complaints } from "./lab.js";

afterEach(() => assert.deepEqual(complaints.splice(0), []));
after(close);

await import("./page/session.js");
await import("./page/search.js");
await import("./page/hostile.js");
await import("./page/flush.js");
await import("./page/phone.js");
await import("./page/live.js");
await import("./page/keyboard.js");
await import("./page/views.js");
await import("./page/size.js");
