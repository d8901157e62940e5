// Cards that reach nothing: each guest has a network of its own, inside its hypervisor.
//
// What each function is for, when it is called and what an error means is in wit/deps/fief-network.
import { error, setting } from "../fief/fief.js";

export const network = () => ({
  /** There is nothing to build. A bridge would be asked of the host here. */
  up() {},
  plug(network, nic) {
    if (nic.address !== undefined) throw error("unsupported", `nobody here gives out ${nic.address}`);
    return { tag: "user", val: { forwards: [], restricted: setting(network.settings, "restricted") === "true" } };
  },
  check: () => [],
});
