//! What the next boot starts, and the one after it: kernels without their modules, and an initrd of blank
//! that cannot know the configuration.

use std::os::fd::AsFd;

use backends::View;
use dirfd::{Error, FileType, Result, TreePath};
use rustix::fs;

use crate::boot::fstab;
use crate::boot::kernels::{
    self, HINT_BEFORE_REBOOT, Kernel, Kernels, LOADER_DIRS, WHY_MODULES_MATTER,
};
use crate::config::DEFAULT_FILE;
use crate::doctor::checks;
use crate::doctor::entries::Mounts;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::machine_facts::{Facts, Lies};
use crate::doctor::next_tree::{self, Look, Tomorrow};
use crate::doctor::sources::{Sources, tree_path};
use crate::host::is_not_found;

pub(crate) fn check(facts: &Facts) -> Vec<Finding> {
    let kernels = &facts.kernels;
    let lost = kernels.lost().map(|kernel| {
        let (what, hint) = (kernels.describe_lost(kernel), kernels.hint_of_lost());
        Finding::new(&checks::KERNEL_MODULES, Severity::Danger, what, WHY_MODULES_MATTER, hint)
    });
    let losing = kernels.losing().map(|kernel| {
        let what = kernels.describe_losing(kernel);
        Finding::new(
            &checks::KERNEL_MODULES,
            Severity::Danger,
            what,
            WHY_MODULES_MATTER,
            HINT_BEFORE_REBOOT,
        )
    });
    lost.into_iter().chain(losing).chain(older_initrd(facts)).collect()
}

fn older_initrd(facts: &Facts) -> Option<Finding> {
    let initrd = facts.blank.as_ref()?.older_initrd.as_ref()?;
    Some(Finding::new(
        &checks::BLANK_INITRD,
        Severity::Warning,
        format!("the newest initrd in blank, {initrd}, is older than the configuration in blank"),
        "an initrd has a copy of the configuration; from the boot after the next one on, this one is started, \
         and restores nothing, or by an older configuration",
        "make the initrd anew, and then a new blank that has it",
    ))
}

// Which kernels may be started, and who has modules for them; and blank's own initrd, where `/boot` is a
// part of the root.

/// Where modules are; one leads to the other in most systems.
const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];
/// How the names of initrds begin.
const INITRDS: [&str; 3] = ["initrd", "initramfs", "booster"];

/// Looks for kernels and their modules. `None` of it where each system brings its own modules (NixOS).
pub(crate) fn gather(
    sources: &Sources<'_>,
    mounts: &Mounts,
    tomorrow: &Tomorrow<'_>,
) -> Result<Kernels> {
    let failed = |e| Error::io("look for kernels and their modules", e);
    let has = |name: &str| sources.root.has(name).map_err(failed);
    if tomorrow.blank.is_none() || has("etc/NIXOS")? || has("run/current-system")? {
        return Ok(Kernels::default());
    }
    let fstab = fstab::parse_entries(&fstab::read_fstab(sources.root.as_fd()).map_err(failed)?);
    // What is not mounted hides nothing, and shows nothing either.
    let is_there = |place: &&str| match mounts.type_at(&tree_path(place)) {
        Some(fs_type) => fs_type != b"autofs",
        None => fstab.iter().all(|entry| entry.point != tree_path(place)),
    };
    let places: Vec<&str> = LOADER_DIRS.into_iter().filter(is_there).collect();
    let kernel = |release: String, what: String| -> Result<Kernel> {
        let now = has_modules(|dir| names_now(sources, dir), &release)?;
        let after = has_modules(|dir| tomorrow.names(dir), &release)?;
        Ok(Kernel { release, what, now, after })
    };
    let installed = kernels::find_kernels(sources.root, &places).map_err(failed)?;
    let installed =
        installed.into_iter().map(|one| kernel(one.release, format!("the kernel {}", one.file)));
    let running = running_kernel(sources)?;
    let mut in_blank = Vec::new();
    for dir in MODULES {
        for name in
            tomorrow.names(&tree_path(dir))?.into_iter().filter_map(|name| name.into_string().ok())
        {
            if !in_blank.contains(&name) && has_modules(|dir| tomorrow.names(dir), &name)? {
                in_blank.push(name);
            }
        }
    }
    Ok(Kernels {
        installed: installed.collect::<Result<_>>()?,
        loads_modules: running.as_ref().is_some_and(|(_, loads)| *loads),
        running: running
            .map(|(release, _)| kernel(release, "the running kernel".to_string()))
            .transpose()?,
        in_blank,
    })
}

/// The running kernel, where it is this root's, and whether it has loaded modules.
fn running_kernel(sources: &Sources<'_>) -> Result<Option<(String, bool)>> {
    let failed = |e| Error::io("look at the running kernel", e);
    let same =
        |one: &fs::Stat, other: &fs::Stat| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    let stat = |fd| fs::fstat(fd).map_err(|e| failed(e.into()));
    // From a rescue medium one looks at another system's root.
    if !same(&stat(sources.root.as_fd())?, &stat(sources.host.as_fd())?) {
        return Ok(None);
    }
    // A container has its own root and another's kernel.
    for sign in ["run/systemd/container", "run/.containerenv", ".dockerenv"] {
        if sources.host.has(sign).map_err(failed)? {
            return Ok(None);
        }
    }
    let read = |file: &str| match sources.host.read(file) {
        Ok(text) => Ok(text),
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    };
    let release = crate::boot::kernel_image::first_word(&read("proc/sys/kernel/osrelease")?);
    let loads = !read("proc/modules")?.trim_ascii().is_empty();
    Ok(release.map(|release| (release, loads)))
}

/// What an uninstalled kernel leaves behind is a directory without these.
fn has_modules(
    names: impl Fn(&TreePath) -> Result<Vec<std::ffi::OsString>>,
    release: &str,
) -> Result<bool> {
    for dir in MODULES {
        let names = names(&tree_path(dir).join(release.as_bytes()))?;
        if names.iter().any(|name| name == "modules.dep" || name == "kernel") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn names_now(sources: &Sources<'_>, dir: &TreePath) -> Result<Vec<std::ffi::OsString>> {
    match sources.root.names(dir.as_path()) {
        Err(error) if is_not_found(&error) => Ok(Vec::new()),
        names => names.map_err(|e| Error::io(format!("list {dir}"), e)),
    }
}

/// The newest initrd of blank, if it was made before the configuration that blank holds, of which it should
/// have a copy. What an initrd holds is packed, so that its time is all that is cheap to look at.
pub(crate) fn find_older_initrd(mounts: &Mounts, blank: &View) -> Result<Option<TreePath>> {
    let (tree, boot) = (blank.as_fd(), tree_path("boot"));
    if mounts.lies(&boot) != Lies::InLive {
        return Ok(None);
    }
    let time = |path: &TreePath| -> Result<Option<i64>> {
        let Look::Seen(seen) = next_tree::look_up_in_tree(tree, path)? else { return Ok(None) };
        let failed = |e: rustix::io::Errno| Error::io(format!("look at {path} in blank"), e);
        let is_file = seen.node.file_type == FileType::File && seen.stat.facts.size > 0;
        Ok(is_file.then_some(fs::fstat(&seen.fd).map_err(failed)?.st_mtime))
    };
    let Some(configured) = time(&tree_path(DEFAULT_FILE))? else { return Ok(None) };
    let names = match next_tree::look_up_in_tree(tree, &boot)? {
        Look::Seen(seen) if seen.node.file_type == FileType::Dir => {
            let dir = next_tree::open_dir(tree, &boot);
            let names = dir.and_then(|dir| next_tree::list_names(dir.as_fd(), 1000));
            names.map_err(|e| Error::io("list /boot in blank", e))?
        }
        _ => Vec::new(),
    };
    let mut newest: Option<(i64, TreePath)> = None;
    for name in names.into_iter().filter_map(|name| name.into_string().ok()) {
        // Kernels for an emergency and for a crash have initrds that restore nothing.
        if !INITRDS.iter().any(|start| name.starts_with(start))
            || ["rescue", "fallback", "kdump"].iter().any(|other| name.contains(other))
        {
            continue;
        }
        let file = boot.join(name.as_bytes());
        if let Some(made) = time(&file)?
            && newest.as_ref().is_none_or(|(before, _)| *before < made)
        {
            newest = Some((made, file));
        }
    }
    Ok(newest.filter(|(made, _)| *made < configured).map(|(_, file)| file))
}
