//! The shim against numbers worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tch::{Device, Kind, Tensor};
use torch_ext::{AdamW, Error, Weight};

const OPTIONS: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.5 };

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn assert_close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() < 1e-6, "{got:?} is not {want:?}");
    }
}

#[test]
fn adamw_does_two_steps_as_the_paper_says() {
    let (p, m, v) = (
        Tensor::from_slice(&[1.0f32, -2.0]),
        Tensor::zeros([2], (Kind::Float, Device::Cpu)),
        Tensor::zeros([2], (Kind::Float, Device::Cpu)),
    );
    let (mut want_p, mut want_m, mut want_v) = ([1.0f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
    for (step, grad) in [(1, [0.5f64, -0.25]), (2, [-1.0, 2.0])] {
        let g = Tensor::from_slice(&grad.map(|x| x as f32));
        let step_t = torch_ext::step_tensor(step, Device::Cpu);
        torch_ext::fused_adamw(&[&p], &[&g], &[&m], &[&v], &step_t, &OPTIONS, None, None).unwrap();
        for i in 0..2 {
            want_p[i] *= 1.0 - 0.1 * 0.5;
            want_m[i] = 0.9 * want_m[i] + 0.1 * grad[i];
            want_v[i] = 0.99 * want_v[i] + 0.01 * grad[i] * grad[i];
            let m_hat = want_m[i] / (1.0 - 0.9f64.powi(step as i32));
            let v_hat = want_v[i] / (1.0 - 0.99f64.powi(step as i32));
            want_p[i] -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
        }
        assert_close(&values(&p), &want_p);
        assert_close(&values(&m), &want_m);
        assert_close(&values(&v), &want_v);
    }
}

#[test]
fn grad_scale_divides_and_found_inf_skips() {
    let make =
        || (Tensor::from_slice(&[1.0f32]), Tensor::zeros([1], (Kind::Float, Device::Cpu)), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    let step = torch_ext::step_tensor(1, Device::Cpu);
    let (p, m, v) = make();
    let scale = Tensor::from(4.0f32);
    torch_ext::fused_adamw(&[&p], &[&Tensor::from_slice(&[2.0f32])], &[&m], &[&v], &step, &OPTIONS, Some(&scale), None).unwrap();
    assert_close(&values(&m), &[0.1 * 0.5]);
    let (p, m, v) = make();
    let found = Tensor::from(1.0f32);
    torch_ext::fused_adamw(&[&p], &[&Tensor::from_slice(&[2.0f32])], &[&m], &[&v], &step, &OPTIONS, None, Some(&found)).unwrap();
    assert_close(&values(&p), &[1.0]);
    assert_close(&values(&m), &[0.0]);
}

#[test]
fn lists_that_do_not_fit_are_named() {
    let (a, b) = (Tensor::zeros([2], (Kind::Float, Device::Cpu)), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
    let step = torch_ext::step_tensor(1, Device::Cpu);
    let error = torch_ext::fused_adamw(&[&a], &[&b], &[&a], &[&a], &step, &OPTIONS, None, None).unwrap_err();
    assert_eq!(error.to_string(), "`grads`[0] is Float[3] on Cpu, expected Float[2] on Cpu");
    let error = torch_ext::fused_adamw(&[&a], &[], &[&a], &[&a], &step, &OPTIONS, None, None).unwrap_err();
    assert_eq!(error.to_string(), "`grads` has 0 tensors, expected 1");
    let half = Tensor::zeros([2], (Kind::BFloat16, Device::Cpu));
    assert!(matches!(torch_ext::fused_adamw(&[&a], &[&half], &[&a], &[&a], &step, &OPTIONS, None, None), Err(Error::Mismatch { .. })));
    assert!(matches!(torch_ext::foreach_copy(&[&a], &[&b]), Err(Error::Mismatch { .. })));
}

#[test]
fn foreach_operations() {
    let (a, b) = (Tensor::from_slice(&[3.0f32]), Tensor::from_slice(&[0.0f32, 4.0]));
    assert_close(&values(&torch_ext::foreach_norm(&[&a, &b]).unwrap()), &[5.0]);
    torch_ext::foreach_mul(&[&a, &b], 2.0).unwrap();
    torch_ext::foreach_mul_tensor(&[&a, &b], &Tensor::from(0.5f32)).unwrap();
    torch_ext::foreach_add(&[&a], &[&Tensor::from_slice(&[10.0f32]).to_kind(Kind::BFloat16)], 0.5).unwrap();
    assert_close(&values(&a), &[8.0]);
    assert_close(&values(&b), &[0.0, 4.0]);
    let copy = Tensor::zeros([2], (Kind::BFloat16, Device::Cpu));
    torch_ext::foreach_copy(&[&copy], &[&b]).unwrap();
    assert_close(&values(&copy), &[0.0, 4.0]);
    torch_ext::foreach_zero(&[&b, &copy]).unwrap();
    assert_close(&values(&copy), &[0.0, 0.0]);
    assert!(matches!(torch_ext::foreach_norm(&[]), Err(Error::Torch { .. })));
}

#[test]
fn adamw_on_the_cpu_is_the_fused_kernel_and_writes_the_copy() {
    tch::manual_seed(5);
    // More than one block of a thread, and a rest that fills no vector.
    let shape = [70_003];
    for kind in [Kind::Float, Kind::BFloat16] {
        let random = || Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (p, m, v) = (random(), random() * 0.01, random().square() * 0.01);
        let (p2, m2, v2) = (p.copy(), m.copy(), v.copy());
        let copy = p.to_kind(Kind::BFloat16);
        for step in 1..4 {
            let grad = random().to_kind(kind);
            let wide = grad.to_kind(Kind::Float).copy();
            let weight = Weight { master: &p, grad: &grad, exp_avg: &m, exp_avg_sq: &v, copy: Some(&copy) };
            torch_ext::adamw_on_cpu(&weight, step, &OPTIONS, 3.0).unwrap();
            assert!(grad.to_kind(Kind::Float).allclose(&wide, 0.0, 0.0, false), "gradients are left as they are");
            let step = torch_ext::step_tensor(step as i64, Device::Cpu);
            torch_ext::fused_adamw(&[&p2], &[&wide], &[&m2], &[&v2], &step, &OPTIONS, Some(&Tensor::from(3.0f32)), None).unwrap();
            for (a, b) in [(&p, &p2), (&m, &m2), (&v, &v2)] {
                assert!(a.allclose(b, 1e-5, 1e-6, false), "{kind:?}");
            }
        }
        assert_eq!(values(&copy), values(&p.to_kind(Kind::BFloat16)), "rounded as libtorch rounds");
    }
}

#[test]
fn adamw_on_the_cpu_names_what_does_not_fit() {
    let (a, b) = (Tensor::zeros([2], (Kind::Float, Device::Cpu)), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
    let half = Tensor::zeros([2], (Kind::Half, Device::Cpu));
    let fits = || Weight { master: &a, grad: &a, exp_avg: &a, exp_avg_sq: &a, copy: None };
    for (what, weight) in [
        ("grad", Weight { grad: &b, ..fits() }),
        ("grad", Weight { grad: &half, ..fits() }),
        ("exp_avg", Weight { exp_avg: &half, ..fits() }),
        ("exp_avg_sq", Weight { exp_avg_sq: &b, ..fits() }),
        ("copy", Weight { copy: Some(&a), ..fits() }),
    ] {
        let error = torch_ext::adamw_on_cpu(&weight, 1, &OPTIONS, 1.0).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{what}`")), "{error}");
    }
}

#[test]
fn gradients_are_summed_and_measured_without_a_wide_copy() {
    tch::manual_seed(6);
    let random = |kind: Kind| Tensor::randn([131_075], (Kind::Float, Device::Cpu)).to_kind(kind);
    for (first, second) in
        [(Kind::Float, Kind::Float), (Kind::Float, Kind::BFloat16), (Kind::BFloat16, Kind::Float), (Kind::BFloat16, Kind::BFloat16)]
    {
        let (a, b) = (random(first), random(second));
        let want = a.to_kind(Kind::Float) + b.to_kind(Kind::Float);
        let sum = torch_ext::grad_add_on_cpu(&a, &b).unwrap();
        assert_eq!((sum.kind(), values(&sum)), (Kind::Float, values(&want)));
        assert_eq!(sum.data_ptr() == a.data_ptr(), first == Kind::Float);
        let norm = torch_ext::grad_norm_on_cpu(&[&sum, &b]).unwrap();
        let exact = values(&sum).iter().chain(&values(&b)).map(|x| x * x).sum::<f64>().sqrt();
        assert!((norm / exact - 1.0).abs() < 1e-6, "{norm} is not {exact}");
    }
    let nan = Tensor::from_slice(&[1.0f32, f32::NAN]);
    assert!(torch_ext::grad_norm_on_cpu(&[&nan]).unwrap().is_nan());
    assert!(matches!(torch_ext::grad_add_on_cpu(&nan, &random(Kind::Float)), Err(Error::Torch { .. })));
    assert!(matches!(torch_ext::grad_norm_on_cpu(&[&nan.to_kind(Kind::Double)]), Err(Error::Torch { .. })));
}
