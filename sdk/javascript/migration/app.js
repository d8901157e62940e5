// What the plugin gives: the code itself is in plugin.js, where tests can reach it.
import { moves } from "./plugin.js";

export const strategy = moves();
