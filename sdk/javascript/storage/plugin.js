// Volumes are files in a directory that the operator granted, one each: `NAME.raw`.
//
// What each function is for, when it is called and what an error means is in wit/deps/fief-storage.
import { error, setting, told } from "../fief/fief.js";

const ENDING = ".raw";

const directory = (pool) => setting(pool.settings, "directory");
const volume = (name, size) => ({ name, size, format: "raw" });

export function storage({ directories, images, log }) {
  /** What a function of the host's gives; what it throws is thrown on as the error that it says. */
  const asked = (ask) => {
    try {
      return ask();
    } catch (thrown) {
      throw told(thrown);
    }
  };
  const names = (pool) => asked(() => directories.names(directory(pool), ""));

  const find = (pool, name) => {
    try {
      return volume(name, images.inspect(directory(pool), name + ENDING).virtualSize);
    } catch (thrown) {
      const said = told(thrown);
      throw said.code.tag === "not-found" ? error("not-found", `there is no volume ${name} in pool ${pool.name}`) : said;
    }
  };
  /** The same, and nothing where there is none. */
  const look = (pool, name) => {
    try {
      return find(pool, name);
    } catch (said) {
      if (said?.code?.tag === "not-found") return undefined;
      throw said;
    }
  };

  return {
    info(pool) {
      names(pool);
      // What says that two pools are the same storage. Another host's directory holds other files.
      return { identity: `directory:${directory(pool)}`, reachableFromPeers: false, maxName: 200 };
    },
    all(pool) {
      const found = [];
      for (const name of names(pool).filter((name) => name.endsWith(ENDING))) {
        try {
          // One that was deleted since it was listed is none.
          found.push(look(pool, name.slice(0, -ENDING.length)));
        } catch (said) {
          // One that cannot be read does not hide the others.
          log.write("warn", "left out of the list", [["name", name], ["cause", String(said.message)]]);
        }
      }
      return found.filter((volume) => volume !== undefined);
    },
    find,
    create(pool, { name, size, format, preallocation }) {
      if (format !== "raw") throw error("unsupported", "volumes are raw here");
      const there = look(pool, name);
      // The same call may come twice: then the volume is there already.
      if (there?.size === size) return there;
      if (there) throw error("already-exists", `volume ${name} is there, with ${there.size} bytes`);
      // What changes something is asked of the host: it undoes it where this call fails later on.
      const image = asked(() => images.create(directory(pool), name + ENDING, format, size, preallocation, undefined));
      return volume(name, image.virtualSize);
    },
    delete(pool, name) {
      // One that is absent is deleted.
      asked(() => images.delete(directory(pool), name + ENDING));
    },
    resize(pool, name, size) {
      const before = find(pool, name).size;
      if (size < before) throw error("invalid", `volume ${name} has ${before} bytes, and does not shrink`);
      return volume(name, asked(() => images.resize(directory(pool), name + ENDING, size)).virtualSize);
    },
    attach(pool, name, access) {
      find(pool, name);
      if (access === "handover") throw error("unsupported", "no other host reaches this directory");
      return { tag: "file", val: { directory: directory(pool), path: name + ENDING, format: "raw" } };
    },
    detach() {},
  };
}
