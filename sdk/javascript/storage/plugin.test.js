// What the plugin does, with a fake host beneath it: `make test`.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { error } from "../fief/fief.js";
import { storage } from "../src/plugin.js";

const pool = { name: "mine", settings: [{ key: "directory", value: "volumes" }] };
const refused = (tag, call) => assert.throws(call, (said) => said.code?.tag === tag);

// A fake host: one directory with images of no bytes, in memory. `failing` is the error of each call from now on.
let sizes, failing, backend;
const fail = (tag) => {
  throw Object.assign(new Error("an error of the host's"), { payload: error(tag, "the fake host says so") });
};
const well = () => failing && fail(failing);
const image = (path) => (sizes.has(path) ? { format: "raw", virtualSize: sizes.get(path), allocated: 0n } : fail("not-found"));
const put = (path, size) => {
  well();
  sizes.set(path, size);
  return image(path);
};
const host = {
  log: { write() {} },
  directories: { names: () => well() ?? [...sizes.keys()] },
  images: {
    inspect: (_, path) => well() ?? image(path),
    create: (_, path, format, size) => put(path, size),
    resize: (_, path, size) => put(path, size),
    delete: (_, path) => void (well() ?? sizes.delete(path)),
  },
};

beforeEach(() => {
  sizes = new Map();
  failing = undefined;
  backend = storage(host);
});

const create = (name, size) => backend.create(pool, { name, size, format: "raw", preallocation: "sparse" });

test("a volume is made, found and deleted", () => {
  assert.equal(create("a", 10n).size, 10n);
  assert.deepEqual(create("a", 10n), backend.find(pool, "a"));
  refused("already-exists", () => create("a", 11n));
  refused("invalid", () => backend.resize(pool, "a", 9n));
  assert.equal(backend.resize(pool, "a", 20n).size, 20n);
  backend.delete(pool, "a");
  backend.delete(pool, "a");
  refused("not-found", () => backend.find(pool, "a"));
});

test("what is no volume is left out", () => {
  sizes = new Map([["a.raw", 1n], ["readme", 2n]]);
  assert.deepEqual(backend.all(pool).map((volume) => volume.name), ["a"]);
});

test("what the host refuses is told as it says it", () => {
  failing = "exhausted";
  refused("exhausted", () => create("a", 10n));
});
