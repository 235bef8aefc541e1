//! Makes the disk of a guest whose root is on ZFS: where there is ZFS, in the smallest guest.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;

use crate::cache::artefact;
use crate::console::quoted;
use crate::cpio;
use crate::guest::{Guest, Initrd, in_namespace, read};
use crate::minimal::Minimal;
use crate::qemu::Disk;
use crate::stories::LIFE;

/// Makes what it is made of.
const PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/zfs-root");
/// What unpacking a system into an emulated pool may take.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Bytes of the disk.
const DISK: u64 = 4 << 30;
/// Bytes of a sector, and how many there are before the partition.
const SECTOR: u64 = 512;
const BEFORE: u32 = 2048;
/// The passphrase of an encrypted pool.
pub const PASSPHRASE: &str = "open-sesame";

/// The datasets that those have who erase their darlings, with the tree in them.
const FILL: &str = "
zfs create -o mountpoint=none rpool/local
zfs create -o mountpoint=none rpool/safe
zfs create -o mountpoint=legacy rpool/local/root
zfs create -o mountpoint=legacy rpool/safe/persist
mount -t zfs rpool/local/root /mnt
tar xf /dev/vdb -C /mnt
mount -t zfs rpool/safe/persist /mnt/persist
for each in proc sys dev; do mount --bind /$each /mnt/$each; done
";
/// Tells what the initrd has to know, and leaves the pool to the next machine.
const CLOSE: &str = "
set +x
echo 'config: begin'
base64 /mnt/etc/blankroot.toml
echo 'config: end'
grep -o ' /mnt[^ ]*' /proc/mounts | sort -r | xargs -n 1 umount
zpool export rpool
";

/// A disk with the pool `rpool`, in which the README's `commands` have set Blankroot up; all but those
/// that install a package or make an initrd. Kept paths are in their places, and it has been used since.
pub fn make(
    suite: &str,
    initrd: Initrd,
    is_encrypted: bool,
    deb: &Path,
    commands: &[String],
) -> PathBuf {
    let parts = parts(suite, initrd, deb);
    let commands: Vec<&str> =
        commands.iter().map(String::as_str).filter(|line| line.starts_with("blankroot ")).collect();
    let create = match is_encrypted {
        false => "zpool create -O mountpoint=none rpool /dev/vda1".to_string(),
        // Fewer rounds than usual: an emulated processor takes minutes for those.
        true => format!(
            "echo {PASSPHRASE} | zpool create -O mountpoint=none -O encryption=on \
             -O keyformat=passphrase -O keylocation=prompt -O pbkdf2iters=100000 rpool /dev/vda1"
        ),
    };
    let script = format!(
        "set -ex\nmkdir -p /mnt /etc\nln -s /proc/self/mounts /etc/mtab\n{create}\n{FILL}\
         chroot /mnt /bin/sh -ex <<'END'\n{}\nblankroot apply\n{LIFE}\nEND\n{CLOSE}",
        commands.join("\n")
    );
    let name = format!("{suite}-{}-zfs{}", initrd.name(), if is_encrypted { "-key" } else { "" });
    let inputs = [script.as_bytes(), parts.as_os_str().as_encoded_bytes()];
    artefact(&name, &inputs, |dir| {
        let disk = dir.join("disk.raw");
        partitioned(&disk, DISK);
        let disks = vec![Disk::Raw(disk), Disk::Raw(parts.join("tree.tar"))];
        let said = Minimal::with_zfs(suite).patient(PATIENCE).run(&script, disks);
        print!("{}", quoted(&said));
        let plain = read(parts.join("initrd"));
        let whole = cpio::with_file(plain, "etc/blankroot.toml", &config(&said));
        fs::write(dir.join("initrd"), whole).unwrap();
        fs::copy(parts.join("vmlinuz"), dir.join("vmlinuz")).unwrap();
    })
}

fn parts(suite: &str, initrd: Initrd, deb: &Path) -> PathBuf {
    let (base, zfs) = (Guest::debian(suite, initrd).dir, Minimal::with_zfs(suite));
    let [base, zfs] = [base.as_os_str(), zfs.dir().as_os_str()];
    let inputs = [base.as_encoded_bytes(), zfs.as_encoded_bytes(), &read(deb), &read(PARTS)];
    artefact(&format!("{suite}-{}-zfs-parts", initrd.name()), &inputs, |dir| {
        let initrd = initrd.name().as_ref();
        in_namespace(&[PARTS.as_ref(), dir.as_os_str(), base, zfs, deb.as_os_str(), initrd]);
    })
}

/// The configuration that the machine has told.
fn config(said: &str) -> Vec<u8> {
    let (_, told) = said.rsplit_once("config: begin").expect("the configuration is told");
    let (told, _) = told.split_once("config: end").expect("all of the configuration is told");
    let text: String = told.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("it is base64")
}

/// A disk with one partition, so that ZFS, which would wait for udev, need not make one.
pub(crate) fn partitioned(disk: &Path, size: u64) {
    let mut file = File::create(disk).unwrap();
    let sectors = u32::try_from(size / SECTOR).unwrap() - BEFORE;
    // The first entry of an MBR: places in cylinders say nothing, 0xbf is the type that ZFS uses.
    let mut table = [0; SECTOR as usize];
    table[446..454].copy_from_slice(&[0, 0xfe, 0xff, 0xff, 0xbf, 0xfe, 0xff, 0xff]);
    table[454..458].copy_from_slice(&BEFORE.to_le_bytes());
    table[458..462].copy_from_slice(&sectors.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all(&table).unwrap();
    file.set_len(size).unwrap();
}
