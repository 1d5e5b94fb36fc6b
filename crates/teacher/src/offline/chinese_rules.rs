//! The Chinese rules: how plain sentences state a fact, and the question each of them answers.
//!
//! Patterns are in simplified characters; the tokens they meet are folded to them, so both scripts match.
//! The questions `relation`, `superlative`, `symbol`, `definition`, `where` and `continent` are put together in code.

use super::Rule;

pub(crate) const MACROS: &[(&str, &str)] = &[
    ("是", "是|为|叫做|叫作|叫|名叫|名为|称为|就是|正是|即为|即是|则是|则为|一直是|仍是|现为|现在是|当然是|便是|乃是"),
    ("内", "境内|国内|国土上|领土上|上|范围内|里"),
    ("于", "于|在"),
    ("使", "使用|采用|通用|流通|用|以"),
    ("作", "作为|作|当作|为|当|充当|做"),
    ("最终", "最终|最后|最终于|并|再|然后|终|,"),
    ("流入", "注入|流入|汇入|流进|倾入"),
    ("向", "向东|向西|向南|向北|向东北|向西北|向东南|向西南|自西向东|自北向南|自南向北|自东向西"),
    ("货币", "货币|法定货币|官方货币|通用货币|货币单位|流通货币|钱"),
];

const NOTHING: &[(&str, &str)] = &[("", "")];

/// Verbs of making, by what the question repeats.
const MADE: &[(&str, &str)] = &[
    ("发现", ""),
    ("发明", ""),
    ("创立", ""),
    ("创办", ""),
    ("创建", ""),
    ("建立", ""),
    ("建造", ""),
    ("设计", ""),
    ("提出", ""),
    ("分离出来", ""),
    ("创作", ""),
    ("发起", ""),
    ("执导", ""),
    ("撰写", ""),
    ("编写", ""),
];

/// Verbs of beginning, with a date behind them.
const BEGUN: &[(&str, &str)] = &[
    ("成立", ""),
    ("建立", ""),
    ("创立", ""),
    ("创办", ""),
    ("创建", ""),
    ("建成", ""),
    ("落成", ""),
    ("出版", ""),
    ("启用", ""),
    ("通车", ""),
    ("开业", ""),
    ("诞生", ""),
    ("始建", ""),
    ("竣工", ""),
    ("独立", ""),
    ("上映", ""),
    ("发行", ""),
    ("完工", ""),
    ("开通", ""),
    ("爆发", ""),
    ("灭亡", ""),
    ("解散", ""),
    ("逝世", ""),
    ("去世", ""),
    ("上市", ""),
    ("首播", ""),
    ("颁布", ""),
    ("开幕", ""),
];

/// Comparatives and their superlatives.
const COMPARED: &[(&str, &str)] = &[("高", "最高"), ("长", "最长"), ("大", "最大"), ("深", "最深"), ("古老", "最古老")];

/// All rules, surer ones first.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "zh-symbol",
        ask: "symbol",
        each: NOTHING,
        patterns: &[
            "{Y:subject} 的? (元素|化学|国际|单位|原子)? (符号|代号|缩写) (<是>|写作|记作|用|写成|写为|表示为)? : ? {V:symbol}",
            "{Y:subject} 的? (元素|化学|国际|单位|原子)? (符号|代号|缩写) (<是>|写作|记作|用|写成|写为|表示为)? {V:symbol}",
            "(符号|元素符号|化学符号|字母)? {V:symbol} (是|为) {Y:subject} 的 (元素|化学|国际|单位)? (符号|代号|缩写)",
            "(符号|元素符号|化学符号|字母)? {V:symbol} (代表|表示|指的是|指) (的是|的)? (元素|化学元素)? {Y:subject} (这种元素|元素)? $",
            "{Y:subject} (一般|通常|常|在化学中|在化学上|化学上|可以|都)? (用|以) (符号|元素符号|化学符号|字母)? {V:symbol} (来)? (表示|代表|标记|标示|书写|为符号|作为符号|作符号)",
            "{Y:subject} (一般|通常|常|在化学中|在化学上|化学上)? (写作|记作|记为|写成|缩写为|简写为) {V:symbol}",
            "{Y:subject} ,? (元素)? 符号 (为|是)? {V:symbol}",
            "(化学家|人们|科学家) (用|以) (符号|元素符号|字母)? {V:symbol} (来)? (表示|代表|标记) {Y:subject} $",
            "(化学家|人们|科学家) 把 {Y:subject} (写作|记作|记为|写成|缩写为|简写为) {V:symbol}",
            "(元素符号|化学符号|符号) (为|是) {V:symbol} 的 (化学)? (元素|金属|气体) (是|叫|叫做) {Y:subject} $",
        ],
    },
    Rule {
        name: "zh-symbol-bracket",
        ask: "symbol",
        each: NOTHING,
        patterns: &["(元素|化学元素)? {Y:subject} \\( (元素符号|化学符号|符号)? (是|为|:)? {V:symbol} (,|\\))"],
    },
    Rule {
        name: "zh-atomic-number",
        ask: "{Y}的原子序数是多少？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} 的? (原子序数|原子序|原子序号) (<是>)? {V:number} $",
            "{Y:subject} 的 (原子序数|原子序|原子序号) (<是>)? {V:number}",
            "{V:number} 是 {Y:subject} 的 (原子序数|原子序)",
            "{Y:subject} (是|为) (元素周期表中|元素周期表上|周期表中|周期表上|元素周期表|周期表)? 的? 第 {V:number} (号|个|位) 元素",
            "{Y:subject} (在|位于|处于|排在|列在|居于) (元素周期表|周期表|化学元素周期表) (中|上|里)? 的? (排在|位列|排名|排|列|居|位于|位居|排行|是|占据|占)? 第 {V:number} (号|位|个|格)",
            "{Y:subject} (排在|位列|位于|居于) (元素周期表|周期表) 的? 第 {V:number} (号|位|个|格)",
            "(元素周期表|周期表) (中|上|里|的)? 第 {V:number} (号|位|个) (元素)? (<是>) {Y:subject} $",
            "第 {V:number} 号元素 (<是>) {Y:subject} $",
            "(原子序数|原子序) (为|是) {V:number} 的 (化学)? (元素|金属|气体) (<是>) {Y:subject} $",
            "{Y:subject} (的)? (原子核|原子核里|原子核中|原子核内|原子) (里|中|内)? (有|含有|含|带有) {V:number} 个 质子",
        ],
    },
    Rule {
        name: "zh-point",
        ask: "{Y}的%1是多少？",
        each: &[("沸点", "沸腾"), ("熔点", "熔化"), ("凝固点", "凝固")],
        patterns: &[
            "{Y:subject} 的? %1 (温度)? (大约|约)? (<是>|在|达|达到|高达)? {V:temperature}",
            "{Y:subject} (要|会|就|才|就会|才会|要到|加热到|在|到|到了|达到|的温度达到)? {V:temperature} (时|左右|就|才|便|时就|时才|的时候|左右时)? (会|就会|才会|开始)? %2",
            "{V:temperature} 是 {Y:subject} 的 %1",
            "(在|到|当温度达到|温度达到|加热到) {V:temperature} (时|,)? ,? {Y:subject} (会|就会|开始|就|便)? %2",
        ],
    },
    Rule {
        name: "zh-superlative",
        ask: "superlative",
        each: NOTHING,
        patterns: &[
            "{Y:place-of} (的)? (<内>)? (的)? {X:superlative} (<是>) {V:value} $",
            "(在)? {Y:place-of} (<内>)? ,? {X:superlative} (<是>) {V:value} $",
            "{V:subject} (<是>|可称|堪称|被称为|被誉为|公认为|是公认的|属于) (整个|全)? {Y:place-of} (<内>)? (的)? {X:superlative} $",
            "{V:subject} , (是|即|也是)? {Y:place-of} (<内>)? (的)? {X:superlative} ,",
            "{Y:place-of} (的)? {X:peak} {V:subject} (海拔|全长|位于|坐落|高|长|耸立|流经|,)",
            "(全长|长|海拔|高|长达|高达) {G:gap} 的 {V:subject} (<是>) (整个|全)? {Y:place-of} (<内>)? (的)? {X:superlative} $",
            "{Y:place-of} (以|将|把) {V:subject} (为|作为|列为) (其)? {X:superlative} $",
            "{Y:place-of} (拥有|有) (着)? {X:peak} {V:subject} $",
            "要说 {Y:place-of} (<内>)? (的)? {X:superlative} , (那)? (当然|自然|无疑|必然)? (就)? (是|数|要数|非) {V:value} $",
            "{Y:place-of} (<内>)? (的)? {X:superlative} (当属|当数|要数|首推|非|莫过于|无疑是|当然是) {V:value} $",
        ],
    },
    Rule {
        name: "zh-superlative-among",
        ask: "{Y}{X}的{N}是什么？",
        each: NOTHING,
        patterns: &[
            "(在)? {Y:place-of} (<内>)? 的? (所有|众多|各大|诸多)? 的? {N:unit} (之中|当中|中|里) ,? {V:subject} (是|要数|为|算)? {X:adjective} (的)? $",
            "(在)? {Y:place-of} (<内>)? 的? (所有|众多|各大|诸多)? 的? {N:unit} (之中|当中|中|里) ,? {X:adjective} 的 (是|要数|当数|当属|为) {V:value} $",
            "{Y:place-of} (<内>)? 的? {N:unit} (中|里)? (,)? (以|数|属|就数|要数) {V:subject} (为)? {X:adjective} $",
            "{V:subject} 是 {Y:place-of} (<内>)? 的? {N:unit} (中|里|当中|之中) {X:adjective} 的 (一座|一条|一个)? $",
        ],
    },
    Rule {
        name: "zh-compared",
        ask: "{Y}%2的{N}是什么？",
        each: COMPARED,
        patterns: &[
            "(在)? {Y:place-of} (<内>)? ,? (没有|没有一座|没有一条|再没有|找不到) (哪座|哪条|任何|其他|别的)? {N:unit} (能)? 比 {V:subject} (更|还|还要)? %1 (的|了)? $",
            "(在)? {Y:place-of} (<内>)? ,? (没有|没有一座|没有一条|再没有|找不到) 比 {V:subject} (更|还|还要)? %1 的 {N:unit} (了)? $",
            "{V:subject} 比 {Y:place-of} (<内>)? 的? (任何|其他|所有|别的|任何其他|任何一座|任何一条|其他任何|其他所有) (的)? {N:unit} (都)? (更|要|还要)? %1 $",
        ],
    },
    Rule {
        name: "zh-relation",
        ask: "relation",
        each: NOTHING,
        patterns: &[
            "{Y:subject} 的 {X:relation} (<是>|设在|位于|设于|定在|在|用的是|使用的是) {V:value} $",
            "{Y:subject} 的 {X:sure} (大约|约)? (<是>|设在|位于|设于|定在|在|有|达|达到|:|用的是|使用的是|当然是)? {V:value} $",
            "{Y:subject} 的 {X:measure} (大约|约)? (<是>|达|达到|有|:)? {V:quantity}",
            "{Y:subject} {X:sure} (大约|约)? (<是>|设在|位于|设于|定在|在|有|达|达到|:) {V:value} $",
            "{Y:subject} {X:measure} (大约|约)? (<是>|达|达到|有|:)? {V:quantity}",
        ],
    },
    Rule {
        name: "zh-relation-sure",
        ask: "relation",
        each: NOTHING,
        patterns: &[
            "{V:subject} (<是>|成为|作为|被定为|被选为|被用作|充当|担任) {Y:subject} (的)? {X:sure} (,|。|$)",
            "{V:subject} 既是 {Y:subject} (的)? {X:sure} ,",
            "{V:subject} , {Y:subject} (的)? {X:sure} ,",
            "{Y:subject} (的)? {X:sure} {V:subject} (位于|坐落|是|,|地处|有|以|拥有)",
            "{Y:subject} (<使>|把|将|定|选择|选|规定|选定|指定) {V:subject} (<作>|定为|作为|立为|设为|选为|列为|用作) (其|它的|本国的|本国|该国的|自己的|全国的)? {X:sure} $",
            "{Y:subject} (把|将) (其|它的|自己的|本国的)? {X:sure} (设在|设于|定在|定为|建在|放在|设立在) (了)? {V:value} $",
            "(在)? {Y:subject} ,? {V:subject} (是|被用作|被作为|作为|充当) (法定|官方)? 的? {X:sure} $",
            "作为 {Y:subject} (的)? {X:sure} , {V:subject} (是|位于|坐落|有|拥有|,)",
            "{Y:subject} 是 {G:gap} , (其)? {X:sure} (<是>) {V:value} $",
        ],
    },
    Rule {
        name: "zh-capital",
        ask: "{Y}的首都是哪里？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (定都|建都|奠都) (<于>)? {V:value} $",
            "{Y:subject} (的)? (中央政府|政府|国都) (设在|位于|设于|坐落在) {V:value} $",
        ],
    },
    Rule {
        name: "zh-currency",
        ask: "{Y}的货币是什么？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (的)? (人|人民|居民|国民|商店|市场|老百姓|国内|境内|市面上)? (都)? (使用|流通|通用|采用|花|用|流通着|通行|使用着|流通使用) (的)? (<货币>) (<是>) {V:value} $",
            "(在)? {Y:subject} (<内>)? ,? (人们|居民|大家|顾客|游客|百姓|人人|市民)? (都)? (用|使用|要用|得用|需要用|以) {V:subject} (付款|结账|支付|付账|买东西|购物|来付款|来结账|进行交易|交易|标价|计价|买卖东西)",
            "(在|去|到) {Y:subject} (<内>)? ,? (买东西|购物|消费|付款|付账|结账) (都|时|时候)? (,)? (都)? (用|使用|要用|得用|需要用|付|支付|要付) (的是)? {V:value} $",
            "(在)? {Y:subject} (<内>)? ,? (人们|居民)? (花的|用的|使用的|流通的|通用的|通行的|发行的) (<货币>|钱|钞票)? (<是>) {V:value} $",
            "{V:subject} (<是>) (在)? {Y:subject} (<内>)? (的)? (流通|通用|使用|通行|发行|法定流通)? (的)? (<货币>) $",
            "{V:subject} (在)? {Y:subject} (<内>)? (流通|通用|使用|通行) $",
            "{Y:subject} (<使>) {V:subject} (<作>) (<货币>) $",
            "{Y:subject} (发行|使用|流通|通用|采用) (的)? (<货币>) (名为|叫做|叫|名叫|称为) {V:value} $",
            "(去|到) {Y:subject} (旅行|旅游|出差|玩|购物) ,? (要|需要|得|须)? (准备|兑换|带|带上|换) (好|些|一些)? {V:value} $",
        ],
    },
    Rule {
        name: "zh-language",
        ask: "{Y}的官方语言是什么？",
        each: NOTHING,
        patterns: &[
            "{V:subject} 是 {Y:subject} (的)? (唯一|法定)? (的)? 官方语言",
            "{Y:subject} 以 {V:subject} (为|作为|作) 官方语言",
            "(在)? {Y:subject} ,? 官方语言 (<是>) {V:value} $",
        ],
    },
    Rule {
        name: "zh-speak",
        ask: "{Y}人说什么语言？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (的)? (人|居民|人民|国民) (主要|大多|都|平时|多)? (说|讲) {V:value} $",
            "(在)? {Y:subject} ,? (人们|居民|大家|人) (主要|大多|都|平时|多)? (说|讲) {V:value} $",
        ],
    },
    Rule {
        name: "zh-height",
        ask: "height",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (的)? (主峰|峰顶|山顶|顶峰)? 海拔 (高度)? (大约|约)? (<是>|达|达到|有|高达|在)? {V:length}",
            "{Y:subject} (高出|高于) (海平面|平均海平面) {V:length}",
            "{Y:subject} (的)? (主峰|峰顶|山顶|顶峰|最高点)? (高|高度|高度达|高达|高约) (大约|约|为|是|达|有)? {V:length}",
            "海拔 {V:length} 的 {Y:subject} (是|,|位于|耸立)",
            "{Y:subject} (耸立|矗立|屹立) (在)? 海拔 {V:length}",
        ],
    },
    Rule {
        name: "zh-length",
        ask: "{Y}有多长？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (的)? (干流|主流)? (全长|总长|长度|总长度|长|流程|全程|河长|绵延|奔流|流淌|蜿蜒) (大约|约|共|<是>|达|有|共计|达到|长达|了)? {V:length}",
            "全长 {V:length} 的 {Y:subject} (是|,|流经|发源|位于)",
            "从源头到 (河口|入海口) ,? {Y:subject} (全长|共|总长|长)? (<是>|达|流淌|共)? {V:length}",
        ],
    },
    Rule {
        name: "zh-area",
        ask: "{Y}的面积是多少？",
        each: NOTHING,
        patterns: &["{Y:subject} (的)? (国土|领土|陆地|土地|总)? (面积|占地|总面积|占地面积) (大约|约|<是>|达|有|共|达到)? {V:area}"],
    },
    Rule {
        name: "zh-population",
        ask: "{Y}的人口是多少？",
        each: NOTHING,
        patterns: &["{Y:subject} (的)? (总)? 人口 (大约|约|<是>|达|有|共|达到|超过)? {V:quantity} $"],
    },
    Rule {
        name: "zh-orbit",
        ask: "{Y}绕太阳一周需要多长时间？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (绕|围绕|环绕) (着)? (太阳) (公转|运行|转|旋转|走)? 一 (周|圈) (大约|约)? (需要|需|要|要花|花|耗时|用时|历时) {V:duration}",
            "{Y:subject} (的)? 公转周期 (大约|约)? (<是>)? {V:duration}",
            "{Y:subject} (每)? {V:duration} (绕|围绕) 太阳 (公转|转|运行)? 一 (周|圈)",
            "{Y:subject} (上)? (的)? 一年 (相当于|等于|<是>|长|有) {V:duration}",
        ],
    },
    Rule {
        name: "zh-day",
        ask: "{Y}的自转周期是多少？",
        each: NOTHING,
        patterns: &["{Y:subject} (的)? 自转 (一周|一圈|周期) (大约|约)? (需要|需|要|<是>)? {V:duration}"],
    },
    Rule {
        name: "zh-count",
        ask: "{Y}有多少{N}？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (一共|总共|共|共有|拥有|目前已知)? (有|拥有|带有|包含|含有) {V:number} {N:counted} $",
            "{V:number} {N:counted} (环绕|围绕|绕) (着)? {Y:subject} (运行|公转|转动|旋转|转)? $",
        ],
    },
    Rule {
        name: "zh-units",
        ask: "{G}{Y}等于多少{N}？",
        each: NOTHING,
        patterns: &[
            "{G:one} {Y:unit} (等于|是|有|为|合|相当于|包含|共有|就是|含) {V:number} 个? {N:unit} $",
            "{V:number} 个? {N:unit} (等于|是|合|为|组成|构成|就是) {G:one} {Y:unit} $",
        ],
    },
    Rule {
        name: "zh-si-unit",
        ask: "{Y}的国际单位是什么？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} 的 (国际单位|国际单位制单位|国际制单位|国际单位制基本单位|基本单位) (<是>) {V:value} $",
            "{V:subject} (<是>) {Y:subject} 的 (国际单位|国际单位制单位|国际制单位|国际单位制基本单位|基本单位) $",
        ],
    },
    Rule {
        name: "zh-unit",
        ask: "{Y}的单位是什么？",
        each: NOTHING,
        patterns: &[
            "{V:subject} (<是>) {Y:subject} 的 (计量)? 单位 $",
            "(人们|科学家|物理学家)? (用|以) {V:subject} (来)? (表示|度量|衡量|测量|计量|作为单位来表示) {Y:subject} (的大小)? $",
            "{Y:subject} (以|用) {V:subject} (为|作|作为) 单位 $",
            "{Y:subject} (的大小)? (用|以) {V:subject} (来)? (表示|度量|衡量|计量) $",
        ],
    },
    Rule {
        name: "zh-unit-of",
        ask: "{Y}是什么的单位？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (<是>) {V:value-of} 的 (国际|国际制|常用|基本|计量|公制|英制|导出|主要)? 单位 $",
            "{Y:subject} (<是>) (国际单位制中|国际单位制) 的? {V:value-of} 的? (基本|导出|计量)? 单位 $",
            "{V:subject} 的 (国际|国际制|常用|基本|计量|公制|导出|主要)? 单位 (<是>) {Y:unit} $",
            "{V:subject} (以|用) {Y:unit} (为|作|作为) 单位 $",
            "(人们|科学家|物理学家)? (用|以) {Y:unit} (来)? (表示|度量|衡量|测量|计量) {V:value-of} (的大小)? $",
        ],
    },
    Rule {
        name: "zh-measures",
        ask: "{Y}用来测量什么？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (是|是一种|是一个)? (用来|用于|用以|用作|可以|可以用来|可用来|可用于|专门) (测量|量度|衡量|计量|测定) {V:value-of} (的)? (仪器|工具|仪表|装置|设备|器具|单位)? $",
            "(测量|量度|测定) {V:value-of} 的 (仪器|工具|仪表|装置|器具) (<是>) {Y:subject} $",
            "(人们)? (用|使用) {Y:subject} (来)? (测量|测定|量) {V:value-of} $",
        ],
    },
    Rule {
        name: "zh-english",
        ask: "{Y}的英文名是什么？",
        each: NOTHING,
        patterns: &["{Y:subject} \\( (英语|英文|英文名|英文名称|英文全称|英) : {V:latin} (,|;|\\)|、)"],
    },
    Rule {
        name: "zh-made-who",
        ask: "{Y}是谁%1的？",
        each: MADE,
        patterns: &[
            "{Y:subject} (是)? (最早|首先|首次|最先)? 由 {V:person} (<于> {N:date})? (首先|最先|首次|最早|所|共同|一手|主持)? %1 (的|出来|于|了)? (,|$)",
            "{Y:subject} (是)? (在)? {N:date} (最早|首先|首次)? 由 {V:person} (首先|最先|首次|最早|所|共同)? %1 (的|出来)? $",
            "{N:date} ,? {Y:subject} (最早|首先|首次)? (由|被) {V:person} (首先|最先|首次|最早|所|共同)? %1 (的|出来)? $",
            "{Y:subject} (最早|首先|首次)? (由|被) {V:person} (<于>|在) {N:date} (首先|首次)? %1 (的|出来)? $",
            "{Y:subject} 是 {V:person} (<于>|在)? ({N:date})? (首先|最先|首次|最早)? %1 的 $",
            "{Y:subject} 的 (%1 者|%1 人) (<是>) {V:person} $",
            "(首先|最先|最早)? %1 (了)? {Y:subject} 的 (人|科学家|化学家|物理学家|是)? (<是>)? {V:person} $",
            "{V:person} (<于>|在)? ({N:date})? (首先|最先|首次|最早|独立|成功)? %1 (了|出) {Y:subject} (,|$)",
            "{N:date} ,? {V:person} (首先|最先|首次|最早|独立|成功)? %1 (了|出) {Y:subject} (,|$)",
            "{V:person} 是 {Y:subject} 的 %1 (者|人) $",
        ],
    },
    Rule {
        name: "zh-made-when",
        ask: "{Y}是哪一年发现的？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (是)? (<于>|在) {V:year} (首次|最早|首先)? (被|由)? ({G:gap})? (首次|首先)? (发现|被发现) (的)? (,|$)",
            "{Y:subject} (的)? (发现时间|发现年份) (<是>) {V:year}",
            "{V:year} ,? {G:gap} (首先|最先|首次|最早)? 发现 了 {Y:subject} (,|$)",
        ],
    },
    Rule {
        name: "zh-begun",
        ask: "{Y}是哪一年%1的？",
        each: BEGUN,
        patterns: &[
            "{Y:subject} (正式)? %1 (<于>) {V:year}",
            "{Y:subject} (<于>|在) {V:year} ({G:date-rest})? (正式|宣布)? %1 (,|$)",
            "{V:year} ,? {Y:subject} (正式|宣布)? %1 $",
        ],
    },
    Rule {
        name: "zh-built",
        ask: "{Y}是哪一年建造的？",
        each: NOTHING,
        patterns: &["{Y:subject} (始)? (建于|修建于|建造于|兴建于) {V:year}"],
    },
    Rule {
        name: "zh-born",
        ask: "{Y}出生于哪一年？",
        each: NOTHING,
        patterns: &[
            "{Y:person} \\( {V:year} ({G:date-rest})? (-|–|—|~) {N:date} \\)",
            "{Y:person} (,)? (出生于|生于) {V:year}",
            "{Y:person} {V:year} ({G:date-rest})? (出生|生) (于|在|,)",
        ],
    },
    Rule {
        name: "zh-born-in", ask: "{Y}出生在哪里？", each: NOTHING, patterns: &["{Y:person} (,)? (出生于|出生在|生于) {V:place} $"]
    },
    Rule {
        name: "zh-author",
        ask: "{Y}的作者是谁？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (是)? 由 {V:person} (所)? (著|写|撰写|创作|编写) (的)? (,|$)",
            "{Y:subject} 是 {V:person} (所)? (著|写|撰写|创作|编写) 的",
            "{Y:subject} 的 作者 (<是>) {V:person} $",
        ],
    },
    Rule {
        name: "zh-named-after",
        ask: "{Y}是以什么命名的？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (是)? 以 {V:subject} (的名字|的姓氏|之名|的名称)? (来)? 命名 (的)? $",
            "{Y:subject} 得名于 {V:value} $",
            "{Y:subject} 因 {V:subject} 而得名",
            "{Y:subject} 的 (名字|名称) (来自|来源于|源自|取自|源于) {V:value} $",
        ],
    },
    Rule {
        name: "zh-alias",
        ask: "{Y}又称什么？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} ,? (也)? (又称|又名|也称|亦称|又称为|也称为|别称|俗称|又叫|也叫|又称作|别名) (为|叫|是)? {V:value} (,|$)",
            "{Y:subject} (被称为|被誉为|素有) (“|「) {V:value} (”|」)",
        ],
    },
    Rule {
        name: "zh-short", ask: "{Y}的简称是什么？", each: NOTHING, patterns: &["{Y:subject} ,? (的)? 简称 (为|是)? {V:value} (,|$)"]
    },
    Rule {
        name: "zh-continent",
        ask: "continent",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (是)? (一个)? (位于|地处|坐落于|坐落在|处于|属于|在|处在) {V:place} $",
            "{Y:subject} 是 (一个)? (位于)? {V:continent} (的)? (一个)? (国家|内陆国|内陆国家|岛国|沿海国家|共和国|王国|小国|大国) $",
        ],
    },
    Rule {
        name: "zh-where",
        ask: "where",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (位于|坐落于|坐落在|地处|耸立在|矗立在|座落于|座落在) {V:place} $",
            "{Y:subject} (位于|坐落于|坐落在|地处|耸立在|矗立在) {V:place} 的? (境内|东部|西部|南部|北部|中部) $",
        ],
    },
    Rule {
        name: "zh-flows-into",
        ask: "{Y}流入哪里？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (<最终>)? (<流入>) (了)? {V:place} $",
            "{Y:subject} (<向>|在 {G:gap}) (<最终>)? (<流入>) {V:place} $",
            "{Y:subject} (发源于|源于|起源于|源出) {G:gap} ,? (向东|向西|向南|向北|向东北|向西北|向东南|向西南)? (流经 {G:gap} ,?)? (<最终>)? (在 {G:gap})? (<流入>) {V:place} $",
            "{Y:subject} (流经|穿过|经过) {G:gap} ,? (<最终>)? (在 {G:gap})? (<流入>) {V:place} $",
            "{Y:subject} 的 (河口|入海口|出海口|终点) (<是>|在|位于) {V:place} $",
            "{Y:subject} (<最终>)? 流向 {V:place} $",
        ],
    },
    Rule {
        name: "zh-tributary",
        ask: "{Y}是哪条河的支流？",
        each: NOTHING,
        patterns: &[
            "{Y:subject} (<是>) {V:subject} (左岸|右岸|上游|中游|下游)? 的? (一条|一级|主要|最大|最大的|重要|最长的|最长)? (的)? 支流 $",
        ],
    },
    Rule {
        name: "zh-rises-in",
        ask: "{Y}发源于哪里？",
        each: NOTHING,
        patterns: &["{Y:subject} (发源于|发源自|起源于|源于|源自) {V:place} $"],
    },
    Rule { name: "zh-definition", ask: "definition", each: NOTHING, patterns: &["{Y:subject} 是 {V:definition}"] },
];
