//! Which Chinese phrases are names or terms: without spaces, a phrase that merely stands before a verb may be anything.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::chinese_words::{MEASURE_UNITS, SINGLE, TRANSLITERATION};

/// General words: a phrase put together of these alone names nothing.
const COMMON: &str = "平均 年均 年平均 月平均 常住 户籍 流域 景区 地面 地区 地表 领土 国土 陆地 城墙 城区 市区 郊区 老城 官方 民间 估计 持续 \
    植树 造林 保存 总共 总计 极端 最高 最低 境内 境外 岛内 岛上 国内 省内 市内 县内 区内 校内 校区 主体 主要 部分 大部分 基本 基本上 一直 一般 \
    依然 仍然 目前 现在 当时 后来 以后 以前 今后 起点 终点 起点站 终点站 人口 面积 长度 高度 宽度 深度 海拔 全长 总长 直径 气温 温度 水温 降水 \
    降雨 降雨量 降水量 雨量 年份 年代 时间 日期 时期 时代 世纪 早期 中期 晚期 初期 后期 末期 古代 近代 现代 当代 历史 历史上 世界 国际 全球 全国 全省 \
    全市 全县 全区 全校 全年 全部 整体 整个 总体 个体 群体 社会 经济 政治 文化 教育 科学 技术 工业 农业 商业 军事 外交 交通 运输 贸易 金融 \
    政府 市政府 县政府 省政府 中央 地方 机关 机构 组织 团体 单位 部门 公司 企业 工厂 商店 学校 大学 学院 中学 小学 医院 银行 法院 警察 军队 \
    部队 军人 士兵 人员 人民 人类 人们 居民 市民 国民 公民 农民 工人 学生 教师 老师 教授 作家 作者 科学家 学者 专家 医生 领导 领导人 总统 总理 \
    主席 国王 皇帝 女王 王子 公主 将军 司令 部长 市长 省长 州长 校长 议员 代表 成员 会员 球员 队员 选手 教练 导演 演员 歌手 主角 男性 女性 \
    男子 女子 儿童 青年 少年 老人 父亲 母亲 父母 兄弟 姐妹 丈夫 妻子 儿子 女儿 孩子 家庭 家族 民族 种族 宗教 信仰 语言 文字 方言 名称 名字 \
    国家 城市 首都 首府 省会 乡村 农村 村庄 城镇 乡镇 街道 道路 公路 铁路 桥梁 隧道 车站 机场 港口 码头 海港 河流 河段 河道 河水 干流 支流 上游 \
    中游 下游 湖泊 湖水 海洋 海水 海岸 海岸线 海域 海面 水域 水面 水库 水系 山脉 山区 山地 山峰 山顶 主峰 高峰 高山 大山 火山 平原 高原 盆地 丘陵 \
    沙漠 草原 森林 森林公园 岛屿 半岛 群岛 小岛 大陆 大洋 大海 边境 边界 国界 地形 地势 地貌 地质 地震 震央 震中 气候 天气 环境 资源 能源 \
    自然 动物 植物 生物 物种 鸟类 鱼类 昆虫 树木 花卉 水果 蔬菜 粮食 食物 食品 产品 商品 作物 药物 材料 原料 物质 元素 金属 气体 液体 固体 \
    建筑 建筑物 房屋 大楼 大厦 塔楼 宫殿 寺庙 教堂 寺院 庙宇 城堡 遗址 遗迹 墓地 公园 花园 广场 中心 市中心 中部 东部 西部 南部 北部 东北部 \
    西北部 东南部 西南部 东侧 西侧 南侧 北侧 两侧 两岸 东岸 西岸 南岸 北岸 内部 外部 上部 下部 前部 后部 周围 附近 周边 中间 中央 正中 顶部 底部 表面 \
    核心 人工 人造 天然 自动 手工 机械 墙体 墙壁 壕堑 天险 石头 木材 钢铁 车辆 汽车 火车 列车 飞机 船只 船舶 轮船 舰艇 武器 设备 设施 工程 \
    工程师 项目 计划 方案 法案 法律 法规 条约 协议 制度 体系 系统 结构 组成 形式 方式 方法 过程 结果 原因 影响 作用 意义 价值 目的 目标 内容 \
    问题 特点 特征 特色 性质 条件 情况 状态 状况 关系 联系 区别 变化 发展 增长 下降 上升 增加 减少 数量 数目 数字 数据 比例 比率 速度 重量 质量 密度 \
    体积 容量 距离 范围 规模 程度 水平 等级 级别 类型 种类 类别 风格 流派 思想 理论 学说 观点 看法 概念 定义 原理 规律 战争 战役 战斗 革命 起义 \
    运动 事件 事故 灾害 活动 会议 比赛 赛事 联赛 冠军 亚军 决赛 赛季 球队 球场 体育 体育场 体育馆 音乐 美术 艺术 文学 诗歌 小说 散文 戏剧 电影 \
    影片 电视 电视剧 节目 动画 漫画 游戏 歌曲 专辑 单曲 作品 著作 书籍 杂志 报纸 编辑 编辑部 出版 发行 网站 网络 互联网 软件 硬件 程序 数据库 \
    计算机 电脑 手机 电话 信息 新闻 媒体 记者 报道 报告 文章 文献 资料 记录 记载 档案 图书 图书馆 博物馆 展览 展馆 文物 遗产 传统 习俗 节日 \
    生活 工作 学习 研究 调查 考古 发掘 测量 测绘 统计 计算 分析 实验 试验 检查 治疗 手术 疾病 病人 患者 症状 死亡 死者 伤者 遇难者 出生 \
    成立 建成 完成 开始 结束 使用 利用 应用 生产 制造 建设 建造 修建 改建 重建 扩建 迁移 移民 旅游 旅客 乘客 游客 观众 读者 用户 客户 \
    顾客 消费者 收入 支出 价格 成本 利润 资金 投资 贷款 税收 预算 总额 产值 产量 销量 销售 市场 股票 股份 合作 合同 竞争 管理 服务 \
    安全 保护 控制 检测 监督 审查 批准 决定 命令 规定 要求 需要 支持 反对 抗议 选举 投票 议会 国会 政党 党派 联盟 同盟 敌人 朋友 \
    誓言 意见 建议 消息 事实 真相 故事 传说 神话 梦想 希望 爱情 友谊 精神 心理 身体 头部 手臂 眼睛 耳朵 心脏 大脑 血液 皮肤 骨骼 肌肉 细胞 \
    颜色 形状 大小 声音 光线 味道 气味 时速 航程 里程 总里程 全程 航线 路线 线路 班次 列车 站台 大厅 大门 城门 门楼 龙柱 柱子 屋顶 牌坊 \
    春季 夏季 秋季 冬季 雨季 旱季 早上 上午 中午 下午 晚上 白天 夜间 今天 昨天 明天 当天 当日 当年 今年 去年 明年 此后 其后 之后 之前 期间 \
    上半年 下半年 季度 第一季 财政 财年 公里 公尺 平方公里 英里 官员 当局 编制 行政 行政区 行政区划 辖区 政区 州府 市府 县城 县治 府治 \
    双方 对方 各方 多方 单方 一方 另一方 前者 后者 两者 三者 本人 自己 他人 别人 大家 众人 有人 某人 此人 其人 该人 私人 公众 大众 全体 集体 \
    全家 一家 国营 私营 公立 私立 国立 市立 省立 县立 年级 班级 课程 专业 学科 学位 学历 学士 硕士 博士 论文 期刊 图书 教材 考试 成绩 \
    包里 店里 家里 城里 村里 校园 园区 厂区 矿区 林区 牧区 灾区 战区 特区 新区 老区 社区 小区 公社 大队 本土 本地 当地 外地 异地 各地 内地 沿海 \
    内陆 沿岸 远洋 深海 近海 高空 太空 宇宙 天空 月球上 地球上 人均 每年 每天 每月 每日 每人 年度 月份 总数 总量 余下 其余 剩余 多数 少数 \
    过火 受灾 伤亡 死伤 占地 建筑面积 使用面积 设计 设计师 施工 开工 竣工 通车 运营 营业 投资 总投资 造价 工期 核准 规划";

/// Characters that stand between general words in a phrase that names nothing.
const COMMON_CHARS: &str = "总年均各的主大小高低长短新旧老东西南北中内外上下前后左右全本该这那其此每多少数几一二三四五六七八九十百千万亿两根条座个只支部名位间家处口和与及或于在人市省县区镇乡村州城岛山河江湖海路街线站";

/// Single characters that are no stem of a name: "大山", "新城".
const PLAIN_STEMS: &str = "大小高老新古本全东西南北中内外上下前后火雪主总分旧各每此多众名该这那其他她它一二三四五六七八九十两几数某同有无是为不也都就还又再很更最好坏深浅远近宽窄厚薄粗细强弱快慢冷热干湿暗浊美丑真假公私正副单双男女少国省市县区乡镇村军学农工商民党政会城山河江海湖岛水陆空母父机电车船书报飞";

/// Names that no suffix shows, and short ones whose stem is a plain word.
const KNOWN: &str = "中国 中华 中华人民共和国 中华民国 美国 英国 法国 德国 俄国 俄罗斯 日本 韩国 朝鲜 印度 泰国 越南 老挝 寮国 柬埔寨 缅甸 马来西亚 新加坡 \
    印尼 印度尼西亚 菲律宾 文莱 汶莱 东帝汶 蒙古 尼泊尔 不丹 孟加拉 孟加拉国 斯里兰卡 马尔代夫 巴基斯坦 阿富汗 伊朗 伊拉克 叙利亚 黎巴嫩 以色列 \
    巴勒斯坦 约旦 沙特阿拉伯 沙特 沙乌地阿拉伯 也门 叶门 阿曼 阿联酋 卡塔尔 卡达 巴林 科威特 土耳其 格鲁吉亚 乔治亚 亚美尼亚 阿塞拜疆 亚塞拜然 哈萨克斯坦 哈萨克 \
    乌兹别克斯坦 土库曼斯坦 吉尔吉斯斯坦 塔吉克斯坦 塔吉克 塞浦路斯 赛普勒斯 希腊 意大利 义大利 西班牙 葡萄牙 荷兰 比利时 卢森堡 瑞士 奥地利 列支敦士登 \
    摩纳哥 安道尔 圣马力诺 梵蒂冈 马耳他 马尔他 爱尔兰 冰岛 丹麦 挪威 瑞典 芬兰 爱沙尼亚 拉脱维亚 立陶宛 波兰 捷克 斯洛伐克 匈牙利 罗马尼亚 \
    保加利亚 塞尔维亚 黑山 蒙特内哥罗 克罗地亚 克罗埃西亚 斯洛文尼亚 斯洛维尼亚 波黑 波斯尼亚 北马其顿 马其顿 阿尔巴尼亚 科索沃 乌克兰 白俄罗斯 摩尔多瓦 \
    埃及 利比亚 突尼斯 突尼西亚 阿尔及利亚 摩洛哥 苏丹 南苏丹 埃塞俄比亚 衣索比亚 厄立特里亚 索马里 吉布提 肯尼亚 肯亚 乌干达 坦桑尼亚 坦尚尼亚 卢旺达 卢安达 \
    布隆迪 蒲隆地 刚果 加蓬 喀麦隆 乍得 查德 中非 尼日尔 尼日利亚 奈及利亚 贝宁 多哥 加纳 迦纳 科特迪瓦 利比里亚 塞拉利昂 几内亚 塞内加尔 冈比亚 \
    马里 马利 毛里塔尼亚 布基纳法索 佛得角 安哥拉 赞比亚 尚比亚 津巴布韦 辛巴威 马拉维 莫桑比克 莫三比克 博茨瓦纳 波札那 纳米比亚 南非 莱索托 斯威士兰 马达加斯加 \
    毛里求斯 模里西斯 塞舌尔 科摩罗 加拿大 墨西哥 危地马拉 瓜地马拉 伯利兹 贝里斯 洪都拉斯 宏都拉斯 萨尔瓦多 尼加拉瓜 哥斯达黎加 哥斯大黎加 巴拿马 古巴 牙买加 海地 \
    多米尼加 多明尼加 波多黎各 巴哈马 巴巴多斯 特立尼达和多巴哥 哥伦比亚 委内瑞拉 圭亚那 苏里南 厄瓜多尔 厄瓜多 秘鲁 玻利维亚 巴西 巴拉圭 乌拉圭 智利 阿根廷 澳大利亚 澳洲 \
    新西兰 纽西兰 斐济 萨摩亚 汤加 东加 瓦努阿图 基里巴斯 图瓦卢 瑙鲁 帕劳 苏联 南斯拉夫 捷克斯洛伐克 东德 西德 香港 澳门 台湾 台湾地区 亚洲 欧洲 非洲 大洋洲 \
    北美洲 南美洲 南极洲 拉丁美洲 美洲 北美 南美 东亚 南亚 东南亚 中东 西欧 东欧 北欧 南欧 中亚 西亚 北非 太平洋 大西洋 印度洋 北冰洋 世界 世界上 全球 \
    中国大陆 大陆 英格兰 苏格兰 威尔士 北爱尔兰 太阳系 银河系 地球 月球 太阳 月亮 水星 金星 火星 木星 土星 天王星 海王星 冥王星 谷神星 \
    北京 上海 天津 重庆 广州 深圳 南京 杭州 成都 武汉 西安 长沙 郑州 济南 青岛 大连 沈阳 哈尔滨 长春 苏州 宁波 厦门 福州 昆明 贵阳 南宁 海口 拉萨 \
    兰州 西宁 银川 乌鲁木齐 呼和浩特 太原 石家庄 合肥 南昌 台北 台中 台南 高雄 基隆 新竹 东京 大阪 京都 名古屋 横滨 首尔 平壤 曼谷 河内 伦敦 巴黎 柏林 罗马 \
    莫斯科 纽约 洛杉矶 芝加哥 华盛顿 悉尼 雪梨 开罗 雅典 广东 广西 湖南 湖北 河南 河北 山东 山西 陕西 四川 贵州 云南 浙江 江苏 江西 福建 安徽 辽宁 吉林 \
    黑龙江 内蒙古 宁夏 新疆 西藏 青海 甘肃 海南 长江 黄河 珠江 淮河 海河 汉江 黄山 泰山 华山 衡山 嵩山 恒山 长城 红海 黑海 黄海 东海 南海 白海 死海 里海 咸海 北海 \
    南极 北极 汉朝 唐朝 宋朝 元朝 明朝 清朝 秦朝 隋朝 水 冰 光 力 空气 电流 电压 电阻 电荷 电量 电容 频率 压力 压强 能量 功率 功 热量 时间 长度 质量 温度 物质的量 \
    发光强度 光强度 角度 面积 体积 速度 加速度 密度 声音 光速 声速 辐射 亮度 照度 磁通量 电感 信息量 数据量 重量 距离";

/// Ends of names of places, bodies, works, peoples, and of terms; longer ones first where one ends another.
#[rustfmt::skip]
const SUFFIXES: &[&str] = &[
    "人民共和国", "特别行政区", "高速公路", "俱乐部", "共和国", "自治区", "自治州", "委员会", "图书馆", "博物馆", "体育场", "体育馆", "联合会",
    "电视台", "航空", "山脉", "群岛", "半岛", "高原", "平原", "盆地", "沙漠", "草原", "峡谷", "瀑布", "冰川", "火山", "海峡", "海湾", "运河", "王国",
    "帝国", "联邦", "大街", "大道", "大桥", "公园", "车站", "机场", "铁路", "公路", "大学", "学院", "中学", "小学", "医院", "银行", "公司", "集团",
    "协会", "学会", "联盟", "联赛", "大厦", "长城", "遗址", "古城", "王朝", "星系", "星座", "条约", "战争", "战役", "革命", "起义", "事件", "主义",
    "学派", "定律", "定理", "方程", "公式", "函数", "算法", "协议", "软件", "乐团", "乐队", "组合", "病毒", "细菌", "金属", "元素", "细胞", "蛋白",
    "语言", "运动", "导弹", "卫星", "电池", "号线", "线", "山", "峰", "岭", "河", "江", "溪", "川", "湖", "海", "洋", "湾", "港", "岛", "洲", "国", "省", "市",
    "县", "区", "州", "郡", "乡", "镇", "村", "城", "堡", "街", "路", "桥", "塔", "寺", "庙", "宫", "殿", "陵", "墓", "园", "站", "党", "社", "报",
    "朝", "族", "语", "教", "星", "奖", "杯", "学", "论", "酸", "素", "菌", "病", "症", "炎", "癌", "虫", "鸟", "鱼", "龙", "树", "花", "草", "石",
    "肌", "骨", "腺", "膜", "器", "矿", "炮", "枪", "舰", "艇", "剧", "队", "军", "团", "坛", "院", "馆", "门", "谷", "坝", "渠", "泉", "井", "洞", "窟", "楼", "阁", "亭", "台", "元", "币",
];

/// Beginnings that say a role or a circumstance and are no part of a name.
#[rustfmt::skip]
const ROLES: &[&str] = &[
    "起点", "终点", "根据", "按照", "按", "经过", "随后", "主体", "全长", "位于", "分别", "其中", "包括", "总", "年均", "平均", "常住", "围",
    "占领", "攻占", "进入", "离开", "前往", "来到", "到达", "建立", "成为", "属于", "直到", "直至", "以及", "发源", "流经", "穿过", "横跨", "介于",
    "连接", "通往", "邻近", "毗邻", "接壤", "至今", "迄今", "曾任", "现任", "时任", "担任", "依", "据", "因", "若", "虽", "除", "每", "各", "诸", "如",
    "像", "使", "令", "让", "受", "遭", "名列", "排名", "持续", "官方", "估计", "编辑", "政府", "市政", "仅", "近", "距", "离", "当", "至", "自", "从",
    "父亲", "母亲", "妻子", "丈夫", "儿子", "女儿", "哥哥", "弟弟", "姐姐", "妹妹", "祖父", "祖母", "长子", "次子", "三弟", "其", "著名", "发送", "提高", "减少", "保持", "选择", "避免", "进行", "利用", "添加", "删除", "打开", "了解", "掌握", "制定",
    "参与", "培养", "获得", "实现", "确保", "提供", "收集", "采用", "缺乏", "拥有", "具有", "享受", "追求", "喜欢", "热爱", "新闻", "财经", "新浪", "腾讯", "搜狐", "网易", "记者", "本报", "城中", "岛内", "境内", "国内", "省内", "市内", "区内", "县内", "校内", "院内", "馆内",
];

/// Words before a phrase that call it a name.
#[rustfmt::skip]
const CALLS: &[&str] = &["简称", "簡稱", "又称", "又稱", "称为", "稱為", "名为", "名為", "又名", "也称", "也稱", "叫做", "俗称", "俗稱", "通称", "通稱"];

static COMMON_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON.split_whitespace().collect());
static KNOWN_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| KNOWN.split_whitespace().collect());

/// True if a phrase is put together of general words.
pub(crate) fn is_common(key: &str) -> bool {
    if KNOWN_SET.contains(key) {
        return false;
    }
    let chars: Vec<(usize, char)> = key.char_indices().collect();
    let byte = |i: usize| chars.get(i).map_or(key.len(), |c| c.0);
    let mut reached = vec![false; chars.len() + 1];
    reached[0] = true;
    for i in 0..chars.len() {
        if !reached[i] {
            continue;
        }
        if COMMON_CHARS.contains(chars[i].1) || chars[i].1.is_ascii_digit() {
            reached[i + 1] = true;
        }
        for to in i + 2..=chars.len().min(i + 5) {
            if COMMON_SET.contains(&key[byte(i)..byte(to)]) {
                reached[to] = true;
            }
        }
    }
    reached[chars.len()]
}

/// True if a phrase is known as a name or a unit of measure, or a term of one character.
pub(crate) fn is_known(key: &str) -> bool {
    KNOWN_SET.contains(key) || MEASURE_UNITS.contains(&key) || (key.chars().count() == 1 && SINGLE.contains(key))
}

/// True if a phrase looks like a name by itself: a known one, a transliteration, a name in Latin letters, or a stem and a suffix.
pub(crate) fn looks_named(key: &str) -> bool {
    if is_known(key) || key.starts_with('《') {
        return true;
    }
    if is_common(key) || ROLES.iter().any(|r| key.starts_with(r)) {
        return false;
    }
    if key.contains(['·', '・', '‧', '•']) {
        return true;
    }
    let chars: Vec<char> = key.chars().collect();
    if chars.iter().filter(|c| c.is_ascii_alphabetic()).count() >= 2 && chars.iter().all(|c| !c.is_whitespace()) {
        return true;
    }
    if chars.len() >= 3 && chars.iter().all(|c| TRANSLITERATION.contains(*c)) {
        return true;
    }
    if starts_known(&chars) {
        return true;
    }
    let stem = SUFFIXES.iter().find_map(|s| key.strip_suffix(s).filter(|stem| !stem.is_empty()));
    stem.is_some_and(|stem| {
        let plain = stem.chars().count() == 1 && PLAIN_STEMS.contains(stem);
        !plain && !is_common(stem)
    })
}

/// True for a known name with something behind it that is not a general word alone: "中国铁道部", but not "英国移民".
fn starts_known(chars: &[char]) -> bool {
    (2..=6).rev().filter(|&n| n < chars.len()).any(|n| {
        let (head, tail) = chars.split_at(n);
        let tail: String = tail.iter().collect();
        let fits = chars.len() - n <= 3 || SUFFIXES.iter().any(|s| tail.ends_with(s));
        fits && KNOWN_SET.contains(head.iter().collect::<String>().as_str()) && !is_common(&tail)
    })
}

/// True if a phrase is a name or a term: by itself, or because its document treats it as one. `key` is in simplified
/// characters, `written` as the document has it.
pub(crate) fn is_named(key: &str, written: &str, document: &str) -> bool {
    if looks_named(key) {
        return true;
    }
    if is_common(key) || ROLES.iter().any(|r| key.starts_with(r)) {
        return false;
    }
    let marked = |before: &str, after: &str| document.contains(&format!("{before}{written}{after}"));
    let quoted = marked("「", "」") || marked("“", "”") || marked("《", "》") || marked("『", "』");
    let called = CALLS.iter().any(|c| marked(c, ""));
    let bracket = marked("", "（") || marked("", "(");
    let topic = document.trim_start().starts_with(written);
    let times = document.matches(written).count();
    (quoted || called || bracket || topic) && times >= 2 || topic && marked("", "，") || times >= 4 && key.chars().count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_general_words() {
        for name in ["秘鲁", "尼罗河", "珠穆朗玛峰", "溧阳市", "大韩航空", "表观遗传学", "金", "牛顿", "亚里士多德", "中国铁道部", "CNN"]
        {
            assert!(is_named(name, name, ""), "{name}");
        }
        for phrase in ["平均", "常住人口", "境内", "老城", "城墙", "官方估计", "起点站昆明北站", "围陷后燕", "大山", "极端最低气温"]
        {
            assert!(!is_named(phrase, phrase, &format!("{phrase}，{phrase}（")), "{phrase}");
        }
    }

    #[test]
    fn a_document_may_show_a_name() {
        assert!(!is_named("烽火", "烽火", "他看見烽火。"));
        assert!(is_named("烽火", "烽火", "烽火，也叫烽燧，是古代軍情報警的一種措施。"));
        assert!(is_named("民建", "民建", "中國民主建國會，簡稱民建，是政黨。民建創立於1945年。"));
    }
}
