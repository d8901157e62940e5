// Settings and errors: what plugins in JavaScript need beside the interfaces.

/** The value of a setting, as a text; empty where the operator left it out. */
export function setting(settings, key) {
  return settings.find((setting) => setting.key === key)?.value ?? "";
}

/** What a function throws that fails: `throw error("not-found", "there is no such volume")`. */
export function error(tag, message) {
  return { code: { tag }, message, retry: { tag: "never" } };
}

/** The error of the host's that a call of one of its functions threw; what is none of its errors goes on as it is. */
export function told(thrown) {
  const said = thrown?.payload ?? thrown;
  if (said?.code?.tag === undefined) throw thrown;
  return said;
}
