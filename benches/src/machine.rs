//! Describes the machine, so that figures can be told from those of another.

use std::fs;
use std::path::Path;

use crate::measure::Measured;

/// One line for the processor, the memory, the kernel and the programs each, in Markdown.
pub fn description(blankroot: &Path) -> String {
    let date = chrono::Utc::now().format("%Y-%m-%d");
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let system = rustix::system::uname();
    let kernel = format!(
        "{} {} {}",
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    );
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let programs = [
        version(blankroot, "--version"),
        version(Path::new("btrfs"), "--version"),
        version(Path::new("rsync"), "--version"),
        version(Path::new("snapper"), "--version"),
        version(Path::new("find"), "--version"),
    ];
    format!(
        "- {date}, {}, {cores} cores, {} of memory\n- {kernel}; load before the first measurement: \
         {load}\n- {}\n- the disk images are files in `{}`, on {}\n",
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into()),
        memory(),
        programs.join(", "),
        std::env::temp_dir().display(),
        holder(),
    )
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib = kib.and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or("an unknown amount".into(), |kib| format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

/// The kind of file system that holds the images, as `statfs` numbers it.
fn holder() -> String {
    match rustix::fs::statfs(std::env::temp_dir()) {
        Ok(stat) => match stat.f_type {
            0x9123_683e => "btrfs".into(),
            0xef53 => "ext4".into(),
            0x5846_5342 => "xfs".into(),
            0x0102_1994 => "tmpfs".into(),
            0x794c_7630 => "overlayfs".into(),
            other => format!("a file system of type {other:#x}"),
        },
        Err(error) => format!("an unknown file system ({error})"),
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// The first line of what the program says about itself, without what follows its number.
fn version(program: &Path, argument: &str) -> String {
    let output = Measured::new(program, [argument]).output().unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    let words = text.lines().next().unwrap_or_default().split_whitespace();
    let words: Vec<&str> =
        words.filter(|word| !matches!(*word, "version" | "(GNU" | "findutils)")).take(2).collect();
    words.join(" ")
}
