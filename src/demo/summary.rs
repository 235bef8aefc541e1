//! The end of the story: what is gone, what stayed and where the old root is, each looked up before
//! it is said.

use std::io;
use std::path::Path;

use backends::{Error, file};

use super::machine::{self, NOTE, NOTE_TEXT, NOTES, RESTORED, STRAYS};
use super::story::Story;
use crate::commands::Failure;
use crate::config::Config;
use crate::report::paint::{ALERT, GOOD, STRONG};

pub fn write(story: &Story) -> Result<(), Failure> {
    let live = story.stage.root();
    let backend = Config::load(&story.config())?.open_backend(&live)?;
    let survey = backend.survey()?;
    let old = survey.old_roots.last();
    let old = old.map(|old| old.tree.name.clone()).ok_or_else(|| wrong("there is no old root"))?;
    let old_root = story.stage.disk().join(old.as_path());
    for path in STRAYS {
        expect(read(&live.join(path))?.is_none(), path, "is still there")?;
        expect(read(&old_root.join(path))?.is_some(), path, "is not in the old root")?;
    }
    for path in RESTORED {
        let installed = machine::installed(path);
        expect(read(&live.join(path))?.as_deref() == installed, path, "is not as it was")?;
    }
    expect(read(&live.join(NOTE))?.as_deref() == Some(NOTE_TEXT), NOTE, "is not as it was")?;
    let stored = story.stage.storage().join(NOTE);
    expect(read(&stored)?.as_deref() == Some(NOTE_TEXT), NOTE, "is not in storage")?;
    let row = |paint, label: &str, text: String| {
        story.say(format_args!("{} {text}", story.style.paint(paint, format_args!("{label:>9}"))))
    };
    let all =
        |paths: &[&str]| paths.iter().map(|path| format!("/{path}")).collect::<Vec<_>>().join(", ");
    row(ALERT, "Gone:", all(&STRAYS))?;
    row(GOOD, "Restored:", all(&RESTORED))?;
    row(GOOD, "Kept:", format!("{NOTES}, which still says: {}", NOTE_TEXT.trim_end()))?;
    row(STRONG, "Old root:", format!("{old}, with all that is gone from /"))
}

fn expect(holds: bool, path: &str, why_not: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(wrong(&format!("/{path} {why_not}"))) }
}

fn wrong(why: &str) -> Error {
    Error::new("end the story as it should end", why).mend("report this: it is a defect")
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match file::read_path(path, file::MAX_OWN)
        .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
    {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read a file of the demo", error)),
    }
}
