// What the strategy does, with a fake move beneath it: `make test`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { moves } from "../src/plugin.js";

function steps(sameness) {
  const taken = [];
  const samples = [{ transferred: 1n, remaining: 2n }];
  const step = (name, gives) => (...words) => void taken.push(name) ?? gives?.(...words);
  const fake = {
    facts: () => ({ volumes: [{ sameness, disc: false }] }),
    reserve: step("reserve"),
    copyVolumes: step("copyVolumes"),
    precopy: step("precopy", ({ downtimeMs }) => assert.equal(downtimeMs, 500)),
    nextSample: step("nextSample", () => samples.shift()),
    progress: (done, total) => assert.deepEqual([done, total], [1n, 3n]),
    switchOver: step("switchOver", () => "outcome"),
  };
  assert.equal(moves().run(fake, [{ key: "downtime", value: "500" }]), "outcome");
  return taken;
}

test("a guest is sent and handed over", () => {
  const sent = ["precopy", "nextSample", "nextSample", "switchOver"];
  assert.deepEqual(steps("proven"), ["reserve", ...sent]);
  assert.deepEqual(steps("unknown"), ["reserve", "copyVolumes", ...sent]);
});

test("one that is off is not for it", () => {
  assert.deepEqual(moves().check({ power: "running" }), []);
  assert.equal(moves().check({ power: "off", domain: "d" }).length, 1);
});
