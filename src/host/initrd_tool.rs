//! What makes a root's initrd.

use std::path::Path;

/// Programs, and the command that makes every initrd of the root anew.
const TOOLS: [(&str, &str); 3] = [
    ("usr/sbin/update-initramfs", "update-initramfs -u"),
    ("usr/bin/mkinitcpio", "mkinitcpio -P"),
    ("usr/bin/dracut", "dracut --force --regenerate-all"),
];

/// The command for the root at `root`; `None` where it has none of those that are known.
pub fn initrd_tool(root: &Path) -> Option<&'static str> {
    let there = |(program, _): &&(&str, &str)| root.join(program).is_file();
    TOOLS.iter().find(there).map(|(_, command)| *command)
}
