//! Putting questions to a model, and sentences to be continued.

use infer::{GenerateOptions, Generation, Sampling, Stop, generate};
use model::Model;
use text::{Message, RenderOptions};

use crate::Error;
use crate::answer::{begins_with, is_correct};
use crate::config::{Config, ShowQuestion};
use crate::models::Subject;
use crate::results::{CONTINUATIONS, QUESTIONS};
use crate::rows::Row;
use crate::tasks::{Task, Tasks};

/// A loaded model with what it takes to ask it.
#[derive(Debug)]
pub struct Asker<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its name, tokenizer and template.
    pub subject: &'a Subject,
    /// Lengths of answers and batches.
    pub config: &'a Config,
}

impl Asker<'_> {
    /// Answers all questions of a task.
    ///
    /// # Errors
    /// When the tokenizer has no chat template or the model refuses.
    pub fn task(&self, task: &Task, tasks: &Tasks) -> Result<Vec<Row>, Error> {
        let prompts = task.questions.iter().map(|q| self.chat(&q.question)).collect::<Result<Vec<_>, _>>()?;
        let answers = self.generate(&task.name, &prompts)?;
        task.questions
            .iter()
            .zip(answers)
            .map(|(q, generation)| {
                let completion = self.text(&generation)?;
                Ok(Row {
                    sample_id: q.id.clone(),
                    language: q.language.clone(),
                    relation: q.relation.clone(),
                    prompt: q.question.clone(),
                    target: q.answers[0].clone(),
                    correct: is_correct(&completion, &q.answers),
                    in_type: Some(tasks.types.contains(&q.answer_type, &q.language, &completion)),
                    ..self.row(&task.name, &generation, completion)
                })
            })
            .collect()
    }

    /// Answers the questions of the configuration, and continues their plain forms.
    ///
    /// # Errors
    /// As [`Asker::task`].
    pub fn shown(&self, questions: &[ShowQuestion]) -> Result<Vec<Row>, Error> {
        let chats = questions.iter().map(|q| self.chat(&q.question)).collect::<Result<Vec<_>, _>>()?;
        let plains: Vec<(usize, &str)> = questions.iter().enumerate().filter_map(|(i, q)| Some((i, q.plain.as_deref()?))).collect();
        let begun = plains.iter().map(|(_, text)| self.plain(text)).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::new();
        for (i, generation) in self.generate(QUESTIONS, &chats)?.iter().enumerate() {
            let completion = self.text(generation)?;
            let correct = is_correct(&completion, &questions[i].answers);
            rows.push(self.shown_row(QUESTIONS, i, &questions[i], &questions[i].question, generation, completion, correct));
        }
        for ((i, plain), generation) in plains.iter().zip(self.generate(CONTINUATIONS, &begun)?) {
            let text = self.text(&generation)?;
            let completion = text.lines().next().unwrap_or_default().trim().to_owned();
            let correct = begins_with(&completion, &questions[*i].answers);
            rows.push(self.shown_row(CONTINUATIONS, *i, &questions[*i], plain, &generation, completion, correct));
        }
        Ok(rows)
    }

    #[expect(clippy::too_many_arguments, reason = "one private constructor for two loops")]
    fn shown_row(
        &self,
        task: &str,
        i: usize,
        question: &ShowQuestion,
        prompt: &str,
        generation: &Generation,
        completion: String,
        correct: bool,
    ) -> Row {
        Row {
            sample_id: i.to_string(),
            language: corpus::language(&question.question).tag.to_owned(),
            prompt: prompt.to_owned(),
            target: question.answers.first().cloned().unwrap_or_default(),
            correct,
            ..self.row(task, generation, completion)
        }
    }

    fn row(&self, task: &str, generation: &Generation, completion: String) -> Row {
        Row {
            model: self.subject.name.clone(),
            task: task.to_owned(),
            sample_id: String::new(),
            language: String::new(),
            relation: None,
            prompt: String::new(),
            completion,
            target: String::new(),
            correct: false,
            in_type: None,
            stop_reason: if matches!(generation.stop, Stop::Eos(_)) { "stop".into() } else { "length".into() },
            logprob: Some(generation.logprob),
        }
    }

    /// A question in the form of the model's chat template, up to where the assistant begins.
    fn chat(&self, question: &str) -> Result<Vec<i64>, Error> {
        let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
        let tokens = self.subject.tokenizer.encode_chat(&[Message::user(question)], &options).map_err(|e| self.tokenizer_error(e))?;
        Ok(tokens.ids.iter().map(|id| i64::from(*id)).collect())
    }

    /// The beginning of a document.
    fn plain(&self, text: &str) -> Result<Vec<i64>, Error> {
        let ids = self.subject.tokenizer.encode(text).map_err(|e| self.tokenizer_error(e))?;
        let start = self.subject.tokenizer.begin_id().or(self.subject.tokenizer.eos_id());
        Ok(start.into_iter().chain(ids).map(i64::from).collect())
    }

    fn generate(&self, task: &str, prompts: &[Vec<i64>]) -> Result<Vec<Generation>, Error> {
        let options = GenerateOptions {
            max_new_tokens: self.config.max_new_tokens,
            eos: self.subject.stop_ids(),
            sampling: Sampling::Greedy,
            batch_tokens: self.config.batch_tokens,
        };
        generate(self.model, prompts, &options).map_err(|source| Error::Infer {
            name: self.subject.name.clone(),
            task: task.to_owned(),
            source: source.into(),
        })
    }

    fn text(&self, generation: &Generation) -> Result<String, Error> {
        // Ids come from the model's own vocabulary and are never negative; those beyond the tokenizer's (padding rows of the
        // embedding) stand for nothing.
        let known = self.subject.tokenizer.vocab_size();
        let ids: Vec<u32> = generation.tokens.iter().filter_map(|id| u32::try_from(*id).ok()).filter(|id| (*id as usize) < known).collect();
        let text = self.subject.tokenizer.decode_skipping_special(&ids).map_err(|e| self.tokenizer_error(e))?;
        Ok(text.trim().to_owned())
    }

    fn tokenizer_error(&self, source: text::Error) -> Error {
        Error::Tokenizer { name: self.subject.name.clone(), source }
    }
}
