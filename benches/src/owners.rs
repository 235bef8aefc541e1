//! Whose the paths of a Debian server are: how long the join takes beside `dpkg-query -S`, and on how many paths
//! cruft-ng, installed in the same tree, names the same owner.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use dirfd::private_namespace::PrivateNamespace;
use serde_json::Value;
use support::kernel::create_subvolume;
use vm_tests::guest::Guest;
use vm_tests::stories::SUITE;

use crate::field::Field;
use crate::measure::{Measured, median, seconds};
use crate::owners_judged::{Judgement, Right};
use crate::table::Row;
use crate::{Options, Result, say};

/// Paths that are changed.
const CHANGES: usize = 2_000;
/// 30 ms, where `dpkg-query` takes 27.5, of one tree's lists alone.
const LIMIT: f64 = 1.1;
/// The share of owners, in percent, that cruft-ng may tell otherwise.
const DIFFERING: usize = 5;
/// The join is a difference of two times, so that it is taken this many times as often as others.
const TIMES_AS_OFTEN: usize = 5;

/// The system as it was installed, and what it is compared with so that each of its paths is told.
const SERVER: &str = "server";
const EMPTY: &str = "empty";
/// The same as blank, and live with the changes.
const BLANK: &str = "blank";
const LIVE: &str = "live";

/// What cruft-ng says of links of alternatives(7) in place of a package.
const ALTERNATIVES: &str = "ALTERNATIVES";
/// What is left as it is, so that nothing is in the way of dpkg.
const DPKG: &str = "/var/lib/dpkg/";
/// Copies the root on the disk `$0` to `$1`.
const COPY: &str = "at=$(mktemp -d) && mount -o loop,ro,subvol=root \"$0\" \"$at\" && cp -a \"$at/.\" \"$1\" && \
                    umount \"$at\" && rmdir \"$at\"";
/// Runs cruft-ng's program that tells of owners, of static paths too, in the system at `$0`.
const CPIGS: &str = "mount --rbind /proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" cpigs -C";

/// Compares and measures; also returns what cruft-ng tells otherwise.
pub fn measure(options: &Options, namespace: &PrivateNamespace) -> Result<(Vec<Row>, String)> {
    let field = build(namespace)?;
    say("owners of all paths of a server, by us and by cruft-ng");
    let paths = Paths::read(options, &field)?;
    let compared = compare(&paths)?;
    let mut rows = vec![join(options, &field, &paths)?];
    rows.extend(compared.rows());
    Ok((rows, compared.text()))
}

fn build(namespace: &PrivateNamespace) -> Result<Field<'_>> {
    say("making a server with cruft-ng, unless it is in the cache");
    let disk = Guest::server_with_cruft_ng(SUITE).file("disk.raw");
    let mut field = Field::new(namespace)?;
    for tree in [EMPTY, SERVER] {
        create_subvolume(&field.tree(tree))?;
    }
    let copy = ["-ec".as_ref(), Path::new(COPY), &disk, &field.tree(SERVER)];
    Measured::new(Path::new("/bin/sh"), copy).output()?;
    field.snapshot(SERVER, BLANK, true)?;
    field.snapshot(BLANK, LIVE, false)?;
    field.remount()?;
    Ok(field)
}

fn diff(
    options: &Options,
    field: &Field<'_>,
    trees: [&str; 2],
    words: &[&str],
) -> Result<Measured> {
    let [live, blank] = trees;
    let config = field.config(live, blank)?;
    let args = ["diff", "--format", "json"].iter().chain(words).map(AsRef::as_ref);
    let args = args.chain(["--config".as_ref(), config.as_os_str()]);
    Ok(Measured::new(&options.blankroot, args))
}

/// How long it takes to tell the owners of the changes, by `diff` with owners less `diff` without.
fn join(options: &Options, field: &Field<'_>, paths: &Paths) -> Result<Row> {
    let in_live = |path: &str| field.tree(LIVE).join(path.trim_start_matches('/'));
    // A hard link's other names would change with it.
    let is_alone =
        |path: &str| fs::symlink_metadata(in_live(path)).is_ok_and(|found| found.nlink() == 1);
    let may_change = |path: &&String| !path.starts_with(DPKG) && is_alone(path);
    let files: Vec<&String> = paths.files.iter().filter(may_change).collect();
    let changed = (0..CHANGES).map(|number| files[number * files.len() / CHANGES]);
    for path in changed.clone() {
        let path = in_live(path);
        let mode = fs::metadata(&path)?.permissions().mode();
        fs::set_permissions(&path, Permissions::from_mode(mode ^ 1))?;
    }
    field.sync()?;
    let with = diff(options, field, [LIVE, BLANK], &["--by", "owner"])?;
    let without = diff(options, field, [LIVE, BLANK], &[])?;
    let found: Value = serde_json::from_slice(&with.output()?)?;
    if found["summary"]["total"] != CHANGES {
        return Err(
            format!("diff told {} changes, not {CHANGES}", found["summary"]["total"]).into()
        );
    }
    let database = format!("--admindir={}", field.tree(LIVE).join("var/lib/dpkg").display());
    let args = [database.as_str(), "-S"].into_iter().chain(changed.map(String::as_str));
    // Its status is 1 where a path is in no list.
    let peer = Measured::new(Path::new("dpkg-query"), args).may_end_with(1);
    say("diff with owners and without, and `dpkg-query -S`");
    let (mut joins, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds * TIMES_AS_OFTEN {
        // The first of each finds cold caches, and does not count.
        let warm = |command: &Measured| command.run().and_then(|_| command.run());
        let (with, without) = (warm(&with)?, warm(&without)?);
        joins.push(with.time.as_secs_f64() - without.time.as_secs_f64());
        peers.push(warm(&peer)?);
    }
    let what = format!("owners of {CHANGES} changes in a tree of {} packages", paths.sources.len());
    let peer = ("`dpkg-query -S`", seconds(&peers));
    Ok(Row::times(&what, median(joins), peer, LIMIT))
}

/// What we and cruft-ng tell of the paths of the server.
struct Paths {
    /// All files.
    files: Vec<String>,
    /// Our exact and directory owners, by path.
    ours: HashMap<String, OurOwner>,
    /// Path, owner, and whether it is in a list of dpkg, by cruft-ng.
    theirs: Vec<(String, String, bool)>,
    /// Each package's source.
    sources: HashMap<String, String>,
    /// Links of alternatives(7), for which cruft-ng names no package, each with that of the chosen file, by dpkg.
    chosen: HashMap<String, String>,
}

enum OurOwner {
    Package(String),
    Unit(String),
    User(String),
}

impl Paths {
    fn read(options: &Options, field: &Field<'_>) -> Result<Self> {
        let document = diff(options, field, [SERVER, EMPTY], &["--by", "owner"])?.output()?;
        let document: Value = serde_json::from_slice(&document)?;
        let (mut files, mut ours) = (Vec::new(), HashMap::new());
        for change in document["changes"].as_array().ok_or("diff told no changes")? {
            // Others are in base64.
            let Some(path) = change["path"]["text"].as_str() else { continue };
            if change["type"] == "file" {
                files.push(path.to_string());
            }
            let owner = &change["owner"];
            let name = owner["name"].as_str().unwrap_or_default().to_string();
            let owner = match (owner["certainty"].as_str(), owner["kind"].as_str()) {
                (Some("exact" | "directory"), Some("package")) => OurOwner::Package(name),
                (Some("exact" | "directory"), Some("unit")) => OurOwner::Unit(name),
                (Some("exact" | "directory"), Some("user")) => OurOwner::User(name),
                _ => continue,
            };
            ours.insert(path.to_string(), owner);
        }
        let server = field.tree(SERVER);
        let shell = ["--mount", "/bin/sh", "-ec", CPIGS]
            .map(Path::new)
            .into_iter()
            .chain([server.as_path()]);
        let told = Measured::new(Path::new("unshare"), shell).output()?;
        let theirs = String::from_utf8_lossy(&told).lines().filter_map(row_of_cpigs).collect();
        let database = format!("--admindir={}", server.join("var/lib/dpkg").display());
        let format = "--showformat=${Package}\\t${source:Package}\\n";
        let packages =
            Measured::new(Path::new("dpkg-query"), [&database, "-W", format]).output()?;
        let sources = String::from_utf8_lossy(&packages);
        let sources = sources.lines().filter_map(|line| line.split_once('\t'));
        let sources = sources.map(|(name, source)| (name.to_string(), source.to_string()));
        let theirs: Vec<_> = theirs;
        let chosen = chosen(
            &server,
            &database,
            theirs.iter().filter(|row| row.1 == ALTERNATIVES).map(|row| &*row.0),
        )?;
        Ok(Self { files, ours, theirs, sources: sources.collect(), chosen })
    }

    fn source<'a>(&'a self, package: &'a str) -> &'a str {
        self.sources.get(package).map_or(package, String::as_str)
    }

    /// The packages of units by the names of their files.
    fn packages_of_units(&self) -> HashMap<&str, &str> {
        let units = self.theirs.iter().filter(|(path, _, _)| path.starts_with("/usr/lib/systemd/"));
        units
            .filter_map(|(path, package, _)| Some((path.rsplit_once('/')?.1, &**package)))
            .collect()
    }
}

/// The packages, by dpkg, of the files that links of alternatives lead to.
fn chosen<'a>(
    server: &Path,
    database: &str,
    links: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, String>> {
    let target = |link: &str| {
        let target = fs::read_link(server.join(link.trim_start_matches('/'))).ok()?;
        target.to_str().filter(|target| target.starts_with('/')).map(str::to_string)
    };
    let file = |link| {
        let first = target(link)?;
        if first.starts_with("/etc/alternatives/") { target(&first) } else { Some(first) }
    };
    let files: Vec<(&str, String)> = links.filter_map(|link| Some((link, file(link)?))).collect();
    let args = [database, "-S"].into_iter().chain(files.iter().map(|(_, file)| &**file));
    let found = Measured::new(Path::new("dpkg-query"), args).may_end_with(1).output()?;
    let found = String::from_utf8_lossy(&found);
    // `PACKAGE[:ARCHITECTURE]: PATH`, with `PACKAGE, PACKAGE` where several list it.
    let of_files: HashMap<&str, &str> = found
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(packages, file)| (file, packages.split([':', ',']).next().unwrap_or_default()))
        .collect();
    let chosen = files
        .iter()
        .filter_map(|(link, file)| Some((link.to_string(), of_files.get(&**file)?.to_string())));
    Ok(chosen.collect())
}

/// `PATH;PACKAGE;TYPE;0 or 1;SIZE`: 1 is for what is in no list of dpkg.
fn row_of_cpigs(line: &str) -> Option<(String, String, bool)> {
    let mut parts = line.rsplitn(5, ';');
    let (_, is_in_no_list, _) = (parts.next()?, parts.next()?, parts.next()?);
    let (package, path) = (parts.next()?, parts.next()?);
    path.starts_with('/').then(|| (path.into(), package.into(), is_in_no_list == "0"))
}

/// How the answers compare.
#[derive(Default)]
struct Compared {
    in_lists: Counts,
    in_no_list: Counts,
    links: Links,
    /// Each difference, by what was judged of it.
    groups: BTreeMap<Option<usize>, Group>,
    judgements: Vec<Judgement>,
}

/// Of paths of which cruft-ng names a package that is installed.
#[derive(Default)]
struct Counts {
    paths: usize,
    /// Of which we tell an exact or a directory owner.
    owned: usize,
    same_package: usize,
    same_source: usize,
    we_are_wrong: usize,
    they_are_wrong: usize,
}

/// Links of alternatives.
#[derive(Default)]
struct Links {
    paths: usize,
    /// Of which we tell the package of the chosen file.
    right: usize,
}

/// Paths that were judged alike.
#[derive(Default)]
struct Group {
    paths: usize,
    example: String,
    theirs: String,
    ours: BTreeMap<String, usize>,
}

fn compare(paths: &Paths) -> Result<Compared> {
    let judgements = Judgement::all()?;
    let (mut compared, units) = (Compared::default(), paths.packages_of_units());
    for (path, theirs, is_in_list) in &paths.theirs {
        // Some of what it tells are names of its own.
        if !paths.sources.contains_key(theirs) {
            if let Some(chosen) = paths.chosen.get(path) {
                let is_right =
                    matches!(paths.ours.get(path), Some(OurOwner::Package(ours)) if ours == chosen);
                compared.links.paths += 1;
                compared.links.right += usize::from(is_right);
            }
            continue;
        }
        let counts = if *is_in_list { &mut compared.in_lists } else { &mut compared.in_no_list };
        counts.paths += 1;
        let Some(ours) = paths.ours.get(path) else { continue };
        counts.owned += 1;
        let ours = match ours {
            OurOwner::Package(name) => name.clone(),
            OurOwner::Unit(name) => match package_of_unit(&units, name) {
                Some(package) => package.to_string(),
                None => format!("unit {name}"),
            },
            OurOwner::User(name) => format!("user {name}"),
        };
        let is_same_source = paths.source(&ours) == paths.source(theirs);
        counts.same_package += usize::from(ours == *theirs);
        counts.same_source += usize::from(is_same_source);
        if ours == *theirs {
            continue;
        }
        let judged = judgements.iter().position(|judgement| judgement.fits(path, theirs, &ours));
        if !is_same_source {
            let right = judged.map(|number| judgements[number].right);
            counts.we_are_wrong += usize::from(!matches!(right, Some(Right::Ours | Right::Both)));
            counts.they_are_wrong +=
                usize::from(matches!(right, Some(Right::Ours | Right::Neither)));
        }
        let group = compared.groups.entry(judged).or_default();
        if group.paths == 0 {
            (group.example, group.theirs) = (path.clone(), theirs.clone());
        }
        group.paths += 1;
        *group.ours.entry(ours).or_default() += 1;
    }
    compared.judgements = judgements;
    Ok(compared)
}

/// The package that brought a unit's file; of an instance, that of its template.
fn package_of_unit<'a>(units: &HashMap<&str, &'a str>, unit: &str) -> Option<&'a str> {
    let template = || {
        let (name, rest) = unit.split_once('@')?;
        units.get(format!("{name}@.{}", rest.rsplit_once('.')?.1).as_str())
    };
    units.get(unit).or_else(template).copied()
}

impl Compared {
    fn rows(&self) -> Vec<Row> {
        let (listed, strays) = (&self.in_lists, &self.in_no_list);
        let (owned, same) = (listed.owned + strays.owned, listed.same_source + strays.same_source);
        let row = |what: String, owned: usize, same: usize| {
            let peer = format!("{DIFFERING} % of them");
            Row::counts(&what, owned - same, (&peer, owned * DIFFERING / 100))
        };
        let differing = "exact and directory owners that cruft-ng tells otherwise";
        // A path without an owner is not right either, and one whose owner we do not tell surely: there it is right.
        let (links, paths) = (&self.links, strays.paths + self.links.paths);
        let ours = strays.paths - strays.owned + strays.we_are_wrong + links.paths - links.right;
        let theirs = strays.they_are_wrong + links.paths;
        let what = format!("paths in no list of dpkg, of {paths}, without a right package");
        vec![
            row(format!("{differing}, of {owned} paths"), owned, same),
            row(
                format!("{differing}, of {} paths in no list of dpkg", strays.owned),
                strays.owned,
                strays.same_source,
            )
            .without_limit(),
            Row::counts(&what, ours, ("`cruft-ng`", theirs)),
        ]
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (where_, counts) in
            [("in lists of dpkg", &self.in_lists), ("in no list", &self.in_no_list)]
        {
            let percent = |part: usize| 100.0 * part as f64 / counts.owned as f64;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "Of {} paths {where_} that cruft-ng names a package for, we name an exact or directory owner for {}: \
                 of these it names the same source package for {:.1} %, the same package for {:.1} %.",
                counts.paths,
                counts.owned,
                percent(counts.same_source),
                percent(counts.same_package),
            );
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "For {} links of alternatives, which are in no list either, cruft-ng names no package; for {} of them we \
             name the one that dpkg names for the chosen file.\n",
            self.links.paths, self.links.right
        );
        text.push_str("What it tells otherwise, and who is right by the packages' own files:\n\n");
        for (judged, group) in self.groups.iter().rev() {
            let ours: Vec<&str> = group.ours.keys().map(String::as_str).collect();
            let judgement = judged.map(|number| &self.judgements[number]);
            let (right, why) = judgement
                .map_or(("**not judged**", "new since"), |found| (found.right.words(), &found.why));
            let _ = writeln!(
                text,
                "- {}, as `{}`: cruft-ng {}, Blankroot {}; {right}: {why}",
                group.paths,
                group.example,
                group.theirs,
                ours.join(", "),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_cpigs_may_have_its_separator_in_the_path() {
        let row = |line| {
            row_of_cpigs(line).map(|(path, package, listed)| format!("{path} {package} {listed}"))
        };
        assert_eq!(row("path;package;type;cruft;size"), None);
        assert_eq!(row("/a;b;pg;f;1;0").as_deref(), Some("/a;b pg false"));
        assert_eq!(row("/usr/x;pg;d;0;0").as_deref(), Some("/usr/x pg true"));
    }

    #[test]
    fn an_instance_is_of_the_package_of_its_template() {
        let units = HashMap::from([("a.service", "x"), ("b@.service", "y")]);
        assert_eq!(package_of_unit(&units, "a.service"), Some("x"));
        assert_eq!(package_of_unit(&units, "b@1.service"), Some("y"));
        assert_eq!(package_of_unit(&units, "c.service"), None);
    }
}
