//! The weights in a fixed order, and how they begin.
//!
//! Query, key and value projections of a block are one tensor here, and so are the gate and up projections: one
//! matrix product instead of three or two. Files know the parts by their Hugging Face names, which are ranges of rows.

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::Result;

/// Rows of a [`Param`] that Hugging Face files store as a tensor of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The Hugging Face name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// First row.
    pub start: i64,
    /// Number of rows.
    pub rows: i64,
}

/// One trainable tensor.
#[derive(Debug)]
pub struct Param {
    /// Its name: the Hugging Face name, or that with `qkv_proj` or `gate_up_proj` for joined projections.
    pub name: String,
    /// The weights that the optimizer updates, f32. (In a model that is not trainable: the working copy.)
    pub master: Tensor,
    /// Whether weight decay applies: to matrices, not to norms and biases.
    pub decay: bool,
    /// The Hugging Face tensors inside, in order of rows.
    pub parts: Vec<Part>,
    /// What the forward pass reads, in the compute type; the same memory as `master` in f32.
    pub(crate) work: Tensor,
}

impl Param {
    /// Wraps f32 (or, if not trainable, any) weights; makes the working copy in `compute`.
    pub(crate) fn new(name: String, parts: Vec<Part>, master: Tensor, compute: Kind, trainable: bool) -> Result<Self> {
        let decay = master.dim() >= 2;
        let work = if master.kind() == compute { master.detach() } else { master.detach().f_to_kind(compute)? };
        let work = work.f_set_requires_grad(trainable)?;
        let master = if trainable { master } else { work.shallow_clone() };
        Ok(Self { name, master, decay, parts, work })
    }

    /// The same memory, with gradients of its own.
    pub(crate) fn replica(&self) -> Result<Self> {
        let work = self.work.f_detach()?.f_set_requires_grad(self.work.requires_grad())?;
        Ok(Self { name: self.name.clone(), master: self.master.shallow_clone(), decay: self.decay, parts: self.parts.clone(), work })
    }

    /// What the forward pass reads, where it is a copy of the masters in another type: whoever changes those brings it up to date, or
    /// calls [`crate::Model::refresh`].
    pub fn working_copy(&self) -> Option<&Tensor> {
        (self.master.kind() != self.work.kind()).then_some(&self.work)
    }

    /// Number of weights.
    pub fn numel(&self) -> i64 {
        self.master.size().iter().product()
    }
}

/// What a parameter is before it has values.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) parts: Vec<Part>,
    /// Residual projections start smaller.
    pub(crate) is_residual_output: bool,
}

/// The position of each weight in the list that [`specs`] gives.
pub(crate) mod index {
    pub(crate) const EMBED: usize = 0;
    pub(crate) const PER_LAYER: usize = 6;
    pub(crate) const INPUT_NORM: usize = 0;
    pub(crate) const QKV: usize = 1;
    pub(crate) const OUTPUT: usize = 2;
    pub(crate) const POST_NORM: usize = 3;
    pub(crate) const GATE_UP: usize = 4;
    pub(crate) const DOWN: usize = 5;

    pub(crate) fn layer(layer: usize, which: usize) -> usize {
        1 + layer * PER_LAYER + which
    }

    pub(crate) fn final_norm(layers: usize) -> usize {
        layer(layers, 0)
    }

    /// The output matrix: the embedding itself when tied.
    pub(crate) fn head(layers: usize, tied: bool) -> usize {
        if tied { EMBED } else { final_norm(layers) + 1 }
    }
}

/// A weight of a block that not every layout has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    QkvBias,
    OutputBias,
    GateUpBias,
    DownBias,
    QNorm,
    KNorm,
}

impl Extra {
    const ALL: [Self; 6] = [Self::QkvBias, Self::OutputBias, Self::GateUpBias, Self::DownBias, Self::QNorm, Self::KNorm];

    fn exists(self, config: &Config) -> bool {
        match self {
            Self::QkvBias => config.has_qkv_bias(),
            Self::OutputBias => config.attention_bias,
            Self::GateUpBias | Self::DownBias => config.mlp_bias,
            Self::QNorm | Self::KNorm => config.has_qk_norm(),
        }
    }
}

/// Where those weights are: behind all others, layer by layer, so that the others have the same place in any layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extras {
    start: usize,
    per_layer: usize,
    offsets: [Option<usize>; 6],
}

impl Extras {
    pub(crate) fn new(config: &Config) -> Self {
        let mut per_layer = 0;
        let offsets = Extra::ALL.map(|extra| {
            let offset = extra.exists(config).then_some(per_layer);
            per_layer += usize::from(offset.is_some());
            offset
        });
        let head = usize::from(!config.tie_word_embeddings);
        Self { start: index::final_norm(config.num_hidden_layers as usize) + 1 + head, per_layer, offsets }
    }

    /// The place of a weight, if the layout has it.
    pub(crate) fn index(&self, layer: usize, extra: Extra) -> Option<usize> {
        self.offsets[extra as usize].map(|offset| self.start + layer * self.per_layer + offset)
    }
}

/// All parameters of a model, in order.
pub(crate) fn specs(config: &Config) -> Vec<Spec> {
    let (d, i) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = config.widths();
    let single = |name: String, shape: Vec<i64>| Spec {
        parts: vec![Part { name: name.clone(), start: 0, rows: shape[0] }],
        name,
        shape,
        is_residual_output: false,
    };
    // Columns of a matrix, none of a bias.
    let joined = |name: String, parts: &[(String, i64)], columns: &[i64]| {
        let mut start = 0;
        let parts: Vec<Part> = parts
            .iter()
            .map(|(name, rows)| {
                let part = Part { name: name.clone(), start, rows: *rows };
                start += rows;
                part
            })
            .collect();
        Spec { name, shape: [&[start], columns].concat(), parts, is_residual_output: false }
    };
    let mut out = vec![single("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, d])];
    for layer in 0..config.num_hidden_layers {
        let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
        out.push(single(name("input_layernorm"), vec![d]));
        out.push(joined(
            name("self_attn.qkv_proj"),
            &[(name("self_attn.q_proj"), q), (name("self_attn.k_proj"), kv), (name("self_attn.v_proj"), kv)],
            &[d],
        ));
        out.push(Spec { is_residual_output: true, ..single(name("self_attn.o_proj"), vec![d, q]) });
        out.push(single(name("post_attention_layernorm"), vec![d]));
        out.push(joined(name("mlp.gate_up_proj"), &[(name("mlp.gate_proj"), i), (name("mlp.up_proj"), i)], &[d]));
        out.push(Spec { is_residual_output: true, ..single(name("mlp.down_proj"), vec![d, i]) });
    }
    out.push(single("model.norm.weight".to_owned(), vec![d]));
    if !config.tie_word_embeddings {
        out.push(single("lm_head.weight".to_owned(), vec![config.vocab_size, d]));
    }
    for layer in 0..config.num_hidden_layers {
        let bias = |rest: &str| format!("model.layers.{layer}.{rest}.bias");
        let norm = |rest: &str| format!("model.layers.{layer}.self_attn.{rest}.weight");
        for extra in Extra::ALL.into_iter().filter(|extra| extra.exists(config)) {
            out.push(match extra {
                Extra::QkvBias => joined(
                    bias("self_attn.qkv_proj"),
                    &[(bias("self_attn.q_proj"), q), (bias("self_attn.k_proj"), kv), (bias("self_attn.v_proj"), kv)],
                    &[],
                ),
                Extra::OutputBias => single(bias("self_attn.o_proj"), vec![d]),
                Extra::GateUpBias => joined(bias("mlp.gate_up_proj"), &[(bias("mlp.gate_proj"), i), (bias("mlp.up_proj"), i)], &[]),
                Extra::DownBias => single(bias("mlp.down_proj"), vec![d]),
                Extra::QNorm => single(norm("q_norm"), vec![config.head_dim]),
                Extra::KNorm => single(norm("k_norm"), vec![config.head_dim]),
            });
        }
    }
    out
}

/// Standard deviation of new weights.
pub const INIT_STD: f64 = 0.02;

/// New values for one parameter: norms are 1, biases 0, the rest is N(0, 0.02), and matrices that write into the residual
/// stream are divided by sqrt(2 · layers) (Radford et al. 2019, section 2.3).
pub(crate) fn init(spec: &Spec, config: &Config, seed: u64) -> Tensor {
    if spec.shape.len() == 1 {
        let options = (Kind::Float, Device::Cpu);
        return if spec.name.ends_with(".bias") { Tensor::zeros(&spec.shape, options) } else { Tensor::ones(&spec.shape, options) };
    }
    let scale = if spec.is_residual_output { 1.0 / (2.0 * config.num_hidden_layers as f64).sqrt() } else { 1.0 };
    let columns = spec.shape[1];
    let mut values = Vec::new();
    for part in &spec.parts {
        values.extend(normal_values(seed, &part.name, (part.rows * columns) as usize, INIT_STD * scale));
    }
    Tensor::from_slice(&values).view(spec.shape.as_slice())
}

/// `count` draws of N(0, std) that depend on the seed and the name only: no global state, no order.
pub(crate) fn normal_values(seed: u64, name: &str, count: usize, std: f64) -> Vec<f32> {
    let stream = Stream::new(seed, name);
    let mut out = Vec::with_capacity(count + 1);
    for pair in 0..count.div_ceil(2) as u64 {
        // Box-Muller; 1 - u is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - stream.unit(2 * pair)).ln()).sqrt() * std;
        let (sin, cos) = (std::f64::consts::TAU * stream.unit(2 * pair + 1)).sin_cos();
        out.push((radius * cos) as f32);
        out.push((radius * sin) as f32);
    }
    out.truncate(count);
    out
}

/// `count` draws from the uniform distribution on (-bound, bound).
pub(crate) fn uniform_values(seed: u64, name: &str, count: usize, bound: f64) -> Vec<f32> {
    let stream = Stream::new(seed, name);
    (0..count as u64).map(|i| ((2.0 * stream.unit(i) - 1.0) * bound) as f32).collect()
}

/// A counter-based generator: the i-th value is a hash of (seed, name, i).
struct Stream {
    key: u64,
}

impl Stream {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, mixed with the seed.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { key: mix(hash ^ mix(seed)) }
    }

    /// A number in [0, 1) with 53 random bits.
    fn unit(&self, index: u64) -> f64 {
        (mix(self.key.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_right_moments_and_depend_on_seed_and_name() {
        let values = normal_values(1, "a", 100_001, 0.5);
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len() as f64;
        let var = values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.005 && (var.sqrt() - 0.5).abs() < 0.005, "{mean} {var}");
        assert_eq!(values[..10], normal_values(1, "a", 10, 0.5));
        assert_ne!(values[..10], normal_values(2, "a", 10, 0.5));
        assert_ne!(values[..10], normal_values(1, "b", 10, 0.5));
    }

    #[test]
    fn specs_cover_the_parameter_count_and_indices_fit() {
        use crate::config::ModelType;
        for (model_type, bias) in [
            (ModelType::Llama, false),
            (ModelType::Llama, true),
            (ModelType::Qwen2, false),
            (ModelType::Qwen3, false),
            (ModelType::Qwen3, true),
            (ModelType::Mistral, false),
        ] {
            for tied in [true, false] {
                let mut config = Config::llama(50, 32, 3, 4);
                config.num_key_value_heads = 2;
                config.tie_word_embeddings = tied;
                config.model_type = model_type;
                config.attention_bias = bias;
                config.mlp_bias = bias && model_type == ModelType::Llama;
                config.validate().unwrap();
                let specs = specs(&config);
                assert_eq!(specs.iter().map(|s| s.shape.iter().product::<i64>()).sum::<i64>(), config.num_params());
                assert_eq!(specs[index::layer(2, index::DOWN)].name, "model.layers.2.mlp.down_proj.weight");
                assert_eq!(specs[index::final_norm(3)].name, "model.norm.weight");
                assert_eq!(specs[index::head(3, tied)].shape, [50, 32]);
                let extras = Extras::new(&config);
                for (extra, name) in [
                    (Extra::QkvBias, "model.layers.2.self_attn.qkv_proj.bias"),
                    (Extra::OutputBias, "model.layers.2.self_attn.o_proj.bias"),
                    (Extra::GateUpBias, "model.layers.2.mlp.gate_up_proj.bias"),
                    (Extra::DownBias, "model.layers.2.mlp.down_proj.bias"),
                    (Extra::QNorm, "model.layers.2.self_attn.q_norm.weight"),
                    (Extra::KNorm, "model.layers.2.self_attn.k_norm.weight"),
                ] {
                    assert_eq!(extras.index(2, extra), specs.iter().position(|spec| spec.name == name), "{name}");
                }
            }
        }
    }
}
