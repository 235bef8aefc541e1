//! Pages for a browser, opened and used in one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::browser::{Browser, ENTER, TAB};
use crate::evidence::{after_boots, ordinary_life};
use crate::machine::{Machine, on_initialised};

/// Names that would do something in a page if they were not text there; the last is no UTF-8.
const HOSTILE: [&[u8]; 4] = [
    b"<img src=x onerror=window.hit=1>",
    b"'\"><svg onload=window.hit=1>\n</script><script>window.hit=1<",
    "right\u{202e}left\u{2066}".as_bytes(),
    b"caf\xe9 {script}&amp;",
];

/// Where pictures of pages are left for people to look at.
fn picture(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

fn write_hostile(machine: &Machine<'_>) {
    let dir = machine.live().join("home/alice/hostile");
    fs::create_dir_all(&dir).unwrap();
    for name in HOSTILE {
        let inner = name.split(|&b| b == b'/').map(OsStr::from_bytes).collect::<PathBuf>();
        let path = dir.join(inner);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

/// The page of a machine that has lived three boots, and has something new.
fn with_page(story: impl FnOnce(&mut Machine<'_>, &Path) + Send) {
    after_boots(3, |machine| {
        ordinary_life(machine, 5);
        machine.install_jq();
        machine.write("usr/bin/jq", &"a program ".repeat(2000));
        machine.write("home/alice/thesis.tex", &"precious ".repeat(5000));
        machine.write("home/alice/.cache/thumb", &"x".repeat(20_000));
        write_hostile(machine);
        for name in ["a$$b", "a$&b$`c", "price$", "ab"] {
            machine.write(&format!("home/alice/money/{name}"), "x");
        }
        // Rounded to a tenth it is in the middle.
        machine.write("home/alice/money/tie", &"x".repeat(1280));
        let pages = tempfile::tempdir().unwrap();
        let page = pages.path().join("report.html");
        machine.run(&["report", "--html", page.to_str().unwrap()]).expect(0);
        story(machine, &page);
    });
}

fn audit(machine: &Machine<'_>) -> Value {
    let ran = machine.run(&["audit", "--dry-run", "--format", "json"]);
    serde_json::from_str(&ran.out).unwrap()
}

/// Waits for nothing: what a click does is done when it returns.
fn status(browser: &Browser) -> String {
    browser.text("[role=status]")
}

fn paths(browser: &Browser) -> Vec<String> {
    let found = browser
        .evaluate("return [...document.querySelectorAll('button.row')].map(b => b.textContent)");
    serde_json::from_value(found).unwrap()
}

#[test]
fn the_page_of_a_machine_says_what_an_audit_says() {
    with_page(|machine, page| {
        assert_eq!(fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o600);
        let human = machine.run(&["audit", "--dry-run"]).expect(1);
        let audit = audit(machine);
        let browser = Browser::start();
        browser.open(page);
        browser.screenshot(&picture("machine.png"));
        assert_eq!(browser.evaluate("return document.title"), "A root – Blankroot");
        let headline = human.out.lines().next().unwrap();
        assert_eq!(browser.text(".headline"), headline);
        assert_eq!(browser.text(".headline + p"), human.out.lines().nth(1).unwrap());
        let cards = browser.evaluate(
            "return [...document.querySelectorAll('.cards dd')].map(d => d.firstChild.textContent)",
        );
        let (fails, told) = (&audit["event"]["audit"]["fails"], &audit["event"]["audit"]["told"]);
        assert_eq!(cards[0], fails["count"].to_string());
        assert_eq!(cards[1], told["count"].to_string());
        // The table shows what fails the audit.
        assert!(status(&browser).starts_with(&format!("{} rows of ", fails["count"])));
        let groups = browser.evaluate(
            "return [...document.querySelectorAll('#news h3')].map(h => h.firstChild.textContent)",
        );
        let expected = audit["groups"].as_array().unwrap().iter();
        let expected: Vec<_> = expected.map(|group| group["title"].clone()).collect();
        assert_eq!(groups, Value::Array(expected));
        let history = machine.run(&["history", "--format", "json"]).expect(0);
        let history: Value = serde_json::from_str(&history.out).unwrap();
        let lost = history["roots"][0]["lost"]["paths"].to_string();
        let cell =
            "return [...document.querySelectorAll('#boots tbody tr')].at(-1).cells[4].textContent";
        assert_eq!(browser.evaluate(cell), json!(lost));
        assert_eq!(
            browser.evaluate("return document.querySelectorAll('svg.boots rect').length"),
            8
        );
    });
}

#[test]
fn a_page_is_filtered_sorted_and_opened_row_by_row() {
    with_page(|machine, page| {
        let browser = Browser::start();
        browser.open(page);
        // From anywhere, with keys alone.
        browser.press("/thesis");
        assert_eq!(paths(&browser), ["/home/alice/thesis.tex"]);
        assert!(status(&browser).starts_with("1 row of "));
        browser.evaluate("document.querySelector('button.row').focus()");
        browser.press(ENTER);
        let said = browser.text("tr.details");
        let told = machine.run(&["explain", "/home/alice/thesis.tex"]).expect(0);
        expect_said(&told.out, &said);
        browser.press(ENTER);
        assert_eq!(browser.evaluate("return document.querySelectorAll('tr.details').length"), 0);

        browser.click("[role=search] > button:last-child");
        let all = browser.evaluate("return document.querySelectorAll('button.row').length");
        let diff = machine.run(&["diff", "--format", "json"]).expect(0);
        let diff: Value = serde_json::from_str(&diff.out).unwrap();
        assert_eq!(all, diff["changes"].as_array().unwrap().len());
        browser.click("#changes th:nth-child(4) button");
        assert_eq!(paths(&browser)[0], "/home/alice/thesis.tex");
        let sorted =
            "return document.querySelector('#changes th:nth-child(4)').getAttribute('aria-sort')";
        assert_eq!(browser.evaluate(sorted), "descending");
        browser.click("#changes th:nth-child(4) button");
        assert_eq!(browser.evaluate(sorted), "ascending");
        browser.choose("[role=search] label:nth-of-type(3) select", "regenerated");
        let regenerated = diff["summary"]["verdicts"]["regenerated"]["count"].to_string();
        assert!(
            status(&browser).starts_with(&format!("{regenerated} row")),
            "{}",
            status(&browser)
        );
    });
}

/// What `explain` says of a path is in the opened row of it, word for word.
fn expect_said(explained: &str, said: &str) {
    for line in explained.lines().skip(1) {
        // A label and a sentence; of a root its time stands between them.
        let parts: Vec<_> =
            line.split("  ").map(str::trim).filter(|part| !part.is_empty()).collect();
        let (label, text) = (parts[0], parts[parts.len() - 1]);
        let is_told = label == "live" || said.contains(&format!("{label}\n{text}"));
        assert!(is_told, "no {label}: {text:?} in {said}");
    }
}

#[test]
fn an_opened_row_says_what_explain_says_with_sizes_versions_and_commands() {
    with_page(|machine, page| {
        let browser = Browser::start();
        browser.open(page);
        browser.click("[role=search] > button:last-child");
        for (path, has_versions) in [
            ("/var/lib/seed", true),
            ("/etc/conf.d/07.conf", true),
            ("/home/alice/money/a$$b", false),
            ("/home/alice/money/a$&b$`c", false),
            ("/home/alice/money/price$", false),
            ("/home/alice/money/tie", false),
        ] {
            browser.evaluate("document.querySelector('input[type=search]').value = ''");
            browser.click("input[type=search]");
            browser.press(path);
            browser.click("#changes button.row");
            let explained = machine.run(&["explain", path]).expect(0);
            let said = browser.text("tr.details");
            expect_said(&explained.out, &said);
            assert_eq!(said.contains("version 1: "), has_versions, "{said}");
        }
        // Bytes that are no text, as a shell takes them.
        browser.evaluate("document.querySelector('input[type=search]').value = ''");
        browser.click("input[type=search]");
        browser.press("caf");
        browser.click("#changes button.row");
        let said = browser.text("tr.details");
        let word = "$'/home/alice/hostile/caf\\351 {script}&amp;'";
        let commands = format!("run `blankroot keep {word}` or `blankroot forget {word}`");
        assert!(said.contains(&commands), "{said}");
    });
}

#[test]
fn a_treemap_leads_by_directory_and_by_owner_to_the_table() {
    with_page(|_, page| {
        let browser = Browser::start();
        browser.open(page);
        browser.click("button.tile[aria-label^='home,']");
        browser.click("button.tile[aria-label^='alice,']");
        browser.click("button.tile[aria-label^='thesis.tex,']");
        assert_eq!(paths(&browser), ["/home/alice/thesis.tex"]);
        browser.choose(".by-size select", "owner");
        browser.screenshot(&picture("treemap.png"));
        browser.click("button.tile[aria-label^='package jq,']");
        browser.evaluate("[...document.querySelectorAll('.crumbs button')].at(-1).focus()");
        browser.press(ENTER);
        assert!(paths(&browser).contains(&"/usr/bin/jq".to_string()), "{:?}", paths(&browser));
        assert!(!paths(&browser).contains(&"/home/alice/thesis.tex".to_string()));
        // A path is no beginning of others here.
        browser.choose(".by-size select", "directory");
        browser.click("button.tile[aria-label^='home,']");
        browser.click("button.tile[aria-label^='alice,']");
        browser.click("button.tile[aria-label^='money,']");
        browser.click("button.tile[aria-label^='tie,']");
        assert_eq!(paths(&browser), ["/home/alice/money/tie"]);
    });
}

#[test]
fn a_treemap_of_many_equal_files_draws_the_first_of_them() {
    after_boots(1, |machine| {
        for number in 0..700 {
            machine.write(&format!("srv/equal/{number}"), "same");
        }
        let pages = tempfile::tempdir().unwrap();
        let page = pages.path().join("report.html");
        machine.run(&["report", "--html", page.to_str().unwrap()]).expect(0);
        let browser = Browser::start();
        browser.open(&page);
        browser.click("button.tile[aria-label^='srv,']");
        browser.click("button.tile[aria-label^='equal,']");
        assert_eq!(browser.evaluate("return document.querySelectorAll('button.tile').length"), 60);
        assert_eq!(browser.text(".tiles + p"), "640 smaller ones are not drawn.");
    });
}

#[test]
fn nobody_hides_what_others_have_by_long_names() {
    after_boots(1, |machine| {
        for number in 0..6000 {
            machine.write(&format!("home/alice/{number:04}{}", "\u{1}".repeat(200)), "xx");
        }
        let alice = machine.live().join("home/alice");
        for found in fs::read_dir(&alice).unwrap() {
            std::os::unix::fs::lchown(found.unwrap().path(), Some(1000), Some(1000)).unwrap();
        }
        machine.write("etc/evil", "x");
        let ran = machine.run(&["report", "--html", "-"]).expect(0);
        assert!(ran.out.len() <= 2_000_000, "{} bytes", ran.out.len());
        assert!(ran.out.contains("[\"/etc/evil\","), "it is left out");
        assert!(!ran.out.contains("\"left_out\":0"), "nothing is left out");
    });
}

/// A record of an audit that has this host, and these groups.
fn record_of(host: &str, groups: &Value) -> String {
    let tally = json!({"count": 1, "bytes": 1});
    let classes = json!({"new": 1, "some": 0, "changing": 0, "same": 0});
    let audit = json!({"result": "found", "at": null, "since": "x".repeat(1000), "old_roots": 1,
        "fails": tally, "told": tally, "classes": classes});
    let record = json!({"version": 1, "time": "2026-11-22T14:02:59Z", "host": host, "boot": null,
        "event": {"audit": audit}, "groups": groups, "groups_left_out": u64::MAX, "paths_left_out": 0});
    format!("{record}\n")
}

#[test]
fn no_machine_spoils_the_page_for_others() {
    let group = |title: &str, paths: &[String], left_out: u64| {
        let topmost: Vec<_> =
            paths.iter().map(|p| json!({"path": {"text": p}, "paths": 1, "bytes": 1})).collect();
        json!({"title": title, "of": "owner", "owner": null, "paths": 1, "bytes": 1,
            "classes": {"new": 1, "some": 0, "changing": 0, "same": 0}, "topmost": topmost,
            "topmost_left_out": left_out})
    };
    let long: Vec<_> =
        (0..40).map(|number| format!("/home/alice/{number}{}", "x".repeat(4000))).collect();
    let evil = ["/etc/evil".to_string()];
    let collected = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(collected.path().join(file), text).unwrap();
    let groups =
        json!([group("user alice", &long, u64::MAX), group("of nobody that is known", &evil, 0)]);
    write("shop.jsonl", &record_of("shop", &groups));
    let many: Vec<_> = (0..150).map(|number| group(&format!("user {number}"), &evil, 0)).collect();
    write("many.jsonl", &record_of(&"y".repeat(1 << 20), &Value::Array(many)));
    let crowd: String =
        (0..3000).map(|number| record_of(&format!("host{number}"), &json!([]))).collect();
    write("crowd.jsonl", &crowd);
    on_initialised(|machine| {
        let ran =
            machine.run(&["report", "--fleet", collected.path().to_str().unwrap(), "--html", "-"]);
        let ran = ran.expect(0).complains("crowd.jsonl: 2,992 lines in it of more than 8 machines");
        assert!(ran.out.len() < 300_000, "{} bytes", ran.out.len());
        assert!(ran.out.contains("\"/etc/evil\""), "a long name hides what others have");
        assert_eq!(ran.out.matches("\"host\":").count(), 10);
    });
}

#[test]
fn hostile_names_are_text_and_nothing_else_can_run_or_be_loaded() {
    with_page(|_, page| {
        let browser = Browser::start();
        browser.open(page);
        browser.press("/hostile/");
        let shown = paths(&browser);
        for text in [
            "/home/alice/hostile/<img src=x onerror=window.hit=1>",
            "/home/alice/hostile/'\"><svg onload=window.hit=1>\\n</script><script>window.hit=1<",
            "/home/alice/hostile/right\\u{202e}left\\u{2066}",
            "/home/alice/hostile/caf\\xe9 {script}&amp;",
        ] {
            assert!(shown.iter().any(|path| path == text), "{text} is not in {shown:#?}");
        }
        let made =
            "return document.querySelectorAll('img, svg:not(.boots), script:not([id])').length";
        // The page's own program.
        assert_eq!(browser.evaluate(made), 1);
        let hit = "const s = document.createElement('script'); s.textContent = 'window.hit = 1';
                   document.body.append(s); return window.hit ?? null";
        assert_eq!(browser.evaluate(hit), Value::Null);
        assert_eq!(browser.evaluate("return performance.getEntriesByType('resource').length"), 0);
        browser.evaluate("document.querySelectorAll('button.row').forEach(b => b.click())");
        assert_eq!(browser.evaluate(made), 2);
        assert_eq!(browser.evaluate("return window.hit ?? null"), Value::Null);
    });
}

#[test]
fn a_page_is_told_to_assistive_technology_and_follows_the_theme_and_the_paper() {
    with_page(|_, page| {
        let browser = Browser::start();
        browser.open(page);
        let accessible = browser.accessible();
        for (role, name) in [
            ("heading", "A root"),
            ("region", "What is new"),
            ("region", "Boots"),
            ("region", "Strays by size"),
            ("region", "Changes"),
            ("searchbox", "Search (press /)"),
            ("combobox", "Verdict"),
            ("columnheader", "Path"),
            ("button", "/home/alice/thesis.tex"),
            ("link", "To the table"),
        ] {
            let is_told = accessible.iter().any(|(r, n)| r == role && n == name);
            assert!(is_told, "no {role} {name:?} in {accessible:#?}");
        }
        for (role, name) in &accessible {
            let needs_name = ["button", "link", "searchbox", "combobox", "image"];
            assert!(!needs_name.contains(&role.as_str()) || !name.is_empty(), "{role}");
        }
        // The first key of somebody who has no mouse.
        browser.press(TAB);
        assert_eq!(browser.evaluate("return document.activeElement.textContent"), "To the table");

        let paper = "return getComputedStyle(document.body).backgroundColor";
        let scheme =
            |value: &str| json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        browser.command("Emulation.setEmulatedMedia", scheme("light"));
        let light = browser.evaluate(paper);
        browser.command("Emulation.setEmulatedMedia", scheme("dark"));
        browser.screenshot(&picture("dark.png"));
        assert_ne!(browser.evaluate(paper), light);
        browser.command("Emulation.setEmulatedMedia", json!({"media": "print"}));
        browser.screenshot(&picture("print.png"));
        let controls = "return getComputedStyle(document.querySelector('.controls')).display";
        assert_eq!(browser.evaluate(controls), "none");
    });
}

#[test]
fn ten_thousand_paths_are_at_most_two_megabytes_and_more_are_counted() {
    after_boots(1, |machine| {
        for dir in 0..100 {
            for file in 0..99 {
                let path = format!("srv/projects/team-{dir:02}/build/artifact-{file:02}.o");
                machine.write(&path, "x");
            }
        }
        let ran = machine.run(&["report", "--html", "-"]).expect(0);
        assert!(ran.out.len() <= 2_000_000, "{} bytes", ran.out.len());
        println!("a page of 10,000 paths: {} bytes", ran.out.len());
        let data = ran.out.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        let page: Value = serde_json::from_str(data).unwrap();
        let (rows, left_out) = (&page["table"]["rows"], &page["table"]["left_out"]);
        let rows = rows.as_array().unwrap().len() as u64;
        let told = &page["audit"]["told"]["count"];
        let all: u64 = page["verdicts"]
            .as_object()
            .unwrap()
            .values()
            .map(|t| t["count"].as_u64().unwrap())
            .sum();
        assert_eq!(
            (rows, left_out.as_u64().unwrap()),
            (10_000.min(all), all.saturating_sub(10_000)),
            "{told}"
        );
        let one_more = 10_200;
        for file in all..one_more {
            machine.write(&format!("srv/more/{file}"), "x");
        }
        let ran = machine.run(&["report", "--html", "-"]).expect(0);
        assert!(ran.out.contains("\"left_out\":2"), "what is left out is counted");
    });
}

#[test]
fn many_machines_are_one_page_by_their_records() {
    after_boots(1, |machine| {
        ordinary_life(machine, 2);
        let clean = audit(machine);
        machine.write("home/alice/thesis.tex", "precious");
        let found = audit(machine);
        let collected = tempfile::tempdir().unwrap();
        let named = |record: &Value, name: &str| {
            let mut record = record.clone();
            record["host"] = json!(name);
            format!("{record}\n")
        };
        let mut quiet = clean.clone();
        quiet["event"]["audit"]["result"] = json!("clean");
        quiet["event"]["audit"]["fails"]["count"] = json!(0);
        let write = |file: &str, text: String| {
            let path = collected.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let lost = json!({"version": 1, "time": "2026-11-22T14:02:59Z", "host": "lab2", "boot": null,
            "event": {"lost": {"root": "000004-3f2a1c9e", "ended": "2026-11-22T14:00:00Z", "boots": 1,
                "strays": {"count": 77, "bytes": 4096}, "new": 1}},
            "groups": [], "groups_left_out": 0, "paths_left_out": 0});
        write("lab1.jsonl", named(&quiet, "lab1") + &named(&found, "lab1"));
        write("lab2/records.jsonl", format!("{lost}\n") + &named(&quiet, "lab2") + "{\"half\": ");
        write("evil.jsonl", named(&found, "<img src=x onerror=window.hit=1>\u{202e}"));
        write("notes.txt", "no records".to_string());
        std::os::unix::fs::symlink("/etc/passwd", collected.path().join("link.jsonl")).unwrap();

        let page = collected.path().join("fleet.html");
        let ran = machine.run(&[
            "report",
            "--fleet",
            collected.path().to_str().unwrap(),
            "--html",
            page.to_str().unwrap(),
        ]);
        let ran = ran.expect(0).complains(
            "warning: lab2/records.jsonl: 1 line in it not read: no records of this version",
        );
        ran.complains("warning: link.jsonl: it cannot be read: ");

        let browser = Browser::start();
        browser.open(&page);
        assert_eq!(browser.text(".headline"), "Strays fail the audit of 2 of 3 machines.");
        assert_eq!(paths(&browser).len(), 3);
        assert!(paths(&browser).contains(&"<img src=x onerror=window.hit=1>\\u{202e}".to_string()));
        assert_eq!(paths(&browser)[2], "lab2");
        browser.press("/lab1");
        browser.click("button.row");
        let chart = browser
            .evaluate("return document.querySelector('figure svg').getAttribute('aria-label')");
        assert_eq!(chart, "Strays that failed the last 2 audits: 0, 3");
        browser.screenshot(&picture("fleet.png"));
        browser.click("[role=search] > button:last-child");
        browser.click("[role=search] input");
        browser.press("alice");
        assert_eq!(paths(&browser).len(), 2);
        browser.click("button.row");
        assert!(browser.text("tr.details").contains("/home/alice and 1 below"));
        browser.click("[role=search] > button:last-child");
        browser.choose("[role=search] select", "clean");
        assert_eq!(paths(&browser), ["lab2"]);
        browser.click("button.row");
        assert!(
            browser
                .text("tr.details")
                .contains("000004-3f2a1c9e, set aside 2026-11-22 14:00 UTC: 77 strays, 4.0 KiB")
        );
        assert_eq!(browser.evaluate("return window.hit ?? null"), Value::Null);
    });
}

#[test]
fn what_cannot_be_told_or_written_is_an_error_with_a_hint() {
    after_boots(1, |machine| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        let ran = machine.run(&["report", "--html", &at("none/report.html")]).expect(2);
        ran.complains("cannot write the page to ");
        fs::create_dir(dir.path().join("page")).unwrap();
        machine.run(&["report", "--html", &at("page")]).expect(2).complains("not a plain file");
        let ran = machine.run(&["report", "--fleet", &at("page"), "--html", &at("fleet.html")]);
        ran.expect(2).complains("no file in it is called *.jsonl").complains("hint: copy each");
        let ran = machine.run(&["report", "--fleet", &at("none"), "--html", &at("fleet.html")]);
        ran.expect(2).complains("cannot read the records in ");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    });
}
