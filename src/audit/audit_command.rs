//! `audit`: judges the strays, tells of them, and writes down what was found.

use std::cell::OnceCell;
use std::io::{self, Write};
use std::path::Path;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use backends::Backend;
use chrono::{Local, Utc};
use dirfd::{Error, Result};
use rustix::fs::Mode;

use crate::audit::audit_finding::AuditFinding;
use crate::audit::audit_prometheus::describe_metrics;
use crate::audit::audit_record::{
    AuditResult, AuditSummary, Record, RecordedEvent, RecordedGroups, RecordedWhere,
};
use crate::audit::login_messages::{LoginMessages, write_messages};
use crate::audit::since_root::find_since;
use crate::audit::write_down::{line_of, write_down};
use crate::audit::{audit_text, ledger};
use crate::cli::arguments::{Audit, AuditEvent, AuditFormat, Cli};
use crate::cli::invocation::{Failure, load_config};
use crate::config::Config;
use crate::config::audit_options::AuditOptions;
use crate::diff::DiffReport;
use crate::diff::judge::{ComparedTrees, JudgedDiff, find_and_judge};
use crate::diff::ownerships::{OwnerViews, Ownerships};
use crate::evidence::ask_old_roots::AskedRoots;
use crate::host::HostRoot;
use crate::persist::own_directory::storage_of_own_directory;
use crate::ui::{self, output_file};

/// Metrics are for the exporter, which is not root.
const TEXTFILE_MODE: u32 = 0o644;

pub(crate) fn run(cli: &Cli, args: &Audit) -> Result<ExitCode, Failure> {
    if let Some(seconds) = args.within {
        give_up_after(seconds);
    }
    let root = &args.root.root;
    let config = load_config(cli, root)?;
    if args.records {
        print_records(cli, args, &config)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.event.is_some_and(|event| !event.is_on(&config.audit)) {
        return Ok(ExitCode::SUCCESS);
    }
    // What is written is for readers whom a umask would lock out, and what is not says so itself.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let backend = config.open_backend(root)?;
    let trees = ComparedTrees::find(backend.as_ref())?;
    // In a copy of blank, where packages are installed for later boots, nothing is lost.
    if args.event.is_some() && !trees.is_live_at(backend.as_ref(), root)? {
        return Ok(ExitCode::SUCCESS);
    }
    let (finding, summary) = take_audit(backend.as_ref(), &trees, &config, args)?;
    let groups = RecordedGroups::of(finding.groups());
    let of = RecordedWhere::of_machine(root, Utc::now());
    let record = Record::new(&of, RecordedEvent::Audit(summary.clone()), groups.clone());
    let metrics = || describe_metrics(of.time, &summary, &groups);
    // Nothing of what follows depends on whether somebody reads this.
    let printed = match (args.event, args.format) {
        (Some(AuditEvent::Packages), _) => {
            finding.package_titles().for_each(|title| print_package_change(&title));
            Ok(())
        }
        (_, AuditFormat::Human) => {
            let (style, mut text) = (ui::style_of_output(cli), Vec::new());
            let shown = RecordedGroups::for_people(finding.groups(), audit_text::NAMED);
            audit_text::write_audit(&summary, &shown, &style, &mut text)?;
            print_audit(&text)
        }
        (_, AuditFormat::Json) => print_audit(&[line_of(&record)?, b"\n".to_vec()].concat()),
        (_, AuditFormat::Prometheus) => print_audit(metrics()?.as_bytes()),
    };
    if !args.dry_run {
        // What was found is told already, and what it is worth does not depend on this.
        let written = write_down(backend.as_ref(), &trees.live, &config, root, &record);
        written.unwrap_or_else(ui::report_warning);
        if root == Path::new("/") {
            let messages = match config.audit.at_login {
                true => LoginMessages::of(finding.groups()),
                false => LoginMessages::default(),
            };
            let written = HostRoot::open(root).and_then(|host| write_messages(&host, &messages));
            written.unwrap_or_else(ui::report_warning);
        }
        for file in args.textfile.iter().chain(&config.audit.textfile) {
            // Where the exporter finds them, whole or not at all.
            output_file::replace(file, metrics()?.as_bytes(), TEXTFILE_MODE, "the metrics")?;
        }
    }
    printed?;
    Ok(match summary.result {
        AuditResult::Clean => ExitCode::SUCCESS,
        AuditResult::Found => ExitCode::from(1),
    })
}

impl AuditEvent {
    fn is_on(self, options: &AuditOptions) -> bool {
        match self {
            Self::Boot => options.at_boot,
            Self::Shutdown => options.at_shutdown,
            Self::Packages => options.after_packages,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Shutdown => "shutdown",
            Self::Packages => "packages",
        }
    }
}

/// Ends the program when the time is up, wherever it is: a record that is cut off by that is passed over by readers.
fn give_up_after(seconds: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(seconds));
        let why = format!("it was not done within {seconds} s");
        ui::report_problem(Error::new("audit the root", why));
        process::exit(2);
    });
}

/// Compares and judges.
fn take_audit(
    backend: &dyn Backend,
    trees: &ComparedTrees,
    config: &Config,
    args: &Audit,
) -> Result<(AuditFinding, AuditSummary)> {
    let root = &args.root.root;
    let blank = trees.blank.as_ref();
    let since = args.since.as_deref();
    let since = since.map(|asked| find_since(backend, config, root, blank, asked)).transpose()?;
    let mut asked = AskedRoots::all_of_last(config.evidence.old_roots as usize);
    if let Some(since) = &since {
        asked = AskedRoots { most: asked.most.max(1), from: Some(since.id.clone()), ..asked };
    }
    let JudgedDiff { diff, verdicts, classes, evidence_problem } =
        find_and_judge(backend, trees, config, root, &asked)?;
    if let Some(why) = evidence_problem {
        return Err(why);
    }
    let report = DiffReport {
        blank,
        live: &trees.live,
        diff: &diff,
        verdicts: &verdicts,
        classes: classes.as_ref(),
        only: &[],
        all: false,
    };
    let views = OnceCell::new();
    let finding = AuditFinding::of(&report, config, || {
        let opened = OwnerViews::open(backend, blank, &trees.live)?;
        let views = views.get_or_init(|| opened);
        let (owners, warnings) = Ownerships::read(backend, views, &diff.changes)?;
        match warnings.first() {
            // Whom a path belongs to decides, and of some nobody knows.
            Some(why) if config.audit.asks_owners() => {
                return Err(Error::new("tell whose each stray is", why.clone())
                    .hint("mend that, or name no owners in [audit]"));
            }
            _ => warnings.iter().for_each(ui::report_warning),
        }
        Ok(owners)
    })?;
    let at = args.event.map(|event| event.word().to_string());
    let summary = finding.summary(since.map(|since| since.name), at);
    Ok((finding, summary))
}

fn print_package_change(title: &str) {
    ui::print_text(&format!(
        "blankroot: {title}: the next boot undoes this\n  hint: make a new blank to have it at each boot \
         (`man blankroot-init`)\n"
    ));
}

/// Tells what was found. Who reads no further has what they wanted, and the exit code is the same.
fn print_audit(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => Err(why.into()),
        _ => Ok(()),
    }
}

fn print_records(cli: &Cli, args: &Audit, config: &Config) -> Result<(), Failure> {
    let Some(storage) = storage_of_own_directory(config) else {
        return Err(Error::new("read the records", "no storage is declared")
            .hint("declare one in the configuration; records lie in its directory `.blankroot`")
            .into());
    };
    let records = ledger::read_records(&HostRoot::open(&args.root.root)?, storage)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        AuditFormat::Human => {
            let style = ui::style_of_output(cli);
            audit_text::write_records(&records, &style, &Local::now(), &mut out)?;
        }
        AuditFormat::Json => {
            for record in &records {
                out.write_all(&line_of(record)?)?;
                out.write_all(b"\n")?;
            }
        }
        AuditFormat::Prometheus => {
            return Err(Error::new(
                "show the records as metrics",
                "a metric has one value, that of now",
            )
            .hint("write `--format json`, or leave `--records` out")
            .into());
        }
    }
    Ok(out.flush()?)
}
