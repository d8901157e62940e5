//! Speaks to the operator's terminal: in an error, and in the log.

use fief_sdk::Error;

hostile::list!("hostile-terminal", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    let spell = "\x1b]0;owned\x07\x1b[2J\rerror: all is well\n\u{202e}";
    fief_sdk::error!("{spell}", field = spell);
    eprintln!("{spell}");
    Err(Error::other(spell, spell))
}
