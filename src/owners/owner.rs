//! What is told of a path: who owns it, how sure that is, and by what it was told.

use std::fmt;

use dirfd::FileType;
use dirfd::path::Escaped;

/// How sure it is that a path belongs to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// The path itself is named by the owner's own data.
    Exact,
    /// It lies in a directory that belongs to nobody else.
    Directory,
    /// Something speaks for it: a name, a script, an account.
    Likely,
}

impl Certainty {
    /// The word for it in all output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Directory => "directory",
            Self::Likely => "likely",
        }
    }
}

/// Who a path belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A package, without architecture and version.
    Package(String),
    /// A unit of systemd, `nginx.service`; of an instance, the template `getty@.service` where a file tells it.
    Unit(String),
    /// An account of the tree.
    User(String),
}

impl Owner {
    /// The name of the package, unit or account.
    pub fn name(&self) -> &str {
        match self {
            Self::Package(name) | Self::Unit(name) | Self::User(name) => name,
        }
    }

    /// The word for what it is in all output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Package(_) => "package",
            Self::Unit(_) => "unit",
            Self::User(_) => "user",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), Escaped(self.name().as_bytes()))
    }
}

/// What told of the owner. Of several that tell as surely of a path, the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// A package's list of files.
    Listed,
    /// A file that rpm lists but does not install (`%ghost`): state that the package makes.
    Ghost,
    /// The package manager's own files about the package.
    DatabaseRecord,
    /// Debian's ucf installed it for the package.
    Ucf,
    /// A unit file or a drop-in that nobody installed.
    UnitFile,
    /// A record of deb-systemd-helper that a unit is enabled.
    EnablementRecord,
    /// The file whose time says when a timer ran last (`Persistent=`, systemd.timer(5)).
    TimerStamp,
    /// A link in `*.wants`, `rc?.d` or `etc/alternatives`.
    EnabledLink,
    /// A link into the Nix store.
    NixStore,
    /// `StateDirectory=`.
    StateDirectory,
    /// `CacheDirectory=`.
    CacheDirectory,
    /// `LogsDirectory=`.
    LogsDirectory,
    /// `ConfigurationDirectory=`.
    ConfigurationDirectory,
    /// `RuntimeDirectory=`.
    RuntimeDirectory,
    /// A line of tmpfiles.d(5) that makes it.
    Tmpfiles,
    /// A process of the unit had it open.
    OpenFile,
    /// Processes of the unit, and of no other, had files open in it.
    OpenFilesBelow,
    /// A user's home in passwd(5).
    Home,
    /// A copy, cache or former version of a listed file, by its name.
    DerivedFrom,
    /// A maintainer script of the package, and of no other, names it.
    Script,
    /// `ReadWritePaths=`.
    ReadWritePaths,
    /// `RequiresMountsFor=`.
    RequiresMountsFor,
    /// The manual of the unit or package says that it writes it.
    KnownWriter,
    /// A component of the path is the name of the package or unit.
    Named,
    /// A link that leads to a listed file.
    LeadsTo,
    /// The number of its user or group.
    Account,
    /// A directory in the lists of several packages; the owner is the first of them.
    SharedDirectory,
}

impl How {
    /// Completes "the path …"; "its" and "it" are the owner.
    pub fn text(self) -> &'static str {
        match self {
            Self::Listed => "is in its list of files",
            Self::Ghost => "is a %ghost in its list of files",
            Self::DatabaseRecord => "is part of the package database's record of it",
            Self::Ucf => "was installed for it by ucf",
            Self::UnitFile => "is its unit file or a drop-in of it",
            Self::EnablementRecord => "is the record that it is enabled",
            Self::TimerStamp => "is the stamp of its last run",
            Self::EnabledLink => "is a link that enables it or chooses it",
            Self::NixStore => "is a link to it in the Nix store",
            Self::StateDirectory => "is its StateDirectory=",
            Self::CacheDirectory => "is its CacheDirectory=",
            Self::LogsDirectory => "is its LogsDirectory=",
            Self::ConfigurationDirectory => "is its ConfigurationDirectory=",
            Self::RuntimeDirectory => "is its RuntimeDirectory=",
            Self::Tmpfiles => "is made by its tmpfiles.d",
            Self::OpenFile => "was open in one of its processes",
            Self::OpenFilesBelow => "has files that its processes had open",
            Self::Home => "is the user's home",
            Self::DerivedFrom => "is made from a file in its list of files",
            Self::Script => "is named in its maintainer scripts",
            Self::ReadWritePaths => "is in its ReadWritePaths=",
            Self::RequiresMountsFor => "is in its RequiresMountsFor=",
            Self::KnownWriter => "is known to be written by it",
            Self::Named => "has its name",
            Self::LeadsTo => "is a link to a file in its list of files",
            Self::Account => "belongs to the account's user or group id",
            Self::SharedDirectory => "is a directory that it shares with other packages",
        }
    }

    /// Whether what this tells of came with its package, and comes again with it.
    pub fn comes_with_package(self) -> bool {
        matches!(
            self,
            Self::Listed
                | Self::DatabaseRecord
                | Self::Ucf
                | Self::EnablementRecord
                | Self::EnabledLink
                | Self::NixStore
        )
    }

    /// How sure is what this tells of the very path that it names; below it a directory's word is as good as
    /// [`Directory`](Certainty::Directory), and what is likely stays so.
    pub fn certainty(self) -> Certainty {
        match self {
            Self::OpenFilesBelow => Certainty::Directory,
            _ if self < Self::DerivedFrom => Certainty::Exact,
            _ => Certainty::Likely,
        }
    }
}

/// To whom a path belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Who it belongs to.
    pub owner: Owner,
    /// How sure that is.
    pub certainty: Certainty,
    /// What told it: of the path, or, where the certainty is `Directory`, of a directory around it.
    pub how: How,
}

/// What is known of a path without asking its owner.
#[derive(Clone, Copy, Debug)]
pub struct OwnerFacts<'a> {
    /// The number of its user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// What kind of file it is.
    pub file_type: FileType,
    /// What it says, if it is a link.
    pub link_target: Option<&'a [u8]>,
}

impl OwnerFacts<'_> {
    /// Those of a path of which nothing is known: nobody's, and no link.
    pub const UNKNOWN: OwnerFacts<'static> =
        OwnerFacts { uid: 0, gid: 0, file_type: FileType::File, link_target: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_path_itself_is_exact_and_what_speaks_for_it_is_likely() {
        assert_eq!(How::Listed.certainty(), Certainty::Exact);
        assert_eq!(How::Home.certainty(), Certainty::Exact);
        assert_eq!(How::OpenFilesBelow.certainty(), Certainty::Directory);
        assert_eq!(How::DerivedFrom.certainty(), Certainty::Likely);
        assert_eq!(How::SharedDirectory.certainty(), Certainty::Likely);
    }

    #[test]
    fn an_owner_prints_on_one_line() {
        assert_eq!(Owner::Unit("a\nb.service".into()).to_string(), "unit a\\nb.service");
    }
}
