//! Training: batch arithmetic, schedules, optimizer groups, sample loader, loop, checkpoints.
