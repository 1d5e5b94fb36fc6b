//! Generation against transformers, and batches against single sequences.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use infer::{GenerateOptions, Request, Sampling, Stop, generate, log_likelihoods, row_nll};
use model::{Inputs, Model, Options};
use tch::{Device, Kind, Tensor};

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/model").join(name)
}

fn load(name: &str) -> Model {
    Model::load(&dir(name), &Options { device: Device::Cpu, compute: Kind::Float, trainable: false }).unwrap()
}

/// The rows of an int64 tensor in a golden file, without the -1 that fills them up.
fn rows(name: &str, key: &str) -> Vec<Vec<i64>> {
    let bytes = std::fs::read(dir(name).join("golden.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(key).unwrap();
    let values: Vec<i64> = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    values.chunks(view.shape()[1]).map(|row| row.iter().copied().filter(|id| *id >= 0).collect()).collect()
}

/// Log-probabilities of every next token of one sequence, without cache or batch.
fn next_log_probs(model: &Model, tokens: &[i64]) -> Tensor {
    let ids = Tensor::from_slice(tokens).view([1, -1]);
    model.forward(&ids, &Inputs::default()).unwrap().squeeze_dim(0).log_softmax(-1, Kind::Float)
}

#[test]
fn greedy_tokens_are_those_of_transformers_in_a_batch_and_alone() {
    for name in ["gqa", "tied", "wide_heads"] {
        let model = load(name);
        let (prompts, answers) = (rows(name, "prompts"), rows(name, "answers"));
        // transformers keeps the end token in its answer.
        let want: Vec<Vec<i64>> = answers.iter().map(|row| row.iter().copied().filter(|id| *id != 2).collect()).collect();
        for batch_tokens in [1, 100, 10_000] {
            let options = GenerateOptions { batch_tokens, ..GenerateOptions::greedy(&model, 32) };
            let got = generate(&model, &prompts, &options).unwrap();
            for ((answer, want), full) in got.iter().zip(&want).zip(&answers) {
                assert_eq!(&answer.tokens, want, "{name} with {batch_tokens}");
                assert_eq!(answer.stop, if full.last() == Some(&2) { Stop::Eos(2) } else { Stop::Length });
            }
        }
    }
}

#[test]
fn more_tokens_than_a_sequence_can_have_take_no_memory() {
    let model = load("tied");
    let prompts = rows("tied", "prompts");
    let longest = model.config().max_position_embeddings as usize;
    let answers =
        |most| generate(&model, &prompts[..2], &GenerateOptions { eos: vec![], ..GenerateOptions::greedy(&model, most) }).unwrap();
    let unbounded = answers(usize::MAX);
    assert_eq!(unbounded[0].tokens.len() + prompts[0].len(), longest);
    assert_eq!(unbounded, answers(longest));
}

#[test]
fn the_logprob_is_that_of_the_tokens() {
    let model = load("tied");
    let prompts = rows("tied", "prompts");
    let options = GenerateOptions { eos: vec![], ..GenerateOptions::greedy(&model, 6) };
    for (prompt, answer) in prompts.iter().zip(generate(&model, &prompts, &options).unwrap()) {
        let all: Vec<i64> = prompt.iter().chain(&answer.tokens).copied().collect();
        let log_probs = next_log_probs(&model, &all);
        let want: f64 = (prompt.len()..all.len()).map(|t| log_probs.double_value(&[t as i64 - 1, all[t]])).sum();
        assert!((answer.logprob - want).abs() < 1e-4, "{} {want}", answer.logprob);
        assert_eq!((answer.tokens.len(), answer.stop), (6, Stop::Length));
    }
}

#[test]
fn rows_that_end_leave_the_others_undisturbed() {
    let model = load("gqa");
    let prompts: Vec<Vec<i64>> = (0..12i64).map(|i| (0..=i % 5).map(|j| 3 + (i * 11 + j * 7) % 60).collect()).collect();
    let free = GenerateOptions { eos: vec![], ..GenerateOptions::greedy(&model, 10) };
    let long = generate(&model, &prompts, &free).unwrap();
    // Some token of the third answer as end token: answers end at different steps.
    let eos = long[2].tokens[3];
    let options = GenerateOptions { eos: vec![eos], ..free };
    let got = generate(&model, &prompts, &options).unwrap();
    for (answer, full) in got.iter().zip(&long) {
        let end = full.tokens.iter().position(|id| *id == eos);
        assert_eq!(answer.tokens, full.tokens[..end.unwrap_or(10)]);
        assert_eq!(answer.stop, end.map_or(Stop::Length, |_| Stop::Eos(eos)));
    }
    assert!(got.iter().any(|a| a.stop == Stop::Length) && got.iter().any(|a| a.stop != Stop::Length));
}

#[test]
fn sampling_depends_on_the_seed_and_not_on_the_batch() {
    let model = load("tied");
    let prompts = rows("tied", "prompts");
    let sample = |seed, batch_tokens| {
        let sampling = Sampling::Random { temperature: 1.5, top_p: 0.95, top_k: Some(40), seed };
        let options = GenerateOptions { max_new_tokens: 20, eos: vec![], sampling, batch_tokens };
        generate(&model, &prompts, &options).unwrap().into_iter().map(|a| a.tokens).collect::<Vec<_>>()
    };
    assert_eq!(sample(1, 1), sample(1, 10_000));
    assert_ne!(sample(1, 1), sample(2, 1));
}

#[test]
fn scores_are_sums_of_log_probabilities() {
    let model = load("gqa");
    let requests: Vec<Request> = (0..9i64)
        .map(|i| Request {
            context: (0..1 + i % 4).map(|j| 3 + (i * 13 + j * 5) % 60).collect(),
            continuation: (0..1 + (i * 2) % 5).map(|j| 3 + (i * 3 + j * 17) % 60).collect(),
        })
        .collect();
    for batch_tokens in [1, 12, 1000] {
        for (request, score) in requests.iter().zip(log_likelihoods(&model, &requests, batch_tokens).unwrap()) {
            let all: Vec<i64> = request.context.iter().chain(&request.continuation).copied().collect();
            let log_probs = next_log_probs(&model, &all);
            let want: f64 = (request.context.len()..all.len()).map(|t| log_probs.double_value(&[t as i64 - 1, all[t]])).sum();
            assert!((score.logprob - want).abs() < 1e-4, "{} {want}", score.logprob);
            assert_eq!(score.num_tokens, request.continuation.len());
            assert!(!score.is_greedy || score.logprob / score.num_tokens as f64 > -(64f64.ln()));
        }
    }
    let prompt = rows("gqa", "prompts")[1].clone();
    let options = GenerateOptions { eos: vec![], ..GenerateOptions::greedy(&model, 5) };
    let answer = generate(&model, std::slice::from_ref(&prompt), &options).unwrap().remove(0);
    let greedy = Request { context: prompt.clone(), continuation: answer.tokens.clone() };
    let mut other = greedy.clone();
    other.continuation[4] = (other.continuation[4] + 1) % 60;
    let scores = log_likelihoods(&model, &[greedy, other], 1000).unwrap();
    assert!(scores[0].is_greedy && !scores[1].is_greedy);
    assert!((scores[0].logprob - answer.logprob).abs() < 1e-4);
}

#[test]
fn rows_score_everything_after_the_first_token() {
    let model = load("gqa");
    let rows = vec![vec![5, 6, 7, 8], vec![9], vec![], vec![10, 11]];
    let nll = row_nll(&model, &rows, 6).unwrap();
    let requests: Vec<Request> =
        [0, 3].map(|i: usize| Request { context: rows[i][..1].to_vec(), continuation: rows[i][1..].to_vec() }).to_vec();
    let scores = log_likelihoods(&model, &requests, 100).unwrap();
    assert!((nll[0] + scores[0].logprob).abs() < 1e-4 && (nll[3] + scores[1].logprob).abs() < 1e-4);
    assert_eq!((nll[1], nll[2]), (0.0, 0.0));
    assert!((infer::bits_per_byte(2.0 * 2f64.ln(), 4) - 0.5).abs() < 1e-12);
}

#[test]
fn requests_that_cannot_be_served_are_named() {
    let model = load("tied");
    let options = GenerateOptions::greedy(&model, 4);
    assert_eq!(generate(&model, &[vec![1], vec![]], &options).unwrap_err().to_string(), "prompt 1 has 0 tokens, it must have 1 to 127");
    let sampling = Sampling::Random { temperature: 0.0, top_p: 1.0, top_k: None, seed: 0 };
    let bad = GenerateOptions { sampling, ..options.clone() };
    assert!(generate(&model, &[vec![1]], &bad).unwrap_err().to_string().contains("`temperature` is 0"));
    assert!(log_likelihoods(&model, &[Request { context: vec![], continuation: vec![1] }], 10).is_err());
    // The model's longest sequence ends an answer.
    let near_end = vec![5; 125];
    let long = GenerateOptions { max_new_tokens: 10, eos: vec![], ..options };
    assert_eq!(generate(&model, &[near_end], &long).unwrap()[0].tokens.len(), 3);
    assert!(generate(&model, &[], &long).unwrap().is_empty());
}

#[test]
fn what_a_sequence_is_batched_with_changes_nothing_beyond_the_original_length_of_dynamic_scaling() {
    let model = load("dynamic");
    let longest = model.config().max_position_embeddings as usize;
    let Some(model::RopeScaling::Dynamic { original_max_position_embeddings: original, .. }) = model.config().rope_scaling else {
        panic!("the golden model has dynamic scaling")
    };
    let original = original as usize;
    assert!(original + 8 < longest);
    let sequence = |length: usize| (0..length as i64).map(|t| 3 + (t * t + length as i64) % 40).collect::<Vec<i64>>();
    let rows: Vec<Vec<i64>> = [original + 8, 5, original + 3, original, original + 8, original - 2].map(sequence).to_vec();
    let together = row_nll(&model, &rows, 10_000).unwrap();
    for (row, nll) in rows.iter().zip(&together) {
        let alone = row_nll(&model, std::slice::from_ref(row), 10_000).unwrap()[0];
        assert!((alone - nll).abs() < 1e-3, "{} tokens: {nll}, alone {alone}", row.len());
    }
    let prompts: Vec<Vec<i64>> = [original - 3, 5, original - 6, original - 3].map(sequence).to_vec();
    let options = GenerateOptions { eos: vec![], ..GenerateOptions::greedy(&model, 8) };
    let together = generate(&model, &prompts, &options).unwrap();
    for (prompt, answer) in prompts.iter().zip(&together) {
        assert_eq!(answer.tokens, generate(&model, std::slice::from_ref(prompt), &options).unwrap()[0].tokens);
    }
}
