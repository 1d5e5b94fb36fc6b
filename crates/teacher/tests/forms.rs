//! Forms of questions that one statement answers in several directions, and statements whose subject is not certain.

use teacher::offline::{RuleLanguage, find};

/// Every row's question has to be among those asked, with that answer.
fn asked(language: RuleLanguage, rows: &[(&str, &[(&str, &str)])]) {
    let mut missed = Vec::new();
    for (text, wanted) in rows {
        let found = find(text, language);
        let got: Vec<(&str, &str)> = found.iter().map(|f| (f.question.as_str(), &text[f.answer.clone()])).collect();
        for want in *wanted {
            if !got.contains(want) {
                missed.push(format!("{text}\n  wanted {want:?}\n  got {got:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn not_asked(language: RuleLanguage, rows: &[(&str, &str)]) {
    for (text, question) in rows {
        let found = find(text, language);
        let got: Vec<(&str, &str)> = found.iter().map(|f| (f.question.as_str(), &text[f.answer.clone()])).collect();
        assert!(!got.iter().any(|g| g.0 == *question), "{text}\n  must not ask {question}\n  got {got:?}");
    }
}

#[test]
fn units_and_what_they_measure() {
    asked(
        RuleLanguage::English,
        &[
            (
                "The newton is the SI unit of force.",
                &[("What does the newton measure?", "force"), ("What is the SI unit of force?", "newton")],
            ),
            ("The ohm is the unit of electrical resistance.", &[("What does the ohm measure?", "electrical resistance")]),
            (
                "The SI unit of pressure is the pascal.",
                &[("What is the SI unit of pressure?", "pascal"), ("What does the pascal measure?", "pressure")],
            ),
            (
                "The unit of charge is the coulomb.",
                &[("What is the unit of charge?", "coulomb"), ("What does the coulomb measure?", "charge")],
            ),
            (
                "Frequency is measured in hertz.",
                &[("In what unit is frequency measured?", "hertz"), ("What does the hertz measure?", "Frequency")],
            ),
            (
                "Energy is measured in joules.",
                &[("In what unit is energy measured?", "joules"), ("What does the joule measure?", "Energy")],
            ),
            ("A barometer measures air pressure.", &[("What does a barometer measure?", "air pressure")]),
            ("Thermometers measure temperature.", &[("What do thermometers measure?", "temperature")]),
            ("A seismograph is used to measure earthquakes.", &[("What does a seismograph measure?", "earthquakes")]),
            ("An anemometer is an instrument that measures wind speed.", &[("What does an anemometer measure?", "wind speed")]),
        ],
    );
    asked(
        RuleLanguage::Chinese,
        &[
            ("牛顿是力的单位。", &[("力的单位是什么？", "牛顿"), ("牛顿是什么的单位？", "力")]),
            ("电阻的单位是欧姆。", &[("电阻的单位是什么？", "欧姆"), ("欧姆是什么的单位？", "电阻")]),
            ("焦耳是能量的国际单位。", &[("能量的国际单位是什么？", "焦耳"), ("焦耳是什么的单位？", "能量")]),
            ("气压计用来测量大气压。", &[("气压计用来测量什么？", "大气压")]),
        ],
    );
    not_asked(RuleLanguage::English, &[("The table measures two metres.", "What does the table measure?")]);
}

#[test]
fn rivers_and_where_they_end() {
    let into = "What does the Danube flow into?";
    asked(
        RuleLanguage::English,
        &[
            ("The Danube flows into the Black Sea.", &[(into, "Black Sea")]),
            ("The Danube empties into the Black Sea in Romania.", &[(into, "Black Sea")]),
            ("The Danube flows 2,850 km before it drains into the Black Sea.", &[(into, "Black Sea")]),
            ("The Danube rises in Germany and flows into the Black Sea.", &[(into, "Black Sea")]),
            ("The mouth of the Danube is the Black Sea.", &[(into, "Black Sea")]),
            ("The Danube's mouth is the Black Sea.", &[(into, "Black Sea")]),
            ("The Danube reaches the Black Sea.", &[(into, "Black Sea")]),
            ("The Inn is a right tributary of the Danube.", &[("What is the Inn a tributary of?", "Danube")]),
        ],
    );
    asked(
        RuleLanguage::Chinese,
        &[
            ("长江注入东海。", &[("长江流入哪里？", "东海")]),
            ("长江最终流入东海。", &[("长江流入哪里？", "东海")]),
            ("多瑙河向东流入黑海。", &[("多瑙河流入哪里？", "黑海")]),
            ("多瑙河发源于德国，最终注入黑海。", &[("多瑙河流入哪里？", "黑海"), ("多瑙河发源于哪里？", "德国")]),
            ("岷江是长江的支流。", &[("岷江是哪条河的支流？", "长江")]),
        ],
    );
    not_asked(RuleLanguage::Chinese, &[("日本入侵西沙群岛。", "日本流入哪里？")]);
}

#[test]
fn superlatives_in_any_order() {
    let longest = "What is the longest river in Poland?";
    asked(
        RuleLanguage::English,
        &[
            ("The longest river in Poland is the Vistula.", &[(longest, "Vistula")]),
            ("The longest river of Poland is the Vistula.", &[(longest, "Vistula")]),
            ("The Vistula is the longest river in Poland.", &[(longest, "Vistula")]),
            ("Poland's longest river is the Vistula.", &[(longest, "Vistula")]),
            ("The Vistula is Poland's longest river.", &[(longest, "Vistula")]),
            ("At 1,047 km, the Vistula is Poland's longest river.", &[(longest, "Vistula")]),
            ("With a length of 1,047 km, the Vistula is the longest river in Poland.", &[(longest, "Vistula")]),
            ("The Vistula, at 1,047 km, is Poland's longest river.", &[(longest, "Vistula")]),
            ("The longest of Poland's rivers is the Vistula.", &[(longest, "Vistula")]),
            ("Poland's longest river, the Vistula, rises in the Carpathians.", &[(longest, "Vistula")]),
            ("Peru lies in South America. Huascarán is its highest mountain.", &[("What is the highest mountain in Peru?", "Huascarán")]),
        ],
    );
    asked(
        RuleLanguage::Chinese,
        &[
            ("波兰最长的河是维斯瓦河。", &[("波兰最长的河是什么？", "维斯瓦河")]),
            ("维斯瓦河是波兰最长的河。", &[("波兰最长的河是什么？", "维斯瓦河")]),
            ("全长1047公里的维斯瓦河是波兰最长的河。", &[("波兰最长的河是什么？", "维斯瓦河")]),
            ("维斯瓦河全长1047公里，是波兰最长的河。", &[("波兰最长的河是什么？", "维斯瓦河")]),
            ("俄罗斯是世界面积最大的国家。", &[("世界面积最大的国家是哪里？", "俄罗斯")]),
        ],
    );
}

#[test]
fn attributes_either_way_round() {
    asked(
        RuleLanguage::English,
        &[
            ("Lima is Peru's capital.", &[("What is the capital of Peru?", "Lima")]),
            ("Gold's symbol is Au.", &[("What is the chemical symbol of gold?", "Au")]),
            ("Au is gold's chemical symbol.", &[("What is the chemical symbol of gold?", "Au")]),
            ("79 is gold's atomic number.", &[("What is the atomic number of gold?", "79")]),
            ("Gold, with the symbol Au, is a metal.", &[("What is the chemical symbol of gold?", "Au")]),
            ("The country code of Peru is PE.", &[("What is the country code of Peru?", "PE")]),
            ("PE is the country code for Peru.", &[("What is the country code of Peru?", "PE")]),
            ("Peru has the country code PE.", &[("What is the country code of Peru?", "PE")]),
            ("Peru's country code is PE.", &[("What is the country code of Peru?", "PE")]),
            ("The World Health Organization (WHO) was founded in 1948.", &[("What does WHO stand for?", "World Health Organization")]),
            ("Emma is a novel by Jane Austen.", &[("Who wrote Emma?", "Jane Austen")]),
            (
                "Ada Lovelace (10 December 1815 – 27 November 1852) was an English mathematician.",
                &[("When was Ada Lovelace born?", "10 December 1815"), ("When did Ada Lovelace die?", "27 November 1852")],
            ),
        ],
    );
    asked(
        RuleLanguage::Chinese,
        &[
            ("秘鲁的国家代码是PE。", &[("秘鲁的国家代码是什么？", "PE")]),
            ("PE是秘鲁的国家代码。", &[("秘鲁的国家代码是什么？", "PE")]),
            ("秘鲁的首都是利马，货币是新索尔。", &[("秘鲁的货币是什么？", "新索尔")]),
            ("深度学习（英语：Deep Learning）是一种方法。", &[("深度学习的英文名是什么？", "Deep Learning")]),
        ],
    );
}

#[test]
fn attributes_stay_with_their_owner() {
    not_asked(
        RuleLanguage::English,
        &[
            ("Toubkal is the highest mountain in Morocco. Its longest river is the Draa.", "What is the longest river in Toubkal?"),
            ("Toubkal is Morocco's highest mountain, and its longest river is the Draa.", "What is the longest river in Toubkal?"),
            ("AL is the country code of Albania. Its capital is Tirana.", "What is the capital of AL?"),
            ("AL is its country code. Its capital is Tirana.", "What is the capital of AL?"),
            ("AL stands for Albania. Its capital is Tirana.", "What is the capital of AL?"),
            ("Country code: AL\nCapital: Tirana", "What is the capital of AL?"),
            ("Highest mountain: Toubkal\nLongest river: Draa", "What is the longest river in Toubkal?"),
            ("| Toubkal | Draa |\nIts longest river is the Draa.", "What is the longest river in Toubkal?"),
        ],
    );
    asked(
        RuleLanguage::English,
        &[(
            "Morocco is a country in Africa. Toubkal is its highest mountain. Its longest river is the Draa.",
            &[("What is the highest mountain in Morocco?", "Toubkal"), ("What is the longest river in Morocco?", "Draa")],
        )],
    );
    not_asked(
        RuleLanguage::Chinese,
        &[
            ("图卜卡勒山是摩洛哥最高的山。其最长的河是德拉河。", "图卜卡勒山最长的河是什么？"),
            ("地拉那是阿尔巴尼亚的首都，货币是列克。", "地拉那的货币是什么？"),
            ("韩国的第二家航空公司是韩亚航空，成立于1988年。", "韩国是哪一年成立的？"),
        ],
    );
}

#[test]
fn phrases_that_name_nothing_are_not_asked_about() {
    for text in [
        "平均海拔5500米。",
        "常住人口76万人。",
        "境内最高的山是白云山。",
        "流域面积15万平方公里。",
        "根据最早的文献记载，这里是渔村。",
        "全球有23个国家、21个海外领地采用这种制度。",
    ] {
        assert_eq!(find(text, RuleLanguage::Chinese), vec![], "{text}");
    }
    for text in ["Budget is an important factor.", "Acme Pro is a great option for runners.", "Anna is a brilliant teacher."] {
        assert_eq!(find(text, RuleLanguage::English), vec![], "{text}");
    }
}
