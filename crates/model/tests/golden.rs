//! Against PyTorch and transformers: see scripts/make_golden.py for how the files were made.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use model::{Config, Grads, Inputs, KvCache, Model, Options};
use tch::{Device, Kind, Tensor};
use torch_ext::AdamW;

const MODELS: [&str; 12] =
    ["gqa", "tied", "wide_heads", "biases", "llama3", "linear", "dynamic", "yarn", "qwen2", "qwen2_window", "qwen3", "mistral"];

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/model").join(name)
}

fn read(path: &Path) -> HashMap<String, Tensor> {
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let convert = |view: &safetensors::tensor::TensorView| {
        let kind = if view.dtype() == safetensors::Dtype::I64 { Kind::Int64 } else { Kind::Float };
        let size: Vec<i64> = view.shape().iter().map(|n| *n as i64).collect();
        Tensor::from_data_size(view.data(), &size, kind)
    };
    file.tensors().iter().map(|(name, view)| (name.clone(), convert(view))).collect()
}

fn max_diff(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Float) - b).abs().max().double_value(&[])
}

/// The tensors that correspond to `parts` of the parameters, by HF name.
fn by_name(model: &Model, tensors: &[&Tensor]) -> HashMap<String, Tensor> {
    let mut out = HashMap::new();
    for (param, tensor) in model.params().iter().zip(tensors) {
        for part in &param.parts {
            out.insert(part.name.clone(), tensor.narrow(0, part.start, part.rows).copy());
        }
    }
    out
}

/// Targets that are not ignored.
fn num_targets(golden: &HashMap<String, Tensor>) -> i64 {
    golden["targets"].ge(0).sum(Kind::Int64).int64_value(&[])
}

#[test]
fn logits_and_loss_are_those_of_transformers() {
    for name in MODELS {
        let golden = read(&dir(name).join("golden.safetensors"));
        let model = Model::load(&dir(name), &Options::cpu()).unwrap();
        let logits = model.forward(&golden["ids"], &Inputs::default()).unwrap();
        let difference = max_diff(&logits, &golden["logits"]);
        assert!(difference < 1e-4, "{name}: logits differ by {difference:e}");
        let loss = model.loss(&golden["ids"], &golden["targets"], &Inputs::default()).unwrap();
        let targets = num_targets(&golden);
        let mean = loss.double_value(&[]) / targets as f64;
        assert!((mean - golden["loss"].double_value(&[])).abs() < 1e-5, "{name}: loss {mean}");
        let nll = model.token_losses(&golden["ids"], &golden["targets"], &Inputs::default()).unwrap();
        assert!((nll.sum(Kind::Double).double_value(&[]) / targets as f64 - mean).abs() < 1e-5);
    }
}

/// One token at a time after a prompt.
fn greedy(model: &Model, prompt: &[i64], count: i64) -> Vec<i64> {
    let mut cache = KvCache::new(model.config(), 1, prompt.len() as i64 + count, Device::Cpu, Kind::Float).unwrap();
    let mut next = Tensor::from_slice(prompt).view([1, -1]);
    let mut out = Vec::new();
    for _ in 0..count {
        let hidden = tch::no_grad(|| model.hidden_cached(&next, &Inputs::default(), &mut cache)).unwrap();
        let chosen = model.logits(&hidden.select(1, hidden.size()[1] - 1)).unwrap().argmax(-1, false);
        out.push(chosen.int64_value(&[0]));
        next = chosen.view([1, 1]);
    }
    out
}

fn rows(tensor: &Tensor) -> Vec<Vec<i64>> {
    let row = |tensor: Tensor| Vec::try_from(tensor).unwrap();
    tensor.unbind(0).into_iter().map(row).map(|row: Vec<i64>| row.into_iter().filter(|id| *id >= 0).collect()).collect()
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for name in MODELS {
        let golden = read(&dir(name).join("golden.safetensors"));
        let model = Model::load(&dir(name), &Options { trainable: false, ..Options::cpu() }).unwrap();
        for (start, want) in rows(&golden["starts"]).iter().zip(rows(&golden["greedy"])) {
            assert_eq!(want.len(), 64);
            assert_eq!(greedy(&model, start, 64), want, "{name} after {} tokens", start.len());
        }
    }
}

#[test]
fn logits_do_not_change_when_saved_and_read_again() {
    let copy = tempfile::tempdir().unwrap();
    for name in MODELS {
        let golden = read(&dir(name).join("golden.safetensors"));
        let model = Model::load(&dir(name), &Options::cpu()).unwrap();
        model.save(copy.path()).unwrap();
        let again = Model::load(copy.path(), &Options::cpu()).unwrap();
        assert_eq!(again.config(), model.config(), "{name}");
        let logits = |model: &Model| tch::no_grad(|| model.forward(&golden["ids"], &Inputs::default())).unwrap();
        assert_eq!(max_diff(&logits(&again), &logits(&model)), 0.0, "{name}");
        // The goldens would notice if scaling or windows did nothing.
        let config = model.config();
        if config.rope_scaling.is_some() || config.sliding_window.is_some() {
            let plain = Config { rope_scaling: None, sliding_window: None, layer_types: Vec::new(), ..config.clone() };
            std::fs::write(copy.path().join("config.json"), plain.to_json()).unwrap();
            let plain = Model::load(copy.path(), &Options::cpu()).unwrap();
            assert!(max_diff(&logits(&plain), &golden["logits"]) > 0.05, "{name}");
        }
    }
}

#[test]
fn gradients_and_an_optimizer_step_are_those_of_pytorch() {
    let (mut with_gradients, mut with_steps) = (0, 0);
    for name in MODELS {
        let golden = read(&dir(name).join("golden.safetensors"));
        if !golden.contains_key("grad.model.norm.weight") {
            continue;
        }
        with_gradients += 1;
        let targets = num_targets(&golden) as f64;
        let model = Model::load(&dir(name), &Options::cpu()).unwrap();
        let before = by_name(&model, &model.params().iter().map(|p| &p.master).collect::<Vec<_>>());
        let mut grads = Grads::new();
        // Two micro-batches: the first row, then the others; together the mean over all targets.
        for (start, rows) in [(0, 1), (1, golden["ids"].size()[0] - 1)] {
            let part = |key: &str| golden[key].narrow(0, start, rows);
            let loss = model.loss(&part("ids"), &part("targets"), &Inputs::default()).unwrap();
            grads.add_backward(&model, &(loss / targets)).unwrap();
        }
        let got = by_name(&model, &grads.tensors());
        assert_eq!(got.len(), golden.keys().filter(|key| key.starts_with("grad.")).count());
        for (key, grad) in &got {
            let want = &golden[&format!("grad.{key}")];
            let scale = want.abs().max().double_value(&[]);
            assert!(max_diff(grad, want) < 1e-4 * scale.max(0.01), "{name}: gradient of {key}");
        }
        if !golden.contains_key("step.model.norm.weight") {
            continue;
        }
        with_steps += 1;
        for decay in [true, false] {
            let chosen: Vec<usize> = (0..model.trainable().len()).filter(|i| model.trainable()[*i].decay == decay).collect();
            let params: Vec<&Tensor> = chosen.iter().map(|i| &model.trainable()[*i].master).collect();
            let own: Vec<&Tensor> = chosen.iter().map(|i| grads.tensors()[*i]).collect();
            let (m, v): (Vec<Tensor>, Vec<Tensor>) = params.iter().map(|p| (p.zeros_like(), p.zeros_like())).unzip();
            let options = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: if decay { 0.1 } else { 0.0 } };
            let step = torch_ext::step_tensor(1, Device::Cpu);
            torch_ext::fused_adamw(
                &params,
                &own,
                &m.iter().collect::<Vec<_>>(),
                &v.iter().collect::<Vec<_>>(),
                &step,
                &options,
                None,
                None,
            )
            .unwrap();
        }
        model.refresh().unwrap();
        let after = by_name(&model, &model.params().iter().map(|p| &p.master).collect::<Vec<_>>());
        for (key, weight) in &after {
            // A first step moves each weight by about the learning rate, whatever the size of its gradient; where that
            // is tiny, its sign is rounding. So compare where the gradient is clearly not zero.
            let clear = golden[&format!("grad.{key}")].abs().gt(1e-6).to_kind(Kind::Float);
            let (change, want) = ((weight - &before[key]) * &clear, &golden[&format!("step.{key}")] * &clear);
            assert!(max_diff(&change, &want) < 2e-5, "{name}: step of {key}: {}", max_diff(&change, &want));
        }
    }
    assert_eq!((with_gradients, with_steps), (8, 3));
}

#[test]
fn a_peft_adapter_gives_the_same_logits_attached_and_merged() {
    let golden = read(&dir("gqa").join("golden.safetensors"));
    let want = &read(&dir("gqa").join("adapter_golden.safetensors"))["logits"];
    let mut model = Model::load(&dir("gqa"), &Options::cpu()).unwrap();
    let base = model.forward(&golden["ids"], &Inputs::default()).unwrap();
    model.load_adapter(&dir("gqa").join("adapter")).unwrap();
    let attached = model.forward(&golden["ids"], &Inputs::default()).unwrap();
    assert!(max_diff(&attached, want) < 1e-4, "{}", max_diff(&attached, want));
    assert!(max_diff(&base, want) > 0.1, "the adapter must matter for this test to mean something");
    let change = model.merge_lora(&golden["ids"]).unwrap();
    assert!(change < 1e-4, "merging changed logits by {change}");
    assert!(max_diff(&model.forward(&golden["ids"], &Inputs::default()).unwrap(), want) < 1e-4);
    assert!(model.lora().is_none());
}

#[test]
fn bf16_stays_near_f32() {
    let golden = read(&dir("gqa").join("golden.safetensors"));
    let options = Options { compute: Kind::BFloat16, ..Options::cpu() };
    let model = Model::load(&dir("gqa"), &options).unwrap();
    let loss = model.loss(&golden["ids"], &golden["targets"], &Inputs::default()).unwrap();
    let mean = loss.double_value(&[]) / 61.0;
    assert!((mean - golden["loss"].double_value(&[])).abs() < 0.03, "{mean}");
    let mut grads = Grads::new();
    grads.add_backward(&model, &(loss / 61.0)).unwrap();
    let all: Vec<Tensor> =
        by_name(&model, &grads.tensors()).into_iter().map(|(key, grad)| (grad - &golden[&format!("grad.{key}")]).flatten(0, -1)).collect();
    let error = Tensor::cat(&all, 0).norm().double_value(&[]);
    let norm =
        golden.iter().filter(|(key, _)| key.starts_with("grad.")).map(|(_, g)| g.norm().double_value(&[]).powi(2)).sum::<f64>().sqrt();
    assert!(error < 0.05 * norm, "{error} of {norm}");
}
