use super::*;
use crate::gate::operation::ImageFormat;

/// Counts, so that every name that it makes can be foreseen.
struct Counting(u8);

impl domain::Identity for Counting {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0.into())
    }
    fn mac(&mut self) -> crate::types::MacAddress {
        self.0 += 1;
        crate::types::MacAddress::for_guest([0, 0, self.0])
    }
}

const WEB: &str = r#"
    name = "web1"
    memory = "64MiB"
    protected = true
    [autostart]
    [[disk]]
    volume = "default/system"
    [[disk]]
    volume = "default/tools"
    device = "cdrom"
    [[disk]]
    volume = "fast/data"
    [[card]]
    network = "lab"
    mac = "52:54:00:00:00:05"
    address = "10.0.0.5"
    [[card]]
    network = "lab"
    mac = "52:54:00:00:00:77"
"#;

#[test]
fn what_must_not_be_the_same_twice_is_not() {
    // The fourth thing that it makes would be the first card's address, which is taken.
    let source = domain::parse(WEB.as_bytes(), "web1", &mut Counting(100)).unwrap();
    let facts = VolumeFacts { name: "x".into(), size: 1, allocated: None, format: ImageFormat::Raw, backing: None };
    let part = |index, from: &str, to: &str| Part {
        index,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        facts: facts.clone(),
    };
    let parts = [part(0, "default/system", "default/web2"), part(2, "fast/data", "fast/web2-2")];
    let (made, notes) = another(&source, &"web2".parse().unwrap(), &parts, &mut Counting(4));
    let volumes: Vec<String> = made.disks.iter().map(|disk| disk.volume.to_string()).collect();
    assert_eq!(volumes, ["default/web2", "default/tools", "fast/web2-2"]);
    let macs: Vec<String> = made.cards.iter().map(|card| card.mac.to_string()).collect();
    assert_eq!(macs, ["52:54:00:00:00:06", "52:54:00:00:00:07"]);
    assert!(made.cards[0].address.is_none() && !made.protected && made.autostart.is_none());
    assert!(![source.uuid, source.generation_id].contains(&made.uuid));
    assert!(![source.uuid, source.generation_id, made.uuid].contains(&made.generation_id));
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!((made.memory, made.boot), (source.memory, source.boot));
}

#[test]
fn volumes_are_named_after_the_new_domain() {
    let name = "web2".parse().unwrap();
    let names: Vec<String> = (0..3).map(|place| volume_name(&name, place).unwrap().to_string()).collect();
    assert_eq!(names, ["web2", "web2-2", "web2-3"]);
}
