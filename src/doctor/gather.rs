//! Gathers the facts: everything that `doctor` reads is read here, and what cannot be read is listed.

use dirfd::path::Escaped;
use std::collections::BTreeMap;

use backends::{Backend, PLACE_FOR_SWAP, Survey};
use dirfd::{Result, TreeName, TreePath};

use crate::boot::kernels::Kernels;
use crate::boot::{expire_plan, rollback_plan, swap_files};
use crate::config::DEFAULT_FILE;
use crate::config::rollback_options::Strategy;
use crate::doctor::entries::Mounts;
use crate::doctor::machine_facts::{Facts, Lies, OwnConfig};
use crate::doctor::next_tree::Tomorrow;
use crate::doctor::sources::{Sources, open_trees, push_unchecked, tree_path};
use crate::doctor::{blank, root_and_memory, start_kernels, storages, targets};
use crate::persist::list;

/// Gathers all facts; an error only where nothing at all can be told.
pub(crate) fn gather(sources: &Sources<'_>) -> Result<Facts> {
    let mounts = Mounts::read(sources.root_path)?;
    let mut facts = Facts {
        today: sources.clock.timestamp().div_euclid(86_400),
        file: Escaped::of_path(&sources.config.file).to_string(),
        ..Facts::default()
    };
    let trees = open_trees(sources, &mut facts.unchecked);
    facts.before_first_rollback = trees.before_first_rollback;
    let entries = list::keep_list(sources.config);
    storages::gather(sources, &trees, &mounts, &entries, &mut facts);
    root_and_memory::gather(sources, &trees, &entries, &mut facts);
    let lies = facts.storages.iter().map(|s| (s.path.clone(), s.lies)).collect();
    let tomorrow = Tomorrow {
        root: sources.root,
        blank: trees.blank.as_ref(),
        blank_name: trees.blank_name.clone(),
        entries: &entries,
        storages: &lies,
        mounts: &mounts,
    };
    if trees.known {
        storages::find_mounted_by_hand(sources, &tomorrow, &mut facts);
    }
    root_and_memory::gather_accounts(sources, &trees, &tomorrow, &mut facts);
    root_and_memory::gather_memory(sources, &mounts, &mut facts)?;
    if trees.known {
        own_config(sources, &tomorrow, &mut facts);
        facts.nixos_ids_survive = Some(tomorrow.survives(&tree_path("var/lib/nixos")));
    }
    if let Some(view) = &trees.blank {
        let survives = |path: &TreePath| tomorrow.survives(path);
        match blank::gather(view, trees.to_change_it.clone(), survives) {
            Ok(blank) => facts.blank = Some(blank),
            Err(error) => push_unchecked(&mut facts.unchecked, "blank for secrets", &error),
        }
        match (start_kernels::find_older_initrd(&mounts, view), &mut facts.blank) {
            (Ok(older), Some(blank)) => blank.older_initrd = older,
            (Ok(_), None) => {}
            (Err(error), _) => push_unchecked(&mut facts.unchecked, "blank's initrd", &error),
        }
    }
    match start_kernels::gather(sources, &mounts, &tomorrow) {
        Ok(found) => facts.kernels = found,
        Err(error) => push_unchecked(&mut facts.unchecked, "kernels for their modules", &error),
    }
    match swap_files::find_swap_files(sources.root, sources.host) {
        Ok(found) => facts.swap_files = found,
        Err(error) => push_unchecked(&mut facts.unchecked, "for swap files in the root", &error),
    }
    facts.place_for_swap = match &sources.backend {
        Ok(backend) => backend.how_to_place_swap(),
        Err(_) => PLACE_FOR_SWAP.to_string(),
    };
    if let Ok(backend) = &sources.backend {
        of_survey(backend.as_ref(), sources, &mut facts);
        match backend.how_to_hold_room_back() {
            Ok(how) => facts.how_to_hold_room_back = how,
            Err(error) => push_unchecked(&mut facts.unchecked, "whether room is held back", &error),
        }
    }
    let live = trees.live_is_root;
    for entry in entries.iter().cloned() {
        facts.entries.push(targets::gather(
            sources.root,
            &mounts,
            entry,
            live,
            trees.blank.as_ref(),
            &mut facts.unchecked,
        ));
    }
    Ok(facts)
}

/// Gathers the kernels alone, for `status`: nothing is walked through.
pub(crate) fn gather_kernels(sources: &Sources<'_>) -> Result<Kernels> {
    let mounts = Mounts::read(sources.root_path)?;
    let trees = open_trees(sources, &mut Vec::new());
    let entries = list::keep_list(sources.config);
    let storages = sources.config.storages.iter().filter(|storage| storage.enable);
    let lies = storages.map(|storage| (storage.path.clone(), mounts.lies(&storage.path)));
    let tomorrow = Tomorrow {
        root: sources.root,
        blank: trees.blank.as_ref(),
        blank_name: trees.blank_name.clone(),
        entries: &entries,
        storages: &lies.collect::<BTreeMap<TreePath, Lies>>(),
        mounts: &mounts,
    };
    start_kernels::gather(sources, &mounts, &tomorrow)
}

/// What is told by one look at the file system.
fn of_survey(backend: &dyn Backend, sources: &Sources<'_>, facts: &mut Facts) {
    const NESTED: &str = "what is in nested subvolumes";
    const OLD_ROOTS: &str = "old roots for snapshots";
    let mut survey = match backend.survey() {
        Ok(survey) => survey,
        Err(error) => {
            for what in [NESTED, OLD_ROOTS] {
                push_unchecked(&mut facts.unchecked, what, &error);
            }
            return;
        }
    };
    let with_snapshots = with_snapshots(backend, sources, &mut survey);
    if let Err(error) = gather_nested(backend, sources.config.rollback.strategy, survey, facts) {
        push_unchecked(&mut facts.unchecked, NESTED, &error);
    }
    match with_snapshots {
        Ok(found) => facts.old_roots_with_snapshots = found,
        Err(error) => push_unchecked(&mut facts.unchecked, OLD_ROOTS, &error),
    }
}

fn gather_nested(
    backend: &dyn Backend,
    strategy: Strategy,
    survey: Survey,
    facts: &mut Facts,
) -> Result<()> {
    if let Some(live) = survey.live.tree().filter(|_| !survey.nested.is_empty()) {
        facts.nested_that_hold = backend.nested_that_hold(live)?;
    }
    facts.immovable = rollback_plan::obstacles_to_swap(strategy, &survey).to_vec();
    (facts.nested, facts.stubs) = (survey.nested, survey.stubs);
    Ok(())
}

/// Old roots that stay for their snapshots alone.
fn with_snapshots(
    backend: &dyn Backend,
    sources: &Sources<'_>,
    survey: &mut Survey,
) -> Result<Vec<TreeName>> {
    backend.look_for_snapshots(&mut survey.old_roots)?;
    // What is in the way of an expiry is told by `status`.
    let plan = expire_plan::plan_expiry(survey, sources.config.rollback.retention, sources.clock);
    Ok(plan.map(|plan| plan.kept_by_snapshots().cloned().collect()).unwrap_or_default())
}

fn own_config(sources: &Sources<'_>, tomorrow: &Tomorrow<'_>, facts: &mut Facts) {
    match tomorrow.read(&tree_path(DEFAULT_FILE)) {
        Ok((later, _)) => {
            facts.own_config = Some(match later {
                Some(later) if later == sources.config.text.as_bytes() => OwnConfig::Same,
                Some(_) => OwnConfig::Other,
                None => OwnConfig::Nothing,
            });
        }
        Err(error) => {
            push_unchecked(&mut facts.unchecked, "whether the configuration survives", &error);
        }
    }
}
