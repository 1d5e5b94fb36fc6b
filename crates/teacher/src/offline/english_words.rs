//! Closed classes and small lists that the English grammar stands on.

/// Words that end a noun phrase: determiners, pronouns, prepositions, conjunctions, auxiliaries, common verbs and adverbs.
pub(crate) const CLOSED: &[&str] = &[
    "a", "an", "the", "this", "that", "these", "those", "its", "it", "his", "her", "he", "she", "they", "them", "their", "we",
    "us", "our", "you", "your", "i", "my", "me", "him", "who", "whom", "whose", "which", "what", "where", "when", "why", "how",
    "there", "here", "each", "every", "all", "some", "any", "many", "much", "few", "several", "both", "either", "neither",
    "other", "another", "such", "no", "not", "none", "nobody", "nothing", "everyone", "someone", "everybody", "anyone", "one",
    "ones", "of", "in", "on", "at", "by", "for", "from", "to", "with", "within", "without", "about", "around", "above", "below",
    "under", "over", "between", "among", "amongst", "through", "throughout", "during", "before", "after", "since", "until",
    "till", "against", "along", "across", "behind", "beside", "besides", "beyond", "near", "into", "onto", "upon", "off", "out",
    "up", "down", "as", "like", "unlike", "than", "via", "per", "despite", "except", "towards", "toward", "inside", "outside",
    "and", "or", "but", "nor", "so", "yet", "if", "because", "although", "though", "while", "whereas", "whether", "unless", "is",
    "are", "was", "were", "be", "been", "being", "am", "has", "have", "had", "having", "do", "does", "did", "will", "would",
    "can", "could", "may", "might", "must", "shall", "should", "also", "too", "very", "more", "most", "less", "least", "often",
    "usually", "always", "never", "sometimes", "generally", "commonly", "mainly", "mostly", "only", "just", "even", "still",
    "now", "today", "then", "thus", "hence", "therefore", "however", "moreover", "furthermore", "meanwhile", "instead", "indeed",
    "rather", "quite", "again", "ago", "once", "later", "currently", "officially", "simply", "already", "almost", "nearly",
    "approximately", "roughly", "exactly", "perhaps", "according", "lies", "stands", "serves", "remains", "became", "becomes",
    "become", "uses", "used", "use", "contains", "includes", "include", "including", "makes", "made", "means", "flows", "boils",
    "melts", "orbits", "weighs", "takes", "takes", "gets", "gives", "named", "called", "known", "located", "situated", "born",
    "'s", "let", "see", "says", "said", "say", "please", "yes", "overall", "additionally", "finally", "first", "second", "third",
    "next", "last", "well", "later", "earlier", "nowadays", "recently", "originally", "historically", "traditionally",
    "similarly", "conversely", "consequently", "nevertheless", "nonetheless", "otherwise", "elsewhere", "likewise", "accordingly",
    "eventually", "initially", "especially", "particularly", "subsequently", "previously", "typically", "unfortunately",
    "fortunately", "interestingly", "notably", "ultimately", "presently", "normally", "frequently", "occasionally", "basically",
    "essentially", "apparently", "obviously", "clearly", "certainly", "surprisingly", "sadly", "luckily", "poorly", "newly",
    "firstly", "secondly", "lastly", "shortly", "simultaneously", "alternatively", "together", "afterwards", "ours", "theirs",
];

/// A statement with one of these is not the writer's own claim, or not a plain one.
pub(crate) const DOUBT: &[&str] = &[
    "think", "thinks", "thought", "believe", "believes", "believed", "assume", "assumes", "assumed", "guess", "wrongly",
    "mistakenly", "myth", "rumour", "rumor", "supposedly", "allegedly", "alleged", "might", "may", "could", "would", "should",
    "if", "unless", "fictional", "imagine", "suppose", "supposed", "claim", "claims", "claimed", "argue", "argues", "argued",
    "possibly", "probably", "perhaps", "likely", "unlikely", "unclear", "whether", "disputed", "not", "never", "n't", "cannot",
    "isn't", "wasn't", "aren't", "doesn't", "don't", "didn't", "no", "neither", "nor", "i", "we", "my", "our", "'m", "formerly",
    "hypothetical", "proposed", "planned", "quiz", "false", "untrue", "wrong",
];

/// Nouns too vague to ask about: "the result of X".
pub(crate) const VAGUE: &[&str] = &[
    "result", "results", "case", "cases", "subject", "part", "parts", "kind", "type", "form", "forms", "way", "ways", "use",
    "study", "process", "act", "lack", "cause", "basis", "term", "idea", "member", "members", "example", "examples", "rest",
    "majority", "site", "home", "centre", "center", "scene", "place", "time", "year", "years", "day", "period", "era",
    "beginning", "end", "lot", "piece", "source", "object", "topic", "focus", "product", "method", "set", "group", "series",
    "sequence", "combination", "collection", "presence", "absence", "loss", "sum", "side", "point", "view", "nature", "fact",
    "sense", "reason", "aim", "goal", "notion", "concept", "question", "problem", "issue", "amount", "level", "degree", "range",
    "variety", "matter", "thing", "things", "effect", "effects", "impact", "influence", "role", "story", "history", "version",
    "copy", "version", "half", "quarter", "bulk", "remainder", "edge", "top", "bottom", "foot", "heart", "middle", "front",
    "back", "outskirts", "vicinity", "shores", "shore", "wake", "aftermath", "face", "face", "turn", "course", "hands", "help",
    "support", "pride", "face", "sight", "site", "scene", "victim", "consequence", "outcome", "state", "condition", "situation",
    "existence", "importance", "significance", "success", "work", "works", "works", "son", "daughter", "brother", "sister",
    "people", "area", "region", "regions", "areas", "character", "element", "aspect", "feature", "features", "meaning",
    "definition", "list", "table", "map", "picture", "image", "summary", "surface", "interior", "shape", "structure", "spelling",
    "text", "remains", "ruins", "evidence", "theme", "themes", "context", "key", "hub", "gateway", "door", "birthplace", "seat",
    "stage", "target", "recipient", "name", "age", "word", "approach", "practice", "property", "properties", "stuff", "means",
    "field", "branch", "science", "system",
];

/// Terms that are no subject by themselves.
pub(crate) const GENERIC: &[&str] = &[
    "things", "thing", "people", "person", "areas", "area", "others", "countries", "country", "cities", "city", "nation",
    "nations", "place", "places", "time", "times", "years", "year", "days", "day", "century", "centuries", "man", "men", "woman",
    "women", "child", "children", "work", "works", "way", "ways", "life", "world", "history", "part", "parts", "use", "course",
    "fact", "them", "which", "whom", "text", "body", "group", "groups", "state", "states", "government", "company", "team",
    "town", "village", "region", "island", "islands", "river", "mountain", "mountains", "rivers", "element", "elements", "planet",
    "planets", "language", "languages", "currency", "capital", "unit", "units", "metres", "meters", "feet", "kilometres",
    "kilometers", "miles", "studies", "study", "results", "example", "examples", "interest", "order", "addition", "contrast",
    "general", "particular", "scientists", "researchers", "chemists", "astronomers", "physicists", "visitors", "travellers",
    "tourists", "locals", "residents", "students", "experts", "critics", "scholars", "historians", "research", "data", "today",
    "money", "cash", "card", "cards", "power", "war", "peace", "production", "number", "numbers", "north", "south", "east", "west",
];

/// Common nouns before a name or a term that say what it is: "the planet Mars", "the element gold".
pub(crate) const CLASSIFIERS: &[&str] = &[
    "planet", "element", "metal", "gas", "country", "nation", "state", "republic", "kingdom", "city", "town", "village", "island",
    "mountain", "river", "lake", "volcano", "language", "currency", "moon", "dwarf", "noble", "chemical", "alkali", "halogen",
    "nonmetal", "metalloid", "continent", "province", "unit", "mineral", "compound", "substance", "liquid", "peak", "writer",
    "author", "poet", "composer", "physicist", "chemist",
];

/// Classifiers that a lower-case term may follow.
pub(crate) const TERM_CLASSIFIERS: &[&str] = &[
    "element", "metal", "gas", "halogen", "nonmetal", "metalloid", "unit", "mineral", "compound", "substance", "liquid",
];

/// Heads of relations whose bare lower-case value is an identity and not a description.
pub(crate) const BARE_HEADS: &[&str] = &[
    "currency", "language", "religion", "ingredient", "export", "crop", "material", "metal", "gas", "element", "sport", "dish",
    "animal", "bird", "flower", "tree", "colour", "color", "symbol", "unit", "component", "constituent", "fuel", "food", "drink",
    "instrument", "money", "ore", "formula",
];

/// Relations that have a person as their value.
pub(crate) const PERSON_HEADS: &[&str] = &[
    "president", "king", "queen", "emperor", "author", "writer", "founder", "co-founder", "inventor", "discoverer", "leader",
    "director", "composer", "painter", "architect", "mayor", "chancellor", "minister", "governor", "ceo", "chairman",
    "chairwoman", "chairperson", "editor", "coach", "captain", "manager", "father", "mother", "wife", "husband", "creator",
    "designer", "producer", "owner", "monarch", "ruler", "commander", "general", "pope", "bishop", "patron", "teacher", "head",
    "successor", "predecessor", "daughter", "son", "brother", "sister", "singer", "drummer", "guitarist", "bassist",
    "protagonist", "hero", "premier", "sultan", "prince", "princess", "duke", "secretary", "champion", "winner", "inhabitant",
    "person", "man", "woman", "scientist", "chemist", "physicist", "engineer", "builder", "player", "scorer", "member", "senator",
    "explorer",
];

/// Words that end in "est" and are no superlatives.
pub(crate) const NOT_SUPERLATIVE: &[&str] = &[
    "forest", "rainforest", "west", "southwest", "northwest", "south-west", "north-west", "east", "rest", "test", "interest",
    "request", "guest", "contest", "conquest", "harvest", "protest", "priest", "nest", "chest", "quest", "arrest", "invest",
    "suggest", "digest", "midwest", "honest", "modest", "crest", "manifest", "earnest", "vest", "zest", "budapest", "unrest",
];

/// Chemical elements, in lower case: they are written so inside a sentence, and begin one with a capital.
pub(crate) const TERMS: &[&str] = &[
    "hydrogen", "helium", "lithium", "beryllium", "boron", "carbon", "nitrogen", "oxygen", "fluorine", "neon", "sodium",
    "magnesium", "aluminium", "aluminum", "silicon", "phosphorus", "sulfur", "sulphur", "chlorine", "argon", "potassium",
    "calcium", "scandium", "titanium", "vanadium", "chromium", "manganese", "iron", "cobalt", "nickel", "copper", "zinc",
    "gallium", "germanium", "arsenic", "selenium", "bromine", "krypton", "rubidium", "strontium", "yttrium", "zirconium",
    "niobium", "molybdenum", "technetium", "ruthenium", "rhodium", "palladium", "silver", "cadmium", "indium", "tin", "antimony",
    "tellurium", "iodine", "xenon", "caesium", "cesium", "barium", "lanthanum", "cerium", "praseodymium", "neodymium",
    "promethium", "samarium", "europium", "gadolinium", "terbium", "dysprosium", "holmium", "erbium", "thulium", "ytterbium",
    "lutetium", "hafnium", "tantalum", "tungsten", "rhenium", "osmium", "iridium", "platinum", "gold", "thallium", "lead",
    "bismuth", "polonium", "astatine", "radon", "francium", "radium", "actinium", "thorium", "protactinium", "uranium",
    "neptunium", "plutonium", "americium", "curium", "berkelium", "californium", "einsteinium", "fermium", "mendelevium",
    "nobelium", "lawrencium", "rutherfordium", "dubnium", "seaborgium", "bohrium", "hassium", "meitnerium", "darmstadtium",
    "roentgenium", "copernicium", "nihonium", "flerovium", "moscovium", "livermorium", "tennessine", "oganesson", "water", "ice",
    "steam", "light", "sound", "steel", "bronze", "brass", "ethanol", "methane", "ammonia", "salt", "sugar", "air", "glass",
    "force", "energy", "power", "pressure", "temperature", "mass", "length", "time", "frequency", "charge", "voltage",
    "resistance", "current",
];

/// How a number word is written.
pub(crate) const NUMBER_WORDS: &[&str] = &[
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty",
    "seventy", "eighty", "ninety", "hundred", "thousand", "million", "billion",
];

/// Scale words behind digits.
pub(crate) const SCALES: &[&str] = &["hundred", "thousand", "million", "billion", "trillion"];

/// Units of length.
pub(crate) const LENGTH_UNITS: &[&str] = &[
    "m", "km", "cm", "mm", "ft", "mi", "metre", "metres", "meter", "meters", "kilometre", "kilometres", "kilometer", "kilometers",
    "centimetres", "centimeters", "millimetres", "millimeters", "miles", "mile", "feet", "foot", "yards", "inches", "light-years",
];

/// Units of time.
pub(crate) const DURATION_UNITS: &[&str] = &[
    "second", "seconds", "minute", "minutes", "hour", "hours", "day", "days", "week", "weeks", "month", "months", "year", "years",
];

/// Units of area in one word; "square" before a length is another.
pub(crate) const AREA_UNITS: &[&str] = &["km²", "km2", "m²", "m2", "hectares", "acres", "sq"];

/// Other units.
pub(crate) const OTHER_UNITS: &[&str] = &[
    "kg", "g", "tonnes", "tons", "kilograms", "kilogrammes", "grams", "pounds", "lb", "%", "percent", "people", "inhabitants",
    "residents", "k", "kelvin", "kelvins", "km/h", "mph", "litres", "liters", "volts", "watts", "joules", "newtons", "pascals",
    "hertz", "degrees", "bytes", "bits",
];

/// Nouns whose plural has no "s".
pub(crate) const PLURALS: &[&str] = &["people", "children", "men", "women", "feet", "teeth", "species", "sheep", "geese", "mice"];

/// Names of months.
pub(crate) const MONTHS: &[&str] = &[
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
];

/// Names of continents, in lower case, and words that may stand before them.
pub(crate) const CONTINENTS: &[&str] = &["africa", "asia", "europe", "oceania", "antarctica", "australia"];

/// Directions that may stand before a place.
pub(crate) const DIRECTIONS: &[&str] = &[
    "north", "south", "east", "west", "northern", "southern", "eastern", "western", "central", "northeastern", "northwestern",
    "southeastern", "southwestern", "north-eastern", "north-western", "south-eastern", "south-western", "northeast", "northwest",
    "southeast", "southwest", "upper", "lower", "inner", "modern", "present-day", "modern-day", "continental", "mainland",
    "equatorial", "tropical",
];

/// Names that "and" may join into one.
pub(crate) const AND_NAMES: &[&str] = &[
    "bosnia", "trinidad", "antigua", "kitts", "tomé", "tome", "grenadines", "vincent", "saba", "turks", "wallis",
];

/// Lower-case words inside a name.
pub(crate) const PARTICLES: &[&str] = &[
    "of", "de", "da", "do", "dos", "du", "del", "della", "di", "la", "le", "el", "al", "bin", "ibn", "van", "von", "der", "den",
    "y", "e", "the", "san",
];

/// Adjectives that may stand before a [`SURE_HEADS`] noun.
pub(crate) const SURE_ADJECTIVES: &[&str] = &[
    "official", "national", "main", "only", "legal", "local", "chemical", "international", "SI", "standard", "monetary",
    "federal",
];

/// Nouns that name a relation and its value wherever they stand.
pub(crate) const SURE_HEADS: &[&str] = &["capital", "currency", "language", "unit", "symbol"];

/// Heads of an inverted statement, "Z is the X of Y", that make a good question beside persons and superlatives.
pub(crate) const INVERSE_HEADS: &[&str] = &[
    "capital", "currency", "language", "symbol", "unit", "airline", "airport", "anthem", "flag", "port", "bank", "newspaper",
    "parliament", "legislature", "emblem", "motto", "headquarters", "religion", "animal", "bird", "flower", "tree", "sport",
    "dish", "river", "formula", "code", "domain", "nickname", "abbreviation", "prefix", "name",
];

/// Geographic nouns: what is highest "of" a place is highest "in" it.
pub(crate) const GEOGRAPHIC: &[&str] = &[
    "mountain", "peak", "summit", "point", "river", "waterway", "stream", "city", "town", "lake", "island", "country", "desert",
    "volcano", "state", "province", "building", "nation", "metropolis", "settlement", "waterfall", "glacier", "port", "airport",
    "bridge", "village", "canyon", "cave", "forest", "park", "structure", "tower", "dam", "region", "district", "municipality",
    "hill",
];

/// Nouns that are units, in the singular.
pub(crate) const UNIT_NOUNS: &[&str] = &[
    "metre", "meter", "kilometre", "kilometer", "centimetre", "centimeter", "millimetre", "millimeter", "mile", "yard", "foot",
    "inch", "second", "minute", "hour", "day", "week", "month", "year", "decade", "century", "millennium", "gram", "kilogram",
    "milligram", "tonne", "ton", "pound", "ounce", "litre", "liter", "millilitre", "milliliter", "gallon", "pint", "newton",
    "joule", "watt", "volt", "ampere", "ohm", "pascal", "hertz", "kelvin", "mole", "candela", "coulomb", "farad", "henry",
    "tesla", "weber", "lumen", "lux", "becquerel", "gray", "sievert", "byte", "bit", "kilobyte", "megabyte", "hectare", "acre",
    "dozen", "kilowatt", "megawatt", "kilojoule", "calorie", "radian", "steradian", "siemens", "knot", "fathom", "furlong",
    "stone", "fortnight", "light-year", "league", "carat", "bar", "atmosphere", "quart", "barrel",
];

/// Adjectives of praise and weight: a noun phrase with one is an opinion and no definition.
pub(crate) const PRAISE: &[&str] = &[
    "great", "good", "best", "better", "excellent", "perfect", "amazing", "brilliant", "striking", "trusted", "important",
    "strong", "solid", "chart-topping", "top-tier", "leading", "popular", "powerful", "reliable", "affordable", "fantastic",
    "wonderful", "awesome", "ideal", "incredible", "nice", "superb", "beautiful", "stunning", "essential", "crucial", "vital",
    "key", "critical", "valuable", "useful", "helpful", "handy", "fun", "easy", "simple", "quick", "cheap", "favourite",
    "favorite", "talented", "true", "real", "huge", "massive", "major", "significant", "interesting", "effective", "efficient",
    "versatile", "robust", "premium", "award-winning", "well-known", "world-class", "must-see", "must-have", "safe", "smart",
    "viable", "decent", "promising", "passionate", "proud", "go-to", "game-changing", "lightweight", "bad", "terrible", "rather",
    "pretty", "truly", "well-rounded", "impressive", "outstanding", "exceptional", "remarkable", "fascinating", "common",
    "typical", "new", "recent", "bigger", "larger", "smaller", "prime", "clear", "classic", "delicious", "little", "big",
    "pro", "different", "similar", "necessary", "serious", "certain",
    "lovely", "gorgeous", "terrific", "unique", "top", "renowned", "world-renowned", "brave", "honest", "kind", "luxurious", "charming", "trustworthy", "reputable", "capable", "highly", "most", "more", "locally", "long-time",
];

/// Nouns of opinion and comparison that define nothing.
pub(crate) const OPINIONS: &[&str] = &[
    "option", "options", "choice", "alternative", "factor", "favourite", "favorite", "showcase", "must-have", "bet", "pick",
    "subset", "deal", "reminder", "addition", "upgrade", "companion", "blessing", "challenge", "failure", "fan", "mistake",
    "requirement", "concern", "priority", "opportunity", "threat", "sign", "symbol", "difference", "exception", "destination",
    "contender", "winner", "hit", "classic", "leader", "pioneer", "innovator", "legend", "testament", "improvement", "increase",
    "bargain", "investment", "resource", "asset", "advantage", "disadvantage", "no-brainer", "treat", "delight", "joy",
    "pleasure", "breeze", "nightmare", "dream", "mystery", "solution", "mix", "step", "start", "tip",
    "component", "instance", "fraction", "contributor", "candidate", "partner",
    "individual", "guide", "gift", "lover", "enthusiast", "one", "bit", "pain", "must", "waste",
    "response", "reaction", "decision", "strategy", "consideration", "benefit", "experience", "journey", "signal",
    "marvel", "man", "woman", "boy", "girl", "guy", "person", "kid", "progression", "trademark", "mess", "monster", "wonder", "culture", "fixture", "masterpiece", "beast", "workhorse", "powerhouse",
    "playground", "paradise", "haven", "feat", "achievement", "matter", "disaster", "tragedy", "joke", "shame", "surprise",
    "risk", "danger", "luxury", "necessity", "predecessor", "successor", "neighbour", "neighbor", "friend", "enemy", "rival",
    "precursor", "descendant", "generalization", "generalisation", "reference", "description", "metaphor",
    "allusion", "pun", "homage", "tribute", "response", "reworking", "hallmark", "staple", "mainstay", "cornerstone",
];

/// Ends of nouns that stand without an article.
pub(crate) const UNCOUNTABLE: &[&str] = &[
    "ism", "logy", "graphy", "ics", "ness", "istry", "onomy", "sophy", "osis", "itis", "ware", "culture", "metry", "pathy",
    "therapy", "education", "engineering", "programming", "learning", "computing", "insurance", "music", "law", "theory",
];
