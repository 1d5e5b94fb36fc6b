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

/// The rows of a token column, widened to `u32`.
///
/// # Errors
/// As [`strings`], also when the items are neither `uint16` nor `uint32`.
pub fn token_rows(batch: &RecordBatch, name: &str) -> Result<Vec<Vec<u32>>> {
    let list = lists(batch, name)?;
    let values = list.values();
    let rows = |at: &dyn Fn(usize) -> u32| {
        (0..list.len())
            .map(|row| {
                let (start, end) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                (start..end).map(at).collect()
            })
            .collect()
    };
    if let Some(ids) = values.as_any().downcast_ref::<PrimitiveArray<UInt16Type>>() {
        Ok(rows(&|i| u32::from(ids.value(i))))
    } else if let Some(ids) = values.as_any().downcast_ref::<PrimitiveArray<UInt32Type>>() {
        Ok(rows(&|i| ids.value(i)))
    } else {
        Err(Error::WrongColumn {
            path: PathBuf::from("record batch"),
            column: name.to_owned(),
            expected: "List of UInt16 or UInt32".into(),
            got: list.data_type().to_string(),
        })
    }
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
