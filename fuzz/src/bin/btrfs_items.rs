//! What the kernel answers to a tree search: a count that may lie, then items, each with a header.
//! Everything that is read lies in the answer, once; bytes beyond an item change nothing in it.
#![no_main]

use backends::btrfs::tree_items::{
    FileExtent, InodeItem, NameRef, RootItem, RootRef, Source, dir_items, inode_extrefs, inode_refs,
};
use backends::sys::tree_search::Items;
use libfuzzer_sys::fuzz_target;

const ITEM_HEAD: usize = 32;

fuzz_target!(|answer: &[u8]| {
    let Some((count, bytes)) = answer.split_first_chunk() else { return };
    let count = u32::from_le_bytes(*count);
    let mut items = Items::new(bytes, count);
    let (mut found, mut used) = (0, 0);
    for item in items.by_ref() {
        found += 1;
        used += ITEM_HEAD;
        assert_eq!(item.data, &bytes[used..used + item.data.len()]);
        used += item.data.len();
        read_item(item.key.offset, item.data);
    }
    assert!(found <= count);
    assert_eq!(items.next(), None, "it ended, and went on");
    read_item(u64::from(count), bytes);
});

fn read_item(offset: u64, data: &[u8]) {
    check_names(inode_refs(offset, data), 10, data);
    check_names(inode_extrefs(data), 18, data);
    assert!(inode_refs(offset, data).all(|name| name.parent == offset));
    let mut used = 0;
    for entry in dir_items(data) {
        used += 30;
        assert_eq!(entry.name, &data[used..used + entry.name.len()]);
        used += entry.name.len();
        assert_eq!(entry.value, &data[used..used + entry.value.len()]);
        used += entry.value.len();
        let _ = entry.file_type();
    }

    let longer = [data, b"\xff".as_slice()].concat();
    if let Some(inode) = InodeItem::parse(data) {
        assert_eq!(InodeItem::parse(&longer), Some(inode));
    }
    if let Some(root) = RootItem::parse(data) {
        assert_eq!(RootItem::parse(&longer), Some(root));
        assert!(root.parent_uuid.is_none_or(|uuid| !uuid.is_nil()));
    }
    if let Some(name) = RootRef::parse(data) {
        assert_eq!(RootRef::parse(&longer), Some(name));
        assert_eq!(name.name, &data[18..18 + name.name.len()]);
    }
    if let Some(extent) = FileExtent::parse(offset, data) {
        assert_eq!(extent.start, offset);
        match extent.source {
            Source::Inline(inline) | Source::Packed(inline) => assert_eq!(inline, &data[21..]),
            Source::Disk { address, .. } => assert_ne!(address, 0),
            Source::Zero => {}
        }
    }
}

/// Each name follows its head of `head` bytes, and the next head follows the name.
fn check_names<'a>(names: impl Iterator<Item = NameRef<'a>>, head: usize, data: &[u8]) {
    let mut used = 0;
    for name in names {
        used += head;
        assert_eq!(name.name, &data[used..used + name.name.len()]);
        used += name.name.len();
    }
}
