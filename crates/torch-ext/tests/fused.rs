//! Each fused operation against the same thing composed of tch operations: values and gradients.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tch::{Device, Kind, Reduction, Tensor};

const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, F32)
}

fn leaf(t: &Tensor, kind: Kind) -> Tensor {
    t.to_kind(kind).detach().set_requires_grad(true)
}

fn max_diff(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Float) - b.to_kind(Kind::Float)).abs().max().double_value(&[])
}

/// Compares `fused(inputs)` and `plain(inputs)` and their gradients for a random weighting of the outputs, in f32 and bf16.
fn compare(sizes: &[&[i64]], fused: impl Fn(&[Tensor]) -> Vec<Tensor>, plain: impl Fn(&[Tensor]) -> Vec<Tensor>) {
    tch::manual_seed(3);
    let values: Vec<Tensor> = sizes.iter().map(|size| random(size)).collect();
    for (kind, tolerance) in [(Kind::Float, 2e-5), (Kind::BFloat16, 6e-2)] {
        let inputs: Vec<Tensor> = values.iter().map(|v| leaf(v, kind)).collect();
        // The reference always computes in f32, from the same rounded inputs.
        let exact: Vec<Tensor> = inputs.iter().map(|v| leaf(v, Kind::Float)).collect();
        let (got, want) = (fused(&inputs), plain(&exact));
        assert_eq!(got.len(), want.len());
        let mut got_loss = Tensor::zeros([], F32);
        let mut want_loss = Tensor::zeros([], F32);
        for (g, w) in got.iter().zip(&want) {
            assert_eq!(g.size(), w.size());
            assert_eq!(g.kind(), kind);
            assert!(max_diff(g, w) < tolerance, "{kind:?} output: {}", max_diff(g, w));
            let weight = random(&w.size());
            got_loss += (g.to_kind(Kind::Float) * &weight).sum(Kind::Float);
            want_loss += (w * &weight).sum(Kind::Float);
        }
        let got = Tensor::run_backward(&[got_loss], &inputs, false, false);
        let want = Tensor::run_backward(&[want_loss], &exact, false, false);
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            let scale = w.abs().max().double_value(&[]).max(1.0);
            assert!(max_diff(g, w) < tolerance * scale, "{kind:?} gradient {i}: {} of {scale}", max_diff(g, w));
        }
    }
}

fn plain_norm(x: &Tensor, w: &Tensor) -> Tensor {
    let mean = (x * x).mean_dim([-1i64].as_slice(), true, Kind::Float);
    x * (mean + 1e-5).rsqrt() * w
}

#[test]
fn rms_norm_is_what_its_formula_says() {
    compare(&[&[3, 37, 48], &[48]], |t| vec![torch_ext::rms_norm(&t[0], &t[1], 1e-5).unwrap()], |t| vec![plain_norm(&t[0], &t[1])]);
}

#[test]
fn add_rms_norm_gives_both_outputs() {
    let fused = |t: &[Tensor]| {
        let (sum, normed) = torch_ext::add_rms_norm(&t[0], &t[1], &t[2], 1e-5).unwrap();
        vec![sum, normed]
    };
    compare(&[&[5, 7, 33], &[5, 7, 33], &[33]], fused, |t| {
        let sum = &t[0] + &t[1];
        let normed = plain_norm(&sum, &t[2]);
        vec![sum, normed]
    });
}

#[test]
fn swiglu_halves_its_input() {
    compare(
        &[&[2, 9, 2 * 19]],
        |t| vec![torch_ext::swiglu(&t[0]).unwrap()],
        |t| {
            let halves = t[0].chunk(2, -1);
            vec![halves[0].silu() * &halves[1]]
        },
    );
    // Far out, the sigmoid is 0 or 1 and nothing overflows.
    let far = Tensor::from_slice(&[-1e4f32, 1e4, -88.5, 88.5, 1.0, 1.0, 1.0, 1.0]).view([1, 8]);
    let got: Vec<f32> = Vec::try_from(torch_ext::swiglu(&far).unwrap().view([-1])).unwrap();
    assert_eq!((got[1], got[3]), (1e4, 88.5));
    assert!(got[0].abs() < 1e-30 && got[2].abs() < 1e-30, "{got:?}");
}

#[test]
fn split_rotate_turns_query_and_key_only() {
    let (batch, time, heads, groups, half) = (2, 5, 4, 2, 3);
    let angles = Tensor::arange(time, F32).outer(&Tensor::from_slice(&[1.0f32, 0.3, 0.07]));
    let (cos, sin) = (angles.cos(), angles.sin());
    // Positions of the second row are shifted by one, as a table with a row for each token.
    let per_row = |t: &Tensor| Tensor::cat(&[t, &t.roll([1], [0])], 0);
    for (cos, sin, shared) in [(cos.copy(), sin.copy(), true), (per_row(&cos), per_row(&sin), false)] {
        let rotate = |x: &Tensor| {
            let shape = [if shared { 1 } else { batch }, 1, time, half];
            let (c, s) = (cos.view(shape), sin.view(shape));
            let halves = x.chunk(2, -1);
            Tensor::cat(&[&halves[0] * &c - &halves[1] * &s, &halves[1] * &c + &halves[0] * &s], -1)
        };
        let fused = |t: &[Tensor]| {
            let (q, k, v) = torch_ext::split_rotate(&t[0], &cos, &sin, heads, groups).unwrap();
            vec![q, k, v]
        };
        compare(&[&[batch, time, (heads + 2 * groups) * 2 * half]], fused, |t| {
            let all = t[0].view([batch, time, heads + 2 * groups, 2 * half]).transpose(1, 2);
            vec![rotate(&all.narrow(1, 0, heads)), rotate(&all.narrow(1, heads, groups)), all.narrow(1, heads + groups, groups)]
        });
    }
}

fn plain_attention(t: &[Tensor], mask: Option<&Tensor>) -> Tensor {
    let (time, width) = (t[0].size()[2], t[0].size()[3]);
    let mut hidden = Tensor::ones([time, time], (Kind::Bool, Device::Cpu)).triu(1);
    if let Some(mask) = mask {
        hidden = hidden.logical_or(&mask.logical_not());
    }
    let scores = (t[0].matmul(&t[1].transpose(2, 3)) / (width as f64).sqrt()).masked_fill(&hidden, f64::NEG_INFINITY);
    scores.softmax(-1, Kind::Float).matmul(&t[2])
}

#[test]
fn causal_attention_is_softmax_of_what_came_before() {
    // Lengths around whole blocks of keys and queries, and widths with whole and partial columns.
    for (time, width) in [(1, 16), (2, 64), (63, 64), (64, 64), (65, 32), (128, 64), (130, 48), (257, 80), (512, 64), (601, 128)] {
        let size: &[i64] = &[2, 3, time, width];
        let fused = |t: &[Tensor]| vec![torch_ext::causal_attention(&t[0], &t[1], &t[2], None).unwrap()];
        compare(&[size, size, size], fused, |t| vec![plain_attention(t, None)]);
        // Documents of 37 tokens, beginning elsewhere in each row; and the last 100 tokens, for all rows.
        let at = Tensor::arange(time, (Kind::Int64, Device::Cpu));
        let document = |shift: i64| (&at + shift).divide_scalar_mode(37, "floor");
        let same = |shift| document(shift).unsqueeze(1).eq_tensor(&document(shift).unsqueeze(0));
        let near = (at.unsqueeze(1) - at.unsqueeze(0)).lt(100).view([1, 1, time, time]);
        let past = Tensor::ones([time, time], (Kind::Bool, Device::Cpu)).tril(0);
        for mask in [Tensor::stack(&[same(0), same(11)], 0).unsqueeze(1), near] {
            let mask = mask.logical_and(&past);
            let fused = |t: &[Tensor]| vec![torch_ext::causal_attention(&t[0], &t[1], &t[2], Some(&mask)).unwrap()];
            compare(&[size, size, size], fused, |t| vec![plain_attention(t, Some(&mask))]);
        }
    }
    // Views as a model has them: heads beside each other in memory, and a gradient that is laid out in the same way.
    let size: &[i64] = &[2, 70, 4, 32];
    let turned = |t: &[Tensor]| t.iter().map(|t| t.transpose(1, 2)).collect::<Vec<_>>();
    let fused = |t: &[Tensor]| {
        let t = turned(t);
        vec![torch_ext::causal_attention(&t[0], &t[1], &t[2], None).unwrap().transpose(1, 2).contiguous()]
    };
    compare(&[size, size, size], fused, |t| vec![plain_attention(&turned(t), None).transpose(1, 2).contiguous()]);
    let (one, other) = (random(&[1, 2, 3, 16]), random(&[1, 1, 3, 16]));
    assert!(torch_ext::causal_attention(&one, &other, &one, None).is_err());
    assert!(torch_ext::causal_attention(&one, &one, &one, Some(&other)).is_err());
}

#[test]
fn linear_cross_entropy_in_any_chunks() {
    tch::manual_seed(5);
    let (hidden, weight) = (random(&[13, 24]), random(&[50, 24]));
    let targets = Tensor::from_slice(&[0i64, 49, -100, 3, 4, 5, -100, 7, 8, 9, 10, 11, 12]);
    for (kind, tolerance) in [(Kind::Float, 2e-4), (Kind::BFloat16, 0.15)] {
        let (h, w) = (leaf(&hidden, kind), leaf(&weight, kind));
        let (h32, w32) = (leaf(&h, Kind::Float), leaf(&w, Kind::Float));
        let want = h32.matmul(&w32.tr()).cross_entropy_loss(&targets, None::<&Tensor>, Reduction::Sum, -100, 0.0);
        let want_grads = Tensor::run_backward(&[&want * 0.5], &[&h32, &w32], false, false);
        for rows in [1, 4, 13, 1000] {
            let got = torch_ext::linear_cross_entropy(&h, &w, &targets, -100, rows).unwrap();
            assert!((got.double_value(&[]) - want.double_value(&[])).abs() < tolerance * 5.0, "{kind:?} {rows}");
            let grads = Tensor::run_backward(&[&got * 0.5], &[&h, &w], false, false);
            for (g, w) in grads.iter().zip(&want_grads) {
                assert!(max_diff(g, w) < tolerance, "{kind:?} {rows}: {}", max_diff(g, w));
            }
        }
        // Gradients are given away once, and not scaled twice without a word.
        let loss = torch_ext::linear_cross_entropy(&h, &w, &targets, -100, 4).unwrap();
        let again = |keep: bool| Tensor::f_run_backward(&[&loss], &[&h, &w], keep, false);
        assert!(again(true).is_ok());
        assert!(again(false).unwrap_err().to_string().contains("were taken before"));
    }
}

#[test]
fn bad_input_is_an_error_and_nan_is_seen() {
    let (h, w) = (random(&[2, 4]), random(&[5, 4]));
    let outside = torch_ext::linear_cross_entropy(&h, &w, &Tensor::from_slice(&[0i64, 5]), -100, 8).unwrap_err();
    assert!(outside.to_string().contains("outside the vocabulary of 5"), "{outside}");
    assert!(torch_ext::linear_cross_entropy(&h, &w, &Tensor::from_slice(&[0i64]), -100, 8).is_err());
    assert!(torch_ext::rms_norm(&h, &random(&[3]), 1e-5).is_err());
    assert!(torch_ext::swiglu(&random(&[2, 3])).is_err());
    assert!(torch_ext::rms_norm(&h.to_kind(Kind::Int64), &random(&[4]), 1e-5).is_err());
    for bad in [f64::NAN, f64::INFINITY] {
        let broken = &h * bad;
        let loss = torch_ext::linear_cross_entropy(&broken, &w, &Tensor::from_slice(&[0i64, 1]), -100, 8).unwrap();
        assert!(!loss.double_value(&[]).is_finite());
    }
}
