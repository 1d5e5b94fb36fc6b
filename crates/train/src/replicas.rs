//! Gradients of one step on several CPU threads, each with its part of the rows.
//!
//! The operations of a small model are too short to be shared out among threads one by one: waiting for each other costs
//! more than it saves. So each thread has a replica of the model (the same weights in the same memory), computes the loss
//! and gradients of its rows alone, and the gradients are summed in the order of the rows. Which rows a thread gets
//! depends on their number and the number of threads only, so results are the same bits on every run.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use model::{Grads, Model};
use tch::{Device, Kind, Tensor};

use crate::trainer::Micro;
use crate::{Error, Result};

/// Memory that the gradients of all replicas together may take: larger models keep many threads busy with one operation.
const MAX_GRADIENT_BYTES: i64 = 256 << 20;

/// Something to do on any thread.
pub(crate) type Work = Box<dyn FnOnce() -> Result<()> + Send>;

enum Job {
    /// Gradients of some rows, whose summed loss is divided by the number of targets of the whole step.
    Gradients { micro: Micro, targets: u64 },
    /// Anything else.
    Work(Work),
}

enum Reply {
    Gradients(Tensor, Grads),
    Done,
}

struct Worker {
    jobs: Sender<Job>,
    replies: Receiver<Result<Reply>>,
    thread: JoinHandle<()>,
}

/// Threads with a replica each; none where one model on all threads is better.
pub(crate) struct Replicas {
    workers: Vec<Worker>,
    threads: usize,
    recompute: bool,
}

/// Replicas for `threads` CPU threads: as many as there are threads if their gradients fit, else the most that divide them.
fn count(model: &Model, threads: usize) -> usize {
    if model.device() != Device::Cpu {
        return 1;
    }
    let fitting = (MAX_GRADIENT_BYTES / (4 * model.num_trainable()).max(1)).max(1) as usize;
    (1..=threads.max(1)).rev().find(|n| threads.is_multiple_of(*n) && *n <= fitting).unwrap_or(1)
}

impl Replicas {
    /// Starts the threads that suit the model. `threads` is what the process may use; `recompute`: what a block computes
    /// between its input and output is not kept for the backward pass, but computed again.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(model: &Model, threads: usize, recompute: bool) -> Result<Self> {
        let count = count(model, threads);
        let start = |_| Worker::start(model.replica()?, threads / count, recompute);
        let workers = if count > 1 { (0..count).map(start).collect::<Result<_>>()? } else { Vec::new() };
        Ok(Self { workers, threads, recompute })
    }

    /// Into how many parts work for [`Replicas::run`] is best divided.
    pub(crate) fn parts(&self) -> usize {
        self.workers.len().max(1)
    }

    /// Adds the gradients of a micro-batch to `grads`; returns its loss, summed and divided by `targets`, without a graph.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(crate) fn add_gradients(&self, model: &Model, micro: Micro, targets: u64, grads: &mut Grads) -> Result<Tensor> {
        if self.workers.is_empty() {
            return gradients(model, &micro, targets, self.recompute, grads);
        }
        let rows = usize::try_from(micro.ids.size()[0]).unwrap_or(0);
        let share = rows.div_ceil(self.workers.len()).max(1);
        let part =
            |start| -> Result<Job> { Ok(Job::Gradients { micro: micro.rows(start as i64, share.min(rows - start) as i64)?, targets }) };
        let mut loss = Tensor::zeros([], (Kind::Float, model.device()));
        for reply in self.answers((0..rows).step_by(share).map(part).collect::<Result<_>>()?)? {
            if let Reply::Gradients(of_part, part) = reply {
                loss += of_part;
                grads.add(part)?;
            }
        }
        Ok(loss)
    }

    /// Does pieces of work that do not depend on each other, at most [`Replicas::parts`].
    ///
    /// # Errors
    /// The first failure in the order of the pieces.
    pub(crate) fn run(&self, pieces: Vec<Work>) -> Result<()> {
        if self.workers.is_empty() {
            return pieces.into_iter().try_for_each(|piece| piece());
        }
        self.answers(pieces.into_iter().map(Job::Work).collect()).map(drop)
    }

    /// Does `work` on the calling thread with all threads in each operation.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        torch_ext::set_num_threads(self.threads);
        let result = work();
        torch_ext::set_num_threads(self.threads / self.parts());
        result
    }

    fn answers(&self, jobs: Vec<Job>) -> Result<Vec<Reply>> {
        let mut busy = Vec::new();
        for (worker, job) in self.workers.iter().zip(jobs) {
            worker.jobs.send(job).map_err(|_| Error::ThreadEnded)?;
            busy.push(worker);
        }
        // Every answer is waited for, also after one that failed: the next step begins with idle threads.
        let replies: Vec<Result<Reply>> = busy.iter().map(|worker| worker.replies.recv().map_err(|_| Error::ThreadEnded)?).collect();
        replies.into_iter().collect()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for worker in self.workers.drain(..) {
            drop(worker.jobs);
            // A panic there was reported when its answer was missing.
            let _ = worker.thread.join();
        }
        torch_ext::set_num_threads(self.threads);
    }
}

impl Worker {
    fn start(model: Model, threads: usize, recompute: bool) -> Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let (outbox, replies) = channel();
        let (ready, is_ready) = channel();
        let work = move || {
            // libtorch sets a thread's number when it is first asked for, so ask before changing it. Its matrix library
            // has one number for all threads: the last that was set, which is why the main thread has this one too.
            torch_ext::num_threads();
            torch_ext::set_num_threads(threads);
            let _ = ready.send(());
            for job in inbox {
                let reply = match job {
                    Job::Gradients { micro, targets } => {
                        let mut grads = Grads::new();
                        gradients(&model, &micro, targets, recompute, &mut grads).map(|loss| Reply::Gradients(loss, grads))
                    }
                    Job::Work(work) => work().map(|()| Reply::Done),
                };
                if outbox.send(reply).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("replica".into()).spawn(work).map_err(|source| Error::Thread { source })?;
        is_ready.recv().map_err(|_| Error::ThreadEnded)?;
        torch_ext::set_num_threads(threads);
        Ok(Self { jobs, replies, thread })
    }
}

/// Adds the gradients of a micro-batch to `grads`; returns its loss.
fn gradients(model: &Model, micro: &Micro, targets: u64, recompute: bool, grads: &mut Grads) -> Result<Tensor> {
    // Divided by the targets of the whole step, so that accumulation changes nothing but rounding.
    let targets = targets.max(1) as f64;
    if recompute {
        return Ok(grads.add_recomputed(model, &micro.ids, &micro.targets, &micro.inputs, targets)?);
    }
    let loss = model.loss(&micro.ids, &micro.targets, &micro.inputs)? / targets;
    grads.add_backward(model, &loss)?;
    Ok(loss.detach())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Config, Inputs, LoraConfig, Options};

    fn micro(rows: i64) -> Micro {
        let ids = Tensor::arange(rows * 6, (Kind::Int64, Device::Cpu)).remainder(16).view([rows, 6]);
        let targets = (&ids + 1).remainder(16);
        let segments = Tensor::from_slice(&[0_i64, 0, 1, 1, 1, 2]).unsqueeze(0).expand([rows, 6], false);
        Micro { ids, targets, inputs: Inputs::documents(&segments).unwrap() }
    }

    fn model() -> Model {
        Model::new(Config::llama(16, 8, 2, 2), 3, &Options::cpu()).unwrap()
    }

    fn sums(model: &Model, threads: usize, rows: i64, recompute: bool) -> (f64, Vec<Tensor>) {
        let replicas = Replicas::start(model, threads, recompute).unwrap();
        let mut grads = Grads::new();
        let mut loss = 0.0;
        // Two micro-batches, so that accumulation is part of it.
        for _ in 0..2 {
            loss += replicas.add_gradients(model, micro(rows), 12 * rows as u64, &mut grads).unwrap().double_value(&[]);
        }
        (loss, grads.tensors().iter().map(|t| t.copy()).collect())
    }

    #[test]
    fn any_number_of_threads_gives_the_same_gradients() {
        let mut model = model();
        for lora in [false, true] {
            if lora {
                model.attach_lora(&LoraConfig::all_linear(2, 4.0), 1).unwrap();
            }
            let (loss, expected) = sums(&model, 1, 5, false);
            assert!(loss.is_finite() && loss > 0.0);
            for (threads, recompute) in [(1, true), (2, false), (3, true), (4, false), (8, false)] {
                let (other, grads) = sums(&model, threads, 5, recompute);
                assert!((loss - other).abs() < 1e-5, "{threads} threads: loss {other}, expected {loss}");
                assert_eq!(grads.len(), model.trainable().len());
                for ((a, b), param) in expected.iter().zip(&grads).zip(model.trainable()) {
                    assert!(a.allclose(b, 1e-4, 1e-6, false), "{threads} threads: {}", param.name);
                }
                let again = sums(&model, threads, 5, recompute);
                assert_eq!(again.0.to_bits(), other.to_bits());
                assert!(again.1.iter().zip(&grads).all(|(a, b)| a.equal(b)), "the same bits again");
            }
        }
    }

    #[test]
    fn replicas_see_what_the_optimizer_does() {
        let model = model();
        let replicas = Replicas::start(&model, 2, false).unwrap();
        let loss = |grads: &mut Grads| replicas.add_gradients(&model, micro(4), 24, grads).unwrap().double_value(&[]);
        let mut grads = Grads::new();
        let before = loss(&mut grads);
        let masters: Vec<&Tensor> = model.trainable().iter().map(|p| &p.master).collect();
        tch::no_grad(|| torch_ext::foreach_add(&masters, &grads.tensors(), -0.5)).unwrap();
        model.refresh().unwrap();
        assert!(loss(&mut Grads::new()) < before, "a step against the gradient lowers the loss that the replicas compute");
    }

    #[test]
    fn large_models_share_operations_instead() {
        let model = model();
        assert_eq!([1, 2, 6].map(|threads| count(&model, threads)), [1, 2, 6]);
        let large = Model::new(Config::llama(32_000, 1024, 1, 2), 3, &Options::cpu()).unwrap();
        let replicas = count(&large, 6);
        assert!(replicas < 6 && 6 % replicas == 0, "{replicas}");
    }

    #[test]
    fn a_failing_job_is_an_error_and_the_threads_go_on() {
        let model = model();
        let replicas = Replicas::start(&model, 2, false).unwrap();
        let mut bad = micro(4);
        bad.ids = bad.ids.to_kind(Kind::Float);
        replicas.add_gradients(&model, bad, 24, &mut Grads::new()).unwrap_err();
        let _ = replicas.add_gradients(&model, micro(4), 24, &mut Grads::new()).unwrap();
    }
}
