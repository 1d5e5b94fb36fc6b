//! Directories, adapters, masks and determinism, on models made here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use model::{Config, Dtype, Error, Grads, Inputs, KvCache, LayerType, LoraConfig, Model, ModelType, Options, RopeScaling};
use tch::{Device, Kind, Tensor};

fn config() -> Config {
    let mut config = Config::llama(64, 32, 2, 4);
    config.num_key_value_heads = 2;
    config.max_position_embeddings = 64;
    config.eos_token_ids = vec![2];
    config
}

/// One of each layout, with names. Windows and original lengths are shorter than the sequences below.
fn family() -> Vec<(&'static str, Config)> {
    let base = config();
    let mixed = vec![LayerType::Full, LayerType::Sliding];
    let dynamic = RopeScaling::Dynamic { factor: 4.0, original_max_position_embeddings: 8 };
    vec![
        ("llama", base.clone()),
        ("biases", Config { attention_bias: true, mlp_bias: true, ..base.clone() }),
        ("dynamic", Config { rope_scaling: Some(dynamic), max_position_embeddings: 32, ..base.clone() }),
        ("yarn", Config { rope_scaling: Some(RopeScaling::yarn(8.0, 8)), ..base.clone() }),
        ("qwen2", Config { model_type: ModelType::Qwen2, sliding_window: Some(4), layer_types: mixed, ..base.clone() }),
        ("qwen3", Config { model_type: ModelType::Qwen3, head_dim: 12, attention_bias: true, ..base.clone() }),
        ("mistral", Config { model_type: ModelType::Mistral, sliding_window: Some(5), ..base }),
    ]
}

/// A model whose norms and biases are not what they begin as, and whose weights are large enough to tell tokens apart.
fn model_of(config: Config) -> Model {
    let model = Model::new(config, 3, &Options::cpu()).unwrap();
    for param in model.params() {
        let wave = (Tensor::arange(param.numel(), (Kind::Float, Device::Cpu)) * 1.7).sin().view(param.master.size().as_slice());
        if param.decay {
            let _ = tch::no_grad(|| param.master.shallow_clone().g_mul_scalar_(6.0));
        } else {
            torch_ext::foreach_add(&[&param.master], &[&wave], 0.2).unwrap();
        }
    }
    model
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
    grads.add_backward(model, &loss).unwrap();
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
    assert!(!loss.requires_grad());
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
fn values_that_are_not_finite_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    for (bad, kind) in [(f64::NAN, Kind::Float), (f64::INFINITY, Kind::BFloat16), (f64::NEG_INFINITY, Kind::Half)] {
        Model::new(config(), 3, &Options::cpu()).unwrap().save(dir.path()).unwrap();
        edit_weights(dir.path(), |tensors| {
            let (_, tensor) = tensors.iter_mut().find(|(n, _)| n == name).unwrap();
            *tensor = tensor.to_kind(kind);
            let _ = tensor.get(3).get(7).fill_(bad);
        });
        let error = Model::load(dir.path(), &Options::cpu()).unwrap_err();
        assert!(matches!(&error, Error::NotFinite { name: n, path } if n == name && path.ends_with("model.safetensors")), "{error}");
    }
}

#[test]
fn a_tied_model_may_store_its_matrix_twice_but_no_other() {
    let dir = tempfile::tempdir().unwrap();
    for compute in [Kind::Float, Kind::BFloat16] {
        let load = || Model::load(dir.path(), &Options { compute, trainable: compute == Kind::Float, ..Options::cpu() });
        let tied = Config { tie_word_embeddings: true, ..config() };
        let model = Model::new(tied.clone(), 3, &Options::cpu()).unwrap();
        model.save(dir.path()).unwrap();
        let embedding = model.params()[0].master.detach().copy();
        edit_weights(dir.path(), |tensors| tensors.push(("lm_head.weight".to_owned(), embedding.copy())));
        assert_eq!(load().unwrap().params().len(), model.params().len());
        edit_weights(dir.path(), |tensors| {
            let (_, head) = tensors.iter_mut().find(|(name, _)| name == "lm_head.weight").unwrap();
            let _ = head.get(1).get(2).fill_(0.5);
        });
        let error = load().unwrap_err();
        assert!(matches!(&error, Error::Untied { name, .. } if name == "lm_head.weight"), "{error}");
        assert!(error.to_string().contains("`tie_word_embeddings` is true in config.json"), "{error}");
        std::fs::write(dir.path().join("config.json"), Config { tie_word_embeddings: false, ..tied }.to_json()).unwrap();
        assert_eq!(load().unwrap().params().len(), model.params().len() + 1, "as the message says");
    }
}

#[test]
fn new_tokens_begin_as_the_mean_of_the_known_ones() {
    for (tied, compute) in [(true, Kind::Float), (false, Kind::Float), (true, Kind::BFloat16), (false, Kind::BFloat16)] {
        // Within the rows there are, up to their end, and beyond it.
        for (known, end) in [(40, 44), (40, 50), (40, 64), (50, 64)] {
            let shape = Config { tie_word_embeddings: tied, ..Config::llama(50, 32, 1, 4) };
            let options = Options { compute, ..Options::cpu() };
            let [mut model, before] = [1, 1].map(|seed| Model::new(shape.clone(), seed, &options).unwrap());
            model.add_tokens(known, end).unwrap();
            let rows = end.max(50);
            assert_eq!(model.config().vocab_size, rows);
            let mut changed = 0;
            for (new, old) in model.params().iter().zip(before.params()) {
                if !new.name.contains("embed_tokens") && !new.name.contains("lm_head") {
                    assert!(new.master.equal(&old.master), "{}", new.name);
                    continue;
                }
                changed += 1;
                let cut = |from: i64, to: i64| new.master.narrow(0, from, to - from);
                assert_eq!((new.master.size(), new.parts[0].rows), (vec![rows, 32], rows), "{}", new.name);
                assert!(cut(0, known).equal(&old.master.narrow(0, 0, known)));
                let mean = old.master.narrow(0, 0, known).mean_dim([0].as_slice(), true, Kind::Float).expand([end - known, 32], false);
                assert!(cut(known, end).allclose(&mean, 1e-6, 1e-7, false), "{} {known}..{end}", new.name);
                assert!(cut(end, rows).equal(&old.master.narrow(0, end.min(50), rows - end)), "spare rows stay");
            }
            assert_eq!(changed, if tied { 1 } else { 2 });
            // What the forward pass reads is the new rows: an average token is as likely as the average of the others.
            let tokens = Tensor::from_slice(&[1_i64, 2, 3]).view([1, 3]);
            let [new, old] = [&model, &before].map(|model| logits(model, &tokens));
            assert!(max_diff(&new.narrow(2, 0, known), &old.narrow(2, 0, known)) < 1e-6);
            let expected = old.narrow(2, 0, known).mean_dim([2].as_slice(), true, Kind::Float);
            let worst = max_diff(&new.narrow(2, known, end - known), &expected.expand([1, 3, end - known], false));
            assert!(worst < if compute == Kind::Float { 1e-5 } else { 2e-2 }, "{worst}");
        }
    }
    let mut model = Model::new(Config::llama(50, 32, 1, 4), 1, &Options::cpu()).unwrap();
    for (known, end) in [(0, 10), (51, 60), (20, 10)] {
        assert!(model.add_tokens(known, end).is_err(), "{known}..{end}");
    }
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
    for (name, config) in family() {
        for compute in [Kind::Float, Kind::BFloat16] {
            let run = || {
                let model = Model::new(config.clone(), 3, &Options { compute, ..Options::cpu() }).unwrap();
                for _ in 0..3 {
                    nudge(&model, 0.05);
                }
                model
            };
            let (a, b) = (run(), run());
            assert!(a.params().iter().zip(b.params()).all(|(a, b)| a.master == b.master), "{name}");
            let fresh = Model::new(config.clone(), 3, &Options { compute, ..Options::cpu() }).unwrap();
            for (a, fresh) in a.params().iter().zip(fresh.params()) {
                assert_ne!(a.master, fresh.master, "{name}: {} was not trained", a.name);
                assert_eq!(a.decay, a.master.dim() == 2, "{name}: {}", a.name);
            }
        }
    }
}

#[test]
fn gradients_added_pass_by_pass_are_the_bits_of_their_sum() {
    for (compute, tied) in [(Kind::Float, true), (Kind::BFloat16, true), (Kind::BFloat16, false)] {
        let shape = Config { tie_word_embeddings: tied, ..config() };
        let model = Model::new(shape, 3, &Options { compute, ..Options::cpu() }).unwrap();
        let add = |grads: &mut Grads, rows: i64, recompute: bool| {
            let ids = ids(rows, 10);
            let (ids, targets) = (ids.narrow(1, 0, 9), ids.narrow(1, 1, 9));
            if recompute {
                let _ = grads.add_recomputed(&model, &ids, &targets, &Inputs::default(), 7.0).unwrap();
            } else {
                grads.add_backward(&model, &(model.loss(&ids, &targets, &Inputs::default()).unwrap() / 7.0)).unwrap();
            }
        };
        for recompute in [false, true] {
            let (mut sum, mut joined, mut expected) = (Grads::new(), Grads::new(), Vec::<Tensor>::new());
            for rows in [2, 3, 1] {
                add(&mut sum, rows, recompute);
                let mut alone = Grads::new();
                add(&mut alone, rows, recompute);
                assert!(alone.tensors().iter().all(|grad| grad.kind() == compute && grad.is_contiguous()));
                // Each pass made f32 by itself, and then added.
                let wide = alone.tensors().into_iter().map(|grad| grad.to_kind(Kind::Float).copy());
                expected = if expected.is_empty() { wide.collect() } else { expected.iter().zip(wide).map(|(a, b)| a + b).collect() };
                joined.add(alone).unwrap();
            }
            assert!(joined.tensors().iter().zip(&expected).all(|(a, b)| a.equal(b)), "{compute:?}, recomputed: {recompute}");
            for ((a, b), param) in sum.tensors().iter().zip(&expected).zip(model.trainable()) {
                assert!(a.equal(b), "{} in {compute:?}, recomputed: {recompute}", param.name);
            }
        }
    }
}

#[test]
fn every_layout_reads_back_in_every_type_and_in_shards() {
    for (name, config) in family() {
        let dir = tempfile::tempdir().unwrap();
        let model = model_of(config);
        model.save(dir.path()).unwrap();
        let single = dir.path().join("model.safetensors");
        let exact = Tensor::read_safetensors(&single).unwrap();
        for kind in [Kind::Float, Kind::Half, Kind::BFloat16] {
            let tensors: Vec<(String, Tensor)> = exact.iter().map(|(name, tensor)| (name.clone(), tensor.to_kind(kind))).collect();
            let (first, second) = tensors.split_at(tensors.len() / 3);
            let mut map = String::new();
            for (part, file) in [(first, "model-00001-of-00002.safetensors"), (second, "model-00002-of-00002.safetensors")] {
                Tensor::write_safetensors(part, dir.path().join(file)).unwrap();
                for (name, _) in part {
                    map += &format!("{}\"{name}\": \"{file}\"", if map.is_empty() { "" } else { ", " });
                }
            }
            let _ = std::fs::remove_file(&single);
            std::fs::write(dir.path().join("model.safetensors.index.json"), format!("{{\"weight_map\": {{{map}}}}}")).unwrap();
            let back = Model::load(dir.path(), &Options::cpu()).unwrap();
            for (a, b) in back.params().iter().zip(model.params()) {
                assert_eq!(a.master, b.master.to_kind(kind).to_kind(Kind::Float), "{name}: {} from {kind:?}", a.name);
            }
        }
        // A tensor that both shards have.
        let twice = Tensor::read_safetensors(dir.path().join("model-00002-of-00002.safetensors")).unwrap().swap_remove(0);
        let path = dir.path().join("model-00001-of-00002.safetensors");
        let mut tensors = Tensor::read_safetensors(&path).unwrap();
        tensors.push(twice);
        Tensor::write_safetensors(&tensors, &path).unwrap();
        assert!(Model::load(dir.path(), &Options::cpu()).unwrap_err().to_string().contains("(again)"));
    }
}

#[test]
fn missing_biases_and_norms_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let qwen3 = Config { model_type: ModelType::Qwen3, ..config() };
    Model::new(qwen3.clone(), 3, &Options::cpu()).unwrap().save(dir.path()).unwrap();
    std::fs::write(dir.path().join("config.json"), config().to_json()).unwrap();
    let text = Model::load(dir.path(), &Options::cpu()).unwrap_err().to_string();
    assert!(
        text.contains(r#"missing [], unexpected ["model.layers.0.self_attn.k_norm.weight", "model.layers.0.self_attn.q_norm.weight""#),
        "{text}"
    );
    let qwen2 = Config { model_type: ModelType::Qwen2, ..config() };
    std::fs::write(dir.path().join("config.json"), qwen2.to_json()).unwrap();
    let text = Model::load(dir.path(), &Options::cpu()).unwrap_err().to_string();
    assert!(text.contains(r#"missing ["model.layers.0.self_attn.q_proj.bias", "#), "{text}");
}

#[test]
fn a_replica_gives_the_same_gradients() {
    for (name, config) in family() {
        let mut model = model_of(config);
        for with_adapter in [false, true] {
            if with_adapter {
                model.attach_lora(&LoraConfig::all_linear(2, 4.0), 1).unwrap();
            }
            let other = model.replica().unwrap();
            let gradients = |model: &Model| {
                let all = ids(2, 14);
                let loss = model.loss(&all.narrow(1, 0, 13), &all.narrow(1, 1, 13), &Inputs::default()).unwrap();
                let mut grads = Grads::new();
                grads.add_backward(model, &loss).unwrap();
                grads
            };
            let (own, others) = (gradients(&model), gradients(&other));
            assert_eq!(own.tensors().len(), model.trainable().len());
            assert!(own.tensors().iter().zip(others.tensors()).all(|(a, b)| **a == *b), "{name}");
            nudge(&model, 0.01);
            assert_eq!(max_diff(&logits(&model, &ids(1, 9)), &logits(&other, &ids(1, 9))), 0.0, "{name}: one memory");
        }
    }
}

#[test]
fn adapters_train_and_merge_on_every_layout() {
    for (name, config) in family() {
        let dir = tempfile::tempdir().unwrap();
        let mut model = model_of(config.clone());
        let before = logits(&model, &ids(2, 12));
        model.attach_lora(&LoraConfig::all_linear(3, 6.0), 4).unwrap();
        assert_eq!(max_diff(&logits(&model, &ids(2, 12)), &before), 0.0, "{name}");
        for _ in 0..2 {
            nudge(&model, 0.02);
        }
        let trained = logits(&model, &ids(2, 12));
        assert!(max_diff(&trained, &before) > 1e-3, "{name}");
        model.save_adapter(dir.path(), "base").unwrap();
        let mut other = model_of(config);
        other.load_adapter(dir.path()).unwrap();
        assert!(other.merge_lora(&ids(2, 12)).unwrap() < 1e-4, "{name}");
        assert!(max_diff(&logits(&other, &ids(2, 12)), &trained) < 1e-4, "{name}");
    }
}

#[test]
fn generation_with_a_cache_is_as_without() {
    for (name, config) in family() {
        let model = model_of(config);
        let all = ids(2, 20);
        let mut cache = KvCache::new(model.config(), 2, 20, Device::Cpu, Kind::Float).unwrap();
        let mut end = 0;
        for length in [3, 1, 2, 1, 6, 1, 1, 4, 1] {
            let part = all.narrow(1, end, length);
            let hidden = tch::no_grad(|| model.hidden_cached(&part, &Inputs::default(), &mut cache)).unwrap();
            end += length;
            let got = model.logits(&hidden).unwrap();
            // With dynamic scaling a sequence's logits depend on how long it is by now.
            let want = logits(&model, &all.narrow(1, 0, end)).narrow(1, end - length, length);
            assert!(max_diff(&got, &want) < 1e-4, "{name} up to {end}: {}", max_diff(&got, &want));
        }
        assert_eq!((cache.len(), end), (20, 20));
        assert!(model.hidden_cached(&all.narrow(1, 0, 1), &Inputs::default(), &mut cache).is_err(), "{name}: the cache is full");
    }
}

/// Positions and mask of columns `start..end` when rows are padded on the left by `pads`, as the infer crate makes them.
fn padded(pads: &[i64], start: i64, end: i64) -> Inputs {
    let pads = Tensor::from_slice(pads).view([-1, 1]);
    let columns = |from, to| Tensor::arange_start(from, to, (Kind::Int64, Device::Cpu));
    let (queries, keys) = (columns(start, end), columns(0, end));
    let positions = (&queries - &pads).clamp_min(0);
    let causal = queries.view([-1, 1]).ge_tensor(&keys);
    let itself = queries.view([-1, 1]).eq_tensor(&keys);
    let real = keys.ge_tensor(&pads).view([-1, 1, 1, end]);
    Inputs { positions: Some(positions), mask: Some(real.logical_and(&causal).logical_or(&itself)), past_only: false }
}

#[test]
fn padded_batches_are_as_each_row_alone() {
    for (name, config) in family() {
        let model = model_of(config);
        let (all, pads) = (ids(3, 18), [0, 3, 11]);
        let mut cache = KvCache::new(model.config(), 3, 18, Device::Cpu, Kind::Float).unwrap();
        let mut rows = vec![0i64, 1, 2];
        let mut end = 0;
        for length in [12, 1, 1, 2, 1, 1] {
            let here: Vec<i64> = rows.iter().map(|row| pads[*row as usize]).collect();
            let index = Tensor::from_slice(&rows);
            let part = all.index_select(0, &index).narrow(1, end, length);
            let inputs = padded(&here, end, end + length);
            let hidden = tch::no_grad(|| model.hidden_cached(&part, &inputs, &mut cache)).unwrap();
            end += length;
            let got = model.logits(&hidden).unwrap().select(1, length - 1);
            for (i, row) in rows.iter().enumerate() {
                let pad = pads[*row as usize];
                let alone = all.narrow(0, *row, 1).narrow(1, pad, end - pad);
                let want = logits(&model, &alone).select(1, end - pad - 1);
                let difference = max_diff(&got.narrow(0, i as i64, 1), &want);
                assert!(difference < 1e-4, "{name}, row {row} up to {end}: {difference}");
            }
            if end == 14 {
                rows = vec![2, 0];
                cache.select_rows(&Tensor::from_slice(&[2i64, 0])).unwrap();
            }
        }
    }
}

#[test]
fn packed_documents_are_as_if_alone_in_every_layout() {
    for (name, config) in family() {
        let model = model_of(config);
        // Up to 8 tokens: with dynamic scaling, documents of a row would share the length of the longest.
        let (first, second) = (ids(1, 6), ids(1, 8).flip([1]));
        let segments = Tensor::from_slice(&[[0i64; 6].as_slice(), &[1; 8]].concat()).view([1, 14]);
        let inputs = Inputs::documents(&segments).unwrap();
        let together = tch::no_grad(|| model.forward(&Tensor::cat(&[&first, &second], 1), &inputs)).unwrap();
        assert!(max_diff(&together.narrow(1, 0, 6), &logits(&model, &first)) < 1e-4, "{name}");
        assert!(max_diff(&together.narrow(1, 6, 8), &logits(&model, &second)) < 1e-4, "{name}");
    }
}

#[test]
fn gradients_in_bf16_are_those_in_f32_in_every_layout() {
    for (name, config) in family() {
        // Heads of 16 values are multiplied in blocks where the CPU can; 70 tokens are more than a block has columns.
        let time = if config.rope_scaling.is_none() { 70 } else { 32 };
        let config = Config { hidden_size: 64, head_dim: 16, max_position_embeddings: config.max_position_embeddings.max(time), ..config };
        let dir = tempfile::tempdir().unwrap();
        Model::new(config, 3, &Options::cpu()).unwrap().save(dir.path()).unwrap();
        let ids = ids(2, time + 1);
        let (ids, targets) = (ids.narrow(1, 0, time), ids.narrow(1, 1, time));
        let segments = Tensor::arange(2 * time, (Kind::Int64, Device::Cpu)).divide_scalar_mode(27, "floor").view([2, time]);
        for inputs in [Inputs::default(), Inputs::documents(&segments).unwrap()] {
            let found = |compute| {
                let model = Model::load(dir.path(), &Options { compute, trainable: true, ..Options::cpu() }).unwrap();
                let loss = model.loss(&ids, &targets, &inputs).unwrap();
                let mut grads = Grads::new();
                grads.add_backward(&model, &loss).unwrap();
                let names: Vec<String> = model.trainable().iter().map(|param| param.name.clone()).collect();
                (loss.double_value(&[]), grads, names)
            };
            let ((want_loss, want, names), (loss, got, _)) = (found(Kind::Float), found(Kind::BFloat16));
            assert!((loss / want_loss - 1.0).abs() < 0.01, "{name}: loss {loss}, in f32 {want_loss}");
            for ((got, want), param) in got.tensors().iter().zip(want.tensors()).zip(&names) {
                let off = (*got - want).norm().double_value(&[]) / want.norm().double_value(&[]);
                assert!(off < 0.05, "{name}: the gradient of {param} is {off} of itself off");
            }
        }
    }
}
