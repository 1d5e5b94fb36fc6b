//! Data pages of list columns of token ids, written and read at the speed of memory.
//!
//! A general Parquet writer asks of every value how deep it is nested and whether it is null. The lists of this project are never null
//! and their items neither, so all there is to say is where rows begin: a few bytes a row. Values are stored byte by byte
//! (`BYTE_STREAM_SPLIT`): all lowest bytes, then all second bytes, and so on; Parquet knows no 16-bit numbers, and their upper two bytes
//! compress to nothing. The pages are plain Parquet (data page v1, levels in the RLE hybrid), as its format documents them.

use crate::columns::TokenIds;

/// Bytes of a value: Parquet's `INT32`, which the narrower integers are stored in.
pub(crate) const VALUE_BYTES: usize = 4;

/// Writes the body of a page, before compression, into `out`: levels and values of rows of these lengths. The upper two bytes of
/// 16-bit ids, all of them zero, are left out; they belong behind it ([`missing_zeros`]).
///
/// Returns the number of levels, which Parquet calls values: an item each, and one for every empty row.
pub(crate) fn encode(lengths: impl Iterator<Item = usize> + Clone, ids: TokenIds<'_>, out: &mut Vec<u8>) -> usize {
    out.clear();
    let mut levels = 0;
    // Repetition: 0 begins a row, 1 goes on with it.
    let mut runs = Runs::begin(out);
    for length in lengths.clone() {
        levels += length.max(1);
        runs.put(0, 1);
        runs.put(1, length.saturating_sub(1));
    }
    runs.end();
    // Definition: 1 is an item, 0 an empty row.
    let mut runs = Runs::begin(out);
    for length in lengths {
        runs.put(u8::from(length > 0), length.max(1));
    }
    runs.end();
    let start = out.len();
    let count = ids.len();
    out.resize(start + VALUE_BYTES * count - missing_zeros(ids), 0);
    let (low, high) = out[start..].split_at_mut(2 * count);
    let (first, second) = low.split_at_mut(count);
    match ids {
        TokenIds::U16(ids) => {
            for ((&id, a), b) in ids.iter().zip(first).zip(second) {
                (*a, *b) = (id as u8, (id >> 8) as u8);
            }
        }
        TokenIds::U32(ids) => {
            let (third, fourth) = high.split_at_mut(count);
            for ((((&id, a), b), c), d) in ids.iter().zip(first).zip(second).zip(third).zip(fourth) {
                (*a, *b, *c, *d) = (id as u8, (id >> 8) as u8, (id >> 16) as u8, (id >> 24) as u8);
            }
        }
    }
    levels
}

/// Zeros that belong behind the body that [`encode`] writes.
pub(crate) fn missing_zeros(ids: TokenIds<'_>) -> usize {
    if matches!(ids, TokenIds::U16(_)) { (VALUE_BYTES - 2) * ids.len() } else { 0 }
}

/// Levels as runs, behind the number of their bytes.
struct Runs<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    value: u8,
    count: usize,
}

impl<'o> Runs<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend([0; 4]);
        Self { out, start, value: 0, count: 0 }
    }

    #[inline]
    fn put(&mut self, value: u8, count: usize) {
        if value != self.value && count > 0 {
            self.flush();
            self.value = value;
        }
        self.count += count;
    }

    fn flush(&mut self) {
        let mut header = 2 * std::mem::take(&mut self.count) as u64;
        if header == 0 {
            return;
        }
        while header > 0x7F {
            self.out.push(header as u8 | 0x80);
            header >>= 7;
        }
        self.out.extend([header as u8, self.value]);
    }

    fn end(mut self) {
        self.flush();
        let bytes = (self.out.len() - self.start - 4) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&bytes.to_le_bytes());
    }
}

/// Rows that were decoded, at the width of their column.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Where each row begins among the ids; a row may go on in the next page.
    pub(crate) starts: Vec<usize>,
    pub(crate) ids: Ids,
}

/// Token ids of either width.
#[derive(Debug)]
pub(crate) enum Ids {
    U16(Vec<u16>),
    U32(Vec<u32>),
}

impl Ids {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
        }
    }
}

/// How the values of a page are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `PLAIN`.
    Plain,
    /// `BYTE_STREAM_SPLIT`.
    Split,
}

/// Adds the rows of a page's body to `rows`; the error says what is wrong with it.
pub(crate) fn decode(body: &[u8], levels: usize, layout: Layout, rows: &mut Rows) -> Result<(), &'static str> {
    let (repetition, rest) = section(body)?;
    let (definition, values) = section(rest)?;
    decode_levels(repetition, definition, values, levels, layout, rows)
}

/// As [`decode`], of a page whose levels stand apart, without their lengths.
pub(crate) fn decode_levels(
    repetition: &[u8],
    definition: &[u8],
    values: &[u8],
    levels: usize,
    layout: Layout,
    rows: &mut Rows,
) -> Result<(), &'static str> {
    let base = rows.ids.len();
    let mut defined = Levels { bytes: definition, value: 0, left: 0 };
    // Items up to the level looked at, and levels of the run of definitions that are left.
    let (mut items, mut run) = (0, (false, 0_usize));
    let mut at = 0;
    let mut pass = |count: usize, items: &mut usize| -> Result<(), &'static str> {
        let mut count = count;
        while count > 0 {
            if run.1 == 0 {
                run = defined.run(levels)?;
            }
            let some = count.min(run.1);
            *items += if run.0 { some } else { 0 };
            (run.1, count) = (run.1 - some, count - some);
        }
        Ok(())
    };
    let mut repeated = Levels { bytes: repetition, value: 0, left: 0 };
    while at < levels {
        let (inside, count) = repeated.run(levels - at)?;
        if inside {
            if rows.starts.is_empty() {
                return Err("the first row has no beginning");
            }
            pass(count, &mut items)?;
        } else {
            for _ in 0..count {
                rows.starts.push(base + items);
                pass(1, &mut items)?;
            }
        }
        at += count;
    }
    if values.len() != VALUE_BYTES * items {
        return Err("a page holds more or fewer ids than it says");
    }
    match (layout, &mut rows.ids) {
        (Layout::Split, Ids::U16(ids)) => {
            let (low, high) = values.split_at(2 * items);
            if high.iter().fold(0, |all, byte| all | byte) != 0 {
                return Err("an id does not fit 16 bits");
            }
            let (first, second) = low.split_at(items);
            ids.extend(first.iter().zip(second).map(|(&a, &b)| u16::from_le_bytes([a, b])));
        }
        (Layout::Split, Ids::U32(ids)) => {
            let (low, high) = values.split_at(2 * items);
            let ((first, second), (third, fourth)) = (low.split_at(items), high.split_at(items));
            let bytes = first.iter().zip(second).zip(third.iter().zip(fourth));
            ids.extend(bytes.map(|((&a, &b), (&c, &d))| u32::from_le_bytes([a, b, c, d])));
        }
        (Layout::Plain, Ids::U16(ids)) => {
            let wide = values.as_chunks().0;
            if wide.iter().any(|&[_, _, c, d]: &[u8; 4]| c | d != 0) {
                return Err("an id does not fit 16 bits");
            }
            ids.extend(wide.iter().map(|&[a, b, ..]: &[u8; 4]| u16::from_le_bytes([a, b])));
        }
        (Layout::Plain, Ids::U32(ids)) => ids.extend(values.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes))),
    }
    Ok(())
}

/// Levels behind their length, and what follows.
fn section(body: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (length, rest) = body.split_first_chunk().ok_or("a page is cut off")?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("a page is cut off")
}

/// Levels of one bit in the RLE hybrid: runs of one value, and groups of eight packed ones.
struct Levels<'b> {
    bytes: &'b [u8],
    /// Packed levels that are left: the byte, and how many of its bits.
    value: u8,
    left: usize,
}

impl Levels<'_> {
    /// The next run: whether its levels are 1, and how many they are, at most `most`.
    fn run(&mut self, most: usize) -> Result<(bool, usize), &'static str> {
        const CUT: &str = "levels are cut off";
        // Packed groups end at whole bytes and are handed out a byte's equal bits at a time.
        if self.left == 0 || self.left.is_multiple_of(8) && self.left > 0 {
            if self.left == 0 {
                let mut header = 0_u64;
                let mut shift = 0;
                loop {
                    let (&byte, rest) = self.bytes.split_first().ok_or(CUT)?;
                    self.bytes = rest;
                    header |= u64::from(byte & 0x7F) << shift;
                    shift += 7;
                    if byte < 0x80 {
                        break;
                    }
                    if shift > 56 {
                        return Err("a run of levels is too long");
                    }
                }
                if header & 1 == 0 {
                    let (&value, rest) = self.bytes.split_first().ok_or(CUT)?;
                    self.bytes = rest;
                    let count = usize::try_from(header >> 1).unwrap_or(usize::MAX).min(most);
                    return if count == 0 { Err("a run of no levels") } else { Ok((value & 1 == 1, count)) };
                }
                self.left = usize::try_from(header >> 1).ok().and_then(|groups| groups.checked_mul(8)).ok_or("too many levels")?;
                if self.left == 0 {
                    return Err("a run of no levels");
                }
            }
            let (&byte, rest) = self.bytes.split_first().ok_or(CUT)?;
            (self.value, self.bytes) = (byte, rest);
        }
        let here = match self.left % 8 {
            0 => 8,
            some => some,
        };
        let one = self.value & 1 == 1;
        let same = if one { self.value.trailing_ones() } else { self.value.trailing_zeros() } as usize;
        let count = same.min(here).min(most);
        self.value = self.value.checked_shr(count as u32).unwrap_or(0);
        self.left -= count;
        Ok((one, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(lengths: &[usize], ids: &[u32]) {
        let mut body = Vec::new();
        let narrow: Vec<u16> = ids.iter().map(|id| *id as u16).collect();
        for wide in [false, true] {
            let values = if wide { TokenIds::U32(ids) } else { TokenIds::U16(&narrow) };
            let levels = encode(lengths.iter().copied(), values, &mut body);
            body.resize(body.len() + missing_zeros(values), 0);
            let mut rows = Rows { starts: Vec::new(), ids: if wide { Ids::U32(Vec::new()) } else { Ids::U16(Vec::new()) } };
            decode(&body, levels, Layout::Split, &mut rows).unwrap();
            let starts: Vec<usize> = lengths.iter().scan(0, |sum, length| Some(std::mem::replace(sum, *sum + length))).collect();
            assert_eq!(rows.starts, starts);
            match rows.ids {
                Ids::U32(got) => assert_eq!(got, ids),
                Ids::U16(got) => assert_eq!(got, narrow),
            }
            // Nothing cut short or changed in length is read, and nothing panics.
            for cut in 0..body.len() {
                let mut rows = Rows { starts: Vec::new(), ids: if wide { Ids::U32(Vec::new()) } else { Ids::U16(Vec::new()) } };
                assert!(decode(&body[..cut], levels, Layout::Split, &mut rows).is_err(), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        round_trip(&[3, 1, 0, 0, 2, 1, 1, 5, 0], &[1, 70, 300, 65_535, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        round_trip(&[300], &(0..300).collect::<Vec<_>>());
        round_trip(&[0], &[]);
    }

    #[test]
    fn packed_levels_and_rows_over_pages_are_read() {
        let mut rows = Rows { starts: Vec::new(), ids: Ids::U32(Vec::new()) };
        // One group of eight repetitions, 0 1 1 0 1 0 1 1, the lowest bit first, of which all count; definitions are a run of ones.
        let values: Vec<u8> = (1..=8_u32).flat_map(u32::to_le_bytes).collect();
        decode_levels(&[3, 0b1101_0110], &[16, 1], &values, 8, Layout::Plain, &mut rows).unwrap();
        assert_eq!(rows.starts, [0, 3, 5]);
        // The next page goes on with the last row, and begins one.
        decode_levels(&[3, 0b0000_0101], &[6, 1], &values[..12], 3, Layout::Plain, &mut rows).unwrap();
        assert_eq!(rows.starts, [0, 3, 5, 9]);
        assert_eq!(rows.ids.len(), 11);
    }

    #[test]
    fn nonsense_is_refused() {
        let read = |repetition: &[u8], definition: &[u8], levels, values: &[u8]| {
            let mut rows = Rows { starts: Vec::new(), ids: Ids::U16(Vec::new()) };
            decode_levels(repetition, definition, values, levels, Layout::Plain, &mut rows)
        };
        let four = [1, 0, 0, 0];
        assert_eq!(read(&[2, 0], &[2, 1], 1, &four), Ok(()));
        assert!(read(&[2, 1], &[2, 1], 1, &four).unwrap_err().contains("no beginning"));
        assert!(read(&[2, 0], &[2, 1], 1, &[1, 0, 1, 0]).unwrap_err().contains("16 bits"));
        assert!(read(&[2, 0], &[2, 1], 2, &four).is_err());
        assert!(read(&[0, 0], &[2, 1], 1, &four).is_err());
        assert!(read(&[1], &[2, 1], 1, &four).is_err());
        assert!(read(&[0xFF; 20], &[2, 1], 1, &four).is_err());
        assert!(read(&[2, 0], &[2, 1], 1, &[]).is_err());
    }
}
