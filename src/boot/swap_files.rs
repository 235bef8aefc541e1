//! Swap files in the root. A snapshot shares their blocks, and the kernel takes no swap file whose blocks are
//! shared; while one is in use, no snapshot can be made; and a copy has a hole where there is nothing but
//! zeros, which the kernel does not take either. What there is, is told by fstab(5), units and proc_swaps(5).

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use dirfd::mountinfo::unescape;
use dirfd::{Error, FileType, Result, TreePath};
use rustix::fs;

use crate::boot::init_plan::InitRefusal;
use crate::boot::{fstab, mounts_at_boot};
use crate::host::{HostRoot, is_not_found};

/// A swap file that fstab or a unit names, or that is in use, and that lies in the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SwapFile {
    /// Its path below the root.
    pub(crate) path: TreePath,
    /// The kernel swaps to it.
    pub(crate) in_use: bool,
    /// It is there; one that fstab names may be yet to come.
    pub(crate) is_there: bool,
}

/// Those of a root; what is mounted in it is not it. `host` is whose `/proc` is looked at.
pub(crate) fn find_swap_files(root: &HostRoot, host: &HostRoot) -> Result<Vec<SwapFile>> {
    let failed = |e| Error::io("look for swap files", e);
    let device = fs::fstat(root.as_fd()).map_err(|e| failed(e.into()))?.st_dev;
    let prefix = path_of_open(root.as_fd()).map_err(failed)?;
    let mut found: Vec<SwapFile> = Vec::new();
    let mut add = |swap: SwapFile| match found.iter_mut().find(|there| there.path == swap.path) {
        Some(there) => there.in_use |= swap.in_use,
        None => found.push(swap),
    };
    // Files that are named may be yet to come, and links lead to them.
    let text = fstab::read_fstab(root.as_fd()).map_err(|e| Error::io("read /etc/fstab", e))?;
    for named in parse_fstab_swaps(&text).into_iter().chain(read_unit_swaps(root)?) {
        let Ok(path) = TreePath::parse(&named) else { continue };
        match locate_file(root, &prefix, &path, device).map_err(failed)? {
            Located::InRoot(path) => add(SwapFile { path, in_use: false, is_there: true }),
            Located::Nothing => add(SwapFile { path, in_use: false, is_there: false }),
            Located::Elsewhere => {}
        }
    }
    // Files in use need not be named anywhere: `swapon` takes any.
    let swaps = match host.read("proc/swaps") {
        Ok(text) => text,
        Err(error) if is_not_found(&error) => Vec::new(),
        Err(error) => return Err(Error::io("read /proc/swaps", error)),
    };
    for file in parse_proc_swaps(&swaps) {
        let below = file.strip_prefix(prefix.as_slice()).filter(|rest| rest.starts_with(b"/"));
        // One that is not seen below the root may be reached by another mount of it.
        let (tree, prefix, path) = match below {
            Some(below) => (root, &prefix, below),
            None => (host, &Vec::new(), file.as_slice()),
        };
        let Ok(path) = TreePath::parse(path) else { continue };
        if let Located::InRoot(path) = locate_file(tree, prefix, &path, device).map_err(failed)? {
            add(SwapFile { path, in_use: true, is_there: true });
        }
    }
    found.sort();
    Ok(found)
}

enum Located {
    Nothing,
    /// By its path without links.
    InRoot(TreePath),
    Elsewhere,
}

fn locate_file(
    tree: &HostRoot,
    prefix: &[u8],
    path: &TreePath,
    device: u64,
) -> std::io::Result<Located> {
    let opened = match tree.open_path(path.as_path()) {
        Ok(opened) => opened,
        Err(error) if is_not_found(&error) => return Ok(Located::Nothing),
        Err(error) => return Err(error),
    };
    let stat = fs::fstat(&opened)?;
    // A subvolume has a number of its own, as a file system has.
    if stat.st_dev != device || FileType::from_mode(stat.st_mode) != Some(FileType::File) {
        return Ok(Located::Elsewhere);
    }
    let real = path_of_open(opened.as_fd())?;
    let below = real.strip_prefix(prefix).and_then(|below| TreePath::parse(below).ok());
    Ok(Located::InRoot(below.unwrap_or_else(|| path.clone())))
}

/// The path of what is open, as the kernel names it for this thread, without a slash at its end.
fn path_of_open(fd: BorrowedFd<'_>) -> std::io::Result<Vec<u8>> {
    let link = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    let name = std::fs::read_link(Path::new(&link))?.into_os_string().into_vec();
    Ok(name.strip_suffix(b"/").map(<[u8]>::to_vec).unwrap_or(name))
}

/// The paths of swap files that units name, systemd.swap(5).
fn read_unit_swaps(root: &HostRoot) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for dir in mounts_at_boot::UNIT_DIRS {
        let names = match root.names(dir) {
            Err(error) if is_not_found(&error) => continue,
            names => names.map_err(|e| Error::io(format!("list /{dir}"), e))?,
        };
        for name in names.iter().filter(|name| name.as_encoded_bytes().ends_with(b".swap")) {
            let unit = [dir.as_bytes(), b"/", name.as_encoded_bytes()].concat();
            // One that is masked leads to /dev/null, which is no file.
            let text = root.read(Path::new(OsStr::from_bytes(&unit))).unwrap_or_default();
            found.extend(parse_unit_swap(&text));
        }
    }
    Ok(found)
}

/// The path of the swap file that a unit names; none where it is a device.
fn parse_unit_swap(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let what = lines.find_map(|line| line.strip_prefix(b"What=")).map(<[u8]>::trim_ascii)?;
    (what.starts_with(b"/") && !what.starts_with(b"/dev/")).then(|| what.to_vec())
}

/// The paths of swap files in an fstab.
pub fn parse_fstab_swaps(text: &[u8]) -> Vec<Vec<u8>> {
    let swap = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let source = unescape(fields.next()?).into_owned();
        let is_file = source.starts_with(b"/") && !source.starts_with(b"/dev/");
        (is_file && fields.nth(1)? == b"swap").then_some(source)
    };
    text.split(|&b| b == b'\n').filter_map(swap).collect()
}

/// The paths of swap files in use.
pub fn parse_proc_swaps(swaps: &[u8]) -> Vec<Vec<u8>> {
    let file = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let name = unescape(fields.next()?).into_owned();
        (fields.next()? == b"file").then_some(name)
    };
    swaps.split(|&b| b == b'\n').filter_map(file).collect()
}

/// What to do with one, before the way to make a new one.
pub(crate) fn hint_swap_file(swap: &SwapFile, place: &str) -> String {
    let off = if swap.in_use { format!("`swapoff {}`, ", swap.path) } else { String::new() };
    format!("{off}delete it, and {place}")
}

/// Why blank cannot be made of a root with these.
pub(crate) fn refusals_of_swap(swaps: &[SwapFile], place: &str) -> Vec<InitRefusal> {
    let refusal = |swap: &SwapFile| InitRefusal {
        reason: format!(
            "the swap file {} lies in the root and is in use, so that no snapshot of it can be made",
            swap.path
        ),
        hint: hint_swap_file(swap, place),
    };
    swaps.iter().filter(|swap| swap.in_use).map(refusal).collect()
}

/// What to know of the others before blank is made.
pub(crate) fn warnings_of_swap(swaps: &[SwapFile], place: &str) -> Vec<String> {
    let warning = |swap: &SwapFile| {
        format!(
            "the swap file {} lies in the root, and blank will share its blocks: the kernel does not \
             take it any more then; {}",
            swap.path,
            hint_swap_file(swap, place)
        )
    };
    swaps.iter().filter(|swap| swap.is_there && !swap.in_use).map(warning).collect()
}

/// Why a path cannot be kept that is a swap file, or has one in it.
pub(crate) fn expect_none_in(swaps: &[SwapFile], path: &TreePath, place: &str) -> Result<()> {
    let Some(swap) = swaps.iter().find(|swap| swap.path.is_within(path)) else { return Ok(()) };
    let what = match swap.path == *path {
        true => "it is a swap file".to_string(),
        false => format!("{}, which lies in it, is a swap file", swap.path),
    };
    let why = format!("{what}, and the kernel does not take a copy of one");
    Err(Error::new(format!("keep {path}"), why).hint(hint_swap_file(swap, place)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_unit_names_a_file_or_a_device() {
        assert_eq!(
            parse_unit_swap(b"[Swap]\n What=/swap/a b \nPriority=1\n").unwrap(),
            b"/swap/a b"
        );
        assert_eq!(parse_unit_swap(b"[Swap]\nWhat=/dev/vda2\n"), None);
        assert_eq!(parse_unit_swap(b"[Unit]\nDescription=What=/x\n"), None);
    }

    #[test]
    fn swap_files_are_told_from_devices_and_other_entries() {
        let fstab = b"# /x none swap\n/swap\\040file none swap sw 0 0\n/dev/sda2 none swap\n\
            LABEL=s none swap\n/srv/img /mnt ext4 loop\n\t/swap/b\tswap\tswap\tdefaults\n/c none\n";
        assert_eq!(parse_fstab_swaps(fstab), [b"/swap file".to_vec(), b"/swap/b".to_vec()]);
        let swaps = b"Filename\t\t\t\tType\t\tSize\n/dev/dm-1   partition 1 0 -2\n\
            /a\\040b                         file\t\t8388604\t\t0\t\t-3\n";
        assert_eq!(parse_proc_swaps(swaps), [b"/a b".to_vec()]);
    }

    #[test]
    fn only_files_of_the_root_itself_are_found_by_their_real_paths() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for made in ["etc", "var", "proc"] {
            std::fs::create_dir(at(made)).unwrap();
        }
        std::fs::write(at("var/swap"), "x").unwrap();
        std::fs::write(at("used"), "x").unwrap();
        std::os::unix::fs::symlink("/var", at("link")).unwrap();
        let fstab = "/link/swap none swap\n/later none swap\n/var none swap\n";
        std::fs::write(at("etc/fstab"), fstab).unwrap();
        let swaps = format!("{}/used file 1 0 -2\n/proc/none file 1 0 -3\n", dir.path().display());
        std::fs::write(at("proc/swaps"), swaps).unwrap();
        let root = HostRoot::open(dir.path()).unwrap();
        let found = find_swap_files(&root, &root).unwrap();
        let found: Vec<_> =
            found.iter().map(|swap| (swap.path.to_string(), swap.in_use, swap.is_there)).collect();
        let expected =
            [("/later", false, false), ("/used", true, true), ("/var/swap", false, true)];
        assert_eq!(found, expected.map(|(path, used, there)| (path.to_string(), used, there)));
    }

    #[test]
    fn a_directory_with_a_swap_file_is_not_kept() {
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        let swaps = [SwapFile { path: path("/var/swap"), in_use: true, is_there: true }];
        assert!(expect_none_in(&swaps, &path("/var/swap2"), "x").is_ok());
        for kept in ["/var", "/var/swap"] {
            let error = expect_none_in(&swaps, &path(kept), "make y").unwrap_err().to_string();
            let hint = "hint: `swapoff /var/swap`, delete it, and make y";
            assert!(error.contains(" swap file, and") && error.ends_with(hint), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_fail(bytes: Vec<u8>) {
            prop_assert!(parse_fstab_swaps(&bytes).iter().all(|path| path.starts_with(b"/")));
            let _ = parse_proc_swaps(&bytes);
        }
    }
}
