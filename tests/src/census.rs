//! What of one host is on the machine. Taken before and after, the difference is what was left behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::Namespace;

/// Lines, each a thing with its kind in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census(BTreeSet<String>);

/// Below the root, what stays on purpose: the record of what was done, and what is kept for next time.
const KEPT: &[&str] = &["audit.jsonl", "host", "cache", "handovers"];
/// A name that stays where it is once it was used. A file to lock says nothing; a lock that is *held* is told by
/// /proc/locks. The folder `leases` says nothing either; what is in it does.
const INERT: &[&str] = &["lock", ".lock", "leases"];

impl Census {
    pub fn take(root: &Path, namespace: &Namespace) -> Census {
        let mut found = BTreeSet::new();
        let mut note = |kind: &str, what: String| {
            found.insert(format!("{kind:<8} {what}"));
        };
        processes(root, namespace).into_iter().for_each(|(pid, words)| note("process", format!("{pid} {words}")));
        for line in namespace.ip("-oneline link show").lines() {
            // "2: fief-lab: <FLAGS> mtu …": the name tells enough, and the rest may change.
            note("link", line.split(": ").nth(1).unwrap_or(line).to_owned());
        }
        for line in namespace.ip("-oneline address show").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            note("address", words.get(1..4).unwrap_or_default().join(" "));
        }
        let rules = namespace.run("nft list ruleset").expect_code(0).stdout;
        rules.lines().filter(|line| line.starts_with("table")).for_each(|line| note("rules", line.to_owned()));
        let root_text = root.to_string_lossy();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts.lines().filter(|line| line.contains(&*root_text)).for_each(|line| note("mount", line.to_owned()));
        let mut inodes = BTreeSet::new();
        files(root, root, &mut inodes, &mut note);
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        for line in locks.lines() {
            // "1: OFDLCK  ADVISORY  WRITE -1 fe:00:131 0 EOF" (proc(5)); `lslocks` reads it the same way.
            let inode = line.split_whitespace().find_map(|word| word.rsplit_once(':')?.1.parse::<u64>().ok());
            if inode.is_some_and(|inode| inodes.contains(&inode)) {
                note("lock", line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
            }
        }
        Census(found)
    }

    /// Without the lines of a process, which may be another by the time of the next.
    #[must_use]
    pub fn without(mut self, process: u32) -> Census {
        let line = format!("process  {process} ");
        self.0.retain(|what| !what.starts_with(&line));
        self
    }

    /// What is in `later` and not here (`+`), and the other way round (`-`); empty where nothing changed.
    pub fn difference(&self, later: &Census) -> String {
        let gone = self.0.difference(&later.0).map(|line| format!("- {line}\n"));
        let new = later.0.difference(&self.0).map(|line| format!("+ {line}\n"));
        gone.chain(new).collect()
    }
}

/// Processes that run in the namespace, or whose words or environment name the root; not we.
pub fn processes(root: &Path, namespace: &Namespace) -> Vec<(u32, String)> {
    let inside = namespace.processes();
    let needle = root.to_string_lossy().into_owned().into_bytes();
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if inside.contains(&pid) || holds(&words) || holds(&environment) {
            let state = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let zombie = state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
            let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let shown = String::from_utf8_lossy(&words).replace('\0', " ");
            let shown: String = shown.chars().take(160).collect();
            let mark = if zombie { " (zombie)" } else { "" };
            found.push((pid, format!("{}{mark}: {shown}", comm.trim())));
        }
    }
    found
}

fn files(root: &Path, directory: &Path, inodes: &mut BTreeSet<u64>, note: &mut impl FnMut(&str, String)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        inodes.insert(metadata.ino());
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        // The numbers of attachments, which never go down, that storage did not answer, which counts for seconds, and what
        // a peer was like the last time.
        let of_pool = name.starts_with("pools/") && (name.ends_with("/holds") || name.ends_with("/away"));
        let of_peer = name.starts_with("peers/") && name.ends_with("/seen.json");
        // What a plugin said, and was at fault over.
        let of_plugin =
            name.starts_with("plugins/") && ["/log", "/log.1", "/strikes"].iter().any(|end| name.ends_with(end));
        if of_pool || of_peer || of_plugin || KEPT.contains(&name.as_str()) {
            continue;
        }
        let kind = metadata.file_type();
        let inert = path.file_name().and_then(|last| last.to_str()).is_some_and(|last| INERT.contains(&last));
        if kind.is_dir() {
            if !inert {
                note("folder", name);
            }
            files(root, &path, inodes, note);
        } else if inert {
        } else if kind.is_socket() {
            note("socket", name);
        } else {
            note("file", name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_what_came_and_what_went() {
        let of = |lines: &[&str]| Census(lines.iter().map(|&line| line.to_owned()).collect());
        assert_eq!(of(&["link lo"]).difference(&of(&["link lo"])), "");
        assert_eq!(of(&["file a"]).difference(&of(&["file b"])), "- file a\n+ file b\n");
    }

    #[test]
    fn a_process_a_link_and_a_socket_are_seen() {
        let root = tempfile::tempdir().unwrap();
        let namespace = Namespace::new();
        let before = Census::take(root.path(), &namespace);
        namespace.ip("link add br7 type bridge");
        let mut child = namespace.command("sleep").arg("60").spawn().unwrap();
        let socket = std::os::unix::net::UnixListener::bind(root.path().join("x.sock")).unwrap();
        let inside = || (!namespace.processes().is_empty()).then_some(());
        crate::eventually("a process in the namespace", std::time::Duration::from_secs(10), inside);
        let told = before.difference(&Census::take(root.path(), &namespace));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(socket);
        for part in ["+ process", "sleep", "+ link     br7", "+ socket   x.sock"] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }
}
