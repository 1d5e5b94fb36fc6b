//! Hard caps on requests and tokens; retries are charged to the same purse.

use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// Most requests and tokens; `None` is no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Requests sent, retries included.
    pub max_requests: Option<u64>,
    /// Tokens of prompts and replies together.
    pub max_tokens: Option<u64>,
}

/// What was charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Requests sent.
    pub requests: u64,
    /// Tokens settled, or reserved by requests under way and by those whose outcome is unknown.
    pub tokens: u64,
}

/// A purse shared by all threads.
#[derive(Debug, Default)]
pub struct Budget {
    caps: Caps,
    spent: Mutex<Spent>,
}

impl Budget {
    /// A purse from which `spent` was taken in earlier runs.
    pub fn new(caps: Caps, spent: Spent) -> Self {
        Self { caps, spent: Mutex::new(spent) }
    }

    /// Sets one request and `most_tokens` aside.
    ///
    /// # Errors
    /// [`Error::Budget`] if a cap would be exceeded; then nothing is charged.
    pub fn reserve(&self, most_tokens: u64) -> Result<()> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = self.caps.max_requests.filter(|&limit| spent.requests + 1 > limit) {
            return Err(Error::Budget { cap: "max_requests", limit, used: spent.requests, needed: 1 });
        }
        if let Some(limit) = self.caps.max_tokens.filter(|&limit| spent.tokens.saturating_add(most_tokens) > limit) {
            return Err(Error::Budget { cap: "max_tokens", limit, used: spent.tokens, needed: most_tokens });
        }
        spent.requests += 1;
        spent.tokens = spent.tokens.saturating_add(most_tokens);
        Ok(())
    }

    /// Puts the tokens in place that a request with `reserved` set aside really took.
    pub fn settle(&self, reserved: u64, used: u64) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.tokens = spent.tokens.saturating_sub(reserved).saturating_add(used);
    }

    /// What was charged so far.
    pub fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_before_anything_is_sent() {
        let budget = Budget::new(Caps { max_requests: Some(3), max_tokens: Some(100) }, Spent { requests: 1, tokens: 10 });
        budget.reserve(60).unwrap();
        assert!(matches!(budget.reserve(60), Err(Error::Budget { cap: "max_tokens", used: 70, .. })));
        budget.settle(60, 20);
        budget.reserve(60).unwrap();
        assert!(matches!(budget.reserve(1), Err(Error::Budget { cap: "max_requests", used: 3, .. })));
        assert_eq!(budget.spent(), Spent { requests: 3, tokens: 90 });
    }
}
