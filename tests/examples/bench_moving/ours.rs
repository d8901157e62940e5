//! By fief.

use fief_tests::Pair;
use fief_tests::pair::Side;

use super::guest::MEMORY;
use super::ticks::{Ticks, until_heard};
use super::{LUN, Took, timed};

const NAME: &str = "bench";

pub fn moves(pair: &Pair, from: Side) -> Took {
    let (here, there) = (&pair[from], &pair[from.other()]);
    let (memory, volume) = (format!("{MEMORY}MiB"), format!("iscsi-native/lun{LUN}"));
    here.fief(&["create", NAME, "--memory", &memory, "--accelerator", "tcg", "--disk", &volume]);
    here.fief(&["start", NAME]);
    let logs = [here, there].map(|host| host.root().join("domains").join(NAME).join("console.log"));
    until_heard(&logs[0]);
    let ticks = Ticks::listen(logs[0].clone(), logs[1].clone());
    let total = timed(|| drop(here.fief(&["migrate", NAME, from.other().name()])));
    let pause = ticks.pause();
    there.fief(&["stop", NAME]);
    there.fief(&["delete", NAME, "--yes"]);
    Took { total, pause }
}
