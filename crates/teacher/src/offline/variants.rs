//! Traditional characters that rules mention, and their simplified forms.
//!
//! Only what patterns need: the text itself is never converted, so answers stay as the document has them.

use std::borrow::Cow;

/// Traditional and simplified form, in pairs.
const PAIRS: &str = "為为於于國国長长號号點点積积語语貨货幣币稱称發发現现創创個个種种們们這这該该誰谁麼么裡里裏里條条座座開开關关設设\
    處处區区縣县島岛東东歐欧亞亚當当時时從从對对與与將将會会無无並并來来說说過过還还給给經经後后數数約约達达溫温觀观見见認认識识\
    學学書书畫画電电腦脑氣气體体質质徑径釐厘釣钓鐘钟鍾钟頂顶頭头題题類类顆颗領领風风飛飞馬马魚鱼鳥鸟龍龙總总統统級级結结\
    織织組组終终網网線线維维緊紧編编練练縮缩羅罗聯联聲声職职腦脑膠胶興兴舊旧華华萬万億亿葉叶蓋盖藝艺藥药衛卫衝冲補补裝装製制\
    複复視视親亲覺觉計计訂订討讨記记訪访評评詞词試试詩诗話话詳详誌志課课調调請请論论證证譯译議议護护讀读變变讓让財财貝贝負负費费\
    資资賓宾賣卖賽赛趙赵車车軍军軟软較较載载輕轻輪轮農农連连週周進进運运遊游遠远適适遷迁選选遺遗邊边郵邮鄉乡銀银銅铜鋼钢錄录鐵铁\
    門门間间閃闪閉闭陸陆陽阳陰阴際际隊队雖虽雙双難难雲云靈灵靜静響响項项順顺須须預预願愿顏颜顯显飯饭飲饮館馆驗验鹽盐麗丽麥麦黃黄\
    爾尔狀状獨独獲获環环產产畢毕異异療疗發发盡尽眾众碼码礦矿確确禮礼稅税積积穩稳競竞筆笔節节範范築筑簡简糧粮紀纪約约紅红納纳純纯\
    紙纸細细紹绍給给統统絕绝經经綠绿緯纬縱纵繼继續续義义習习聖圣聞闻肅肃腳脚臺台舉举艦舰蘇苏處处術术衆众規规覽览觸触訓训許许診诊\
    詢询誤误謝谢譽誉豐丰貢贡貴贵買买貿贸賀贺賢贤購购贊赞躍跃轉转辦办遼辽鄭郑釋释銷销鋒锋錢钱鎮镇鏡镜閱阅闊阔陳陈隨随險险離离韓韩則则\
    盧卢薩萨烏乌蘭兰賴赖倫伦魯鲁諾诺邁迈馮冯岡冈漢汉懷怀賈贾堅坚傑杰凱凯勞劳萊莱瑪玛滿满緬缅彌弥寧宁紐纽龐庞欽钦瓊琼熱热絲丝壇坛湯汤\
    騰腾圖图韋韦偉伟錫锡揚扬張张劉刘吳吴楊杨鄧邓蕭萧孫孙呂吕蔣蒋譚谭鄒邹閻阎嚴严龔龚樂乐顧顾齊齐倉仓塢坞巖岩嶺岭嶼屿峽峡崗岗慶庆戰战\
    擴扩據据擁拥擊击攝摄敘叙斷断曆历歷历滅灭潔洁澤泽濱滨灣湾灘滩獎奖畝亩窯窑籃篮繪绘脫脱臘腊莊庄蒼苍蠻蛮誕诞贏赢趨趋跡迹輛辆轄辖遜逊\
    鄰邻醫医鑽钻閣阁階阶頓顿頒颁頻频餘余駐驻驅驱鬥斗鮑鲍鯨鲸齡龄廳厅廠厂廟庙廣广強强彈弹徵征憲宪態态戶户損损擇择擔担敵敌樓楼構构標标\
    樣样橋桥機机檢检歸归殘残氫氢漸渐潤润燈灯營营爭争牆墙狹狭獅狮盤盘監监磚砖穀谷窮穷綱纲緣缘罰罚聰聪脈脉脅胁臟脏艱艰荊荆莖茎蓮莲薦荐\
    虛虚蟲虫諸诸讚赞豬猪貞贞貫贯責责贈赠軌轨輸输辭辞鋁铝鋅锌鎂镁鎢钨鈉钠鈣钙鉀钾鉛铅鈦钛鈾铀鐳镭隱隐雜杂騎骑驚惊鶴鹤鷹鹰黨党齒齿僅仅\
    價价傳传僑侨儀仪優优兇凶劍剑勢势勝胜動动務务勵励卻却廈厦參参吶呐員员問问啟启喚唤嘆叹嘗尝嚇吓園园圍围墳坟壓压壯壮壽寿奪夺婦妇媽妈\
    孿孪審审寫写寬宽寶宝尋寻導导屆届層层屬属嶄崭帥帅師师帶带幫帮幹干庫库彎弯徹彻恆恒惡恶惱恼愛爱慣惯慮虑憂忧憑凭懲惩懼惧戲戏拋抛掃扫\
    採采換换揮挥撥拨擬拟擾扰攔拦攜携敗败晉晋暈晕暢畅暫暂枴拐柵栅棄弃棧栈棲栖楓枫極极榮荣槍枪櫃柜權权歡欢歲岁氾泛決决沒没況况洩泄涼凉\
    淚泪淨净淵渊淺浅減减渦涡測测渾浑湧涌準准溝沟滬沪滲渗漁渔漿浆澇涝潰溃濃浓濕湿瀏浏災灾煉炼煙烟煩烦燒烧燭烛爐炉爛烂牽牵犧牺獄狱獵猎\
    獸兽瑣琐瓏珑甌瓯瘋疯癒愈癥症皺皱盜盗盞盏睜睁矚瞩礎础禍祸禦御窩窝竄窜竊窃筍笋籠笼籤签緩缓締缔繩绳繫系罵骂羨羡聽听膚肤膽胆臉脸臨临\
    艙舱蕩荡藍蓝蘆芦虧亏蝦虾蟻蚁褲裤襲袭詭诡誘诱誠诚誦诵諧谐謀谋謂谓謊谎講讲謙谦謬谬譴谴豎竖豔艳販贩貪贪貼贴賊贼賞赏賠赔贖赎趕赶踐践\
    躉趸輝辉輩辈輯辑轎轿辯辩迴回逕径遞递遲迟遙遥酈郦醬酱釀酿釘钉針针鈴铃鉤钩銘铭鋪铺鋸锯錦锦鍋锅鍛锻鎖锁鏟铲鐮镰鑄铸鑑鉴鑼锣閘闸閒闲\
    闖闯陣阵陝陕隸隶隻只雞鸡霧雾頁页頌颂頗颇頑顽頸颈飄飘飢饥飼饲飽饱飾饰餅饼餓饿饑饥駁驳駕驾駛驶駱骆騙骗騷骚驕骄驟骤髒脏鬆松鬧闹鮮鲜\
    鯉鲤鱷鳄鳳凤鴉鸦鴨鸭鴻鸿鵝鹅鵬鹏鹼碱黏粘併并佔占";

/// The simplified form of one character, borrowed if there is nothing to change.
pub(crate) fn simplified(piece: &str) -> Cow<'_, str> {
    let mut chars = piece.chars();
    if let (Some(c), None) = (chars.next(), chars.next())
        && let Some(simple) = lookup(c)
    {
        return Cow::Owned(simple.to_string());
    }
    Cow::Borrowed(piece)
}

/// True if `c` is a traditional character of the table.
pub(crate) fn is_traditional(c: char) -> bool {
    lookup(c).is_some_and(|s| s != c)
}

fn lookup(c: char) -> Option<char> {
    static TABLE: std::sync::LazyLock<std::collections::HashMap<char, char>> = std::sync::LazyLock::new(|| {
        let chars: Vec<char> = PAIRS.chars().filter(|c| !c.is_whitespace()).collect();
        chars.chunks_exact(2).map(|p| (p[0], p[1])).collect()
    });
    TABLE.get(&c).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_pairs_that_differ() {
        assert_eq!(PAIRS.chars().filter(|c| !c.is_whitespace()).count() % 2, 0);
        assert_eq!(simplified("國"), "国");
        assert_eq!(simplified("山"), "山");
        assert!(is_traditional('為') && !is_traditional('为'));
    }
}
