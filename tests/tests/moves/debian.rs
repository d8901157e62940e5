//! A Debian moves to the other host and back, and a TCP connection of its to a third machine goes on: no byte of it is
//! lost, and nobody has to say where the guest is now.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use fief_tests::pair::{At, Net, Pair, Side, address};
use fief_tests::{Terminal, command, eventually, guest, invariants};

/// 20 s on an idle machine, all of it emulated.
const BOOT: Duration = Duration::from_secs(400);
const PATIENCE: Duration = Duration::from_secs(300);
const PORT: u16 = 7000;

/// Says each line back, and counts them; two connections are one too many.
fn echo(pair: &Pair) -> Arc<AtomicU64> {
    let (tell, told) = mpsc::channel();
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pair.third().enter();
            let listener = TcpListener::bind((address(Net::Lan, At::Third), PORT)).unwrap();
            tell.send(()).unwrap();
            std::thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                drop(listener);
                let mut answers = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let number: u64 = line.trim().parse().unwrap();
                    assert_eq!(number, counted.fetch_add(1, Ordering::Relaxed), "lines are lost");
                    writeln!(answers, "{line}").unwrap();
                }
            });
        });
    });
    told.recv().unwrap();
    count
}

#[test]
fn a_connection_of_a_debian_lives_through_a_move_and_back() {
    let mut pair = Pair::new();
    pair.nfs();
    pair.lan();
    pair.a().fief(&["volume", "import", &guest::debian().to_string_lossy(), "nfs-served/debian"]);
    let words = ["create", "debian", "--memory", "256MiB", "--disk", "nfs-served/debian", "--network", "lan"];
    pair.a().fief(&words);
    pair.a().fief(&["start", "debian"]);
    let count = echo(&pair);
    let mut terminal = Terminal::start(pair.a().command(&["console", "debian"]));
    terminal.shows("fief-debian login:", BOOT);
    terminal.types("root\r");
    terminal.shows("root@fief-debian:~#", PATIENCE);
    terminal.types("card=$(ls /sys/class/net | grep -v lo | head -n 1); ip link set $card up\r");
    terminal.types("ip address add 192.0.2.50/24 dev $card && echo addr''essed\r");
    terminal.shows("addressed", PATIENCE);
    // A number, its answer, a tenth of a second; on the disk as well.
    terminal.types(&format!("exec 3<>/dev/tcp/{}/{PORT} && echo conn''ected\r", address(Net::Lan, At::Third)));
    terminal.shows("connected", PATIENCE);
    let each = "echo $i >&3; read -u 3 back; [ \"$back\" = $i ] || break; echo $i > /root/count; sleep 0.1";
    terminal.types(&format!("i=0; while :; do {each}; i=$((i+1)); done\r"));
    let more = |lines: u64| {
        let until = count.load(Ordering::Relaxed) + lines;
        eventually("it speaks", PATIENCE, || (count.load(Ordering::Relaxed) > until).then_some(()));
    };
    more(10);
    for to in [Side::B, Side::A] {
        let mut migrate = pair[to.other()].command(&["migrate", "debian", to.name()]);
        let said = command::run(&mut migrate, PATIENCE).expect_code(0);
        eprintln!("{}", said.stdout);
        invariants::comes_to(&pair, "debian", |side, state| (side, state) == (to, "running"));
        more(10);
    }
    drop(terminal);
    pair.a().fief(&["stop", "debian"]);
    pair.a().fief(&["delete", "debian", "--yes"]);
    pair.a().fief(&["volume", "delete", "nfs-served/debian", "--yes"]);
    pair.is_as_made();
}
