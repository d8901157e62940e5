// Makes a component of src/app.js, for `fief plugin build`: node fief/build.mjs OUTPUT
import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [, , output] = process.argv;
const { component } = await componentize({
  sourcePath: "src/app.js",
  witPath: "wit",
  worldName: "plugin",
  // WASI is left out: fief's own interfaces are all that there is, and what a plugin may do shows in what it imports.
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(output, component);
