use super::*;
use proptest::prelude::*;

/// Entries of a header that a test makes.
#[derive(Default)]
struct Builder {
    entries: Vec<u8>,
    data: Vec<u8>,
}

impl Builder {
    fn add(mut self, tag: u32, kind: u32, count: u32, value: &[u8]) -> Self {
        while !self.data.len().is_multiple_of(4) {
            self.data.push(0);
        }
        for number in [tag, kind, self.data.len() as u32, count] {
            self.entries.extend_from_slice(&number.to_be_bytes());
        }
        self.data.extend_from_slice(value);
        self
    }

    fn strings(self, tag: u32, strings: &[&str]) -> Self {
        let value: Vec<u8> =
            strings.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect();
        self.add(tag, STRING_ARRAY, strings.len() as u32, &value)
    }

    fn numbers(self, tag: u32, numbers: &[u32]) -> Self {
        let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        self.add(tag, INT32, numbers.len() as u32, &value)
    }

    fn finish(self) -> Vec<u8> {
        let lengths = [(self.entries.len() / ENTRY) as u32, self.data.len() as u32];
        let lengths: Vec<u8> = lengths.iter().flat_map(|number| number.to_be_bytes()).collect();
        [lengths, self.entries, self.data].concat()
    }
}

fn files(blob: &[u8]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    Header::parse(blob).unwrap().for_each_file(|file| {
        found.push((String::from_utf8_lossy(file.path).into_owned(), file.is_ghost));
    });
    found
}

fn package() -> Builder {
    Builder::default()
        .add(NAME, STRING, 1, b"nginx\0")
        .add(VERSION, STRING, 1, b"1.2\0")
        .add(RELEASE, STRING, 1, b"3.fc42\0")
        .numbers(FILE_FLAGS, &[0, GHOST, 1, 0])
        .numbers(DIR_INDEXES, &[0, 1, 1, 0])
        .strings(BASE_NAMES, &["nginx", "state", "x.conf", ""])
        .strings(DIR_NAMES, &["/usr/sbin/", "/var/lib/nginx/"])
}

#[test]
fn a_header_tells_the_files_and_which_of_them_are_ghosts() {
    let blob = package().finish();
    let header = Header::parse(&blob).unwrap();
    assert_eq!((header.name(), header.version()), (Some(&b"nginx"[..]), b"1.2-3.fc42".to_vec()));
    let file = |path: &str, is_ghost| (path.to_string(), is_ghost);
    assert_eq!(
        files(&blob),
        [
            file("usr/sbin/nginx", false),
            file("var/lib/nginx/state", true),
            file("var/lib/nginx/x.conf", false),
            file("usr/sbin/", false)
        ]
    );
}

#[test]
fn a_file_that_was_replaced_or_left_out_belongs_to_somebody_else() {
    let blob = package().add(FILE_STATES, CHAR, 4, &[0, 0, 1, 2]).finish();
    let paths: Vec<String> = files(&blob).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["usr/sbin/nginx", "var/lib/nginx/state"]);
}

#[test]
fn what_was_changed_at_installation_counts() {
    let blob =
        package().numbers(EPOCH, &[1]).strings(DIR_NAMES, &["/opt/sbin/", "/opt/lib/"]).finish();
    assert_eq!(files(&blob)[0].0, "opt/sbin/nginx");
    assert_eq!(Header::parse(&blob).unwrap().version(), b"1:1.2-3.fc42");
}

#[test]
fn a_header_that_ends_too_early_is_refused() {
    let blob = package().finish();
    for length in 0..blob.len() {
        assert!(Header::parse(&blob[..length]).is_err(), "{length}");
    }
    let long = [&0x0001_0000_u32.to_be_bytes()[..], &[0; 4]].concat();
    assert_eq!(Header::parse(&long).unwrap_err(), "it is longer than rpm allows");
}

proptest! {
    #[test]
    fn no_header_breaks_the_parser_or_makes_it_tell_more_than_it_has(
        at in 0_usize..400, bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut blob = package().add(FILE_STATES, CHAR, 4, &[0, 0, 1, 2]).finish();
        let length = blob.len();
        for (place, byte) in blob.iter_mut().skip(at.min(length)).zip(&bytes) {
            *place = *byte;
        }
        for blob in [&blob, &bytes] {
            if let Ok(header) = Header::parse(blob) {
                let mut count = 0;
                header.for_each_file(|_| count += 1);
                prop_assert!(count <= blob.len());
                prop_assert!(header.version().len() <= 2 * blob.len() + 12);
                prop_assert!(header.scripts().map(<[u8]>::len).sum::<usize>() <= 6 * blob.len());
            }
        }
    }
}
