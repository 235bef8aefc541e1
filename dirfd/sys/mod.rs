//! The one room for unsafe code: system calls that no library offers safely. Each block says why it
//! is sound; everything that leaves this room is plain data or an owned descriptor.
#![expect(unsafe_code, reason = "this is the room for it")]

pub mod file_ioctls;
pub mod loop_device;
pub mod mount_calls;
pub mod process_calls;
