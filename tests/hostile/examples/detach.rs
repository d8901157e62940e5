//! Behaves until the domain lets go of its volume, and fails then.

hostile::detach!("hostile-detach", detach);

fn detach(_: &HostilePool, name: &str) -> fief_sdk::Result<()> {
    panic!("will not let go of {name}");
}
