//! `apply`: puts every kept path in its place, the system's or a user's own.

use std::path::PathBuf;
use std::process::ExitCode;

use dirfd::{Error, Result, TreePath};

use crate::cli::arguments::{Apply, Cli};
use crate::cli::invocation::{Failure, load_config, open_machine};
use crate::config::users_list;
use crate::host::{HostRoot, Machine};
use crate::persist::accounts::Accounts;
use crate::persist::early;
use crate::persist::list::{self, KeepEntry};
use crate::persist::persistence::{
    INCOMPLETE, Persistence, announce_mounts, exit_code, open_backend, put_in_force,
};
use crate::systemd::mount_units;
use crate::ui;

pub(crate) fn run(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    match (args.user, args.in_initrd) {
        (true, _) => apply_user(cli, args),
        (false, true) => early::run(cli, args),
        (false, false) => apply_system(cli, args),
    }
}

fn apply_system(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    let config = load_config(cli, &args.root.root)?;
    let machine = open_machine(&config, &args.root.root, args.storages.as_deref(), None)?;
    let open = || open_backend(&config, &args.root.root);
    let list = list::keep_list(&config);
    let mut persistence = Persistence::new(&machine, &list, open)?;
    let paths = list.iter().map(|entry| &entry.path);
    match HostRoot::open(&args.host.host).and_then(|host| mount_units::noted_links(&host, paths)) {
        Ok(linked) => persistence.set_linked(linked),
        // What is not known to have been a link is left where it is, and told.
        Err(error) => ui::report_problem(error),
    }
    let (plan, done) = put_in_force(&mut persistence, args)?;
    let Some(outcome) = done else { return Ok(exit_code(&plan, None)) };
    let told = HostRoot::open(&args.host.host).and_then(|host| {
        mount_units::hold_back_mounts(&host, persistence.not_in_force(&plan, &outcome))?;
        mount_units::add_linked(&host, persistence.linked())?;
        announce_mounts(&plan, &outcome, &machine, &host)
    });
    // What is in force is so, whoever could not be told of it.
    told.map(|()| exit_code(&plan, Some(&outcome))).or_else(|error| {
        ui::report_problem(error);
        Ok(ExitCode::from(INCOMPLETE))
    })
}

/// Nothing of a user's own list needs root: it is linked, and made as whoever runs this.
fn apply_user(cli: &Cli, args: &Apply) -> Result<ExitCode, Failure> {
    let machine = Machine::open(&args.root.root)?;
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let action = "find the home";
    let home = home.ok_or_else(|| {
        Error::new(action, "HOME does not say where it is").hint("set HOME to its whole path")
    })?;
    let below_root = TreePath::parse(home.as_os_str().as_encoded_bytes());
    let below_root = below_root.map_err(|why| Error::new(action, format!("HOME {why}")))?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let accounts = Accounts::read(machine.root())?;
    let user = accounts.users().iter().find(|user| user.uid == uid);
    // Whoever is known elsewhere only, in LDAP say, has a number all the same.
    let name = user.map_or_else(|| uid.to_string(), |user| user.name.clone());
    let xdg = std::env::var_os("XDG_CONFIG_HOME");
    let file =
        cli.config.clone().unwrap_or_else(|| users_list::default_file(&home, xdg.as_deref()));
    let mut list = users_list::load_users_list(&file, &below_root, &name)?;
    for home in list.iter_mut().filter_map(|entry: &mut KeepEntry| entry.home.as_mut()) {
        (home.uid, home.gid) = (Some(uid), Some(gid));
    }
    let mut persistence = Persistence::new(&machine, &list, || Ok(None))?;
    let (plan, done) = put_in_force(&mut persistence, args)?;
    Ok(exit_code(&plan, done.as_ref()))
}
