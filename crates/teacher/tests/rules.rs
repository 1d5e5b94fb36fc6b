//! The offline teacher's rules, one row a wording: a text, the question it answers, the answer.

use teacher::offline::{RuleLanguage, find};

fn check(language: RuleLanguage, rows: &[(&str, &str, &str)]) {
    let mut missed = Vec::new();
    for (text, question, answer) in rows {
        let found = find(text, language);
        for pair in &found {
            assert!(text.get(pair.answer.clone()).is_some(), "an answer is a span of the text");
        }
        if !found.iter().any(|f| f.question == *question && text[f.answer.clone()] == **answer) {
            let got: Vec<(&str, &str)> = found.iter().map(|f| (f.question.as_str(), &text[f.answer.clone()])).collect();
            missed.push(format!("{text}\n  wanted {question} {answer}\n  got {got:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn english_wordings() {
    check(
        RuleLanguage::English,
        &[
            ("The capital of Peru is Lima.", "What is the capital of Peru?", "Lima"),
            ("Peru's currency is the sol.", "What is the currency of Peru?", "sol"),
            ("Ottawa serves as the capital of Canada.", "What is the capital of Canada?", "Ottawa"),
            ("Canberra, the capital of Australia, was founded in 1913.", "What is the capital of Australia?", "Canberra"),
            ("With Tokyo as its capital, Japan is an island country.", "What is the capital of Japan?", "Tokyo"),
            ("The yen is the currency of Japan.", "What is the currency of Japan?", "yen"),
            ("In Japan people pay with the yen.", "What is the currency of Japan?", "yen"),
            ("Peru is a country in South America. Its capital is Lima.", "What is the capital of Peru?", "Lima"),
            (
                "Peru is a country in South America. Its capital is Lima, and its official language is Spanish.",
                "What is the official language of Peru?",
                "Spanish",
            ),
            ("Peru is a country in South America.", "On which continent is Peru?", "South America"),
            ("Huascarán is the highest mountain in Peru.", "What is the highest mountain in Peru?", "Huascarán"),
            ("Kilimanjaro, at 5,895 metres, is the highest mountain in Africa.", "What is the highest mountain in Africa?", "Kilimanjaro"),
            ("Among the mountains of Japan, Mount Fuji is the highest.", "What is the highest mountain in Japan?", "Mount Fuji"),
            ("Jupiter is the largest planet in the Solar System.", "What is the largest planet in the Solar System?", "Jupiter"),
            ("Mercury is the first planet from the Sun.", "What is the first planet from the Sun?", "Mercury"),
            ("The highest mountain in Peru is Huascarán, which rises to 6,768 metres.", "How high is Huascarán?", "6,768 metres"),
            ("Mount Fuji is 3,776 metres high.", "How high is Mount Fuji?", "3,776 metres"),
            ("The Nile flows for 6,650 kilometres.", "How long is the Nile?", "6,650 kilometres"),
            ("The symbol for gold is Au.", "What is the chemical symbol of gold?", "Au"),
            ("Helium (symbol He) is a noble gas.", "What is the chemical symbol of helium?", "He"),
            ("Gold has the atomic number 79.", "What is the atomic number of gold?", "79"),
            ("Gold melts at 1,064 °C.", "What is the melting point of gold?", "1,064 °C"),
            ("Oxygen was discovered by Carl Wilhelm Scheele in 1771.", "Who discovered oxygen?", "Carl Wilhelm Scheele"),
            ("Pierre and Marie Curie discovered radium in 1898.", "Who discovered radium?", "Pierre and Marie Curie"),
            ("Curium is named after Marie Curie.", "What is curium named after?", "Marie Curie"),
            ("Mars has two moons.", "How many moons does Mars have?", "two"),
            ("Mars takes 687 days to orbit the Sun.", "How long does Mars take to orbit the Sun?", "687 days"),
            ("There are 60 seconds in a minute.", "How many seconds are there in a minute?", "60"),
            ("A kilometre is 1,000 metres.", "How many metres are there in a kilometre?", "1,000"),
            ("The newton is the SI unit of force.", "What is the SI unit of force?", "newton"),
            ("Force is measured in newtons.", "In what unit is force measured?", "newtons"),
            ("How deep is Lake Baikal?\n1,642 metres.", "How deep is Lake Baikal?", "1,642 metres."),
        ],
    );
}

#[test]
fn chinese_wordings() {
    check(
        RuleLanguage::Chinese,
        &[
            ("法国的首都是巴黎。", "法国的首都是哪里？", "巴黎"),
            ("法國的首都是巴黎。", "法國的首都是哪裡？", "巴黎"),
            ("东京是日本的首都。", "日本的首都是哪里？", "东京"),
            ("土耳其的首都是安卡拉。", "土耳其的首都是哪里？", "安卡拉"),
            ("以色列的货币是新谢克尔。", "以色列的货币是什么？", "新谢克尔"),
            ("日本以日元作为货币。", "日本的货币是什么？", "日元"),
            ("法国位于欧洲，首都是巴黎，货币为欧元。", "法国的货币是什么？", "欧元"),
            ("法国位于欧洲，首都是巴黎。它的官方语言是法语。", "法国的官方语言是什么？", "法语"),
            ("法国位于欧洲，首都是巴黎。", "法国位于哪个洲？", "欧洲"),
            ("中国最高的山是珠穆朗玛峰。", "中国最高的山是什么？", "珠穆朗玛峰"),
            ("珠穆朗玛峰是中国最高的山。", "中国最高的山是什么？", "珠穆朗玛峰"),
            ("越南没有比番西邦峰更高的山。", "越南最高的山是什么？", "番西邦峰"),
            ("尼罗河是埃及最长的河流。", "埃及最长的河是什么？", "尼罗河"),
            ("珠穆朗玛峰海拔8848.86米。", "珠穆朗玛峰的海拔是多少？", "8848.86米"),
            ("尼罗河全长6650公里。", "尼罗河有多长？", "6650公里"),
            ("金的元素符号是Au，原子序数是79。", "金的化学符号是什么？", "Au"),
            ("金的元素符号是Au，原子序数是79。", "金的原子序数是多少？", "79"),
            ("铁的熔点是1538摄氏度。", "铁的熔点是多少？", "1538摄氏度"),
            ("水在100摄氏度时沸腾。", "水的沸点是多少？", "100摄氏度"),
            ("氧由舍勒于1771年发现。", "氧是谁发现的？", "舍勒"),
            ("火星有两颗卫星。", "火星有多少颗卫星？", "两"),
            ("一千米等于1000米。", "一千米等于多少米？", "1000"),
            ("牛顿是力的国际单位。", "力的国际单位是什么？", "牛顿"),
            ("问：贝加尔湖有多深？\n答：1642米。", "贝加尔湖有多深？", "1642米。"),
        ],
    );
}

#[test]
fn doubt_negation_and_pronouns_are_left_alone() {
    for text in [
        "Sydney is not the capital of Australia.",
        "Many people think Sydney is the capital of Australia.",
        "It is the capital of France.",
        "Is Sydney the capital of Australia?",
        "This is the highest mountain in the country.",
    ] {
        assert_eq!(find(text, RuleLanguage::English), vec![], "{text}");
    }
    for text in ["它的首都是利马。", "悉尼不是澳大利亚的首都。", "很多人以为悉尼是澳大利亚的首都。", "悉尼是澳大利亚的首都吗？"]
    {
        assert_eq!(find(text, RuleLanguage::Chinese), vec![], "{text}");
    }
}

#[test]
fn tags_choose_the_rules() {
    for (tag, want) in [
        ("en", Some(RuleLanguage::English)),
        ("zh-Hans", Some(RuleLanguage::Chinese)),
        ("zh-Hant", Some(RuleLanguage::Chinese)),
        ("fr", None),
    ] {
        assert_eq!(RuleLanguage::of(tag), want, "{tag}");
    }
}
