//! Which files are inputs, and what kind of file each is.

use super::Format;
use super::decoder::{Chunk, Decoder, is_compressed};
use crate::charset;
use crate::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};

/// An input file with the name it is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Path relative to the folder or pattern that named it, or its file name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Kinds of files that are read when a folder is named; everything else in it is passed over.
const ENDINGS: [&str; 8] = [".warc", ".wet", ".arc", ".html", ".htm", ".xhtml", ".jsonl", ".ndjson"];
/// Endings of compressed ones.
const COMPRESSIONS: [&str; 3] = [".gz", ".zst", ".lz4"];

/// The name in lower case, without the ending of its compression.
fn bare_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    COMPRESSIONS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name).to_owned()
}

/// What an entry names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files to read, by name.
    pub files: Vec<Found>,
    /// Names of files in a folder that are of no kind to read.
    pub passed_over: Vec<String>,
}

/// Finds the files that `entry` names: a file, a folder (searched to its depth), or a pattern with `*` and `?` in its last part.
///
/// # Errors
/// If there is nothing of that name, or nothing in it that can be read.
pub fn find(entry: &Path) -> Result<Listing, Error> {
    let mut out = Listing::default();
    let last = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if entry.is_dir() {
        walk(entry, "", &mut out)?;
    } else if entry.exists() {
        out.files.push(Found { name: last, path: entry.to_owned() });
    } else if last.contains(['*', '?']) {
        let folder = entry.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for (name, path) in list(folder)? {
            if path.is_file() && matches(last.as_bytes(), name.as_bytes()) {
                out.files.push(Found { name, path });
            }
        }
    } else {
        return Err(Error::NoSuchInput { path: entry.to_owned() });
    }
    if out.files.is_empty() {
        return Err(Error::NothingToRead { path: entry.to_owned() });
    }
    out.files.sort();
    Ok(out)
}

fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::read(folder))?;
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::read(folder))?;
        out.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    out.sort();
    Ok(out)
}

fn walk(folder: &Path, prefix: &str, out: &mut Listing) -> Result<(), Error> {
    for (name, path) in list(folder)? {
        if name.starts_with('.') {
            continue;
        }
        let full = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if path.is_dir() {
            walk(&path, &full, out)?;
        } else if is_read(&name, &path) {
            out.files.push(Found { name: full, path });
        } else {
            out.passed_over.push(full);
        }
    }
    Ok(())
}

/// True for a file that is of a kind to read by its name; one that ends in `.json` is asked whether it holds lines.
fn is_read(name: &str, path: &Path) -> bool {
    let bare = bare_name(name);
    name.to_ascii_lowercase().ends_with(".parquet")
        || ENDINGS.iter().any(|ending| bare.ends_with(ending))
        || bare.ends_with(".json") && head(path).is_ok_and(|head| begins_json_lines(&head))
}

/// True if the first line begins an object and goes on: JSON that is laid out for reading breaks the line there.
fn begins_json_lines(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"{") && line.trim_ascii_end().len() > 1
}

/// True if `name` matches a pattern of `*` (any run) and `?` (any byte). Linear in the product of the lengths at worst.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == b'?' || (pattern[p] == name[n] && pattern[p] != b'*')) {
            p += 1;
            n += 1;
        } else if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            n = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// What kind of file `path` is, by its name, or else by its first bytes.
///
/// # Errors
/// If the file cannot be read or is of no known kind.
pub fn format(path: &Path) -> Result<Format, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let bare = bare_name(&name);
    let head = head(path)?;
    if super::warc::find_record(&head) == Some(0) {
        return Ok(Format::Warc);
    }
    if head.starts_with(b"filedesc://") {
        return Ok(Format::Arc);
    }
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if bare.ends_with(".warc") || bare.ends_with(".wet") {
        // Garbage may stand before the first record; a file without any record is not a WARC file.
        return if head.is_empty() || contains_record(path)? { Ok(Format::Warc) } else { Err(Error::NotWarc { path: path.to_owned() }) };
    }
    if bare.ends_with(".jsonl") || bare.ends_with(".ndjson") || bare.ends_with(".json") && begins_json_lines(&head) {
        return Ok(Format::Jsonl);
    }
    // UTF-16 has zero bytes in every letter of markup; elsewhere they are those of no text.
    let wide = charset::wide(&head, None);
    let begins_with_tag = match wide {
        Some(encoding) => encoding.decode(&head).0.trim_start().starts_with('<'),
        None => head.trim_ascii_start().starts_with(b"<"),
    };
    let named = bare.ends_with(".html") || bare.ends_with(".htm") || bare.ends_with(".xhtml");
    if (begins_with_tag || named) && (wide.is_some() || !head.contains(&0)) {
        return Ok(Format::Html);
    }
    Err(Error::UnknownFormat { path: path.to_owned() })
}

/// The first bytes of a file after decompression.
fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::open(path).map_err(Error::read(path))?;
    let mut out = Vec::new();
    loop {
        match decoder.read_more(&mut out).map_err(Error::read(path))? {
            Chunk::Start(_) => {}
            _ => {
                out.truncate(1024);
                return Ok(out);
            }
        }
    }
}

/// True if a WARC record begins somewhere in the file.
fn contains_record(path: &Path) -> Result<bool, Error> {
    let mut decoder = Decoder::open(path).map_err(Error::read(path))?;
    let mut bytes = Vec::new();
    loop {
        let chunk = decoder.read_more(&mut bytes).map_err(Error::read(path))?;
        if super::warc::find_record(&bytes).is_some() {
            return Ok(true);
        }
        if matches!(chunk, Chunk::End) {
            return Ok(false);
        }
        let keep = bytes.len().saturating_sub(8);
        bytes.drain(..keep);
    }
}

/// A decoder, and whether the file is compressed.
pub(super) fn decoder(path: &Path) -> Result<(Decoder, bool), Error> {
    let mut magic = [0_u8; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut magic)).map_err(Error::read(path))?;
    Ok((Decoder::open(path).map_err(Error::read(path))?, is_compressed(&magic[..read])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("*.warc.gz", "a.warc.gz", true),
            ("a?c*", "abcd", true),
            ("a?c", "ac", false),
            ("**x", "yyx", true),
            ("*.warc", "a.warc.gz", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn folders_files_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["b.warc.gz", "a.html", "notes.md", "sub/c.jsonl"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = |entry: &str| find(&dir.path().join(entry)).map(|found| found.files.into_iter().map(|f| f.name).collect::<Vec<_>>());
        assert_eq!(find(dir.path()).unwrap().passed_over, ["notes.md"]);
        assert_eq!(names("").unwrap(), ["a.html", "b.warc.gz", "sub/c.jsonl"]);
        assert_eq!(names("notes.md").unwrap(), ["notes.md"]);
        assert_eq!(names("*.gz").unwrap(), ["b.warc.gz"]);
        assert!(matches!(names("none"), Err(Error::NoSuchInput { .. })));
        assert!(matches!(names("*.none"), Err(Error::NothingToRead { .. })));
    }

    #[test]
    fn every_kind_is_found_compressed_too() {
        let dir = tempfile::tempdir().unwrap();
        let kinds = ["warc", "wet", "arc", "html", "htm", "xhtml", "jsonl", "ndjson", "json"];
        let mut want: Vec<String> =
            kinds.iter().flat_map(|kind| ["", ".gz", ".zst", ".lz4"].map(|compression| format!("a.{kind}{compression}"))).collect();
        want.push("B.PARQUET".into());
        for name in &want {
            std::fs::write(dir.path().join(name), "{\"text\": \"x\"}\n").unwrap();
        }
        for (name, content) in [("config.json", "{\n  \"a\": 1\n}"), ("list.json", "[1]"), ("x.warc.bz2", ""), ("y.parquet.gz", "")] {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let found = find(dir.path()).unwrap();
        want.sort();
        assert_eq!(found.files.into_iter().map(|file| file.name).collect::<Vec<_>>(), want);
        assert_eq!(found.passed_over, ["config.json", "list.json", "x.warc.bz2", "y.parquet.gz"]);
        assert_eq!(format(&dir.path().join("a.json")).unwrap(), Format::Jsonl);
        assert!(matches!(format(&dir.path().join("config.json")), Err(Error::UnknownFormat { .. })));
    }

    #[test]
    fn formats_by_content_then_name() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            format(&dir.path().join(name))
        };
        assert_eq!(kind("x.bin", b"WARC/1.0\r\n").unwrap(), Format::Warc);
        assert_eq!(kind("x.warc", b"junk\nWARC/1.0\r\n").unwrap(), Format::Warc);
        assert_eq!(kind("x.txt", b" <!doctype html>").unwrap(), Format::Html);
        let wide =
            |mark: &[u8], order: fn(u16) -> [u8; 2]| [mark, &"\n<p>Größe".encode_utf16().flat_map(order).collect::<Vec<_>>()].concat();
        for name in ["x.html", "x.txt"] {
            assert_eq!(kind(name, &wide(b"\xFF\xFE", u16::to_le_bytes)).unwrap(), Format::Html);
            assert_eq!(kind(name, &wide(b"\xFE\xFF", u16::to_be_bytes)).unwrap(), Format::Html);
        }
        assert_eq!(kind("x.txt", b"\0<\0p\0>").unwrap(), Format::Html);
        assert!(matches!(kind("x.html", b"<p>\0\x01\x02"), Err(Error::UnknownFormat { .. })));
        assert_eq!(kind("x.jsonl", b"{}").unwrap(), Format::Jsonl);
        assert_eq!(kind("x.arc", b"filedesc://x").unwrap(), Format::Arc);
        assert_eq!(kind("y.warc", b"").unwrap(), Format::Warc);
        assert!(matches!(kind("y.warc.gz", b"\x00\x01\x02random"), Err(Error::NotWarc { .. })));
        assert!(matches!(kind("y.bin", b"\x00\x01\x02random"), Err(Error::UnknownFormat { .. })));
    }
}
