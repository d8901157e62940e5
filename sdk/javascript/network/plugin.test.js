// What the plugin does: `make test`. What it asked of the host would have a fake here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { network } from "../src/plugin.js";

test("a card is kept from everything unless the operator says otherwise", () => {
  const nic = { domain: "d", index: 0, mac: "52:54:00:00:00:01" };
  for (const value of ["true", "false"]) {
    const port = network().plug({ name: "n", bridge: "b", settings: [{ key: "restricted", value }] }, nic);
    assert.equal(port.val.restricted, value === "true");
  }
  assert.throws(() => network().plug({ settings: [] }, { ...nic, address: "10.0.0.1" }), (said) => said.code.tag === "unsupported");
  assert.deepEqual(network().check(), []);
});
