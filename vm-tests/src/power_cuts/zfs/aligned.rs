//! Memory that a disk can be written from without a copy in between.

/// What every disk is content with.
const ALIGNMENT: usize = 4096;

/// Bytes that begin at a page's start.
#[derive(Debug)]
pub struct Aligned {
    whole: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// So many zeros.
    pub fn zeroed(length: usize) -> Self {
        let whole = vec![0; length + ALIGNMENT];
        let start = whole.as_ptr().align_offset(ALIGNMENT);
        Self { whole, start, length }
    }

    /// What they are.
    pub fn bytes(&self) -> &[u8] {
        &self.whole[self.start..self.start + self.length]
    }

    /// The same, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.whole[self.start..self.start + self.length]
    }
}
