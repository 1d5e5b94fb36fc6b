//! What elements mean for reading.

/// What an element does to the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Never text for a reader.
    Invisible,
    /// Begins and ends a block.
    Block,
    /// A heading.
    Heading,
    /// An item of a list.
    Item,
    /// A cell of a table.
    Cell,
    /// Preformatted text.
    Pre,
    /// A line break.
    Break,
    /// Everything else.
    Inline,
}

macro_rules! tags {
    ($($role:ident: $($variant:ident $name:literal),+;)+) => {
        /// Elements by name, as far as extraction tells them apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the variants are the names of HTML")]
        pub enum Tag {
            /// No element: text, a comment, the document.
            None,
            /// An element of no other kind, read as inline.
            Other,
            /// A custom element, read as a block.
            Custom,
            $($($variant,)+)+
        }

        impl Tag {
            /// The tag of an element's local name.
            #[must_use]
            pub fn of(name: &str) -> Self {
                match name {
                    $($($name => Self::$variant,)+)+
                    _ if name.contains('-') => Self::Custom,
                    _ => Self::Other,
                }
            }

            /// What it does to the text around it.
            #[must_use]
            pub fn role(self) -> Role {
                match self {
                    Self::None | Self::Other => Role::Inline,
                    Self::Custom => Role::Block,
                    $($(Self::$variant)|+ => Role::$role,)+
                }
            }
        }
    };
}

tags! {
    Invisible: Script "script", Style "style", Template "template", Iframe "iframe", Object "object", Embed "embed",
        Svg "svg", Canvas "canvas", Audio "audio", Video "video", Map "map", Select "select", Textarea "textarea", Input "input",
        Option "option", Datalist "datalist", Head "head", Link "link", Meta "meta", Title "title", Progress "progress",
        Frameset "frameset", Noframes "noframes", Applet "applet", Rp "rp", Rt "rt";
    Heading: H1 "h1", H2 "h2", H3 "h3", H4 "h4", H5 "h5", H6 "h6";
    Item: Li "li", Dt "dt", Dd "dd";
    Cell: Td "td", Th "th";
    Pre: Pre "pre", Listing "listing", Xmp "xmp";
    Break: Br "br", Hr "hr";
    Block: P "p", Div "div", Section "section", Article "article", Main "main", Body "body", Html "html", Ul "ul", Ol "ol", Dl "dl",
        Table "table", Tbody "tbody", Thead "thead", Tfoot "tfoot", Tr "tr", Caption "caption", Blockquote "blockquote", Figure "figure",
        Figcaption "figcaption", Fieldset "fieldset", Legend "legend", Address "address", Details "details", Summary "summary",
        Center "center", Hgroup "hgroup", Search "search", Nav "nav", Footer "footer", Aside "aside", Header "header", Menu "menu",
        Form "form", Dialog "dialog", Button "button", Noscript "noscript";
    Inline: A "a", Span "span", Label "label", Time "time", Strong "strong", B "b", Em "em", I "i", Code "code", Img "img", Math "math",
        Annotation "annotation", Cite "cite", Del "del", Ins "ins", Sup "sup";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_roles() {
        assert_eq!((Tag::of("h2"), Tag::of("h2").role()), (Tag::H2, Role::Heading));
        assert_eq!((Tag::of("x-post").role(), Tag::of("blink").role()), (Role::Block, Role::Inline));
        assert_eq!(Tag::of("script").role(), Role::Invisible);
    }
}
