//! What several stages know about text: language and script, n-grams, MinHash, decontamination index, task files.
