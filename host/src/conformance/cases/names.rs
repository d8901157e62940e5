//! The longest and the strangest names that the host lets through.

use crate::conformance::bench::{Bench, SIZE};
use crate::conformance::expect::{Result, fail};
use crate::conformance::{Case, Run};
use crate::sandbox::protocol::StorageCall;
use crate::types::VolumeName;

pub(super) const CASES: &[Case] = &[
    Case {
        id: "names-longest",
        what: "names as long as info says are kept whole, and longer ones are refused and not cut",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "two volumes whose names differ at the end would be one, and the second guest would write to the first one's disk",
        needs: None,
        run: Run::Storage(longest),
    },
    Case {
        id: "names-strange",
        what: "names that look like files, formats, numbers or each other are different volumes",
        rule: "One volume; `not-found` where there is none of that name.",
        why: "a volume would hide another, or be deleted with it",
        needs: None,
        run: Run::Storage(strange),
    },
];

fn longest(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    let most = bench.max_name;
    // Alike but for the last letter.
    let begun = bench.name();
    let long = |last: &str, length: usize| {
        let mut name = begun.clone();
        name.extend(std::iter::repeat_n('n', length.saturating_sub(name.len() + last.len())));
        name.truncate(length - last.len());
        name + last
    };
    let names = [long("a", most), long("b", most)];
    for name in &names {
        bench.owns(name);
        bench.create(name, SIZE, format).volume()?;
    }
    for name in &names {
        bench.find(name).volume()?;
    }
    let all = bench.ask(StorageCall::All).volumes()?;
    if let Some(name) = names.iter().find(|name| !all.iter().any(|one| one.name == **name)) {
        return fail("all", format!("a volume with a name of {most} bytes"), format!("no {name}"));
    }
    bench.delete(&names[0]).nothing()?;
    bench.find(&names[0]).refused_with(&["not-found"])?;
    bench.find(&names[1]).volume()?;
    if most < VolumeName::MOST {
        let name = long("a", most + 1);
        bench.owns(&name);
        let asked = bench.create(&name, SIZE, format);
        match asked.said.is_ok() {
            // More than it promised is no harm, where it is that volume.
            true => bench.find(&name).volume().map(drop),
            false => asked.refused_with(&["invalid", "unsupported"]),
        }?;
    }
    Ok(())
}

fn strange(bench: &mut Bench) -> Result<()> {
    let format = bench.format()?;
    // Bytes that the storage's own names may be made of.
    let begun = bench.name();
    let ends = [
        "",
        ".",
        "..",
        ".raw",
        ".qcow2",
        ".img",
        ".RAW",
        "-",
        "--",
        "+",
        "+x",
        "_",
        "A",
        "a",
        ".tmp",
        ".new",
        ".lock",
        ".fence",
        ".lease",
        "-snapshot",
        ".0",
        "0",
        "00",
        ".raw.raw",
    ];
    let mut made = Vec::new();
    for end in ends {
        let name = format!("{begun}{end}");
        if name.len() > bench.max_name || made.contains(&name) {
            continue;
        }
        bench.owns(&name);
        let asked = bench.create(&name, SIZE, format);
        match asked.said.is_ok() {
            true => {
                asked.volume()?;
                made.push(name);
            }
            // A storage may not have all names; then it says so.
            false => asked.refused_with(&["invalid", "unsupported", "already-exists"])?,
        }
    }
    for name in &made {
        bench.find(name).volume()?;
    }
    let all = bench.ask(StorageCall::All).volumes()?;
    for name in &made {
        match all.iter().filter(|one| one.name == *name).count() {
            1 => {}
            count => return fail("all", format!("{name} once"), format!("it is there {count} times")),
        }
    }
    // One goes after the other, and none with another.
    while let Some(name) = made.pop() {
        bench.delete(&name).nothing()?;
        bench.find(&name).refused_with(&["not-found"])?;
        for other in &made {
            let found = bench.find(other);
            if found.said.is_err() {
                return found.fails(format!("{other}, after {name} alone was deleted"));
            }
        }
    }
    Ok(())
}
