// A domain that moves while its guest runs, without waiting for more than one round of its memory.
//
// What each step does, and which may follow which, is in wit/deps/fief-migration.
import { setting, told } from "../fief/fief.js";

/** Whether the target reaches a volume, or never needs it. */
const there = ({ sameness, disc }) => sameness === "proven" || sameness === "claimed" || disc;

function move(migration, settings) {
  migration.reserve();
  if (!migration.facts().volumes.every(there)) migration.copyVolumes();
  const downtimeMs = Number(setting(settings, "downtime"));
  migration.precopy({ downtimeMs, autoConverge: true, channels: 1, compress: false });
  // None: what is left fits the downtime.
  for (let sample; (sample = migration.nextSample()) !== undefined; ) {
    migration.progress(sample.transferred, sample.transferred + sample.remaining, "memory");
  }
  return migration.switchOver();
}

export const moves = () => ({
  check(facts) {
    if (facts.power === "running") return [];
    const [message, remedy] = ["its guest does not run", "choose another strategy"];
    return [{ severity: "blocker", code: "not-running", object: facts.domain, message, remedy }];
  },
  run(migration, settings) {
    try {
      return move(migration, settings);
    } catch (thrown) {
      throw told(thrown);
    }
  },
});
