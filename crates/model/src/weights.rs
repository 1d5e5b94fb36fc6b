//! Safetensors files: memory-mapped and strict on reading, sorted and marked `{"format":"pt"}` on writing.
//!
//! The mark matters: `transformers` 4 fails on files without it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::mmap::MappedFile;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The weight files of a model directory: one file, or those named in the index of a sharded model.
pub(crate) fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let single = dir.join(SINGLE);
    let index = dir.join(INDEX);
    if single.exists() || !index.exists() {
        return Ok(vec![single]);
    }
    let text = std::fs::read_to_string(&index).map_err(Error::io(&index, "read"))?;
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let parsed: Index = serde_json::from_str(&text).map_err(|source| Error::Json { path: index, source })?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

/// Where a tensor of a file goes: rows `start..` of a destination.
pub(crate) struct Slot<'a> {
    pub(crate) name: &'a str,
    pub(crate) target: &'a Tensor,
    pub(crate) start: i64,
    pub(crate) rows: i64,
}

/// Fills every slot from the files. Each slot must be filled once and each tensor must have a slot, except those
/// that `ignore` accepts. `rename` maps names in files to slot names.
///
/// # Errors
/// Missing or unexpected names, other shapes, types that are not floats, values that are not finite, damaged files.
pub(crate) fn read_into(files: &[PathBuf], slots: &[Slot], rename: impl Fn(&str) -> String, ignore: impl Fn(&str) -> bool) -> Result<()> {
    let by_name: HashMap<&str, &Slot> = slots.iter().map(|slot| (slot.name, slot)).collect();
    let mut filled = BTreeSet::new();
    let mut unexpected = Vec::new();
    for path in files {
        let map = MappedFile::open(path)?;
        let file = SafeTensors::deserialize(map.bytes()).map_err(|source| Error::Safetensors { path: path.clone(), source })?;
        for (file_name, view) in file.tensors() {
            let name = rename(&file_name);
            let Some(slot) = by_name.get(name.as_str()) else {
                if !ignore(&name) {
                    unexpected.push(file_name);
                }
                continue;
            };
            let kind = kind_of(view.dtype()).map_err(|got| Error::Type { path: path.clone(), name: file_name.clone(), got })?;
            let got = shape_of(&view);
            let mut expected = slot.target.size();
            expected[0] = slot.rows;
            if got != expected {
                return Err(Error::Shape { path: path.clone(), name: file_name, got, expected });
            }
            let tensor = Tensor::f_from_data_size(view.data(), &got, kind)?;
            if !is_finite(&tensor)? {
                return Err(Error::NotFinite { path: path.clone(), name: file_name });
            }
            tch::no_grad(|| slot.target.f_narrow(0, slot.start, slot.rows)?.f_copy_(&tensor))?;
            if !filled.insert(slot.name) {
                // In two shards: which one holds is not ours to say.
                unexpected.push(format!("{file_name} (again)"));
            }
        }
    }
    let missing: Vec<String> = slots.iter().filter(|slot| !filled.contains(slot.name)).map(|slot| slot.name.to_owned()).collect();
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(());
    }
    unexpected.sort();
    let few = |mut names: Vec<String>| {
        let more = names.len().saturating_sub(8);
        names.truncate(8);
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names
    };
    let path = files.first().and_then(|file| file.parent()).unwrap_or(Path::new("")).to_owned();
    Err(Error::Names { path, missing: few(missing), unexpected: few(unexpected) })
}

fn kind_of(dtype: Dtype) -> std::result::Result<Kind, String> {
    match dtype {
        Dtype::F32 => Ok(Kind::Float),
        Dtype::F16 => Ok(Kind::Half),
        Dtype::BF16 => Ok(Kind::BFloat16),
        other => Err(format!("{other:?}")),
    }
}

fn shape_of(view: &TensorView<'_>) -> Vec<i64> {
    view.shape().iter().map(|n| *n as i64).collect()
}

/// One pass that takes no memory: a NaN anywhere makes both ends one.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    if tensor.numel() == 0 {
        return Ok(true);
    }
    let (least, most) = tensor.f_aminmax(None::<i64>, false)?;
    Ok(f64::try_from(least)?.is_finite() && f64::try_from(most)?.is_finite())
}

/// The file in which a tensor of this name stands and is not `expected`, as far as the type of `expected` tells.
pub(crate) fn find_other(files: &[PathBuf], name: &str, expected: &Tensor) -> Result<Option<PathBuf>> {
    for path in files {
        let map = MappedFile::open(path)?;
        let file = SafeTensors::deserialize(map.bytes()).map_err(|source| Error::Safetensors { path: path.clone(), source })?;
        let Ok(view) = file.tensor(name) else { continue };
        let kind = kind_of(view.dtype()).map_err(|got| Error::Type { path: path.clone(), name: name.to_owned(), got })?;
        let shape = shape_of(&view);
        if shape != expected.size() {
            return Ok(Some(path.clone()));
        }
        let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?.f_to_kind(expected.kind())?;
        if !tensor.f_equal(&expected.f_detach()?.f_to_device(Device::Cpu)?)? {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

/// A tensor that is turned into bytes only when its turn to be written comes.
pub(crate) struct Outgoing {
    tensor: Tensor,
    shape: Vec<usize>,
    kind: Kind,
}

impl Outgoing {
    pub(crate) fn new(tensor: Tensor, kind: Kind) -> Self {
        let shape = tensor.size().iter().map(|n| *n as usize).collect();
        Self { tensor, shape, kind }
    }
}

impl Outgoing {
    /// Its bytes in memory of their own, on the host and in the type that is written.
    fn detached(&self) -> Result<Self> {
        let mut tensor = Tensor::f_empty(self.tensor.size().as_slice(), (self.kind, Device::Cpu))?;
        tch::no_grad(|| tensor.f_copy_(&self.tensor))?;
        Ok(Self { tensor, shape: self.shape.clone(), kind: self.kind })
    }
}

/// The files of a model or adapter, or of what else has tensors, to be written.
pub struct Snapshot {
    weights: (&'static str, BTreeMap<String, Outgoing>),
    texts: Vec<(&'static str, String)>,
}

impl Snapshot {
    pub(crate) fn new(name: &'static str, tensors: BTreeMap<String, Outgoing>, texts: Vec<(&'static str, String)>) -> Self {
        Self { weights: (name, tensors), texts }
    }

    /// A file of this name below the folder that [`Snapshot::write`] is given, over the tensors' own memory. They are f32, bf16 or uint8,
    /// and are written as they are.
    pub fn of<'a>(name: &'static str, tensors: impl IntoIterator<Item = (String, &'a Tensor)>) -> Self {
        let outgoing = |(name, tensor): (String, &Tensor)| (name, Outgoing::new(tensor.shallow_clone(), tensor.kind()));
        Self::new(name, tensors.into_iter().map(outgoing).collect(), Vec::new())
    }

    /// The same with all weights copied into host memory, so that training may go on while another thread writes them.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn detached(self) -> Result<Self> {
        let (file, tensors) = self.weights;
        let tensors = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.detached()?))).collect::<Result<_>>()?;
        Ok(Self { weights: (file, tensors), texts: self.texts })
    }

    /// Writes the files into `dir`, which must exist. They are synced but not renamed: give a staged directory and
    /// rename it when all that belongs to it is there.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write(&dir.join(self.weights.0), &self.weights.1)?;
        self.texts.iter().try_for_each(|(name, text)| write_text(&dir.join(name), text))
    }
}

impl View for &Outgoing {
    fn dtype(&self) -> Dtype {
        match self.kind {
            Kind::BFloat16 => Dtype::BF16,
            Kind::Uint8 => Dtype::U8,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.tensor.detach().to_device(Device::Cpu).to_kind(self.kind).contiguous();
        let mut bytes = vec![0; self.data_len()];
        tensor.copy_data_u8(&mut bytes, self.shape.iter().product());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.kind.elt_size_in_bytes()
    }
}

/// Writes tensors to a safetensors file, in the order of their names, and syncs it to disk.
fn write(path: &Path, tensors: &BTreeMap<String, Outgoing>) -> Result<()> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // safetensors makes a private temporary file; the result gets the permissions that a new file has here.
    let created = std::fs::File::create(path).and_then(|file| file.metadata()).map_err(Error::io(path, "create"))?;
    safetensors::serialize_to_file(tensors.iter(), Some(metadata), path).map_err(|error| not_written(path, error))?;
    std::fs::set_permissions(path, created.permissions()).map_err(Error::io(path, "set the permissions of"))?;
    sync(path)
}

/// What kept a file from being written: mostly the operating system.
fn not_written(path: &Path, error: SafeTensorError) -> Error {
    match error {
        SafeTensorError::IoError(source) => Error::io(path, "write")(source),
        source => Error::Safetensors { path: path.to_owned(), source },
    }
}

/// Writes a text file and syncs it to disk.
fn write_text(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io(path, "write"))?;
    sync(path)
}

fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path, "sync"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_not_called_unreadable() {
        let full = SafeTensorError::IoError(std::io::ErrorKind::StorageFull.into());
        assert_eq!(not_written(Path::new("model.safetensors"), full).to_string(), "`model.safetensors`: write failed");
    }
}
