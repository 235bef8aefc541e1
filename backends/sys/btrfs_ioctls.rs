//! The Btrfs ioctls that libbtrfsutil lacks or gets wrong (`linux/btrfs.h`, `linux/btrfs_tree.h`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use uuid::Uuid;

const MAGIC: u8 = 0x94;

/// What `BTRFS_IOC_FS_INFO` tells of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsInfo {
    /// The file system's UUID.
    pub fsid: Uuid,
    /// Bytes of one metadata block.
    pub node_size: u32,
    /// How many devices it has.
    pub devices: u64,
    /// The highest device id.
    pub max_device_id: u64,
}

/// What `BTRFS_IOC_GET_SUBVOL_INFO` tells of a subvolume. Needs no privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubvolumeInfo {
    /// Its number in the file system.
    pub id: u64,
    /// The number of the subvolume that holds its name; 0 for the top level or a deleted one.
    pub parent_id: u64,
    /// Its identity.
    pub uuid: Uuid,
    /// The subvolume that it is a snapshot of.
    pub parent_uuid: Option<Uuid>,
    /// The last transaction that wrote its root block.
    pub generation: u64,
    /// The transaction that made it.
    pub otransid: u64,
    /// Seconds since 1970 when it was made, and nanoseconds.
    pub otime: (i64, u32),
    /// Nothing can be written in it.
    pub read_only: bool,
}

/// One line of `BTRFS_IOC_SPACE_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceInfo {
    /// `BTRFS_BLOCK_GROUP_*` bits.
    pub flags: u64,
    /// Bytes of its block groups.
    pub total: u64,
    /// Bytes used in them.
    pub used: u64,
}

/// Metadata block groups (`BTRFS_BLOCK_GROUP_METADATA`).
pub const SPACE_METADATA: u64 = 1 << 2;
/// The global reserve (`BTRFS_SPACE_INFO_GLOBAL_RSV`).
pub const SPACE_GLOBAL_RESERVE: u64 = 1 << 49;

#[repr(C)]
struct RawFsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    nodesize: u32,
    rest: [u8; 1024 - 36],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawTime {
    sec: u64,
    nsec: u32,
}

#[repr(C)]
struct RawSubvolumeInfo {
    treeid: u64,
    name: [u8; 256],
    parent_id: u64,
    dirid: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    transids: [u64; 4],
    times: [RawTime; 4],
    reserved: [u64; 8],
}

#[repr(C)]
struct RawVolumeArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    subvolid: u64,
    rest: [u8; 4040 - 8],
}

#[repr(C)]
struct RawDeviceInfo {
    devid: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}

#[repr(C)]
struct RawSpaceHead {
    slots: u64,
    total: u64,
}

const _: () = {
    // The ioctl numbers contain these sizes.
    assert!(size_of::<RawFsInfo>() == 1024);
    assert!(size_of::<RawSubvolumeInfo>() == 504);
    assert!(size_of::<RawVolumeArgsV2>() == 4096);
    assert!(size_of::<RawDeviceInfo>() == 4096);
};

mod raw {

    use super::*;

    nix::ioctl_read!(fs_info, MAGIC, 31, RawFsInfo);
    nix::ioctl_read!(subvolume_info, MAGIC, 60, RawSubvolumeInfo);
    nix::ioctl_write_ptr!(destroy_v2, MAGIC, 63, RawVolumeArgsV2);
    nix::ioctl_readwrite!(device_info, MAGIC, 30, RawDeviceInfo);
    nix::ioctl_readwrite!(space_info, MAGIC, 20, RawSpaceHead);
}

/// Facts of the file system that `fd` is on.
pub fn fs_info(fd: impl AsFd) -> io::Result<FsInfo> {
    let mut args =
        RawFsInfo { max_id: 0, num_devices: 0, fsid: [0; 16], nodesize: 0, rest: [0; 1024 - 36] };
    // SAFETY: the kernel writes at most the 1024 bytes of `args`, which outlives the call.
    unsafe { raw::fs_info(fd.as_fd().as_raw_fd(), &raw mut args) }?;
    Ok(FsInfo {
        fsid: Uuid::from_bytes(args.fsid),
        node_size: args.nodesize,
        devices: args.num_devices,
        max_device_id: args.max_id,
    })
}

/// Facts of the subvolume that `fd` is in.
pub fn subvolume_info(fd: impl AsFd) -> io::Result<SubvolumeInfo> {
    const READ_ONLY: u64 = 1;
    let mut args = RawSubvolumeInfo {
        treeid: 0,
        name: [0; 256],
        parent_id: 0,
        dirid: 0,
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        transids: [0; 4],
        times: [RawTime { sec: 0, nsec: 0 }; 4],
        reserved: [0; 8],
    };
    // SAFETY: the kernel writes at most the size that the ioctl number carries, that of `args`.
    unsafe { raw::subvolume_info(fd.as_fd().as_raw_fd(), &raw mut args) }?;
    let [_, otransid, _, _] = args.transids;
    let [_, otime, _, _] = args.times;
    Ok(SubvolumeInfo {
        id: args.treeid,
        parent_id: args.parent_id,
        uuid: Uuid::from_bytes(args.uuid),
        parent_uuid: Some(Uuid::from_bytes(args.parent_uuid)).filter(|uuid| !uuid.is_nil()),
        generation: args.generation,
        otransid,
        otime: (otime.sec.cast_signed(), otime.nsec),
        read_only: args.flags & READ_ONLY != 0,
    })
}

/// Deletes the subvolume with number `id` of the file system that `fd` is on. The kernel does not
/// guard: it deletes mounted ones too, so the caller has to look first.
pub fn destroy_subvolume(fd: impl AsFd, id: u64) -> io::Result<()> {
    const BY_ID: u64 = 1 << 4;
    let args = RawVolumeArgsV2 {
        fd: 0,
        transid: 0,
        flags: BY_ID,
        unused: [0; 4],
        subvolid: id,
        rest: [0; 4040 - 8],
    };
    // SAFETY: the kernel only reads `args`, whose size the ioctl number carries.
    unsafe { raw::destroy_v2(fd.as_fd().as_raw_fd(), &raw const args) }?;
    Ok(())
}

/// Bytes in all and bytes allocated of device `id`; `None` if there is no device of that number.
pub fn device_info(fd: impl AsFd, id: u64) -> io::Result<Option<(u64, u64)>> {
    let mut args = RawDeviceInfo {
        devid: id,
        uuid: [0; 16],
        bytes_used: 0,
        total_bytes: 0,
        unused: [0; 379],
        path: [0; 1024],
    };
    // SAFETY: the kernel reads and writes at most the 4096 bytes of `args`.
    match unsafe { raw::device_info(fd.as_fd().as_raw_fd(), &raw mut args) } {
        Ok(_) => Ok(Some((args.total_bytes, args.bytes_used))),
        Err(nix::errno::Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// How the file system's block groups are used.
pub fn space_info(fd: impl AsFd) -> io::Result<Vec<SpaceInfo>> {
    // Far more kinds of block groups than there are.
    const SLOTS: usize = 64;
    let mut words = vec![0u64; 2 + 3 * SLOTS];
    words[0] = SLOTS as u64;
    // SAFETY: the kernel writes at most `slots` entries of three words behind the head of two, and
    // the vector has room for them; it is aligned for `u64`.
    unsafe { raw::space_info(fd.as_fd().as_raw_fd(), words.as_mut_ptr().cast()) }?;
    let found = usize::try_from(words[1]).unwrap_or(SLOTS).min(SLOTS);
    Ok(words[2..]
        .chunks_exact(3)
        .take(found)
        .map(|entry| SpaceInfo { flags: entry[0], total: entry[1], used: entry[2] })
        .collect())
}
