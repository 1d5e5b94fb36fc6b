//! What class, id, role and item names say about an element: a table of words in categories.
//!
//! A name is cut into words at every character that is no letter or digit and where a small letter meets a capital, and each word is
//! looked up. Beside English there is what sites in Chinese, Polish, Russian, Greek, German and the Romance languages name their parts, in
//! Latin letters. A category is a bit; what a category is worth is for the model to say, not for this table.

use super::tags::Tag;
use std::sync::OnceLock;

macro_rules! categories {
    ($($variant:ident $name:literal $words:literal,)+) => {
        /// A kind of hint.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the table below says which words each stands for")]
        pub enum Category { $($variant,)+ }

        /// Names of the categories, in the order of their bits.
        pub const CATEGORIES: &[&str] = &[$($name,)+];

        const WORDS: &[(Category, &str)] = &[$((Category::$variant, $words),)+];
    };
}

categories! {
    // By class and id.
    Navigation "navigation" "nav navbar navigation navi menu menus submenu megamenu menubar mainmenu topnav subnav sitenav mainnav dropdown tabnav hamburger daohang caidan menyu nawigacja navegacion navigazione navegacao",
    Crumbs "crumbs" "breadcrumb breadcrumbs crumb crumbs mianbaoxie weizhi bread okruszki kroshki migas",
    Footing "footing" "footer foot footnav bottom bottombar colophon copyright copyrights banquan stopka podval fusszeile piepagina piedpage rodape",
    Heading "heading" "header head masthead topbar banner top siteheader naglowek shapka kopfzeile cabecera entete testata cabecalho",
    Side "side" "sidebar sidebars side sidenav aside rail rightbar leftbar secondary right left complementary",
    Popup "popup" "cookie cookies consent gdpr ccpa onetrust privacy popup modal overlay lightbox dialog tooltip flyout drawer offcanvas toast alert",
    Form "form" "newsletter subscribe subscription signup login signin search searchform searchbox register optin cta contact form filter filters sort facet facets szukaj wyszukiwarka poisk suche suchfeld buscar buscador recherche ricerca cerca busca anazitisi",
    Share "share" "share sharing shares sharebar sharethis addthis addtoany bdshare bdsharebuttonbox social socials follow followus like likes vote votes facebook twitter weibo weixin wechat udostepnij podelitsya teilen compartir partager condividi compartilhar",
    Related "related" "related relateds recommended recommend recommendation recommendations similar more readmore trending popular hot latest recent upsell crosssell also suggestions suggested mostread hotnews tuijian xiangguan morefrom next powiazane polecane podobne pohozhie relacionadas relacionados correlati correlate sxetika",
    Ad "ad" "ad ads adv advert adverts advertisement advertising adbox adsense adsbygoogle dfp gpt guanggao sponsor sponsored sponsors promo promos promotion taboola outbrain reklama reklamy werbung publicidad publicite pubblicita publicidade diafimisi diafimiseis",
    Pager "pager" "pagination pager paging prevnext pagenav pages prev previous",
    Meta "meta" "meta metadata byline author authors date time timestamp datetime published pubdate posted info infos source laiyuan shijian zuozhe autor avtor auteur autore fecha fuente",
    Tags "tags" "tag tags taglist category categories cat keywords topics label labels badge tagi kategorie rubriki rubrika etiquetas",
    Comment "comment" "comment comments commentlist disqus pinglun responses replies reply respond discussion discuz komentarz komentarze kommentarii kommentarij kommentare kommentar comentarios comentario commentaires commentaire commenti sxolia",
    Review "review" "review reviews rating ratings testimonial testimonials feedback stars opinie otzyv otzyvy",
    Content "content" "content contents article articlebody articletext post posts entry story body text richtext rte wysiwyg markdown prose news newsbody zhengwen neirong maincontent postbody postcontent entrycontent articlecontent copy editor paragraph paragraphs trs tresc tekst artykul artykuly statya stati novost inhalt artikel contenido articulo cuerpo noticia contenu texte contenuto articolo testo conteudo materia keimeno arthro",
    Main "main" "main primary page center centre middle",
    Title "title" "title headline heading biaoti subject tytul zagolovok titel ueberschrift titulo titular titre titolo titlos",
    Product "product" "product products price prices sku cart buy add shop goods quantity stock variant variants swatch produkt produkty cena koszyk tovar tovary korzina preis warenkorb precio prix prezzo preco",
    Description "description" "description desc detail details spec specs specification specifications attributes features feature overview about ingredients opis opisanie beschreibung descripcion descrizione descricao perigrafi",
    Forum "forum" "thread threads topic message messages msg forum postbody quote signature user username member avatar profile usercard",
    Card "card" "card cards tile tiles item items grid list listing listings results result teaser teasers thumb thumbnail row",
    Slider "slider" "slide slides slider carousel swiper slick gallery lightgallery",
    Question "question" "faq faqs accordion question questions answer answers qa toggle collapse collapsible panel expand pytanie odpowiedz vopros otvet frage antwort pregunta respuesta",
    Lead "lead" "hero lead summary excerpt abstract dek standfirst subtitle subheading lede intro introduction zhaiyao daodu zajawka wstep anons chapo entradilla occhiello",
    Media "media" "caption credit figure image images img photo photos picture media video videos galeria zdjecie foto bild fotos kartinka",
    Hidden "hidden" "hidden none hide invisible visually visuallyhidden offscreen screenreader sr noprint print",
    Widget "widget" "widget widgets module plugin tool tools toolbar toolbox action actions buttons btn button utility",
    Contents "contents" "toc tableofcontents outline index",
    Region "region" "lang language languages locale region country countries switcher currency selector",
    Links "links" "tagcloud friendlink friendlinks links linklist youqing sitemap quicklinks",
    Legal "legal" "disclaimer legal terms policy notice license shengming",
    Profile "profile" "bio authorbox biography authorbio aboutauthor",
    // By tag, role or item property; see `structural`.
    NavTag "<nav>" "",
    HeaderTag "<header>" "",
    FooterTag "<footer>" "",
    AsideTag "<aside>" "",
    FormTag "<form>" "",
    MainTag "<main>" "",
    ArticleTag "<article>" "",
    SectionTag "<section>" "",
    TableTag "<table>" "",
    ListTag "<ul>" "",
    FigureTag "<figure>" "",
    QuoteTag "<blockquote>" "",
    DialogTag "<dialog>" "",
    DetailsTag "<details>" "",
    ButtonTag "<button>" "",
    LabelTag "<label>" "",
    LinkTag "<a>" "",
    BoldTag "<b>" "",
    TimeTag "<time>" "",
    BodyItem "itemprop=body" "",
    OtherItem "itemprop" "",
    NotShown "not shown" "",
    NoscriptTag "<noscript>" "",
}

/// Number of categories.
pub const COUNT: usize = CATEGORIES.len();
const _: () = assert!(COUNT <= 64);

impl Category {
    /// Its bit.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Longest word of the table.
const LONGEST: usize = 20;
const SLOTS: usize = 2048;

/// Open addressing over a fixed number of slots: a look-up is one hash and, mostly, one comparison.
struct Words {
    slots: Vec<(&'static str, u64)>,
}

fn slot_of(word: &[u8]) -> usize {
    let hash = word.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 29)) as usize % SLOTS
}

impl Words {
    fn build() -> Self {
        let mut slots = vec![("", 0_u64); SLOTS];
        for (category, words) in WORDS {
            for word in words.split_whitespace() {
                let mut at = slot_of(word.as_bytes());
                while !slots[at].0.is_empty() && slots[at].0 != word {
                    at = (at + 1) % SLOTS;
                }
                slots[at] = (word, slots[at].1 | category.bit());
            }
        }
        Self { slots }
    }

    fn get(&self, word: &[u8]) -> u64 {
        let mut at = slot_of(word);
        loop {
            let (have, bits) = self.slots[at];
            if have.is_empty() || have.as_bytes() == word {
                return bits;
            }
            at = (at + 1) % SLOTS;
        }
    }
}

/// Categories that the words of a class or id stand for.
#[must_use]
pub fn of_name(name: &str) -> u64 {
    static TABLE: OnceLock<Words> = OnceLock::new();
    let table = TABLE.get_or_init(Words::build);
    let mut bits = 0;
    let mut word = [0_u8; LONGEST];
    let mut length = 0;
    let mut small = false;
    for &byte in name.as_bytes().iter().chain(b" ") {
        if !byte.is_ascii_alphabetic() || (small && byte.is_ascii_uppercase()) {
            if (2..=LONGEST).contains(&length) {
                bits |= table.get(&word[..length]);
            }
            length = 0;
        }
        small = byte.is_ascii_lowercase();
        if byte.is_ascii_alphabetic() {
            if length < LONGEST {
                word[length] = byte.to_ascii_lowercase();
            }
            length += 1;
        }
    }
    bits
}

/// The category an element has by its tag.
#[must_use]
pub fn of_tag(tag: Tag) -> u64 {
    let category = match tag {
        Tag::Nav | Tag::Menu => Category::NavTag,
        Tag::Header => Category::HeaderTag,
        Tag::Footer => Category::FooterTag,
        Tag::Aside => Category::AsideTag,
        Tag::Form | Tag::Fieldset | Tag::Search => Category::FormTag,
        Tag::Main => Category::MainTag,
        Tag::Article => Category::ArticleTag,
        Tag::Section => Category::SectionTag,
        Tag::Table => Category::TableTag,
        Tag::Ul | Tag::Ol | Tag::Dl => Category::ListTag,
        Tag::Figure => Category::FigureTag,
        Tag::Blockquote => Category::QuoteTag,
        Tag::Dialog => Category::DialogTag,
        Tag::Details => Category::DetailsTag,
        Tag::Button => Category::ButtonTag,
        Tag::Label => Category::LabelTag,
        Tag::A => Category::LinkTag,
        Tag::B | Tag::Strong => Category::BoldTag,
        Tag::Time => Category::TimeTag,
        Tag::Noscript => Category::NoscriptTag,
        _ => return 0,
    };
    category.bit()
}

/// The category of a `role` attribute.
#[must_use]
pub fn of_role(role: &str) -> u64 {
    match role {
        "navigation" | "menu" | "menubar" => Category::NavTag.bit(),
        "banner" => Category::HeaderTag.bit(),
        "contentinfo" => Category::FooterTag.bit(),
        "complementary" => Category::AsideTag.bit(),
        "search" | "form" => Category::FormTag.bit(),
        "dialog" | "alertdialog" | "alert" | "tooltip" => Category::DialogTag.bit(),
        "main" => Category::MainTag.bit(),
        "article" => Category::ArticleTag.bit(),
        "button" | "toolbar" | "tab" => Category::ButtonTag.bit(),
        _ => 0,
    }
}

/// The category of an `itemprop` attribute.
#[must_use]
pub fn of_item(property: &str) -> u64 {
    match property {
        "articleBody" | "text" | "description" | "reviewBody" | "mainContentOfPage" | "commentText" | "acceptedAnswer" => {
            Category::BodyItem.bit()
        }
        _ => Category::OtherItem.bit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_names() {
        let bits = |name: &str| of_name(name);
        for name in ["nav", "main-nav", "siteNav2", "x_nav y", "NAV"] {
            assert_eq!(bits(name) & Category::Navigation.bit(), Category::Navigation.bit(), "{name}");
        }
        assert_eq!(bits("navy unavailable") & Category::Navigation.bit(), 0);
        assert_eq!(bits("post-123 comments"), Category::Content.bit() | Category::Comment.bit());
        assert_eq!(bits(&"a".repeat(10_000)), 0);
        assert_eq!(bits(""), 0);
    }

    #[test]
    fn every_word_can_be_found() {
        for (category, words) in WORDS {
            for word in words.split_whitespace() {
                assert!(word.len() <= LONGEST);
                assert_eq!(of_name(word) & category.bit(), category.bit(), "{word}");
            }
        }
    }
}
