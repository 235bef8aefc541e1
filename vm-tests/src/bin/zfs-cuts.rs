//! Runs in a guest with ZFS: does what is recorded, and looks at what power cuts leave of it.
//!
//! usage: zfs-cuts record SCENARIO DISK [SCENARIO DISK]...
//!        zfs-cuts replay every|found|CUT MOST SEED PART PARTS DISK SCENARIO LOG [SCENARIO LOG]...

use vm_tests::power_cuts::zfs::replay::replay;
use vm_tests::power_cuts::zfs::scenario::Scenario;
use vm_tests::power_cuts::zfs::{Choice, machine};

fn main() {
    machine::set_up();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["record", rest @ ..] => {
            for (scenario, disk) in pairs(rest) {
                let all = Scenario::ALL.into_iter();
                let mut named = all.filter(|each| each.name() == scenario);
                named.next().expect("the scenario has a name").record(disk);
            }
        }
        ["replay", which, most, seed, part, parts, disk, rest @ ..] => {
            let choice = Choice {
                which: which.parse().unwrap(),
                most: most.parse().unwrap(),
                seed: seed.parse().unwrap(),
                part: part.parse().unwrap(),
                parts: parts.parse().unwrap(),
            };
            for (scenario, log) in pairs(rest) {
                replay(scenario, log, &format!("{disk}1"), &choice);
            }
        }
        _ => panic!("usage: see the source"),
    }
    println!("\ncuts: all done");
}

fn pairs<'a>(args: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    args.chunks(2).map(|pair| (pair[0], pair[1]))
}
