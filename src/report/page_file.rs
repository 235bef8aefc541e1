//! One file for a browser: data, the program that shows it, and a policy by which nothing else can run or be loaded.
//! Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dirfd::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// What both pages have, and each of them.
const SCRIPT: &str = concat!(
    "'use strict';\n",
    include_str!("page/elements.js"),
    include_str!("page/table.js"),
    include_str!("page/treemap.js"),
    include_str!("page/machine.js"),
    include_str!("page/fleet.js"),
    include_str!("page/start.js"),
);

/// Maximum size in bytes of the page of a machine.
const LARGEST: usize = 2_000_000;
/// Of that, about what its longest list may have.
pub(crate) const ROOM: usize = 1_700_000;

/// The page of what `data` tells with a longest list of so many bytes: at first [`ROOM`], and less where the page becomes
/// too large.
pub(crate) fn fit_page<T: Serialize>(data: impl Fn(usize) -> T) -> Result<String> {
    let mut room = ROOM;
    loop {
        let page = write_page(&data(room))?;
        if page.len() <= LARGEST || room == 0 {
            return Ok(page);
        }
        room = room.saturating_sub(ROOM / 8);
    }
}

/// The file. What a name holds cannot end the data: `<` stands there in no other way than as `\u003c`.
pub(crate) fn write_page(data: &impl Serialize) -> Result<String> {
    let data = serde_json::to_string(data);
    let data = data.map_err(|why| Error::io("write the page", why))?;
    let data = data.replace('<', "\\u003c");
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash_source(SCRIPT),
        hash_source(STYLE)
    );
    // In the order in which the template names them, so that nothing that was put in is looked at again.
    let mut page = String::with_capacity(TEMPLATE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = TEMPLATE;
    for (name, text) in
        [("{policy}", &*policy), ("{style}", STYLE), ("{data}", &data), ("{script}", SCRIPT)]
    {
        let (before, after) = rest.split_once(name).unwrap_or((rest, ""));
        page.extend([before, text]);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// How a content security policy names what stands in the page itself.
fn hash_source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_holds_ends_nothing_and_is_not_put_in_again() {
        let hostile = "</script><script>alert(1)</script><!--{script}{style}";
        let page = write_page(&hostile).unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<!--"));
        assert_eq!(page.matches(STYLE).count(), 1);
        assert!(page.contains("{script}{style}"));
        let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
        assert_eq!(serde_json::from_str::<String>(data).unwrap(), hostile);
    }

    #[test]
    fn the_template_has_each_place_once_and_loads_nothing() {
        for name in ["{policy}", "{style}", "{data}", "{script}"] {
            assert_eq!(TEMPLATE.matches(name).count(), 1, "{name}");
        }
        let page = write_page(&()).unwrap();
        for outside in ["http:", "https:", "src=\"", "href=\"", "@import", "url("] {
            let found = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{outside}");
        }
        assert!(page.len() < LARGEST - ROOM);
    }
}
