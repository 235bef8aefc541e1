//! The kernel command line, and the one to write where it names the root by number. The first line
//! of the input is live's name. What follows a whole line does not change how it is read; a
//! corrected parameter names live and no number.
#![no_main]

use blankroot::boot::command_line::{BootRequest, CommandLine};
use blankroot::boot::next_root::correct_root_flags;
use dirfd::TreeName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|&b| b == b'\n').unwrap_or(input.len());
    let (name, line) = input.split_at(split);
    let read = CommandLine::parse(line);
    assert!(read.resume.as_deref().is_none_or(|v| !v.is_empty() && v != b"none"));
    check_end(line, &read);
    let (Some(flags), Ok(live)) = (&read.root_flags, TreeName::new(name)) else { return };
    let Some(subvolid) = read.root_flag(b"subvolid") else { return };
    assert!(!subvolid.contains(&b','));
    check_correction(flags, &live);
});

/// More words behind the last one are read as they would be alone.
fn check_end(line: &[u8], read: &CommandLine) {
    let open_quote = line.iter().filter(|&&b| b == b'"').count() % 2 == 1;
    let init = line.windows(2).any(|two| two == b"--");
    if open_quote || init {
        return;
    }
    let more = CommandLine::parse(&[line, b" x blankroot=halt resume=none noresume\n"].concat());
    let expected = CommandLine {
        asked: Some(BootRequest::Halt),
        resume: None,
        no_resume: true,
        ..read.clone()
    };
    assert_eq!(more, expected);
    let init = CommandLine::parse(&[line, b" -- blankroot=halt root=x noresume"].concat());
    assert_eq!(init, *read);
}

fn check_correction(flags: &[u8], live: &TreeName) {
    let corrected = correct_root_flags(flags, live);
    assert!(!corrected.contains(char::is_control), "{corrected:?}");
    // A quote or a comma in a name cannot be written.
    let name = live.as_bytes();
    if flags.contains(&b'"') || name.iter().any(|b| b"\",".contains(b)) {
        return;
    }
    let again = CommandLine::parse(corrected.as_bytes());
    assert_eq!(again.root_flag(b"subvolid"), None, "{corrected:?}");
    let plain = |bytes: &[u8]| {
        std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| c.is_ascii_graphic()))
    };
    if plain(flags) && plain(name) {
        let named = flags.split(|&b| b == b',').any(|option| option.starts_with(b"subvol="));
        if !named {
            assert_eq!(again.root_flag(b"subvol"), Some(name), "{corrected:?}");
        }
        let others = |flags: &[u8]| -> Vec<Vec<u8>> {
            let is_other = |option: &&[u8]| !option.starts_with(b"subvol");
            flags.split(|&b| b == b',').filter(is_other).map(<[u8]>::to_vec).collect()
        };
        let corrected = again.root_flags.unwrap_or_default();
        assert_eq!(others(&corrected), others(flags));
    }
}
