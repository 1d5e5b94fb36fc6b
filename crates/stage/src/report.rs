//! What a stage tells when it is done, and what it would do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a stage did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Units done in this run.
    pub inputs_done: u64,
    /// Units already done before.
    pub inputs_skipped: u64,
    /// Rows in the stage's output, all units together.
    pub rows: u64,
    /// Bytes of the stage's output.
    pub bytes_out: u64,
    /// Rows refused, all units together.
    pub rejected: u64,
    /// Lines for the terminal.
    pub notes: Vec<String>,
    /// Where to look next: paths or commands.
    pub look: Vec<String>,
    /// Every file and folder the stage read outside its own directory; a change of any makes it stale.
    pub watch: Vec<PathBuf>,
    /// Data for stdout.
    #[serde(default)]
    pub text: Option<String>,
}

impl Report {
    /// Adds the counts, notes and paths of a variant.
    pub fn absorb(&mut self, variant: &str, other: Report) {
        self.inputs_done += other.inputs_done;
        self.inputs_skipped += other.inputs_skipped;
        self.rows += other.rows;
        self.bytes_out += other.bytes_out;
        self.rejected += other.rejected;
        self.notes.extend(other.notes.into_iter().map(|n| format!("{variant}: {n}")));
        self.look.extend(other.look);
        self.watch.extend(other.watch);
        if let Some(text) = other.text {
            self.text.get_or_insert_default().push_str(&text);
        }
    }
}

/// A unit that would be done.
#[derive(Debug, Clone)]
pub struct DryUnit {
    /// Unit name.
    pub unit: String,
    /// Why it is to be done.
    pub why: String,
    /// Size of its input in bytes.
    pub bytes: u64,
}

/// What a stage would do.
#[derive(Debug, Clone, Default)]
pub struct DryRun {
    /// Units to do.
    pub todo: Vec<DryUnit>,
    /// Number of units that are done.
    pub skip: u64,
    /// Further lines.
    pub notes: Vec<String>,
}

impl DryRun {
    /// Takes over a plan of the hand-off.
    pub fn of_plan(plan: &handoff::Plan) -> Self {
        let todo = plan.todo.iter().map(|(i, why)| DryUnit { unit: i.unit.clone(), why: why.to_string(), bytes: i.bytes }).collect();
        let notes = plan.vanished.iter().map(|u| format!("input of unit `{u}` vanished (--prune removes its outputs)")).collect();
        Self { todo, skip: plan.skip.len() as u64, notes }
    }
}
