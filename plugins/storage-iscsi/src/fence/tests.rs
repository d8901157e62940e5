use fief_sdk::ErrorCode;

use super::*;

fn key(host: &str, domain: &str, generation: u64) -> Key {
    Key::of(&Holder { host: host.into(), name: host.into(), domain: domain.into(), generation })
}

fn seen(keys: &[u64], held: Option<u64>) -> Seen {
    Seen { keys: Keys { changes: 7, keys: keys.to_vec() }, held }
}

#[test]
fn a_key_tells_owners_and_generations_apart() {
    let ours = key("a", "web", 5);
    assert_eq!(Key::read(ours.number()), Some(ours));
    assert_eq!(Key::read(0x1234), None);
    assert!(key("a", "web", 4).is_older_than(ours));
    assert!(!key("a", "web", 6).is_older_than(ours));
    assert!(!ours.is_older_than(ours));
    assert!(!key("a", "db", 4).is_older_than(ours));
    assert!(!key("b", "web", 4).is_older_than(ours));
    // Generations come round.
    assert!(key("a", "web", (1 << 24) - 1).is_older_than(key("a", "web", 1 << 24)));
    assert_eq!(ours.holder().generation, 5);
}

#[test]
fn who_may_take_a_unit() {
    let ours = key("a", "web", 5);
    let (older, newer) = (key("a", "web", 4).number(), key("a", "web", 6).number());
    let (other, strange) = (key("b", "web", 1).number(), 0xdead);
    let code = |keys: &[u64], force| claim(&seen(keys, None), ours, force).map_err(|error| error.code);
    assert_eq!(code(&[], false), Ok(vec![]));
    assert_eq!(code(&[ours.number()], false), Ok(vec![]));
    assert_eq!(code(&[older], false), Ok(vec![older]));
    assert_eq!(code(&[newer], false), Err(ErrorCode::WrongState));
    assert_eq!(code(&[newer], true), Err(ErrorCode::WrongState), "force is against other hosts, not against time");
    for held in [other, strange, key("a", "db", 1).number()] {
        assert!(matches!(code(&[held], false), Err(ErrorCode::InUse(_))));
        assert_eq!(code(&[held], true), Ok(vec![held]));
        assert!(claim(&seen(&[], Some(held)), ours, false).is_err(), "a holder without a registration counts");
    }
}

#[test]
fn a_server_goes_on_where_it_held_the_unit_and_nowhere_else() {
    let ours = key("a", "web", 5);
    let number = ours.number();
    assert_eq!(standing(&seen(&[number], Some(number)), ours, Some(7)).unwrap(), Standing::Held);
    // The target was started again: it has forgotten all, and counts from the beginning.
    assert_eq!(standing(&seen(&[], None), ours, Some(9)).unwrap(), Standing::Lapsed);
    assert_eq!(standing(&seen(&[], None), ours, None).unwrap(), Standing::Lapsed);
    // It went on counting: somebody put us out and let go.
    assert!(standing(&seen(&[], None), ours, Some(6)).is_err());
    for other in [key("b", "web", 9), key("a", "web", 6), key("a", "web", 4)] {
        assert!(standing(&seen(&[other.number()], Some(other.number())), ours, Some(7)).is_err());
    }
}
