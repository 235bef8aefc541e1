//! `apply`: puts every kept path in its place, the system's or a user's own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use backends::{Backend, Error, Result, TreePath};

use super::{Failure, load_config, open_machine, show};
use crate::accounts::Accounts;
use crate::apply::persist::Outcome;
use crate::cli::{Apply, Cli};
use crate::config::{Config, own};
use crate::host::{HostRoot, Machine};
use crate::keep::{self, KeepEntry};
use crate::persistence::{self, Persistence};
use crate::plan::apply::{Adopt, ApplyPlan, Asked};
use crate::units::held;

/// Some entries are in force and others are not.
pub(super) const INCOMPLETE: u8 = 1;

pub fn run(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    match (args.user, args.in_initrd) {
        (true, _) => own(cli, args),
        (false, true) => super::in_initrd::run(cli, args),
        (false, false) => system(cli, args),
    }
}

fn system(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    let config = load_config(cli, &args.root.root)?;
    let machine = open_machine(&config, &args.root.root, args.storages.as_deref(), None)?;
    let open = || open_backend(&config, &args.root.root);
    let list = keep::list(&config);
    let mut persistence = Persistence::new(&machine, &list, open)?;
    let paths = list.iter().map(|entry| &entry.path);
    match HostRoot::open(&args.host.host).and_then(|host| held::linked(&host, paths)) {
        Ok(linked) => persistence.were_linked(linked),
        // What is not known to have been a link is left where it is, and told.
        Err(error) => show::problem(error),
    }
    let (plan, done) = put_in_force(&mut persistence, args)?;
    let Some(outcome) = done else { return Ok(exit(&plan, None)) };
    let told = HostRoot::open(&args.host.host).and_then(|host| {
        held::set(&host, persistence.not_in_force(&plan, &outcome))?;
        held::add_linked(&host, persistence.linked())?;
        persistence::announce(&plan, &outcome, &machine, &host)
    });
    // What is in force is so, whoever could not be told of it.
    told.map(|()| exit(&plan, Some(&outcome))).or_else(|error| {
        show::problem(error);
        Ok(ExitCode::from(INCOMPLETE))
    })
}

/// Nothing of a user's own list needs root: it is linked, and made as whoever runs this.
fn own(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    let machine = Machine::open(&args.root.root)?;
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let action = "find the home";
    let home = home.ok_or_else(|| {
        Error::new(action, "HOME does not say where it is").mend("set HOME to its whole path")
    })?;
    let below_root = TreePath::parse(home.as_os_str().as_encoded_bytes());
    let below_root = below_root.map_err(|why| Error::new(action, format!("HOME {why}")))?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let accounts = Accounts::read(machine.root())?;
    let user = accounts.users().iter().find(|user| user.uid == uid);
    // Whoever is known elsewhere only, in LDAP say, has a number all the same.
    let name = user.map_or_else(|| uid.to_string(), |user| user.name.clone());
    let xdg = std::env::var_os("XDG_CONFIG_HOME");
    let file = cli.config.clone().unwrap_or_else(|| own::default_file(&home, xdg.as_deref()));
    let mut list = own::load(&file, &below_root, &name)?;
    for home in list.iter_mut().filter_map(|entry: &mut KeepEntry| entry.home.as_mut()) {
        (home.uid, home.gid) = (Some(uid), Some(gid));
    }
    let mut persistence = Persistence::new(&machine, &list, || Ok(None))?;
    let (plan, done) = put_in_force(&mut persistence, args)?;
    Ok(exit(&plan, done.as_ref()))
}

pub(super) fn open_backend(config: &Config, root: &Path) -> Result<Option<Box<dyn Backend>>> {
    config.open_backend(root).map(Some)
}

/// Plans, and does it unless it is only to be shown.
pub(super) fn put_in_force(
    persistence: &mut Persistence<'_>,
    args: &Apply,
) -> Result<(ApplyPlan, Option<Outcome>), Failure> {
    let adopt = match (args.adopt, args.adopt_replaced) {
        (true, _) => Adopt::Everything,
        (false, true) => Adopt::Replaced,
        (false, false) => Adopt::Nothing,
    };
    let asked = Asked { adopt, mounts: !args.no_mounts, early: args.in_initrd };
    let plan = persistence.plan(asked)?;
    let mut out = io::stdout().lock();
    if args.dry_run {
        write!(out, "{plan}")?;
        notes(&plan, &mut out)?;
    }
    let outcome = if args.dry_run {
        None
    } else {
        let progress = show::Progress::new("copying");
        let mut names = 0;
        let outcome = persistence.execute(&plan, &mut |more, _| {
            names += more;
            progress.at(names);
        });
        drop(progress);
        tell(&plan, &outcome, &mut out)?;
        Some(outcome)
    };
    let told = args.in_initrd && !plan.notes.is_empty();
    if plan.steps.is_empty() && plan.refusals.is_empty() && !told {
        writeln!(out, "nothing to do: {}", in_force(persistence.len()))?;
    }
    out.flush()?;
    plan.refusals.iter().for_each(show::problem);
    Ok((plan, outcome))
}

pub(super) fn exit(plan: &ApplyPlan, outcome: Option<&Outcome>) -> ExitCode {
    let complete = plan.refusals.is_empty() && outcome.is_none_or(Outcome::is_complete);
    if complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) }
}

fn in_force(entries: usize) -> String {
    match entries {
        0 => "the keep list is empty".to_string(),
        1 => "the one kept path is in its place".to_string(),
        2 => "both kept paths are in their places".to_string(),
        more => format!("all {more} kept paths are in their places"),
    }
}

fn notes(plan: &ApplyPlan, out: &mut impl Write) -> io::Result<()> {
    plan.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

fn tell(plan: &ApplyPlan, outcome: &Outcome, out: &mut impl Write) -> Result<(), Failure> {
    for step in outcome.done.iter().filter_map(|&at| plan.steps.get(at)) {
        writeln!(out, "done: {step}")?;
    }
    for (from, to) in &outcome.set_aside {
        writeln!(out, "note: what {from} had before is {to} by now")?;
    }
    let left_out = outcome.left_out.lines(|path| {
        format!(
            "{path} is a subvolume of its own, which holds something: it is not copied, and goes \
             with live"
        )
    });
    for line in left_out {
        writeln!(out, "note: {line}")?;
    }
    outcome.notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    notes(plan, out)?;
    out.flush()?;
    for (_, error) in &outcome.failed {
        show::problem(error);
    }
    for (at, missing) in &outcome.not_tried {
        if let Some(step) = plan.steps.get(*at) {
            show::problem(format_args!("not tried, because of {missing}: {step}"));
        }
    }
    Ok(())
}
