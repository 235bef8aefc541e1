//! trial
use vm_tests::guest::Initrd;
use vm_tests::stories::booted;

#[test]
fn trial() {
    let Some(mut machine) = booted(Initrd::InitramfsTools) else { return };
    for c in [
        "blankroot status",
        "cat /run/blankroot/rollback.json",
        "systemctl --failed",
        "findmnt -t btrfs",
        "journalctl -b -o short-monotonic | grep -i blankroot",
        "cat /persist/etc/blankroot.toml",
        "blankroot doctor",
    ] {
        let a = machine.try_run(c);
        println!("$ {c}\n{}[{}]", a.text, a.status);
    }
    println!("{}", machine.on().console.said());
}
