//! A user puts something else at the name of an entry in a directory of hers: what is declared of the
//! entry never gives her what is root's, nor makes root's what she wrote.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use blankroot::host::Machine;
use blankroot::persist::list;
use blankroot::persist::persistence::Persistence;
use blankroot::persist::plan::{Adopt, ApplyOptions};

use crate::ground::{Ground, as_root, config};
use crate::hostile::{ALICE, hand_over};

const HOME: &str = "persist/home/alice";
const ASKED: ApplyOptions = ApplyOptions { adopt: Adopt::Nothing, mounts: true, early: false };

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn owner_and_mode(path: &Path) -> (u32, u32) {
    let found = path.symlink_metadata().unwrap();
    (found.uid(), found.mode() & 0o7777)
}

/// Both homes, which are hers, and a storage whose list is `list`.
fn ground(list: &str) -> (Ground, blankroot::config::Config) {
    let ground = Ground::new();
    for home in ["home/alice", HOME] {
        fs::create_dir_all(ground.path(home)).unwrap();
        hand_over(&ground.path(home));
    }
    let config = config(&format!("[[storage]]\npath = \"/persist\"\n{list}")).unwrap();
    (ground, config)
}

#[test]
fn a_new_owner_gets_no_set_uid_bits_that_a_user_has_set() {
    as_root(|| {
        let list = "files = [{ path = \"/home/alice/managed\", user = \"root\", how = \"bind\" }]";
        let (ground, config) = ground(list);
        let managed = ground.path(HOME).join("managed");
        fs::write(&managed, "a shell").unwrap();
        hand_over(&managed);
        set_mode(&managed, 0o4755);
        let (plan, outcome, left) = ground.apply(&config, ASKED);
        assert!(outcome.is_complete() && plan.refusals.is_empty(), "{outcome:?} {plan:?}");
        assert_eq!(owner_and_mode(&managed), (0, 0o755));
        assert!(left.steps.is_empty(), "{left}");
    });
}

#[test]
fn set_uid_bits_are_not_given_to_a_file_that_a_user_can_replace() {
    as_root(|| {
        let list = "files = [{ path = \"/home/alice/managed\", user = \"root\", mode = \"4755\", \
                    how = \"bind\" }]";
        let (ground, config) = ground(list);
        let managed = ground.path(HOME).join("managed");
        fs::write(&managed, "a shell").unwrap();
        hand_over(&managed);
        set_mode(&managed, 0o4755);
        let (plan, _, _) = ground.apply(&config, ASKED);
        assert_eq!(plan.refusals.len(), 1, "{plan}");
        assert_eq!(owner_and_mode(&managed), (ALICE, 0o4755));
    });
}

#[test]
fn what_is_roots_in_a_directory_of_hers_keeps_its_owner_and_mode() {
    as_root(|| {
        let list = "files = [{ path = \"/home/alice/managed\", user = \"alice\", how = \"bind\" }]\n\
                    directories = [{ path = \"/home/alice/open\", mode = \"0755\" }]";
        let (ground, config) = ground(list);
        let (file, dir) = (ground.path(HOME).join("managed"), ground.path(HOME).join("open"));
        fs::write(&file, "root's secret").unwrap();
        set_mode(&file, 0o600);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("secret"), "root's secret").unwrap();
        set_mode(&dir, 0o700);
        let (plan, _, _) = ground.apply(&config, ASKED);
        assert_eq!((owner_and_mode(&file), owner_and_mode(&dir)), ((0, 0o600), (0, 0o700)));
        let told: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with(
                "cannot keep /home/alice/managed: /persist/home/alice belongs to 1000, and \
                 /persist/home/alice/managed in it to 0"
            ) && told[0].contains("hint: "),
            "{told:?}"
        );
        // What is hers is given the declared mode.
        hand_over(&dir);
        let (_, _, left) = ground.apply(&config, ASKED);
        assert_eq!(owner_and_mode(&dir), (ALICE, 0o755));
        assert_eq!(left.refusals.len(), 1, "{left:?}");
    });
}

#[test]
fn what_is_roots_in_a_directory_that_the_same_run_gives_away_is_refused_by_the_plan() {
    as_root(|| {
        for parent in ["user = \"alice\"", "mode = \"0777\""] {
            let list = format!(
                "directories = [{{ path = \"/srv/app\", {parent} }},
                               {{ path = \"/srv/app/below\", mode = \"0700\" }}]"
            );
            for adopted in [true, false] {
                let (ground, config) = ground(&list);
                let at = if adopted { "srv/app/below" } else { "persist/srv/app/below" };
                fs::create_dir_all(ground.path(at)).unwrap();
                let adopt = if adopted { Adopt::Everything } else { Adopt::Nothing };
                let (plan, outcome, left) = ground.apply(&config, ApplyOptions { adopt, ..ASKED });
                assert!(outcome.is_complete(), "{plan}\n{outcome:?}");
                let refused: Vec<String> =
                    plan.refusals.iter().map(|refusal| refusal.path.to_string()).collect();
                assert_eq!(refused, ["/srv/app/below"], "{plan}");
                assert_eq!(left.refusals, plan.refusals, "{parent}, adopted: {adopted}");
                assert_eq!(owner_and_mode(&ground.path("persist/srv/app/below")), (0, 0o755));
            }
        }
    });
}

#[test]
fn a_hard_link_is_not_adopted_where_an_owner_is_declared() {
    as_root(|| {
        let list = "files = [{ path = \"/srv/linked\", user = \"alice\", how = \"bind\" }]";
        let (ground, config) = ground(list);
        for dir in ["srv", "persist/srv"] {
            fs::create_dir_all(ground.path(dir)).unwrap();
        }
        fs::write(ground.path("secret"), "root's secret").unwrap();
        fs::hard_link(ground.path("secret"), ground.path("srv/linked")).unwrap();
        let (plan, _, _) =
            ground.apply(&config, ApplyOptions { adopt: Adopt::Everything, ..ASKED });
        assert!(plan.steps.is_empty() && plan.refusals.len() == 1, "{plan}");
        assert!(plan.refusals[0].why.contains("has another name"), "{:?}", plan.refusals);
        assert!(!ground.path("persist/srv/linked").exists());
    });
}

/// Changes something between the plan and its execution.
fn changed_meanwhile(ground: &Ground, config: &blankroot::config::Config, change: impl Fn()) {
    let machine = Machine::open(ground.root()).unwrap();
    let open = || config.open_backend(ground.root()).map(Some);
    let mut persistence = Persistence::new(&machine, &list::keep_list(config), open).unwrap();
    let plan = persistence.plan(ASKED).unwrap();
    assert!(plan.refusals.is_empty() && !plan.steps.is_empty(), "{plan:?}");
    change();
    let outcome = persistence.execute(&plan, &mut |_, _| {});
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
}

#[test]
fn what_has_the_name_only_since_the_plan_keeps_its_owner_and_mode() {
    as_root(|| {
        let list = "files = [{ path = \"/home/alice/managed\", user = \"alice\", mode = \"0644\", \
                    how = \"bind\" }]";
        let (ground, config) = ground(list);
        let managed = ground.path(HOME).join("managed");
        fs::write(&managed, "hers").unwrap();
        hand_over(&managed);
        set_mode(&managed, 0o600);
        changed_meanwhile(&ground, &config, || {
            fs::remove_file(&managed).unwrap();
            fs::write(&managed, "root's secret").unwrap();
            set_mode(&managed, 0o600);
        });
        assert_eq!(owner_and_mode(&managed), (0, 0o600));
    });
}

#[test]
fn a_directory_that_is_hers_only_since_the_plan_is_not_trusted() {
    as_root(|| {
        let list = "files = [{ path = \"/srv/app/file\", user = \"alice\", how = \"bind\" }]";
        let (ground, config) = ground(list);
        let file = ground.path("persist/srv/app/file");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "root's secret").unwrap();
        set_mode(&file, 0o600);
        changed_meanwhile(&ground, &config, || {
            chown(ground.path("persist/srv"), Some(ALICE), Some(ALICE)).unwrap();
        });
        assert_eq!(owner_and_mode(&file), (0, 0o600));
    });
}
