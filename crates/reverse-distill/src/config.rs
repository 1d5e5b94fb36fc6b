//! Configuration of the stage; `default.toml` beside this file is its manual and holds every default.

use serde::{Deserialize, Serialize};
use stage::ConfigProblem;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeacherKind {
    /// Rules over the document's own sentences; no model.
    Offline,
    /// An OpenAI-compatible endpoint.
    Openai,
}

impl TeacherKind {
    /// The name in rows and file names.
    pub fn name(self) -> &'static str {
        match self {
            TeacherKind::Offline => "offline",
            TeacherKind::Openai => "openai",
        }
    }
}

/// `[stage.reverse-distill]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The stage whose documents are asked about.
    pub documents: String,
    /// Task files whose questions are held out.
    pub decontaminate: Vec<String>,
    /// Tasks whose rows are held out; all if empty.
    pub decontaminate_tasks: Vec<String>,
    /// Words of a telling run.
    pub decontaminate_words: usize,
    /// Characters of a telling run of Chinese.
    pub decontaminate_chars: usize,
    /// Who is asked.
    pub teacher: TeacherKind,
    /// Model name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// `builtin` or a prompt file.
    pub prompt: String,
    /// Longest reply in tokens.
    pub max_completion_tokens: u64,
    /// Name of that limit in a request.
    pub token_limit_key: String,
    /// Language tags of documents.
    pub languages: Vec<String>,
    /// Share of the documents asked about.
    pub documents_share: f64,
    /// Most documents asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_documents: Option<u64>,
    /// Most pairs of one document.
    pub max_pairs_per_document: usize,
    /// Shortest question in characters.
    pub min_question_chars: usize,
    /// Longest question in characters.
    pub max_question_chars: usize,
    /// Longest answer in characters.
    pub max_answer_chars: usize,
    /// Refuse pairs in another script than their document's.
    pub check_language: bool,
    /// Refuse answers that are not in the document.
    pub check_grounding: bool,
    /// Refuse questions that differ in function words only.
    pub drop_near_duplicates: bool,
    /// ROUGE-L from which on two questions with one answer are one.
    pub max_similarity: f64,
    /// Largest share of definitions.
    pub max_definition_share: f64,
    /// How requests are sent.
    pub request: RequestConfig,
    /// Caps.
    pub budget: BudgetConfig,
}

/// `[stage.reverse-distill.request]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestConfig {
    /// Requests under way at a time.
    pub threads: usize,
    /// Longest wait in seconds.
    pub timeout_secs: u64,
    /// Attempts after the first.
    pub max_retries: u32,
}

/// `[stage.reverse-distill.budget]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// Most requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
    /// Most tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

impl Config {
    /// Checks what one field alone cannot tell.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: &str| Err(ConfigProblem::new(key, message));
        for (key, share) in [
            ("documents_share", self.documents_share),
            ("max_similarity", self.max_similarity),
            ("max_definition_share", self.max_definition_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return problem(key, "must lie between 0 and 1");
            }
        }
        if self.min_question_chars > self.max_question_chars {
            return problem("min_question_chars", "is greater than max_question_chars, so every question would be refused");
        }
        if self.max_pairs_per_document == 0 || self.max_answer_chars == 0 || self.documents_share == 0.0 || self.max_documents == Some(0) {
            return problem(
                "max_pairs_per_document",
                "max_pairs_per_document, max_answer_chars, documents_share and max_documents must be positive",
            );
        }
        if self.decontaminate_words == 0 || self.decontaminate_chars == 0 {
            return problem("decontaminate_words", "decontaminate_words and decontaminate_chars must be positive");
        }
        if self.languages.is_empty() {
            return problem("languages", "would ask about no document; name languages");
        }
        if !self.decontaminate_tasks.is_empty() && self.decontaminate.is_empty() {
            return problem("decontaminate_tasks", "has no effect without files in `decontaminate`");
        }
        match self.teacher {
            TeacherKind::Offline => self.validate_offline(),
            TeacherKind::Openai => self.validate_openai(),
        }
    }

    fn validate_offline(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: &str| Err(ConfigProblem::new(key, message));
        let unused = [
            ("model", self.model.is_some()),
            ("base_url", self.base_url.is_some()),
            ("prompt", self.prompt != "builtin"),
            ("budget", self.budget != BudgetConfig::default()),
        ];
        if let Some((key, _)) = unused.iter().find(|(_, set)| *set) {
            return problem(key, "has no effect with teacher = \"offline\"");
        }
        if let Some(tag) = self.languages.iter().find(|l| teacher::offline::RuleLanguage::of(l).is_none()) {
            return problem("languages", &format!("the offline teacher has no rules for `{tag}`, only for en and zh"));
        }
        Ok(())
    }

    fn validate_openai(&self) -> Result<(), ConfigProblem> {
        let problem = |key: &str, message: &str| Err(ConfigProblem::new(key, message));
        if self.model.as_deref().unwrap_or("").is_empty() {
            return problem("model", "name the model that teacher = \"openai\" asks");
        }
        if self.budget.max_requests.is_none() && self.budget.max_tokens.is_none() {
            return problem("budget", "set max_requests or max_tokens, so that a mistake cannot cost without end");
        }
        if self.budget.max_requests == Some(0) || self.budget.max_tokens.is_some_and(|t| t <= self.max_completion_tokens) {
            return problem("budget", "does not allow a single request");
        }
        if self.request.threads == 0 || self.request.timeout_secs == 0 || self.max_completion_tokens == 0 {
            return problem("request", "threads, timeout_secs and max_completion_tokens must be positive");
        }
        if !matches!(self.token_limit_key.as_str(), "max_completion_tokens" | "max_tokens") {
            return problem("token_limit_key", "must be \"max_completion_tokens\" or \"max_tokens\"");
        }
        Ok(())
    }
}
