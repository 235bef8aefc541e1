//! Reads the items of a Btrfs tree (`linux/btrfs_tree.h`): pure functions of their bytes, which are
//! little-endian and unaligned.

use dirfd::FileType;
use uuid::Uuid;

/// Item types (`BTRFS_*_KEY`).
pub mod kind {

    /// An inode.
    pub const INODE_ITEM: u8 = 1;
    /// Names of an inode in one directory.
    pub const INODE_REF: u8 = 12;
    /// Names of an inode for which `INODE_REF` had no room.
    pub const INODE_EXTREF: u8 = 13;
    /// An extended attribute.
    pub const XATTR_ITEM: u8 = 24;
    /// An entry of a directory, found by the hash of its name.
    pub const DIR_ITEM: u8 = 84;
    /// An entry of a directory, in the order in which they were made.
    pub const DIR_INDEX: u8 = 96;
    /// A run of a file's bytes.
    pub const EXTENT_DATA: u8 = 108;
    /// The root of a subvolume or of another tree.
    pub const ROOT_ITEM: u8 = 132;
    /// Where the name of a subvolume is, told by the subvolume.
    pub const ROOT_BACKREF: u8 = 144;
    /// The name of a subvolume inside another.
    pub const ROOT_REF: u8 = 156;
    /// The number of a subvolume, found by its UUID.
    pub const UUID_SUBVOL: u8 = 251;
}

fn bytes_at<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    bytes_at(data, at).map(u16::from_le_bytes)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    bytes_at(data, at).map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    bytes_at(data, at).map(u64::from_le_bytes)
}

/// `BTRFS_INODE_NOCOMPRESS`, linux/btrfs_tree.h.
const NO_COMPRESSION: u64 = 1 << 3;
/// `BTRFS_INODE_COMPRESS`, likewise.
const COMPRESSION: u64 = 1 << 11;
/// The flags that an owner sets (chattr(1)): `NODATACOW`, `NOCOMPRESS`, `SYNC`, `IMMUTABLE`, `APPEND`, `NODUMP`,
/// `NOATIME`, `DIRSYNC`, `COMPRESS`.
const SET_BY_OWNERS: u64 = 1 << 1 | NO_COMPRESSION | 0b11_1111 << 5 | COMPRESSION;

/// `struct btrfs_inode_item`, what of it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeItem {
    /// The transaction that made the inode.
    pub generation: u64,
    /// The transaction that wrote this item last.
    pub transid: u64,
    /// Bytes of content; of a directory twice the length of all names in it.
    pub size: u64,
    /// How many names it has.
    pub links: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// The device number, as the kernel packs it.
    pub rdev: u64,
    /// `BTRFS_INODE_*`, linux/btrfs_tree.h.
    flags: u64,
    /// Seconds since 1970 of the last change of content.
    pub mtime: i64,
    /// Nanoseconds to add to `mtime`.
    pub mtime_nanos: u32,
}

impl InodeItem {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        FileType::from_mode(self.mode) == Some(FileType::Dir)
    }

    /// Whether two differ in the flags that an owner sets. Btrfs itself gives files the one against
    /// compression, which hides the one for it.
    pub fn flags_differ(&self, other: &Self) -> bool {
        let is_file = FileType::from_mode(self.mode) == Some(FileType::File);
        let hidden = (self.flags | other.flags) & NO_COMPRESSION != 0;
        let ignored = if is_file && hidden { NO_COMPRESSION | COMPRESSION } else { 0 };
        let is_data = is_file || self.is_directory();
        is_data && (self.flags ^ other.flags) & SET_BY_OWNERS & !ignored != 0
    }

    /// Whether it has any of the flags that an owner sets. Those of compression do not count: Btrfs itself gives
    /// and takes them.
    pub fn has_owners_flags(&self) -> bool {
        let is_data = self.is_directory() || FileType::from_mode(self.mode) == Some(FileType::File);
        is_data && self.flags & SET_BY_OWNERS & !(NO_COMPRESSION | COMPRESSION) != 0
    }

    /// Reads the item; `None` if it is cut short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        Some(Self {
            generation: u64_at(data, 0)?,
            transid: u64_at(data, 8)?,
            size: u64_at(data, 16)?,
            links: u32_at(data, 40)?,
            uid: u32_at(data, 44)?,
            gid: u32_at(data, 48)?,
            mode: u32_at(data, 52)?,
            rdev: u64_at(data, 56)?,
            flags: u64_at(data, 64)?,
            mtime: u64_at(data, 136)?.cast_signed(),
            mtime_nanos: u32_at(data, 144)?,
        })
    }
}

/// One name of an inode: the directory that has it and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRef<'a> {
    /// The inode of the directory.
    pub parent: u64,
    /// The name in it.
    pub name: &'a [u8],
}

/// The names in an `INODE_REF` item, whose key's offset is the directory: each
/// `{ index: u64, name_len: u16, name }`.
pub fn inode_refs(parent: u64, mut data: &[u8]) -> impl Iterator<Item = NameRef<'_>> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(data, 8)?);
        let name = data.get(10..10 + len)?;
        data = &data[10 + len..];
        Some(NameRef { parent, name })
    })
}

/// The names in an `INODE_EXTREF` item: each `{ parent: u64, index: u64, name_len: u16, name }`.
pub fn inode_extrefs(mut data: &[u8]) -> impl Iterator<Item = NameRef<'_>> {
    std::iter::from_fn(move || {
        let parent = u64_at(data, 0)?;
        let len = usize::from(u16_at(data, 16)?);
        let name = data.get(18..18 + len)?;
        data = &data[18 + len..];
        Some(NameRef { parent, name })
    })
}

/// What a directory entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same subvolume.
    Inode(u64),
    /// A subvolume by number; in a snapshot it may be a stub.
    Subvolume(u64),
}

/// `struct btrfs_dir_item` with what follows it: an entry of a directory, an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirItem<'a> {
    /// What it leads to.
    pub target: Target,
    /// The transaction that made it.
    pub transid: u64,
    /// `BTRFS_FT_*`.
    raw_type: u8,
    /// Its name.
    pub name: &'a [u8],
    /// The value of an extended attribute.
    pub value: &'a [u8],
}

impl DirItem<'_> {
    /// What the entry is; `None` for a type that this program does not know.
    pub fn file_type(&self) -> Option<FileType> {
        Some(match (self.target, self.raw_type) {
            (Target::Subvolume(_), _) => FileType::Subvolume,
            (_, 1) => FileType::File,
            (_, 2) => FileType::Dir,
            (_, 3) => FileType::Char,
            (_, 4) => FileType::Block,
            (_, 5) => FileType::Fifo,
            (_, 6) => FileType::Socket,
            (_, 7) => FileType::Symlink,
            _ => return None,
        })
    }
}

/// The entries in one `DIR_INDEX`, `DIR_ITEM` or `XATTR_ITEM`; more than one only where hashes of
/// names collide.
pub fn dir_items(mut data: &[u8]) -> impl Iterator<Item = DirItem<'_>> {
    const HEAD: usize = 30;
    std::iter::from_fn(move || {
        let objectid = u64_at(data, 0)?;
        let target = match *data.get(8)? {
            kind::ROOT_ITEM => Target::Subvolume(objectid),
            _ => Target::Inode(objectid),
        };
        let transid = u64_at(data, 17)?;
        let value_len = usize::from(u16_at(data, 25)?);
        let name_len = usize::from(u16_at(data, 27)?);
        // The high bit marks a directory with encrypted names.
        let raw_type = *data.get(29)? & 0x7f;
        let name = data.get(HEAD..HEAD + name_len)?;
        let value = data.get(HEAD + name_len..HEAD + name_len + value_len)?;
        data = &data[HEAD + name_len + value_len..];
        Some(DirItem { target, transid, raw_type, name, value })
    })
}

/// Where the bytes of a range of a file come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// They read as zero: a hole, or space that was reserved and never written.
    Zero,
    /// They lie in an extent on disk.
    Disk {
        /// Where the extent is.
        address: u64,
        /// Where in its (unpacked) bytes they start.
        offset: u64,
    },
    /// They lie in the item itself, as they are.
    Inline(&'a [u8]),
    /// They lie in the item, packed.
    Packed(&'a [u8]),
}

/// `struct btrfs_file_extent_item`: a run of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileExtent<'a> {
    /// Where in the file it starts (the key's offset).
    pub start: u64,
    /// How many of the file's bytes it covers.
    pub len: u64,
    /// Where they come from.
    pub source: Source<'a>,
    /// The transaction that wrote it.
    pub generation: u64,
    /// Bytes that its whole extent takes on disk; 0 where it takes none.
    pub disk_bytes: u64,
}

impl<'a> FileExtent<'a> {
    /// Reads the item; `None` if it is cut short or of an unknown type.
    pub fn parse(start: u64, data: &'a [u8]) -> Option<Self> {
        const INLINE: u8 = 0;
        const REGULAR: u8 = 1;
        const PREALLOCATED: u8 = 2;
        const INLINE_HEAD: usize = 21;
        let generation = u64_at(data, 0)?;
        let unpacked = u64_at(data, 8)?;
        let compression = *data.get(16)?;
        let kind = *data.get(20)?;
        if kind == INLINE {
            let bytes = data.get(INLINE_HEAD..)?;
            let source =
                if compression == 0 { Source::Inline(bytes) } else { Source::Packed(bytes) };
            return Some(Self { start, len: unpacked, source, generation, disk_bytes: 0 });
        }
        let address = u64_at(data, 21)?;
        let source = match kind {
            REGULAR if address != 0 => Source::Disk { address, offset: u64_at(data, 37)? },
            REGULAR | PREALLOCATED => Source::Zero,
            _ => return None,
        };
        let disk_bytes = if address == 0 { 0 } else { u64_at(data, 29)? };
        Some(Self { start, len: u64_at(data, 45)?, source, generation, disk_bytes })
    }
}

/// `struct btrfs_root_ref`: where a subvolume's name is in its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootRef<'a> {
    /// The inode of the directory that has it.
    pub dir: u64,
    /// The name in it.
    pub name: &'a [u8],
}

impl<'a> RootRef<'a> {
    /// Reads the item; `None` if it is cut short.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let len = usize::from(u16_at(data, 16)?);
        Some(Self { dir: u64_at(data, 0)?, name: data.get(18..18 + len)? })
    }
}

/// `struct btrfs_root_item`, what tells where a subvolume comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootItem {
    /// Its identity.
    pub uuid: Uuid,
    /// The subvolume that it is a snapshot of.
    pub parent_uuid: Option<Uuid>,
    /// The transaction that made it.
    pub otransid: u64,
}

impl RootItem {
    /// Reads the item; `None` if it is cut short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let uuid = |at| bytes_at(data, at).map(Uuid::from_bytes);
        Some(Self {
            uuid: uuid(247)?,
            parent_uuid: uuid(263).filter(|uuid| !uuid.is_nil()),
            otransid: u64_at(data, 303)?,
        })
    }
}
