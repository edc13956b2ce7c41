// After each test nothing has gone wrong in any tab, and after all of them the browser ends.

import assert from "node:assert/strict";
import { after, afterEach } from "node:test";
import { close, complaints } from "../lab.js";

afterEach(() => assert.deepEqual(complaints.splice(0), []));
after(close);
