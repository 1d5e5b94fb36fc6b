//! Writes token ids and our logits for them, for `scripts/check_interop.py` to compare with transformers.
//!
//! usage: `cargo run --release -p model --example dump_logits -- MODEL_DIR OUT.safetensors [PEFT_DIR]`
//!
//! MODEL_DIR `new` makes a model with a trained-looking adapter of its own, under the directory of OUT.
//! MODEL_DIR `family` makes one model of each layout, and OUT is a directory that gets `NAME/model` and `NAME/dump.safetensors`.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::{Path, PathBuf};

use model::{Config, Inputs, LayerType, LoraConfig, Model, ModelType, Options, RopeScaling};
use tch::{Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [dir, out, rest @ ..] = args.as_slice() else {
        return Err("usage: dump_logits MODEL_DIR OUT.safetensors [PEFT_DIR]".into());
    };
    if dir == Path::new("family") {
        for (name, config) in family() {
            let (dir, dump) = (out.join(name).join("model"), out.join(name).join("dump.safetensors"));
            save_new(config, &dir)?;
            write_dump(&Model::load(&dir, &Options::cpu())?, &dump)?;
        }
        return Ok(());
    }
    let (mut dir, mut adapter) = (dir.clone(), rest.first().cloned());
    if dir == Path::new("new") {
        let parent = out.parent().ok_or("OUT has no directory")?;
        (dir, adapter) = (parent.join("model"), Some(parent.join("adapter")));
        make(&dir, &parent.join("adapter"))?;
    }
    let mut model = Model::load(&dir, &Options::cpu())?;
    if let Some(adapter) = adapter {
        model.load_adapter(&adapter)?;
    }
    write_dump(&model, out)
}

/// Two rows of 32 tokens, and the logits.
fn write_dump(model: &Model, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let vocabulary = model.config().vocab_size;
    let ids = (Tensor::arange(64, (Kind::Int64, model.device())) * 37).remainder(vocabulary).view([2, 32]);
    let logits = tch::no_grad(|| model.forward(&ids, &Inputs::default()))?;
    Tensor::write_safetensors(&[("ids", &ids), ("logits", &logits)], out)?;
    println!("{}", out.display());
    Ok(())
}

/// One of each layout. Windows and original lengths are shorter than the 32 tokens of a row.
fn family() -> Vec<(&'static str, Config)> {
    let base = Config { num_key_value_heads: 2, max_position_embeddings: 128, eos_token_ids: vec![1], ..Config::llama(512, 64, 3, 4) };
    let llama3 = RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 16 };
    let dynamic = RopeScaling::Dynamic { factor: 8.0, original_max_position_embeddings: 16 };
    let scaled = |scaling| Config { rope_scaling: Some(scaling), ..base.clone() };
    let of = |model_type| Config { model_type, ..base.clone() };
    vec![
        ("llama", Config { rope_theta: 100_000.0, ..base.clone() }),
        ("llama_untied", Config { tie_word_embeddings: false, head_dim: 32, ..base.clone() }),
        ("llama_biases", Config { attention_bias: true, mlp_bias: true, ..base.clone() }),
        ("llama_linear", scaled(RopeScaling::Linear { factor: 4.0 })),
        ("llama_dynamic", scaled(dynamic)),
        ("llama_yarn", scaled(RopeScaling::yarn(8.0, 16))),
        ("llama_yarn_other_length", scaled(RopeScaling::yarn(4.0, 16))),
        ("llama_llama3", scaled(llama3)),
        ("qwen2", of(ModelType::Qwen2)),
        ("qwen2_yarn", Config { rope_scaling: Some(RopeScaling::yarn(8.0, 16)), ..of(ModelType::Qwen2) }),
        ("qwen2_window", Config { sliding_window: Some(8), ..of(ModelType::Qwen2) }),
        (
            "qwen2_window_some_layers",
            Config {
                sliding_window: Some(8),
                layer_types: vec![LayerType::Full, LayerType::Full, LayerType::Sliding],
                ..of(ModelType::Qwen2)
            },
        ),
        ("qwen3", Config { head_dim: 24, ..of(ModelType::Qwen3) }),
        ("qwen3_biases", Config { attention_bias: true, tie_word_embeddings: false, ..of(ModelType::Qwen3) }),
        (
            "qwen3_window_alternating",
            Config {
                sliding_window: Some(8),
                layer_types: vec![LayerType::Sliding, LayerType::Full, LayerType::Sliding],
                ..of(ModelType::Qwen3)
            },
        ),
        ("mistral", Config { tie_word_embeddings: false, head_dim: 24, ..of(ModelType::Mistral) }),
        ("mistral_window", Config { sliding_window: Some(8), ..of(ModelType::Mistral) }),
        (
            "mistral_window_linear",
            Config { sliding_window: Some(8), rope_scaling: Some(RopeScaling::Linear { factor: 4.0 }), ..of(ModelType::Mistral) },
        ),
    ]
}

/// A model whose logits spread as those of a trained one, with biases and norms that do something.
fn save_new(config: Config, dir: &Path) -> Result<Model, Box<dyn std::error::Error>> {
    let model = Model::new(config, 5, &Options::cpu())?;
    tch::manual_seed(5);
    for param in model.params() {
        if param.decay {
            let _ = tch::no_grad(|| param.master.shallow_clone().g_mul_scalar_(8.0));
        } else {
            torch_ext::foreach_add(&[&param.master], &[&(Tensor::randn_like(&param.master) * 0.2)], 1.0)?;
        }
    }
    std::fs::create_dir_all(dir)?;
    model.save(dir)?;
    Ok(model)
}

/// A model and an adapter whose B is not zero.
fn make(dir: &Path, adapter: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::llama(512, 64, 3, 4);
    config.num_key_value_heads = 2;
    config.rope_theta = 100_000.0;
    config.eos_token_ids = vec![1];
    config.pad_token_id = Some(0);
    let mut model = save_new(config, dir)?;
    model.attach_lora(&LoraConfig::all_linear(4, 8.0), 6)?;
    for param in model.trainable() {
        let noise = Tensor::randn_like(&param.master) * 0.05;
        torch_ext::foreach_add(&[&param.master], &[&noise], 1.0)?;
    }
    std::fs::create_dir_all(adapter)?;
    model.save_adapter(adapter, "model")?;
    Ok(())
}
