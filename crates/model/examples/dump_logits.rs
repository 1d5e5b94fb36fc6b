//! Writes token ids and our logits for them, for `scripts/check_interop.py` to compare with transformers.
//!
//! usage: `cargo run --release -p model --example dump_logits -- MODEL_DIR OUT.safetensors [PEFT_DIR]`
//!
//! MODEL_DIR `new` makes a model with a trained-looking adapter of its own, under the directory of OUT.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::{Path, PathBuf};

use model::{Config, Inputs, LoraConfig, Model, Options};
use tch::{Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [dir, out, rest @ ..] = args.as_slice() else {
        return Err("usage: dump_logits MODEL_DIR OUT.safetensors [PEFT_DIR]".into());
    };
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
    let vocabulary = model.config().vocab_size;
    let ids = (Tensor::arange(64, (Kind::Int64, model.device())) * 37).remainder(vocabulary).view([2, 32]);
    let logits = tch::no_grad(|| model.forward(&ids, &Inputs::default()))?;
    Tensor::write_safetensors(&[("ids", &ids), ("logits", &logits)], out)?;
    println!("{}", out.display());
    Ok(())
}

/// A model and an adapter whose B is not zero.
fn make(dir: &Path, adapter: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::llama(512, 64, 3, 4);
    config.num_key_value_heads = 2;
    config.rope_theta = 100_000.0;
    config.eos_token_ids = vec![1];
    config.pad_token_id = Some(0);
    let mut model = Model::new(config, 5, &Options::cpu())?;
    for param in model.params() {
        if param.decay {
            let _ = tch::no_grad(|| param.master.shallow_clone().g_mul_scalar_(8.0));
        }
    }
    std::fs::create_dir_all(dir)?;
    model.save(dir)?;
    model.attach_lora(&LoraConfig::all_linear(4, 8.0), 6)?;
    for param in model.trainable() {
        let noise = Tensor::randn_like(&param.master) * 0.05;
        torch_ext::foreach_add(&[&param.master], &[&noise], 1.0)?;
    }
    std::fs::create_dir_all(adapter)?;
    model.save_adapter(adapter, "model")?;
    Ok(())
}
