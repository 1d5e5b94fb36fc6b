//! List columns of token ids as column chunks of a Parquet file: written page by page, and read back a batch at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, UInt16Array, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageReader, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use twox_hash::XxHash64;

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, InBuffer, OutBuffer, ParamSwitch};

use crate::columns::TokenIds;
use crate::digest::HashedFile;
use crate::id_pages::{self, Ids, Layout, Rows};

/// Ids of a page, at least; pages end with rows.
const PAGE_IDS: usize = 1 << 17;

/// Ids from which a row group ends before its rows are many: up to 256 MB of them wait in memory.
const GROUP_IDS: usize = 1 << 26;

/// True for a list of unsigned integers of 16 or 32 bits.
pub(crate) fn holds_ids(field: &Field) -> bool {
    matches!(field.data_type(), DataType::List(item) if matches!(item.data_type(), DataType::UInt16 | DataType::UInt32) && !item.is_nullable())
        && !field.is_nullable()
}

fn bad(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// Writes row groups in which some columns go through [`id_pages`] and all others through Arrow's writer.
pub(crate) struct GroupWriter {
    file: SerializedFileWriter<HashedFile>,
    factory: ArrowRowGroupWriterFactory,
    descr: SchemaDescriptor,
    schema: SchemaRef,
    /// Which fields are ids.
    ids: Vec<bool>,
    group_rows: usize,
    groups: usize,
    pending: VecDeque<RecordBatch>,
    pending_rows: usize,
    compressor: Compressor,
    body: Vec<u8>,
}

/// Compresses bodies of pages as zstd frames one behind the other, as the format allows: levels and lowest bytes, which are nearly random
/// and stand there as they are ([`append_stored`]); all higher bytes, whose frequencies are worth a Huffman code; and the zeros above
/// 16-bit ids, the same in every page. There is no search for matches: ids repeat rarely, byte by byte more rarely still. Each frame
/// carries a checksum, so that a flipped bit is an error and not another id.
struct Compressor {
    coding: CCtx<'static>,
    /// As many zeros as were needed last, compressed.
    zeros: (usize, Vec<u8>),
}

impl Compressor {
    fn new() -> Result<Self> {
        let mut coding = CCtx::create();
        for parameter in [
            CParameter::CompressionLevel(zstd_safe::min_c_level()),
            CParameter::LiteralCompressionMode(ParamSwitch::Enable),
            CParameter::ChecksumFlag(true),
        ] {
            coding.set_parameter(parameter).map_err(failed)?;
        }
        Ok(Self { coding, zeros: (0, Vec::new()) })
    }

    /// `body`, whose higher bytes begin with byte `cut`, and `zeros` behind it.
    fn compress(&mut self, body: &[u8], cut: usize, zeros: usize) -> Result<Vec<u8>> {
        let (low, high) = body.split_at_checked(cut).ok_or_else(|| bad("a page ends before its ids"))?;
        if self.zeros.0 != zeros {
            self.zeros = (zeros, Vec::with_capacity(zstd_safe::compress_bound(zeros)));
            append_frame(&mut self.coding, &vec![0; zeros], &mut self.zeros.1)?;
        }
        let bound = stored_bound(low.len()) + zstd_safe::compress_bound(high.len()) + self.zeros.1.len();
        let mut out = Vec::with_capacity(bound);
        append_stored(low, &mut out)?;
        append_frame(&mut self.coding, high, &mut out)?;
        out.extend(&self.zeros.1);
        Ok(out)
    }
}

/// Bytes of a block of a frame, at most (RFC 8878, section 3.1.1.2.4).
const BLOCK_BYTES: usize = 1 << 17;

/// What comes before the blocks of a frame that stores its content: the magic number; a descriptor that says that the size of the content
/// follows in four bytes and a checksum at the end; a window of [`BLOCK_BYTES`] (RFC 8878, section 3.1.1.1).
const STORED_HEADER: [u8; 6] = [0x28, 0xB5, 0x2F, 0xFD, 0b1000_0100, 7 << 3];

/// Bytes of a frame that stores so many.
fn stored_bound(bytes: usize) -> usize {
    STORED_HEADER.len() + 4 + bytes + 3 * bytes.div_ceil(BLOCK_BYTES).max(1) + 4
}

/// Appends a zstd frame that holds `bytes` as they are. What zstd itself writes for bytes that it cannot compress is the same, but it
/// tries first.
fn append_stored(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let size = u32::try_from(bytes.len()).map_err(|_| bad("a page is too long"))?;
    out.extend(STORED_HEADER);
    out.extend(size.to_le_bytes());
    let mut rest = bytes;
    loop {
        let (block, after) = rest.split_at(rest.len().min(BLOCK_BYTES));
        // Bit 0: the last block; bits 1 and 2: its type, 0 for bytes as they are; the others: its size.
        let header = u32::from(after.is_empty()) | (block.len() as u32) << 3;
        out.extend(&header.to_le_bytes()[..3]);
        out.extend(block);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    out.extend(&XxHash64::oneshot(0, bytes).to_le_bytes()[..4]);
    Ok(())
}

/// Appends a frame to `out`, which has room for it.
fn append_frame(context: &mut CCtx<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let written = out.len();
    let mut buffer = OutBuffer::around_pos(out, written);
    let left = context.compress_stream2(&mut buffer, &mut InBuffer::around(bytes), ZSTD_EndDirective::ZSTD_e_end);
    if left.map_err(failed)? == 0 { Ok(()) } else { Err(bad("a page does not fit its buffer")) }
}

fn failed(code: zstd_safe::ErrorCode) -> ParquetError {
    bad(zstd_safe::get_error_name(code))
}

impl std::fmt::Debug for GroupWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupWriter").field("groups", &self.groups).field("pending_rows", &self.pending_rows).finish_non_exhaustive()
    }
}

impl GroupWriter {
    pub(crate) fn new(
        (file, factory): (SerializedFileWriter<HashedFile>, ArrowRowGroupWriterFactory),
        schema: SchemaRef,
        ids: Vec<bool>,
        group_rows: usize,
    ) -> Result<Self> {
        let compressor = Compressor::new()?;
        let (pending, body) = (VecDeque::new(), Vec::new());
        let descr = file.schema_descr().clone();
        Ok(Self { file, factory, descr, schema, ids, group_rows, groups: 0, pending, pending_rows: 0, compressor, body })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema().fields() != self.schema.fields() {
            return Err(bad("a batch has other columns than its table"));
        }
        self.pending.push_back(batch.clone());
        self.pending_rows += batch.num_rows();
        while self.pending_rows >= self.group_rows {
            self.group(self.group_rows)?;
        }
        if self.pending.iter().map(|batch| self.ids_of(batch)).sum::<usize>() >= GROUP_IDS {
            self.group(self.pending_rows)?;
        }
        Ok(())
    }

    /// How many token ids a batch holds.
    fn ids_of(&self, batch: &RecordBatch) -> usize {
        let columns = batch.columns().iter().zip(&self.ids).filter(|(_, ids)| **ids);
        let lists = columns.filter_map(|(column, _)| column.as_any().downcast_ref::<ListArray>());
        lists.map(|list| (list.value_offsets()[list.len()] - list.value_offsets()[0]) as usize).sum()
    }

    /// Writes what is left, and the footer.
    pub(crate) fn into_inner(mut self) -> Result<HashedFile> {
        if self.pending_rows > 0 {
            self.group(self.pending_rows)?;
        }
        self.file.into_inner()
    }

    /// The next `rows` rows as a row group.
    fn group(&mut self, rows: usize) -> Result<()> {
        let mut batches = Vec::new();
        let mut missing = rows;
        while missing > 0 {
            let Some(batch) = self.pending.pop_front() else { break };
            let taken = missing.min(batch.num_rows());
            if taken < batch.num_rows() {
                self.pending.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            batches.push(batch.slice(0, taken));
            missing -= taken;
        }
        self.pending_rows -= rows - missing;
        let mut writers = self.factory.create_column_writers(self.groups)?.into_iter();
        self.groups += 1;
        let mut group = self.file.next_row_group()?;
        let mut leaf = 0;
        for (index, field) in self.schema.fields().iter().enumerate() {
            if self.ids[index] {
                let columns: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
                let (chunk, closed) = chunk(self.descr.column(leaf), &columns, &mut self.compressor, &mut self.body)?;
                group.append_column(&chunk, closed)?;
                writers.next();
                leaf += 1;
                continue;
            }
            let mut of_field = Vec::new();
            for batch in &batches {
                for (at, values) in compute_leaves(field, batch.column(index))?.into_iter().enumerate() {
                    if of_field.len() == at {
                        of_field.extend(writers.next());
                    }
                    of_field.get_mut(at).ok_or_else(|| bad("a column has no writer"))?.write(&values)?;
                }
            }
            leaf += of_field.len();
            for writer in of_field {
                writer.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }
}

/// One column chunk: pages one behind the other, and what the row group has to know of them.
fn chunk(
    descr: ColumnDescPtr,
    columns: &[&ArrayRef],
    compressor: &mut Compressor,
    body: &mut Vec<u8>,
) -> Result<(Bytes, ColumnCloseResult)> {
    let mut sink = TrackedWrite::new(Vec::new());
    let (mut rows, mut values, mut uncompressed) = (0, 0, 0);
    for column in columns {
        let list = column.as_any().downcast_ref::<ListArray>().ok_or_else(|| bad("a column of ids is no list"))?;
        let offsets = list.value_offsets();
        let mut first = 0;
        while first < list.len() {
            let start = offsets[first] as usize;
            // Up to and with the row that fills the page.
            let last = first + offsets[first + 1..].partition_point(|&end| (end as usize - start) < PAGE_IDS);
            let end = (last + 1).min(list.len());
            let range = start..offsets[end] as usize;
            let lengths = offsets[first..=end].windows(2).map(|pair| (pair[1] - pair[0]) as usize);
            let items = list.values().as_any();
            let ids = if let Some(ids) = items.downcast_ref::<UInt16Array>() {
                TokenIds::U16(&ids.values()[range])
            } else if let Some(ids) = items.downcast_ref::<UInt32Array>() {
                TokenIds::U32(&ids.values()[range])
            } else {
                return Err(bad("ids are neither uint16 nor uint32"));
            };
            let levels = id_pages::encode(lengths, ids, body);
            let zeros = id_pages::missing_zeros(ids);
            let cut = body.len() + zeros - (id_pages::VALUE_BYTES - 1) * ids.len();
            let page = Page::DataPage {
                buf: compressor.compress(body, cut, zeros)?.into(),
                num_values: u32::try_from(levels).map_err(|_| bad("a row is too long"))?,
                encoding: Encoding::BYTE_STREAM_SPLIT,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let spec = SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page, body.len() + zeros))?;
            uncompressed += spec.uncompressed_size;
            (rows, values) = (rows + end - first, values + levels);
            first = end;
        }
    }
    let bytes = Bytes::from(sink.into_inner()?);
    let metadata = ColumnChunkMetaData::builder(descr)
        .set_encodings(vec![Encoding::RLE, Encoding::BYTE_STREAM_SPLIT])
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_num_values(values as i64)
        .set_total_compressed_size(bytes.len() as i64)
        .set_total_uncompressed_size(uncompressed as i64)
        .set_data_page_offset(0)
        .build()?;
    let closed = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok((bytes, closed))
}

/// Reads one column of ids, row by row over pages and row groups.
pub(crate) struct IdReader {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    leaf: usize,
    /// What the file calls its items.
    item: FieldRef,
    /// Its place among the columns of a batch.
    pub(crate) place: usize,
    next_group: usize,
    pages: Option<SerializedPageReader<File>>,
    rows: Rows,
    /// Rows given out of those decoded.
    given: usize,
}

impl std::fmt::Debug for IdReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdReader").field("leaf", &self.leaf).field("next_group", &self.next_group).finish_non_exhaustive()
    }
}

impl IdReader {
    /// A reader of the field number `field`, which becomes column `place` of a batch; `None` if it is no list of ids, or is stored in
    /// another way than [`id_pages`] knows.
    pub(crate) fn new(file: &Arc<File>, metadata: &ArrowReaderMetadata, field: usize, place: usize) -> Option<Self> {
        let ids = metadata.schema().field(field);
        let DataType::List(item) = ids.data_type() else { return None };
        if !holds_ids(ids) {
            return None;
        }
        let (item, narrow) = (item.clone(), *item.data_type() == DataType::UInt16);
        let parquet = metadata.metadata();
        let schema = parquet.file_metadata().schema_descr();
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == field)?;
        let known = |chunk: &ColumnChunkMetaData| {
            let mut encodings = chunk.encodings();
            encodings.all(|encoding| matches!(encoding, Encoding::RLE | Encoding::PLAIN | Encoding::BYTE_STREAM_SPLIT))
        };
        let descr = schema.column(leaf);
        if (descr.max_rep_level(), descr.max_def_level()) != (1, 1) || !parquet.row_groups().iter().all(|group| known(group.column(leaf))) {
            return None;
        }
        let ids = if narrow { Ids::U16(Vec::new()) } else { Ids::U32(Vec::new()) };
        let rows = Rows { starts: Vec::new(), ids };
        Some(Self { file: file.clone(), metadata: parquet.clone(), leaf, item, place, next_group: 0, pages: None, rows, given: 0 })
    }

    /// The next `count` rows.
    pub(crate) fn take(&mut self, count: usize) -> Result<ArrayRef> {
        // The last row decoded may go on in the next page.
        while self.rows.starts.len() < self.given + count + usize::from(self.pages.is_some()) {
            if !self.decode_page()? {
                break;
            }
        }
        let Rows { starts, ids } = &self.rows;
        let end = self.given + count;
        if end > starts.len() {
            return Err(bad("a column of ids has fewer rows than its file"));
        }
        let last = starts.get(end).copied().unwrap_or(ids.len());
        let first = starts.get(self.given).copied().unwrap_or(last);
        let ends = starts[self.given..end].iter().skip(1).copied().chain([last]);
        let ends = ends.take(count).scan(first, |from, to| Some(to - std::mem::replace(from, to)));
        let offsets = OffsetBuffer::from_lengths(ends);
        let values: ArrayRef = match ids {
            Ids::U16(ids) => Arc::new(UInt16Array::from(ids[first..last].to_vec())),
            Ids::U32(ids) => Arc::new(UInt32Array::from(ids[first..last].to_vec())),
        };
        self.given = end;
        Ok(Arc::new(ListArray::try_new(self.item.clone(), offsets, values, None)?))
    }

    /// Decodes one page more; false at the end of the file.
    fn decode_page(&mut self) -> Result<bool> {
        self.forget_given();
        loop {
            let Some(pages) = &mut self.pages else {
                let Some(group) = self.metadata.row_groups().get(self.next_group) else { return Ok(false) };
                self.next_group += 1;
                let rows = group.num_rows().max(0) as usize;
                self.pages = Some(SerializedPageReader::new(self.file.clone(), group.column(self.leaf), rows, None)?);
                continue;
            };
            let Some(page) = pages.get_next_page()? else {
                self.pages = None;
                if self.next_group >= self.metadata.num_row_groups() {
                    return Ok(false);
                }
                continue;
            };
            let layout = match page.encoding() {
                Encoding::PLAIN => Layout::Plain,
                Encoding::BYTE_STREAM_SPLIT => Layout::Split,
                other => return Err(bad(format!("ids are stored as {other}"))),
            };
            let (body, levels) = (page.buffer(), page.num_values() as usize);
            let decoded = match page {
                Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
                    let cut = "a page is cut off";
                    let (repetition, rest) = body.split_at_checked(rep_levels_byte_len as usize).ok_or_else(|| bad(cut))?;
                    let (definition, values) = rest.split_at_checked(def_levels_byte_len as usize).ok_or_else(|| bad(cut))?;
                    id_pages::decode_levels(repetition, definition, values, levels, layout, &mut self.rows)
                }
                _ => id_pages::decode(body, levels, layout, &mut self.rows),
            };
            decoded.map_err(bad)?;
            return Ok(true);
        }
    }

    /// Drops what was given out, so that memory stays that of a page and a batch.
    fn forget_given(&mut self) {
        let Rows { starts, ids } = &mut self.rows;
        let first = starts.get(self.given).copied().unwrap_or(ids.len());
        match ids {
            Ids::U16(ids) => drop(ids.drain(..first)),
            Ids::U32(ids) => drop(ids.drain(..first)),
        }
        starts.drain(..self.given);
        starts.iter_mut().for_each(|start| *start -= first);
        self.given = 0;
    }
}

/// Puts columns of ids back to their places in a batch of all other columns.
pub(crate) fn join(batch: &RecordBatch, readers: &mut [IdReader], schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns = batch.columns().to_vec();
    for reader in readers {
        columns.insert(reader.place, reader.take(rows)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, append_stored, stored_bound};
    use crate::columns::build_tokens;
    use crate::{Error, RunDir, ShardMeta, ShardReader, ShardWriter, TableSchema, TokenWidth, schema};
    use arrow::array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use std::path::Path;
    use std::sync::Arc;

    /// Rows of lengths from none to more than a page, as a table of tokens, in batches of `at_a_time`.
    fn batches(width: TokenWidth, at_a_time: usize) -> Vec<RecordBatch> {
        let largest = if width == TokenWidth::U16 { 0xFFFF } else { 0x0003_FFFF };
        let lengths = (0..200_usize).map(|i| if i == 70 { 300_000 } else { i * i % 97 });
        let rows: Vec<Vec<u32>> = lengths.map(|n| (0..n as u32).map(|id| id.wrapping_mul(2_654_435_761) & largest).collect()).collect();
        let text = Arc::new(StringArray::from_iter_values((0..200).map(|i| format!("山{i}")))) as ArrayRef;
        let numbers = Arc::new(Int64Array::from_iter_values(0..200));
        let columns: Vec<ArrayRef> = vec![text.clone(), build_tokens(width, &rows), numbers, text.clone(), text];
        let all = RecordBatch::try_new(schema::tokens(width).arrow, columns).unwrap();
        (0..200).step_by(at_a_time).map(|from| all.slice(from, at_a_time.min(200 - from))).collect()
    }

    fn write(dir: &Path, width: TokenWidth, at_a_time: usize, group_rows: usize, split: bool) -> std::path::PathBuf {
        let stage = RunDir::new(dir).stage("test");
        let open = if split { ShardWriter::with_split_ids } else { ShardWriter::with_row_group_rows };
        let mut writer = open(&stage.data_shard(0), &schema::tokens(width), &ShardMeta::default(), group_rows).unwrap();
        batches(width, at_a_time).iter().for_each(|batch| writer.write(batch).unwrap());
        assert_eq!(writer.finish(&stage).unwrap().rows, 200);
        stage.data_shard(0)
    }

    fn read(path: &Path, width: TokenWidth, rows: usize, columns: Option<&[&str]>) -> RecordBatch {
        let reader = ShardReader::open(path, &schema::tokens(width)).unwrap();
        let batches = if let Some(columns) = columns { reader.batches_of(rows, columns) } else { reader.batches(rows) };
        let batches: Vec<RecordBatch> = batches.unwrap().map(Result::unwrap).collect();
        assert!(batches.iter().all(|batch| batch.num_rows() <= rows));
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    #[test]
    fn stored_frames_are_what_zstd_reads() {
        for length in [0, 1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
            let mut frame = Vec::new();
            append_stored(&bytes, &mut frame).unwrap();
            assert_eq!(frame.len(), stored_bound(length));
            assert_eq!(zstd::bulk::decompress(&frame, length).unwrap(), bytes, "{length} at once");
            assert_eq!(zstd::stream::decode_all(frame.as_slice()).unwrap(), bytes, "{length} as a stream");
            for (at, what) in [(length / 2, "content"), (frame.len() - 1, "checksum")].into_iter().skip(usize::from(length == 0)) {
                let mut broken = frame.clone();
                let at = if what == "content" { at + 13 } else { at };
                broken[at] ^= 1;
                assert!(zstd::bulk::decompress(&broken, length).is_err(), "a flipped bit of the {what}, {length} bytes");
            }
        }
    }

    #[test]
    fn split_and_dictionary_hold_the_same_rows_and_arrow_reads_both() {
        for width in [TokenWidth::U16, TokenWidth::U32] {
            let dir = tempfile::tempdir().unwrap();
            let all = batches(width, 200).remove(0);
            let dictionary = write(dir.path(), width, 200, 64, false);
            assert_eq!(read(&dictionary, width, 7, None).columns(), all.columns());
            for (at_a_time, group_rows) in [(200, 64), (30, 64), (64, 64), (7, 1), (200, 1000)] {
                let path = write(dir.path(), width, at_a_time, group_rows, true);
                for rows in [1, 7, 64, 1000] {
                    assert_eq!(read(&path, width, rows, None).columns(), all.columns(), "{at_a_time} {group_rows} {rows}");
                }
                // Alone, and between others.
                assert_eq!(read(&path, width, 33, Some(&["input_ids"])).columns(), &all.columns()[1..2]);
                assert_eq!(read(&path, width, 33, Some(&["input_ids", "num_bytes"])).columns(), &all.columns()[1..3]);
                assert_eq!(read(&path, width, 33, Some(&["document_id"])).columns(), &all.columns()[..1]);
                let arrow = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
                let groups: Vec<i64> = arrow.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
                assert!(groups[..groups.len() - 1].iter().all(|rows| *rows == group_rows as i64), "{groups:?}");
                let plain: Vec<RecordBatch> = arrow.build().unwrap().map(Result::unwrap).collect();
                let plain = arrow::compute::concat_batches(&plain[0].schema(), &plain).unwrap();
                assert_eq!((plain.schema(), plain.columns()), (all.schema(), all.columns()));
            }
        }
    }

    #[test]
    fn items_of_another_name_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let all = batches(TokenWidth::U16, 200).remove(0);
        let ids = all.column(1).as_any().downcast_ref::<ListArray>().unwrap();
        let item = Arc::new(Field::new("element", DataType::UInt16, false));
        let renamed = ListArray::new(item, ids.offsets().clone(), ids.values().clone(), None);
        let schema = all.schema();
        let fields = schema.fields().iter().map(|field| match field.name().as_str() {
            "input_ids" => Arc::new(Field::new("input_ids", renamed.data_type().clone(), false)),
            _ => field.clone(),
        });
        let table = TableSchema { arrow: Arc::new(Schema::new(fields.collect::<Vec<_>>())), ..schema::tokens(TokenWidth::U16) };
        let mut columns = all.columns().to_vec();
        columns[1] = Arc::new(renamed);
        let stage = RunDir::new(dir.path()).stage("test");
        for split in [true, false] {
            let open = if split { ShardWriter::with_split_ids } else { ShardWriter::with_row_group_rows };
            let mut writer = open(&stage.data_shard(0), &table, &ShardMeta::default(), 64).unwrap();
            writer.write(&RecordBatch::try_new(table.arrow.clone(), columns.clone()).unwrap()).unwrap();
            writer.finish(&stage).unwrap();
            let read = read(&stage.data_shard(0), TokenWidth::U16, 33, None);
            assert_eq!(crate::columns::token_rows(&read, "input_ids").unwrap(), crate::columns::token_rows(&all, "input_ids").unwrap());
        }
    }

    #[test]
    fn the_same_batches_give_the_same_bytes() {
        let bytes = || {
            let dir = tempfile::tempdir().unwrap();
            std::fs::read(write(dir.path(), TokenWidth::U16, 30, 64, true)).unwrap()
        };
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_damaged_page_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), TokenWidth::U16, 200, 64, true);
        let whole = std::fs::read(&path).unwrap();
        let read = || {
            let reader = ShardReader::open(&path, &schema::tokens(TokenWidth::U16))?;
            let batches: Vec<RecordBatch> = reader.batches_of(64, &["input_ids"])?.collect::<Result<_, _>>()?;
            Ok::<_, Error>(arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap())
        };
        let ids = read().unwrap();
        let mut failed = 0;
        for at in (4..whole.len() - 3000).step_by(499) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            match read() {
                // A byte of another column, or one of a page's header that says nothing about the ids.
                Ok(read) => assert_eq!(read, ids, "byte {at}"),
                Err(Error::Parquet { .. } | Error::Arrow { .. }) => failed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(failed > 100, "{failed}");
    }
}
