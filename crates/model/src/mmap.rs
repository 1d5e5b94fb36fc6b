//! Memory-mapped weight files: the only `unsafe` of this crate.

#![allow(unsafe_code, reason = "mapping a file is unsafe; the rules that make it sound stand below")]

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// A file's bytes, read from disk as they are touched.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: memmap2::Mmap,
}

impl MappedFile {
    /// Maps a file for reading. The file may not shrink while this value lives: weight files are written under another
    /// name and renamed, never changed in place, so the mapping keeps the old file even when a new one takes its name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        // SAFETY: the map is read-only and private to this value; files in model directories are replaced by rename
        // and not rewritten (see above), so the mapped bytes do not change. Every tensor is copied out of the map.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path, "map"))?;
        Ok(Self { map })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}
