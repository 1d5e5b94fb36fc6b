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
    詢询誤误謝谢譽誉豐丰貢贡貴贵買买貿贸賀贺賢贤購购贊赞躍跃轉转辦办遼辽鄭郑釋释銷销鋒锋錢钱鎮镇鏡镜閱阅闊阔陳陈隨随險险離离韓韩則则";

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
