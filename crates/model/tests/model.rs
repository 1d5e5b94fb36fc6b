//! Directories, adapters, masks and determinism, on models made here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use model::{Config, Dtype, Error, Grads, Inputs, KvCache, LoraConfig, Model, Options};
use tch::{Device, Kind, Tensor};

fn config() -> Config {
    let mut config = Config::llama(64, 32, 2, 4);
    config.num_key_value_heads = 2;
    config.max_position_embeddings = 64;
    config.eos_token_ids = vec![2];
    config
}

fn ids(rows: i64, time: i64) -> Tensor {
    (Tensor::arange(rows * time, (Kind::Int64, Device::Cpu)) * 7).remainder(61).view([rows, time]) + 3
}

fn logits(model: &Model, ids: &Tensor) -> Tensor {
    tch::no_grad(|| model.forward(ids, &Inputs::default())).unwrap()
}

fn max_diff(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// One plain step against the gradient, so that weights are no longer those of the seed.
fn nudge(model: &Model, rate: f64) {
    let ids = ids(2, 10);
    let loss = model.loss(&ids.narrow(1, 0, 9), &ids.narrow(1, 1, 9), &Inputs::default()).unwrap();
    let mut grads = Grads::new();
    grads.add_backward(model, &loss.sum).unwrap();
    let masters: Vec<&Tensor> = model.trainable().iter().map(|p| &p.master).collect();
    torch_ext::foreach_add(&masters, &grads.tensors(), -rate).unwrap();
    model.refresh().unwrap();
}

#[test]
fn the_seed_alone_decides_the_weights() {
    let make = |seed| Model::new(config(), seed, &Options::cpu()).unwrap();
    let first = make(1);
    let _ = Tensor::rand([5], (Kind::Float, Device::Cpu));
    let (again, other) = (make(1), make(2));
    for ((a, b), c) in first.params().iter().zip(again.params()).zip(other.params()) {
        assert_eq!(a.master, b.master, "{}", a.name);
        assert!(a.master.dim() == 1 || a.master != c.master, "{}", a.name);
        assert_eq!(a.decay, a.master.dim() == 2);
    }
    let std = first.params()[0].master.std(false).double_value(&[]);
    assert!((std - 0.02).abs() < 0.002, "{std}");
}

#[test]
fn a_saved_model_reads_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    for (tied, dtype) in [(true, Dtype::F32), (false, Dtype::F32), (true, Dtype::Bf16)] {
        let mut config = config();
        config.tie_word_embeddings = tied;
        config.save_dtype = dtype;
        let model = Model::new(config.clone(), 3, &Options::cpu()).unwrap();
        nudge(&model, 0.05);
        model.save(dir.path()).unwrap();
        let back = Model::load(dir.path(), &Options::cpu()).unwrap();
        assert_eq!(back.config(), &config);
        for (a, b) in model.params().iter().zip(back.params()) {
            let want = if dtype == Dtype::Bf16 { a.master.to_kind(Kind::BFloat16).to_kind(Kind::Float) } else { a.master.copy() };
            assert_eq!(b.master, want, "{}", a.name);
        }
        let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        let header = String::from_utf8_lossy(&bytes[8..200]).into_owned();
        assert!(header.contains(r#""__metadata__":{"format":"pt"}"#), "{header}");
        assert_eq!(String::from_utf8_lossy(&bytes).contains("lm_head.weight"), !tied);
        let permissions = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions();
        assert_eq!(permissions("model.safetensors"), permissions("config.json"));
        // The same model gives the same bytes.
        model.save(dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("model.safetensors")).unwrap(), bytes);
    }
}

#[test]
fn a_model_for_inference_keeps_no_masters() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::new(config(), 3, &Options::cpu()).unwrap();
    model.save(dir.path()).unwrap();
    let options = Options { device: Device::Cpu, compute: Kind::BFloat16, trainable: false };
    let small = Model::load(dir.path(), &options).unwrap();
    assert!(small.params().iter().all(|p| p.master.kind() == Kind::BFloat16));
    assert!(max_diff(&logits(&small, &ids(1, 8)), &logits(&model, &ids(1, 8))) < 0.05);
    let loss = small.loss(&ids(1, 8), &ids(1, 8), &Inputs::default()).unwrap();
    assert!(!loss.sum.requires_grad());
}

/// Rewrites the weights in a directory with some tensors changed.
fn edit_weights(dir: &Path, edit: impl Fn(&mut Vec<(String, Tensor)>)) {
    let path = dir.join("model.safetensors");
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    edit(&mut tensors);
    Tensor::write_safetensors(&tensors, &path).unwrap();
}

#[test]
fn wrong_weights_are_named() {
    let dir = tempfile::tempdir().unwrap();
    Model::new(config(), 3, &Options::cpu()).unwrap().save(dir.path()).unwrap();
    let load = || Model::load(dir.path(), &Options::cpu()).unwrap_err();
    edit_weights(dir.path(), |tensors| {
        tensors.retain(|(name, _)| name != "model.layers.1.mlp.up_proj.weight");
        tensors.push(("model.extra".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    });
    let text = load().to_string();
    assert!(text.contains(r#"missing ["model.layers.1.mlp.up_proj.weight"], unexpected ["model.extra"]"#), "{text}");
    Model::new(config(), 3, &Options::cpu()).unwrap().save(dir.path()).unwrap();
    edit_weights(dir.path(), |tensors| {
        for (name, tensor) in tensors.iter_mut() {
            if name == "model.norm.weight" {
                *tensor = Tensor::zeros([33], (Kind::Float, Device::Cpu));
            }
        }
    });
    let error = load();
    assert!(
        matches!(&error, Error::Shape { name, got, expected, .. } if name == "model.norm.weight" && got == &[33] && expected == &[32]),
        "{error}"
    );
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(load(), Error::Safetensors { .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(load().to_string().contains("model.safetensors`: open failed"));
}

#[test]
fn a_sharded_model_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::new(config(), 3, &Options::cpu()).unwrap();
    model.save(dir.path()).unwrap();
    let single = dir.path().join("model.safetensors");
    let tensors = Tensor::read_safetensors(&single).unwrap();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = String::new();
    for (part, file) in [(first, "model-00001-of-00002.safetensors"), (second, "model-00002-of-00002.safetensors")] {
        Tensor::write_safetensors(part, dir.path().join(file)).unwrap();
        for (name, _) in part {
            map += &format!("{}\"{name}\": \"{file}\"", if map.is_empty() { "" } else { ", " });
        }
    }
    std::fs::remove_file(single).unwrap();
    std::fs::write(dir.path().join("model.safetensors.index.json"), format!("{{\"metadata\": {{}}, \"weight_map\": {{{map}}}}}")).unwrap();
    let back = Model::load(dir.path(), &Options::cpu()).unwrap();
    assert_eq!(max_diff(&logits(&back, &ids(1, 8)), &logits(&model, &ids(1, 8))), 0.0);
}

#[test]
fn an_adapter_trains_alone_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(config(), 3, &Options::cpu()).unwrap();
    let base: Vec<Tensor> = model.params().iter().map(|p| p.master.copy()).collect();
    let before = logits(&model, &ids(2, 8));
    let lora =
        LoraConfig { target_modules: vec!["v_proj".into(), "gate_proj".into(), "down_proj".into()], ..LoraConfig::all_linear(4, 8.0) };
    model.attach_lora(&lora, 9).unwrap();
    assert_eq!(max_diff(&logits(&model, &ids(2, 8)), &before), 0.0, "an untrained adapter changes nothing");
    assert_eq!(model.num_trainable(), 2 * 4 * ((32 + 16) + (32 + 128) + (128 + 32)));
    nudge(&model, 0.5);
    nudge(&model, 0.5);
    let trained = logits(&model, &ids(2, 8));
    assert!(max_diff(&trained, &before) > 1e-3);
    for (param, was) in model.params().iter().zip(&base) {
        assert_eq!(&param.master, was, "{}", param.name);
    }
    model.save_adapter(dir.path(), "base").unwrap();
    let mut other = Model::new(config(), 3, &Options::cpu()).unwrap();
    other.load_adapter(dir.path()).unwrap();
    assert_eq!(max_diff(&logits(&other, &ids(2, 8)), &trained), 0.0);
    assert!(other.merge_lora(&ids(2, 8)).unwrap() < 1e-5);
    assert_eq!(other.trainable().len(), other.params().len());
    nudge(&other, 0.01);

    // A missing tensor is an error and leaves the model without an adapter.
    let path = dir.path().join("adapter_model.safetensors");
    let mut tensors = Tensor::read_safetensors(&path).unwrap();
    let (name, _) = tensors.pop().unwrap();
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let error = other.load_adapter(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&name), "{error}");
    assert!(other.lora().is_none());
    assert!(
        LoraConfig { target_modules: vec!["query".into()], ..LoraConfig::all_linear(4, 8.0) }
            .validate()
            .unwrap_err()
            .to_string()
            .contains("`query`, possible are q_proj")
    );
}

#[test]
fn packed_documents_are_as_if_alone() {
    let model = Model::new(config(), 3, &Options::cpu()).unwrap();
    let (first, second) = (ids(1, 5), ids(1, 7).flip([1]));
    let packed = Tensor::cat(&[&first, &second], 1);
    let segments = Tensor::from_slice(&[0i64, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]).view([1, 12]);
    let inputs = Inputs::documents(&segments).unwrap();
    let together = tch::no_grad(|| model.forward(&packed, &inputs)).unwrap();
    assert!(max_diff(&together.narrow(1, 0, 5), &logits(&model, &first)) < 1e-5);
    assert!(max_diff(&together.narrow(1, 5, 7), &logits(&model, &second)) < 1e-5);
    assert!(max_diff(&together, &logits(&model, &packed)) > 1e-4);
}

#[test]
fn a_cache_gives_the_same_logits_in_any_pieces() {
    let model = Model::new(config(), 3, &Options::cpu()).unwrap();
    let all = ids(2, 12);
    let want = logits(&model, &all);
    let mut cache = KvCache::new(model.config(), 2, 12, Device::Cpu, Kind::Float).unwrap();
    let mut start = 0;
    for length in [5, 1, 4, 1, 1] {
        let hidden = tch::no_grad(|| model.hidden_cached(&all.narrow(1, start, length), &Inputs::default(), &mut cache)).unwrap();
        let got = model.logits(&hidden).unwrap();
        assert!(max_diff(&got, &want.narrow(1, start, length)) < 1e-5, "{start}");
        start += length;
    }
    assert!(model.hidden_cached(&all.narrow(1, 0, 1), &Inputs::default(), &mut cache).is_err(), "the cache is full");
    assert!(model.forward(&ids(1, 65), &Inputs::default()).is_err(), "longer than the tables");
}

#[test]
fn training_repeats_bit_for_bit() {
    for compute in [Kind::Float, Kind::BFloat16] {
        let run = || {
            let model = Model::new(config(), 3, &Options { compute, ..Options::cpu() }).unwrap();
            for _ in 0..3 {
                nudge(&model, 0.05);
            }
            model
        };
        let (a, b) = (run(), run());
        assert!(a.params().iter().zip(b.params()).all(|(a, b)| a.master == b.master));
    }
}
