// What the plugin gives: the code itself is in plugin.js, where tests can reach it.
import { network } from "./plugin.js";

export const mode = network();
