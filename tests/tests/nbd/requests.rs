//! Requests that are odd or wrong, by hand: our answers beside nbdkit's.

use super::served::{Served, Server, nbdsh, sparse_file};

/// Says one line for each request.
const SCRIPT: &str = r#"
def tell(name, ask):
    try:
        said = ask()
        if isinstance(said, (bytes, bytearray)):
            said = "%d bytes of %s" % (len(said), sorted(set(said)))
        print(name, "->", said)
    except nbd.Error as error:
        print(name, "->", error.errno)

def status(count, offset, flags=0):
    extents = []
    h.block_status(count, offset, lambda context, at, entries, error: extents.append(list(entries)), flags)
    return extents

h.set_strict_mode(0)
size = h.get_size()
tell("write", lambda: h.pwrite(b"a" * 65536, 0))
tell("write unaligned", lambda: h.pwrite(b"b" * 1000, 10))
tell("read unaligned", lambda: h.pread(1002, 9))
tell("read past the end", lambda: h.pread(512, size))
tell("read over the end", lambda: h.pread(512, size - 511))
tell("read nothing", lambda: h.pread(0, 0))
tell("write past the end", lambda: h.pwrite(b"a" * 512, size))
tell("write nothing", lambda: h.pwrite(b"", 0))
tell("trim past the end", lambda: h.trim(512, size))
tell("zero past the end", lambda: h.zero(512, size))
tell("cache past the end", lambda: h.cache(512, size))
tell("flush", lambda: h.flush())
tell("trim", lambda: h.trim(32768, 65536))
tell("trim nothing", lambda: h.trim(0, 4096))
tell("zero nothing", lambda: h.zero(0, 4096))
tell("zero", lambda: h.zero(32768, 98304))
tell("zero, no hole", lambda: h.zero(32768, 131072, nbd.CMD_FLAG_NO_HOLE))
tell("zero, durable", lambda: h.zero(65536, 98304, nbd.CMD_FLAG_FUA))
tell("write, durable", lambda: h.pwrite(b"c" * 512, 0, nbd.CMD_FLAG_FUA))
tell("trim, durable", lambda: h.trim(32768, 65536, nbd.CMD_FLAG_FUA))
tell("cache", lambda: h.cache(4096, 0))
tell("read, unknown flag", lambda: h.pread(512, 0, 1 << 9))
tell("read, in one piece", lambda: h.pread_structured(65536, 0, lambda *part: None, nbd.CMD_FLAG_DF))
tell("write, in one piece", lambda: h.pwrite(b"a" * 512, 0, nbd.CMD_FLAG_DF))
tell("read, one extent", lambda: h.pread(512, 0, nbd.CMD_FLAG_REQ_ONE))
tell("read, durable", lambda: h.pread(512, 0, nbd.CMD_FLAG_FUA))
tell("flush, durable", lambda: h.flush(nbd.CMD_FLAG_FUA))
tell("status", lambda: status(size, 0))
tell("status, one extent", lambda: status(size, 0, nbd.CMD_FLAG_REQ_ONE))
tell("status, unaligned", lambda: status(5000, 100))
tell("status past the end", lambda: status(512, size))
tell("status of nothing", lambda: status(0, 0))
tell("read 32 MiB", lambda: h.pread(32 << 20, 0))
tell("write 32 MiB", lambda: h.pwrite(b"d" * (32 << 20), 0))
tell("read 64 MiB", lambda: h.pread(64 << 20, 0))
tell("write 64 MiB and on", lambda: h.pwrite(b"c" * ((64 << 20) + 1), 0))
tell("read afterwards", lambda: h.pread(512, 0))
"#;

/// Requests whose answers differ: the request, ours, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("write nothing", "EINVAL", "nbdkit says ENOSPC, as if it lay past the end; the protocol leaves it open"),
    ("zero nothing", "EINVAL", "the same"),
    ("status, unaligned", "[[5000, 0]]", "nbdkit tells on past what was asked for, as a server may"),
    ("read 64 MiB", "EINVAL", "our longest request is the 32 MiB that we say and that clients count on"),
];

fn answers(served: &Served) -> Vec<(String, String)> {
    let said = nbdsh(&served.uri(), SCRIPT).expect_code(0);
    let lines = said.stdout.lines().filter_map(|line| line.split_once(" -> "));
    lines.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}

fn compare(ours: &Served, nbdkit: &Served) {
    let (ours, nbdkit) = (answers(ours), answers(nbdkit));
    assert_eq!(ours.len(), SCRIPT.matches("\ntell(").count());
    for ((name, ours), (same_name, nbdkit)) in ours.iter().zip(&nbdkit) {
        assert_eq!(name, same_name);
        match DIFFERENCES.iter().find(|(request, ..)| request == name) {
            Some((_, expected, _)) => assert_eq!(ours, expected, "{name}"),
            None => assert_eq!(ours, nbdkit, "{name}"),
        }
    }
}

#[test]
fn odd_requests_are_answered_as_by_nbdkit() {
    let size = 128 << 20;
    compare(&Served::memory(Server::Ours, size), &Served::memory(Server::Nbdkit, size));
    let directory = tempfile::tempdir().unwrap();
    let files = ["ours", "nbdkit"].map(|name| {
        let path = directory.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        path
    });
    compare(&Served::file(Server::Ours, &files[0]), &Served::file(Server::Nbdkit, &files[1]));
}

#[test]
fn nothing_of_a_read_only_export_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = sparse_file(directory.path());
    let before = std::fs::read(&file).unwrap();
    let served = Served::start(Server::Ours, true, &["file", file.to_str().unwrap()]);
    let script = "h.set_strict_mode(0)\n\
        def tell(ask):\n  try:\n    ask()\n    print('done')\n  except nbd.Error as error:\n    print(error.errno)\n\
        tell(lambda: h.pwrite(b'x' * 512, 0))\ntell(lambda: h.zero(512, 0))\ntell(lambda: h.trim(512, 0))\n\
        tell(lambda: h.flush())\ntell(lambda: h.pread(512, 0))";
    let said = nbdsh(&served.uri(), script).expect_code(0);
    assert_eq!(said.stdout.lines().collect::<Vec<_>>(), ["EPERM", "EPERM", "EPERM", "done", "done"]);
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn many_requests_at_once_on_one_connection_are_all_answered() {
    let served = Served::memory(Server::Ours, 64 << 20);
    let script = "
import random
random.seed(7)
model = bytearray(64 << 20)
pending = []
for number in range(2000):
    length = random.choice([1, 512, 4096, 65536, 1 << 20])
    offset = number * 32768 % (63 << 20)
    data = bytes([number % 251 + 1]) * min(length, 32768)
    model[offset:offset + len(data)] = data
    pending.append(h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset))
    while h.aio_in_flight() > 60:
        h.poll(-1)
for cookie in pending:
    while not h.aio_command_completed(cookie):
        h.poll(-1)
h.flush()
assert h.pread(32 << 20, 0) == model[:32 << 20] and h.pread(32 << 20, 32 << 20) == model[32 << 20:]
print('equal')
";
    let said = nbdsh(&served.uri(), script).expect_code(0);
    assert_eq!(said.stdout.trim(), "equal");
}
