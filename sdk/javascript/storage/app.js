// What the plugin gives, with the host that is there: the code itself is in plugin.js, where tests can reach it.
import * as directories from "fief:storage/directories@0.1.0";
import * as images from "fief:storage/images@0.1.0";
import * as log from "fief:types/log@0.1.0";
import { storage } from "./plugin.js";

export const backend = storage({ directories, images, log });
