//! `apply --user`: a user's own list is linked without root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Runs it with this home.
fn apply(home: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_blankroot"));
    command.env_clear().env("HOME", home).args(["apply", "--user"]).args(args);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_users_own_list_is_linked_and_data_in_the_way_is_not_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    for path in [".config", ".closed", "dotfiles/Firefox/.mozilla", "dotfiles/zsh"] {
        fs::create_dir_all(home.join(path)).unwrap();
    }
    fs::set_permissions(home.join(".closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(home.join("dotfiles/Firefox/.mozilla/profile"), "fox").unwrap();
    fs::write(home.join("dotfiles/zsh/.zshrc"), "PS1=%").unwrap();
    fs::write(home.join(".zshrc"), "somebody's own").unwrap();
    let list = "[[storage]]\npath = \"~/dotfiles\"\nstrip_prefix = true\n\
                directories = [\"Firefox/.mozilla\", \"x/.closed\"]\nfiles = [\"zsh/.zshrc\"]\n";
    fs::write(home.join(".config/blankroot.toml"), list).unwrap();

    let (code, out, err) = apply(&home, &[]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("link to dotfiles/Firefox/.mozilla") || out.contains("link to ../"),
        "{out}"
    );
    assert_eq!(fs::read(home.join(".mozilla/profile")).unwrap(), b"fox");
    let mode = home.join("dotfiles/x/.closed").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700, "nobody else may look into it there either");
    assert!(err.contains(".zshrc is a file with data that nothing else has"), "{err}");
    assert_eq!(fs::read(home.join(".zshrc")).unwrap(), b"somebody's own");

    let (code, out, err) = apply(&home, &["--adopt"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(home.join(".zshrc").is_symlink());
    assert_eq!(fs::read(home.join("dotfiles/zsh/.zshrc")).unwrap(), b"somebody's own");
    assert_eq!(fs::read(home.join("dotfiles/zsh/..zshrc.before-1")).unwrap(), b"PS1=%");
    let (code, out, _) = apply(&home, &[]);
    assert_eq!((code, out.as_str()), (0, "nothing to do: all 3 kept paths are in their places\n"));
}
