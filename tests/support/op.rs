//! What a history may do to a tree, as data that proptest can make and shrink.
//!
//! Operations name their targets by number, modulo what is there: so every operation means
//! something in every tree, and a history stays valid when others are left out of it.

use proptest::prelude::*;
use proptest::strategy::Union;

/// The number of a target among those that fit.
pub type Pick = u16;

/// What a new file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with content.
    File,
    /// A directory with a file in it.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device with this minor number of major 1.
    Char(u8),
    /// A block device with this minor number of major 7.
    Block(u8),
}

/// Where in the tree a new name goes: a directory and the number of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Among all directories.
    pub dir: Pick,
    /// Of [`names::name`](crate::names::name).
    pub name: u8,
}

/// A piece of a file; offsets count from anywhere, modulo the file's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it starts.
    pub at: u32,
    /// Bytes.
    pub len: u32,
}

/// One step of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is described where it is made, in `table`")]
pub enum Op {
    Create { place: Place, len: u32, seed: u8 },
    Append { file: Pick, len: u32, seed: u8 },
    OverwriteQuietly { file: Pick, span: Span, seed: u8 },
    MmapWrite { file: Pick, span: Span, seed: u8 },
    Truncate { file: Pick, len: u32 },
    PunchHole { file: Pick, span: Span },
    ZeroRange { file: Pick, span: Span },
    Allocate { file: Pick, span: Span, keep_size: bool },
    Clone { from: Pick, to: Pick },
    CloneRange { from: Pick, to: Pick, from_block: u8, to_block: u8, blocks: u8 },
    CloneFromBlank { from: Pick, to: Pick },
    RewriteSame { file: Pick },
    HardLink { file: Pick, place: Place },
    ManyLinks { file: Pick, dir: Pick, count: u8 },
    BreakLink { file: Pick },
    MakeDir { place: Place },
    DeepDirs { place: Place, depth: u8 },
    MakeNode { place: Place, kind: Kind },
    Symlink { place: Place, target: u8 },
    Retarget { link: Pick, target: u8 },
    Rename { what: Pick, place: Place },
    RenameOver { what: Pick, over: Pick },
    RenameThereAndBack { what: Pick, place: Place },
    Exchange { a: Pick, b: Pick },
    ReplaceType { what: Pick, kind: Kind },
    ReplaceAtomically { file: Pick, len: u32, seed: u8 },
    Delete { what: Pick },
    DeleteMany { dir: Pick, count: u8 },
    DeleteAndRecreate { file: Pick, len: u32, seed: u8 },
    RemoveTree { dir: Pick },
    RebuildTree { dir: Pick },
    ReuseInodes { count: u8, kind: Kind },
    RemakeNewest { dir: Pick, seed: u8 },
    Chmod { what: Pick, mode: u16 },
    ChmodBackAndForth { what: Pick },
    ChmodRoot { mode: u16 },
    Chown { what: Pick, uid: u32, gid: u32 },
    Touch { what: Pick, time: u32 },
    SetXattr { what: Pick, name: u8, len: u16, seed: u8 },
    RemoveXattr { what: Pick, which: u8 },
    XattrBackAndForth { what: Pick },
    SetAcl { what: Pick, uid: u32, perm: u16, default: bool },
    SetCapability { file: Pick, permitted: u32 },
    SetCompression { what: Pick },
    SetFlags { what: Pick, which: u8 },
    NestedCreate { place: Place },
    NestedSnapshot { nested: Pick, place: Place },
    NestedDelete { nested: Pick },
    RemoveStub { stub: Pick },
    Sync,
    Remount,
}

/// One kind of operation: its name, how often it is drawn, whether it ever changes what `diff`
/// reports, and how it is drawn.
pub struct OpKind {
    /// The variant's name, as `Debug` prints it.
    pub name: &'static str,
    weight: u32,
    /// Some draw of it is a change; for the others, reporting one is the mistake.
    pub visible: bool,
    strategy: BoxedStrategy<Op>,
}

/// Any operation.
pub fn any_op() -> impl Strategy<Value = Op> {
    Union::new_weighted(table().into_iter().map(|row| (row.weight, row.strategy)).collect())
}

impl Op {
    /// The variant's name, as in [`table`].
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_string()
    }
}

macro_rules! rows {
    ($($(#[doc = $doc:literal])* $weight:literal $visible:ident $variant:ident
        { $($field:ident : $strategy:expr),* };)*) => {
        vec![$(OpKind {
            name: stringify!($variant),
            weight: $weight,
            visible: stringify!($visible) == "shows",
            strategy: ($($strategy,)* Just(()),)
                .prop_map(|($($field,)* (),)| Op::$variant { $($field),* })
                .boxed(),
        }),*]
    };
}

/// Every kind of operation.
pub fn table() -> Vec<OpKind> {
    let mut all = content_ops();
    all.extend(name_ops());
    all.extend(attribute_ops());
    all
}

#[rustfmt::skip]
fn content_ops() -> Vec<OpKind> {
    rows! {
        /// Of every size that btrfs treats differently.
        6 shows Create { place: place(), len: len(), seed: any::<u8>() };
        3 shows Append { file: any::<Pick>(), len: len(), seed: any::<u8>() };
        /// In place, with the old size and the old mtime.
        4 shows OverwriteQuietly { file: any::<Pick>(), span: span(), seed: any::<u8>() };
        /// Through a shared mapping, which nobody syncs.
        3 shows MmapWrite { file: any::<Pick>(), span: span(), seed: any::<u8>() };
        3 shows Truncate { file: any::<Pick>(), len: len() };
        2 shows PunchHole { file: any::<Pick>(), span: span() };
        2 shows ZeroRange { file: any::<Pick>(), span: span() };
        /// Zeros beyond the end, or, with the size kept, nothing that shows.
        2 shows Allocate { file: any::<Pick>(), span: span(), keep_size: any::<bool>() };
        3 shows Clone { from: any::<Pick>(), to: any::<Pick>() };
        3 shows CloneRange {
            from: any::<Pick>(), to: any::<Pick>(),
            from_block: 0..8u8, to_block: 0..8u8, blocks: 1..8u8
        };
        /// Brings extents back that are as old as blank.
        3 shows CloneFromBlank { from: any::<Pick>(), to: any::<Pick>() };
        2 quiet RewriteSame { file: any::<Pick>() };
        /// By writing aside and renaming.
        3 shows ReplaceAtomically { file: any::<Pick>(), len: len(), seed: any::<u8>() };
        3 shows DeleteAndRecreate { file: any::<Pick>(), len: len(), seed: any::<u8>() };
        4 quiet Sync {};
        2 quiet Remount {};
    }
}

#[rustfmt::skip]
fn name_ops() -> Vec<OpKind> {
    rows! {
        4 shows HardLink { file: any::<Pick>(), place: place() };
        /// So many names in one directory that they overflow into an INODE_EXTREF.
        1 shows ManyLinks { file: any::<Pick>(), dir: any::<Pick>(), count: 60..90u8 };
        /// The same bytes as a file of its own.
        2 quiet BreakLink { file: any::<Pick>() };
        4 shows MakeDir { place: place() };
        /// Past what one path can hold.
        1 shows DeepDirs { place: place(), depth: 1..24u8 };
        4 shows MakeNode { place: place(), kind: kind() };
        3 shows Symlink { place: place(), target: any::<u8>() };
        2 shows Retarget { link: any::<Pick>(), target: any::<u8>() };
        8 shows Rename { what: any::<Pick>(), place: place() };
        3 shows RenameOver { what: any::<Pick>(), over: any::<Pick>() };
        2 quiet RenameThereAndBack { what: any::<Pick>(), place: place() };
        4 shows Exchange { a: any::<Pick>(), b: any::<Pick>() };
        5 shows ReplaceType { what: any::<Pick>(), kind: kind() };
        5 shows Delete { what: any::<Pick>() };
        2 shows DeleteMany { dir: any::<Pick>(), count: 1..40u8 };
        3 shows RemoveTree { dir: any::<Pick>() };
        /// Removes a directory and makes the same again.
        2 quiet RebuildTree { dir: any::<Pick>() };
        /// Deletes the newest files and creates others with the same inode numbers.
        1 shows ReuseInodes { count: 1..6u8, kind: kind() };
        /// The same with whole directories, in the same places and with names of the same length.
        4 shows RemakeNewest { dir: any::<Pick>(), seed: any::<u8>() };
        3 shows NestedCreate { place: place() };
        2 shows NestedSnapshot { nested: any::<Pick>(), place: place() };
        2 shows NestedDelete { nested: any::<Pick>() };
        2 shows RemoveStub { stub: any::<Pick>() };
    }
}

#[rustfmt::skip]
fn attribute_ops() -> Vec<OpKind> {
    rows! {
        4 shows Chmod { what: any::<Pick>(), mode: 0..0o10000u16 };
        2 quiet ChmodBackAndForth { what: any::<Pick>() };
        1 shows ChmodRoot { mode: prop_oneof![Just(0o755u16), Just(0o700), Just(0o1777)] };
        3 shows Chown { what: any::<Pick>(), uid: 0..4u32, gid: 0..4u32 };
        3 quiet Touch { what: any::<Pick>(), time: any::<u32>() };
        3 shows SetXattr { what: any::<Pick>(), name: any::<u8>(), len: 0..2000u16, seed: any::<u8>() };
        2 shows RemoveXattr { what: any::<Pick>(), which: any::<u8>() };
        2 quiet XattrBackAndForth { what: any::<Pick>() };
        2 shows SetAcl { what: any::<Pick>(), uid: 1..4u32, perm: 0..8u16, default: any::<bool>() };
        2 shows SetCapability { file: any::<Pick>(), permitted: 1..1024u32 };
        /// The property `btrfs.compression`, an extended attribute that directories pass on.
        1 shows SetCompression { what: any::<Pick>() };
        /// An inode flag, as chattr(1) sets it.
        2 shows SetFlags { what: any::<Pick>(), which: any::<u8>() };
    }
}

fn place() -> impl Strategy<Value = Place> {
    (any::<Pick>(), any::<u8>()).prop_map(|(dir, name)| Place { dir, name })
}

fn span() -> impl Strategy<Value = Span> {
    let len = prop_oneof![1..64u32, Just(4096), Just(8192), 1..100_000u32];
    let at = prop_oneof![Just(0), Just(4096), Just(65_536), any::<u32>()];
    (at, len).prop_map(|(at, len)| Span { at, len })
}

/// 2,048 bytes is the most that btrfs keeps inline by default (`max_inline`), 4,096 a block.
fn len() -> impl Strategy<Value = u32> {
    prop_oneof![
        2 => Just(0u32),
        4 => 1..100u32,
        3 => 2000..2100u32,
        3 => 4090..4100u32,
        3 => 5000..70_000u32,
        1 => 130_000..400_000u32,
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::File),
        3 => Just(Kind::Dir),
        2 => Just(Kind::Symlink),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
        2 => (3..6u8).prop_map(Kind::Char),
        1 => (0..3u8).prop_map(Kind::Block),
    ]
}
