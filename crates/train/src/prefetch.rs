//! What the next step needs, made on a thread of its own while this step computes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Makes values from keys ahead of time. Whether a value was made ahead or on demand changes nothing but the time.
#[derive(Debug)]
pub struct Prefetch<K, T> {
    ask: Option<Sender<K>>,
    made: Receiver<(K, T)>,
    asked: Option<K>,
    thread: Option<JoinHandle<()>>,
}

impl<K: PartialEq + Clone + Send + 'static, T: Send + 'static> Prefetch<K, T> {
    /// Starts the thread; `make` must be a pure function of the key.
    pub fn new(make: impl Fn(&K) -> T + Send + 'static) -> Self {
        let (ask, asked) = channel::<K>();
        let (send, made) = channel();
        let work = move || {
            // Ends when nobody asks any more, or nobody listens.
            while let Ok(key) = asked.recv() {
                let value = make(&key);
                if send.send((key, value)).is_err() {
                    return;
                }
            }
        };
        Self { ask: Some(ask), made, asked: None, thread: Some(std::thread::spawn(work)) }
    }

    /// The value for `key`; that for `next` is begun before this returns.
    ///
    /// # Panics
    /// With the panic of `make`, if it panicked.
    pub fn take(&mut self, key: &K, next: Option<K>) -> T {
        let ready = self.asked.take();
        if ready.as_ref() != Some(key) {
            // What was made ahead is for a step that does not come: a restart, or a first step.
            if ready.is_some() {
                drop(self.receive());
            }
            self.send(key.clone());
        }
        let value = self.receive();
        if let Some(next) = next {
            self.send(next.clone());
            self.asked = Some(next);
        }
        value
    }

    fn send(&self, key: K) {
        if let Some(ask) = &self.ask {
            // A thread that is gone shows itself when its value is received.
            let _ = ask.send(key);
        }
    }

    fn receive(&mut self) -> T {
        match (self.made.recv(), self.thread.take()) {
            (Ok((_, value)), thread) => {
                self.thread = thread;
                value
            }
            (Err(_), thread) => match thread.map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                _ => unreachable!("the thread ends only when nobody asks, or by a panic"),
            },
        }
    }
}

impl<K, T> Drop for Prefetch<K, T> {
    fn drop(&mut self) {
        drop(self.ask.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was passed on when its value was asked for, or concerns nobody.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn values_are_those_of_their_keys_in_any_order() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let mut squares = Prefetch::new(move |n: &u64| {
            counter.fetch_add(1, Ordering::SeqCst);
            n * n
        });
        for (key, next) in [(3, Some(4)), (4, Some(5)), (9, None), (2, Some(2)), (2, Some(7))] {
            assert_eq!(squares.take(&key, next), key * key);
        }
        drop(squares);
        // 3, 4, 5 (for nothing), 9, 2, 2, 7 (for nothing).
        assert_eq!(made.load(Ordering::SeqCst), 7);
    }

    #[test]
    #[should_panic(expected = "no such thing")]
    fn a_panic_is_passed_on() {
        let mut nothing = Prefetch::new(|_: &u64| -> u64 { panic!("no such thing") });
        nothing.take(&1, None);
    }
}
