//! Tables of pages: JSON lines and Parquet with named columns.

use super::decoder::Decoder;
use super::warc::bad;
use super::window::{Window, find};
use super::{Content, Item, Items, RawPage};
use crate::config::Config;
use crate::error::Error;
use crate::reason::{Reason, Rejection};
use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Rows of Parquet decoded at a time.
const BATCH_ROWS: usize = 256;

/// Names of the columns to read.
#[derive(Debug, Clone)]
struct Columns {
    text: String,
    html: String,
    url: String,
    date: String,
}

impl Columns {
    fn of(config: &Config) -> Self {
        Self {
            text: config.text_column.clone(),
            html: config.html_column.clone(),
            url: config.url_column.clone(),
            date: config.date_column.clone(),
        }
    }
}

/// Reads JSON lines as [`Item`]s; the offset of an item is the byte offset of its line in the decompressed file.
#[derive(Debug)]
pub struct JsonlReader {
    window: Window,
    path: PathBuf,
    columns: Columns,
    max_page_bytes: usize,
    finished: bool,
}

impl JsonlReader {
    /// Opens a file of JSON lines, compressed or not.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(path: &Path, config: &Config) -> Result<Self, Error> {
        let decoder = Decoder::open(path).map_err(Error::read(path))?;
        let columns = Columns::of(config);
        Ok(Self {
            window: Window::new(decoder, false),
            path: path.to_owned(),
            columns,
            max_page_bytes: config.max_page_bytes,
            finished: false,
        })
    }

    fn step(&mut self) -> std::io::Result<Option<Item>> {
        loop {
            let mut looked = 0;
            let end = loop {
                if let Some(at) = find(&self.window.bytes()[looked..], b"\n") {
                    break Some(looked + at);
                }
                looked = self.window.bytes().len();
                if looked > self.max_page_bytes * 2 || !self.window.fill(looked + 1)? {
                    break None;
                }
            };
            let offset = self.window.position();
            let length = end.unwrap_or(self.window.bytes().len());
            if length == 0 && end.is_none() {
                let damage = self.window.take_damage();
                return Ok(
                    damage.map(|damage| bad("", damage.offset, Rejection::new(Reason::CompressionBroken).with_detail(damage.message)))
                );
            }
            let line = self.window.bytes()[..length].to_vec();
            self.window.advance(length + usize::from(end.is_some()));
            if length > self.max_page_bytes * 2 {
                self.skip_line(end.is_some())?;
                let rejection = Rejection::measured(Reason::TooLarge, length as f64, self.max_page_bytes as f64);
                return Ok(Some(bad("", offset, rejection)));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(self.item(&line, offset)));
            }
        }
    }

    fn skip_line(&mut self, ended: bool) -> std::io::Result<()> {
        let mut ended = ended;
        while !ended && self.window.fill(1)? {
            let bytes = self.window.bytes();
            let at = find(bytes, b"\n");
            let length = at.map_or(bytes.len(), |at| at + 1);
            ended = at.is_some();
            self.window.advance(length);
        }
        Ok(())
    }

    fn item(&self, line: &[u8], offset: u64) -> Item {
        let broken = |detail: String| bad("", offset, Rejection::new(Reason::RowBroken).with_detail(detail));
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let object: Map<String, Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) => return broken(error.to_string()),
        };
        let take = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let url = take(&self.columns.url).unwrap_or_default();
        let content = match (take(&self.columns.text), take(&self.columns.html)) {
            (Some(text), _) => Content::Text(text),
            (None, Some(html)) => Content::HtmlText(html),
            (None, None) => {
                return broken(format!("no string under `{}` or `{}`", self.columns.text, self.columns.html));
            }
        };
        let date = take(&self.columns.date);
        page(RawPage { url, offset: offset as i64, date, payload_digest: None, truncated: None, content }, self.max_page_bytes)
    }
}

impl Iterator for JsonlReader {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let step = self.step();
        self.finished = !matches!(step, Ok(Some(_)));
        step.map_err(|source| Error::Read { path: self.path.clone(), source }).transpose()
    }
}

/// Reads a Parquet file as [`Item`]s; the offset of an item is its row.
///
/// # Errors
/// If the file is no Parquet, or has neither of the columns to read.
pub fn parquet(path: &Path, config: &Config) -> Result<Items, Error> {
    let wrap = |source| Error::Parquet { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(Error::read(path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(wrap)?;
    let columns = Columns::of(config);
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    if !names.contains(&columns.text) && !names.contains(&columns.html) {
        let (text, html) = (columns.text, columns.html);
        return Err(Error::NoColumn { path: path.to_owned(), text, html, columns: names.join(", ") });
    }
    let wanted = [&columns.text, &columns.html, &columns.url, &columns.date];
    let indexes = names.iter().enumerate().filter(|(_, name)| wanted.contains(name)).map(|(i, _)| i);
    let mask = ProjectionMask::roots(builder.parquet_schema(), indexes);
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(wrap)?;
    let (path, max_page_bytes) = (path.to_owned(), config.max_page_bytes);
    let mut row = 0;
    let mut failed = false;
    Ok(Box::new(reader.flat_map(move |batch| {
        if failed {
            return Vec::new();
        }
        match batch {
            Ok(batch) => {
                let items = batch_items(&batch, &columns, row, max_page_bytes);
                row += batch.num_rows() as i64;
                items.into_iter().map(Ok).collect()
            }
            Err(error) => {
                failed = true;
                vec![Err(Error::Parquet { path: path.clone(), source: error.into() })]
            }
        }
    })))
}

/// A page, if it is no larger than allowed.
fn page(page: RawPage, max_page_bytes: usize) -> Item {
    let bytes = page.content.len();
    if bytes <= max_page_bytes {
        return Item::Page(page);
    }
    let rejection = Rejection::measured(Reason::TooLarge, bytes as f64, max_page_bytes as f64);
    Item::Bad { url: page.url, offset: page.offset, rejection }
}

fn batch_items(batch: &RecordBatch, columns: &Columns, first_row: i64, max_page_bytes: usize) -> Vec<Item> {
    let column = |name: &str| -> Option<StringArray> {
        let column = arrow::compute::cast(batch.column_by_name(name)?, &DataType::Utf8).ok()?;
        column.as_any().downcast_ref::<StringArray>().cloned()
    };
    let (text, html, url, date) = (column(&columns.text), column(&columns.html), column(&columns.url), column(&columns.date));
    let value = |array: &Option<StringArray>, i: usize| array.as_ref().filter(|a| a.is_valid(i)).map(|a| a.value(i).to_owned());
    (0..batch.num_rows())
        .map(|i| {
            let offset = first_row + i as i64;
            let url = value(&url, i).unwrap_or_default();
            let content = match (value(&text, i), value(&html, i)) {
                (Some(text), _) => Content::Text(text),
                (None, Some(html)) => Content::HtmlText(html),
                (None, None) => {
                    let rejection = Rejection::new(Reason::RowBroken).with_detail("neither text nor HTML in this row");
                    return Item::Bad { url, offset, rejection };
                }
            };
            page(RawPage { url, offset, date: value(&date, i), payload_digest: None, truncated: None, content }, max_page_bytes)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::defaults;
    use arrow::datatypes::{Field, Schema};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;
    use std::sync::Arc;

    #[test]
    fn large_texts_are_refused() {
        let config = Config { max_page_bytes: 30, ..defaults() };
        let dir = tempfile::tempdir().unwrap();
        let (short, long) = ("short".to_owned(), "x".repeat(31));
        let lines = dir.path().join("a.jsonl");
        std::fs::write(&lines, format!("{{\"text\":\"{short}\"}}\n{{\"text\":\"{long}\",\"url\":\"u\"}}\n{{\"html\":\"{short}\"}}\n"))
            .unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]));
        let texts = StringArray::from(vec![short.as_str(), long.as_str(), short.as_str()]);
        let table = dir.path().join("a.parquet");
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&table).unwrap(), schema.clone(), None).unwrap();
        writer.write(&RecordBatch::try_new(schema, vec![Arc::new(texts)]).unwrap()).unwrap();
        writer.close().unwrap();
        let reasons = |items: &mut dyn Iterator<Item = Result<Item, Error>>| -> Vec<Option<Reason>> {
            items
                .map(|item| match item.unwrap() {
                    Item::Bad { rejection, .. } => Some(rejection.reason),
                    _ => None,
                })
                .collect()
        };
        let want = [None, Some(Reason::TooLarge), None];
        assert_eq!(reasons(&mut JsonlReader::open(&lines, &config).unwrap()), want);
        assert_eq!(reasons(&mut parquet(&table, &config).unwrap()), want);
    }

    #[test]
    fn parquet_of_every_common_compression_is_read() {
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(vec!["one", "two"]))]).unwrap();
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::BROTLI(BrotliLevel::default()),
            Compression::LZ4,
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let properties = WriterProperties::builder().set_compression(compression).build();
            let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), schema.clone(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let texts: Vec<Content> = parquet(file.path(), &defaults())
                .unwrap()
                .map(|item| match item.unwrap() {
                    Item::Page(page) => page.content,
                    other => panic!("{compression}: {other:?}"),
                })
                .collect();
            assert_eq!(texts, [Content::Text("one".into()), Content::Text("two".into())], "{compression}");
        }
    }
}
