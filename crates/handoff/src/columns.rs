//! Typed access to the columns of a batch, with errors that name the column.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, UInt16Type, UInt32Type};

use crate::schema::list_item;
use crate::{Error, Result, TokenWidth};

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str, expected: &str) -> Result<&'a A> {
    let wrong = |got: String| Error::WrongColumn {
        path: PathBuf::from("record batch"),
        column: name.to_owned(),
        expected: expected.to_owned(),
        got,
    };
    let array = batch.column_by_name(name).ok_or_else(|| wrong("absent".into()))?;
    array.as_any().downcast_ref::<A>().ok_or_else(|| wrong(array.data_type().to_string()))
}

/// A `utf8` column.
///
/// # Errors
/// When the column is absent or of another type; so for all functions here.
pub fn strings<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    column(batch, name, "Utf8")
}

/// An `int64` column.
///
/// # Errors
/// As [`strings`].
pub fn i64s<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    column(batch, name, "Int64")
}

/// A `float64` column.
///
/// # Errors
/// As [`strings`].
pub fn f64s<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Float64Array> {
    column(batch, name, "Float64")
}

/// A `float32` column.
///
/// # Errors
/// As [`strings`].
pub fn f32s<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Float32Array> {
    column(batch, name, "Float32")
}

/// A `bool` column.
///
/// # Errors
/// As [`strings`].
pub fn bools<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    column(batch, name, "Boolean")
}

/// A list column of any item type.
///
/// # Errors
/// As [`strings`].
pub fn lists<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ListArray> {
    column(batch, name, "List")
}

/// The rows of a token column as they are stored.
#[derive(Debug, Clone, Copy)]
pub struct TokenRows<'a> {
    /// Where each row begins among the ids, and the last one ends.
    pub offsets: &'a [i32],
    /// All ids.
    pub ids: TokenIds<'a>,
}

/// Token ids at either width.
#[derive(Debug, Clone, Copy)]
pub enum TokenIds<'a> {
    /// `uint16`.
    U16(&'a [u16]),
    /// `uint32`.
    U32(&'a [u32]),
}

impl<'a> TokenRows<'a> {
    /// The ids of one row.
    pub fn row(&self, row: usize) -> TokenIds<'a> {
        let range = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        match self.ids {
            TokenIds::U16(ids) => TokenIds::U16(&ids[range]),
            TokenIds::U32(ids) => TokenIds::U32(&ids[range]),
        }
    }
}

impl TokenIds<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an id is among them.
    pub fn contains(&self, id: u32) -> bool {
        // A fold is vectorised, `contains` is not.
        match self {
            Self::U16(ids) => u16::try_from(id).is_ok_and(|id| ids.iter().fold(false, |found, at| found | (*at == id))),
            Self::U32(ids) => ids.iter().fold(false, |found, at| found | (*at == id)),
        }
    }

    /// The largest.
    pub fn max(&self) -> Option<u32> {
        match self {
            // Folds are vectorised, `Iterator::max` is not.
            Self::U16(ids) => (!ids.is_empty()).then(|| u32::from(ids.iter().fold(0, |most, id| most.max(*id)))),
            Self::U32(ids) => (!ids.is_empty()).then(|| ids.iter().fold(0, |most, id| most.max(*id))),
        }
    }
}

/// The rows of a token column, not copied.
///
/// # Errors
/// As [`strings`], also when the items are neither `uint16` nor `uint32`.
pub fn token_slices<'a>(batch: &'a RecordBatch, name: &str) -> Result<TokenRows<'a>> {
    let list = lists(batch, name)?;
    let values = list.values().as_any();
    let ids = if let Some(ids) = values.downcast_ref::<PrimitiveArray<UInt16Type>>() {
        TokenIds::U16(ids.values())
    } else if let Some(ids) = values.downcast_ref::<PrimitiveArray<UInt32Type>>() {
        TokenIds::U32(ids.values())
    } else {
        return Err(Error::WrongColumn {
            path: PathBuf::from("record batch"),
            column: name.to_owned(),
            expected: "List of UInt16 or UInt32".into(),
            got: list.data_type().to_string(),
        });
    };
    Ok(TokenRows { offsets: list.value_offsets(), ids })
}

/// The rows of a token column, widened to `u32`.
///
/// # Errors
/// As [`strings`], also when the items are neither `uint16` nor `uint32`.
pub fn token_rows(batch: &RecordBatch, name: &str) -> Result<Vec<Vec<u32>>> {
    let TokenRows { offsets, ids } = token_slices(batch, name)?;
    let ranges = offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize);
    Ok(match ids {
        TokenIds::U16(ids) => ranges.map(|range| ids[range].iter().map(|id| u32::from(*id)).collect()).collect(),
        TokenIds::U32(ids) => ranges.map(|range| ids[range].to_vec()).collect(),
    })
}

/// The rows of a list of `int32`.
///
/// # Errors
/// As [`strings`].
pub fn i32_rows(batch: &RecordBatch, name: &str) -> Result<Vec<Vec<i32>>> {
    let list = lists(batch, name)?;
    (0..list.len())
        .map(|row| {
            let values = list.value(row);
            let ints = values.as_any().downcast_ref::<Int32Array>().ok_or_else(|| Error::WrongColumn {
                path: PathBuf::from("record batch"),
                column: name.to_owned(),
                expected: "List of Int32".into(),
                got: list.data_type().to_string(),
            })?;
            Ok(ints.values().to_vec())
        })
        .collect()
}

/// For each row of table `samples`, the places that hold a token only as context, in order: **what stands there is no target**.
///
/// A document part inside a row that begins after its document's first token begins with the token before its first target,
/// repeated, so that this target is predicted from the right token. (At the start of a row such a token is no target anyway.)
///
/// # Errors
/// As [`strings`].
pub fn context_places(batch: &RecordBatch) -> Result<Vec<Vec<u32>>> {
    let offsets = i64_rows(batch, "token_offsets")?;
    let starts = i32_rows(batch, "document_starts")?;
    let places = |(starts, offsets): (Vec<i32>, &[i64])| {
        let parts = starts.into_iter().zip(offsets);
        parts.filter(|(start, offset)| *start > 0 && **offset > 0).map(|(start, _)| start as u32).collect()
    };
    Ok(starts.into_iter().zip(offsets).map(places).collect())
}

/// What fills a row of table `samples` behind its documents: **it is no target**.
///
/// A tokenizer's pad token where it has one of its own, else end tokens: then of those that a row ends with, the first is a document's
/// end, and the others are padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Padding {
    id: Option<i64>,
    is_end: bool,
}

impl Padding {
    /// From a shard's metadata: `pad_token_id` and `eos_token_id`. Without the first there is none.
    pub fn of<'a>(metadata: impl Fn(&str) -> Option<&'a str>) -> Self {
        let number = |key: &str| metadata(key).and_then(|id| id.parse::<i64>().ok());
        let id = number("pad_token_id");
        Self { id, is_end: id.is_some() && id == number("eos_token_id") }
    }

    /// Tokens of a row before its padding.
    pub fn used<T: Copy + Into<i64>>(self, row: &[T]) -> usize {
        let behind = row.iter().rposition(|id| Some((*id).into()) != self.id).map_or(0, |last| last + 1);
        if self.is_end { row.len().min(behind + 1) } else { behind }
    }
}

/// For each row of table `samples`, where the inputs of each document part begin, for a mask that keeps documents apart: **with the end
/// token before a document's first token**, which is there to predict it. As a target that token belongs to the document before.
///
/// # Errors
/// As [`strings`].
pub fn segment_starts(batch: &RecordBatch) -> Result<Vec<Vec<u32>>> {
    let offsets = i64_rows(batch, "token_offsets")?;
    let segment = |(start, offset): (i32, &i64)| (start.max(0) as u32).saturating_sub(u32::from(*offset == 0));
    let starts = i32_rows(batch, "document_starts")?.into_iter();
    Ok(starts.zip(&offsets).map(|(starts, offsets)| starts.into_iter().zip(*offsets).map(segment).collect()).collect())
}

/// The rows of a list of `int64`, not copied.
fn i64_rows<'a>(batch: &'a RecordBatch, name: &str) -> Result<Vec<&'a [i64]>> {
    let list = lists(batch, name)?;
    let values = list.values().as_any().downcast_ref::<Int64Array>().ok_or_else(|| Error::WrongColumn {
        path: PathBuf::from("record batch"),
        column: name.to_owned(),
        expected: "List of Int64".into(),
        got: list.data_type().to_string(),
    })?;
    Ok(list.value_offsets().windows(2).map(|range| &values.values()[range[0] as usize..range[1] as usize]).collect())
}

fn offsets(lengths: impl Iterator<Item = usize>) -> OffsetBuffer<i32> {
    OffsetBuffer::from_lengths(lengths)
}

/// Builds a list column of numbers.
pub fn build_list<T: ArrowPrimitiveType>(rows: &[Vec<T::Native>]) -> ArrayRef {
    let values = PrimitiveArray::<T>::from_iter_values(rows.iter().flatten().copied());
    let offsets = offsets(rows.iter().map(Vec::len));
    Arc::new(ListArray::new(list_item(T::DATA_TYPE), offsets, Arc::new(values), None))
}

/// Builds a token column of the given width.
///
/// Ids above the width's range are a bug of the caller and are truncated in release builds; `TokenWidth::for_vocab` prevents that.
pub fn build_tokens(width: TokenWidth, rows: &[Vec<u32>]) -> ArrayRef {
    let offsets = offsets(rows.iter().map(Vec::len));
    let flat = rows.iter().flatten().copied();
    let values: ArrayRef = match width {
        TokenWidth::U16 => Arc::new(PrimitiveArray::<UInt16Type>::from_iter_values(flat.map(|id| {
            debug_assert!(id <= u32::from(u16::MAX));
            id as u16
        }))),
        TokenWidth::U32 => Arc::new(PrimitiveArray::<UInt32Type>::from_iter_values(flat)),
    };
    Arc::new(ListArray::new(list_item(width.data_type()), offsets, values, None))
}

/// Adds columns of nulls until there is one for each field of `table`: for a stage that has nothing to say in the last ones.
pub fn fill_up(mut columns: Vec<ArrayRef>, table: &crate::TableSchema) -> Vec<ArrayRef> {
    let rows = columns.first().map_or(0, |column| column.len());
    let missing = table.arrow.fields().iter().skip(columns.len());
    columns.extend(missing.map(|field| arrow::array::new_null_array(field.data_type(), rows)));
    columns
}

/// Builds a list column of strings.
pub fn build_string_list<S: AsRef<str>>(rows: &[Vec<S>]) -> ArrayRef {
    let values = StringArray::from_iter_values(rows.iter().flatten().map(AsRef::as_ref));
    let offsets = offsets(rows.iter().map(Vec::len));
    Arc::new(ListArray::new(list_item(arrow::datatypes::DataType::Utf8), offsets, Arc::new(values), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};

    #[test]
    fn padding_is_the_pad_token_or_end_tokens_behind_one() {
        let of = |pad: &'static str| Padding::of(|key| Some(if key == "pad_token_id" { pad } else { "0" }));
        for (row, own, end) in [
            ([0, 7, 8, 9], 4, 4),
            ([0, 7, 8, 0], 4, 4),
            ([7, 0, 1, 1], 2, 4),
            ([7, 0, 0, 0], 4, 2),
            ([0, 0, 7, 0], 4, 4),
            ([0, 0, 0, 0], 4, 1),
        ] {
            assert_eq!((of("1").used::<u32>(&row), of("0").used(&row)), (own, end), "{row:?}");
        }
        assert_eq!(Padding::of(|_| None).used::<u32>(&[7, 1, 1]), 3);
    }

    #[test]
    fn context_is_where_a_part_inside_a_row_goes_on_with_a_document() {
        let starts = build_list::<arrow::datatypes::Int32Type>(&[vec![0, 4, 9], vec![], vec![1, 5]]);
        let offsets = build_list::<arrow::datatypes::Int64Type>(&[vec![7, 3, 0], vec![], vec![0, 2]]);
        let field = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), false);
        let schema = Schema::new(vec![field("document_starts", &starts), field("token_offsets", &offsets)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![starts, offsets]).unwrap();
        assert_eq!(context_places(&batch).unwrap(), [vec![4], vec![], vec![5]]);
        assert_eq!(context_places(&batch.slice(2, 1)).unwrap(), [vec![5]]);
        assert_eq!(segment_starts(&batch).unwrap(), [vec![0, 4, 8], vec![], vec![0, 5]]);
    }

    #[test]
    fn tokens_round_trip_at_both_widths() {
        let rows = vec![vec![1, 65_535], vec![], vec![7]];
        for width in [TokenWidth::U16, TokenWidth::U32] {
            let array = build_tokens(width, &rows);
            let schema = Schema::new(vec![Field::new("input_ids", array.data_type().clone(), false)]);
            let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
            assert_eq!(token_rows(&batch, "input_ids").unwrap(), rows);
            let error = strings(&batch, "input_ids").unwrap_err().to_string();
            assert!(error.contains("`input_ids`") && error.contains("expected Utf8"), "{error}");
            assert!(token_rows(&batch, "ids").unwrap_err().to_string().contains("absent"));
        }
    }
}
