//! What every stage binary shares: flags, config, logging, progress, metrics, exit codes, cancellation.
