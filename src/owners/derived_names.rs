//! Files that are made from a listed one, told by their names: former and new versions of configuration, caches
//! of Python. Pure.

/// What package managers and their helpers, and editors, put behind the name of a file that they leave beside it.
const SUFFIXES: [&[u8]; 17] = [
    b".dpkg-old",
    b".dpkg-dist",
    b".dpkg-new",
    b".dpkg-bak",
    b".dpkg-tmp",
    b".dpkg-remove",
    b".ucf-old",
    b".ucf-new",
    b".ucf-dist",
    b".rpmnew",
    b".rpmsave",
    b".rpmorig",
    b".pacnew",
    b".pacsave",
    b".pacorig",
    b"~",
    b".bak",
];

/// The path that this one is made from, if its name tells one.
pub fn origin(path: &[u8]) -> Option<Vec<u8>> {
    let slash = path.iter().rposition(|&b| b == b'/')?;
    let (dir, name) = (&path[..slash], &path[slash + 1..]);
    if let Some(dir) = dir.strip_suffix(b"/__pycache__") {
        // `six.cpython-311.pyc`, `six.cpython-311.opt-1.pyc` (PEP 3147, PEP 488).
        let module = name.strip_suffix(b".pyc")?;
        let tag = module.windows(9).position(|window| window == b".cpython-")?;
        return (tag > 0).then(|| [dir, b"/", &module[..tag], b".py"].concat());
    }
    let origin = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix))?;
    (!origin.is_empty()).then(|| [dir, b"/", origin].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_it_was_made_from() {
        for (path, expected) in [
            ("etc/ssh/sshd_config.dpkg-old", Some("etc/ssh/sshd_config")),
            ("etc/x.conf.rpmnew", Some("etc/x.conf")),
            ("etc/x~", Some("etc/x")),
            ("usr/lib/p/__pycache__/six.cpython-311.pyc", Some("usr/lib/p/six.py")),
            ("usr/lib/p/__pycache__/six.cpython-311.opt-1.pyc", Some("usr/lib/p/six.py")),
            ("usr/lib/p/__pycache__/six", None),
            ("etc/~", None),
            ("x~", None),
            ("etc/x", None),
        ] {
            let found = origin(path.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
