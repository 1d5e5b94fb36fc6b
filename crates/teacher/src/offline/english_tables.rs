//! Tables that the English rules run over: each row fills `%1` and `%2` of a rule.

pub(super) const NOTHING: &[(&str, &str)] = &[("", "")];

/// Adjective in the comparative, and the superlative it comes to.
pub(super) const COMPARED: &[(&str, &str)] = &[
    ("higher", "highest"),
    ("taller", "highest"),
    ("longer", "longest"),
    ("larger", "largest"),
    ("bigger", "largest"),
    ("deeper", "deepest"),
    ("older", "oldest"),
    ("smaller", "smallest"),
    ("hotter", "hottest"),
];

/// Participles that say how something came to be.
pub(super) const MADE: &[(&str, &str)] = &[
    ("founded", "found"),
    ("established", "establish"),
    ("discovered", "discover"),
    ("invented", "invent"),
    ("built", "build"),
    ("created", "create"),
    ("written", "write"),
    ("composed", "compose"),
    ("designed", "design"),
    ("developed", "develop"),
    ("painted", "paint"),
    ("isolated", "isolate"),
    ("introduced", "introduce"),
    ("published", "publish"),
    ("launched", "launch"),
    ("identified", "identify"),
];

/// Past tense of [`MADE`] where a person is the subject, and the question's verb.
pub(super) const MAKES: &[(&str, &str)] = &[
    ("founded", "founded"),
    ("discovered", "discovered"),
    ("invented", "invented"),
    ("wrote", "wrote"),
    ("composed", "composed"),
    ("designed", "designed"),
    ("painted", "painted"),
    ("isolated", "isolated"),
    ("built", "built"),
];

pub(super) const FINDING: &[(&str, &str)] =
    &[("discovery", "discovered"), ("invention", "invented"), ("foundation", "founded"), ("isolation", "isolated")];
pub(super) const FINDS: &[(&str, &str)] =
    &[("discovering", "discovered"), ("inventing", "invented"), ("founding", "founded"), ("isolating", "isolated"), ("writing", "wrote")];
pub(super) const CHANGES: &[(&str, &str)] = &[("boils", "boiling"), ("melts", "melting"), ("freezes", "freezing")];
pub(super) const CHANGE: &[(&str, &str)] = &[("boil", "boiling"), ("melt", "melting"), ("freeze", "freezing")];
pub(super) const SIZES: &[(&str, &str)] =
    &[("high", "high"), ("tall", "high"), ("long", "long"), ("wide", "wide"), ("deep", "deep"), ("thick", "thick"), ("across", "wide")];

/// Participles whose agent is asked for where a name is the subject.
pub(super) const BY: &[(&str, &str)] = &[
    ("directed", ""),
    ("produced", ""),
    ("commissioned", ""),
    ("proposed", ""),
    ("coined", ""),
    ("introduced", ""),
    ("illustrated", ""),
    ("translated", ""),
    ("patented", ""),
    ("formulated", ""),
    ("sculpted", ""),
    ("assassinated", ""),
    ("defeated", ""),
];

/// Participles whose date is asked for where a name is the subject.
pub(super) const ONCE: &[(&str, &str)] = &[
    ("released", ""),
    ("opened", ""),
    ("completed", ""),
    ("signed", ""),
    ("adopted", ""),
    ("abolished", ""),
    ("ratified", ""),
    ("incorporated", ""),
    ("formed", ""),
    ("dissolved", ""),
    ("demolished", ""),
    ("destroyed", ""),
    ("annexed", ""),
    ("assassinated", ""),
    ("executed", ""),
    ("crowned", ""),
    ("inaugurated", ""),
    ("unveiled", ""),
];

/// What began or ended of itself.
pub(super) const BEGAN: &[(&str, &str)] = &[
    ("began", "begin"),
    ("started", "start"),
    ("ended", "end"),
    ("opened", "open"),
    ("closed", "close"),
    ("premiered", "premiere"),
    ("collapsed", "collapse"),
    ("took place", "take place"),
    ("occurred", "occur"),
    ("retired", "retire"),
];

/// Kinds of works, and what their makers did.
pub(super) const WORKS: &[(&str, &str)] = &[
    ("novel|novella|book|play|poem|memoir|short story|story|trilogy|epic|children 's book|comic book|essay|treatise", "wrote"),
    ("film|movie|documentary|miniseries", "directed"),
    ("opera|symphony|ballet|cantata|oratorio|string quartet|concerto|sonata", "composed"),
    ("painting|fresco|mural|portrait|triptych", "painted"),
];
