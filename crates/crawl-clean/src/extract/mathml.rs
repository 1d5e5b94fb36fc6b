//! MathML as TeX: what is more than a line of signs, fractions and roots and what stands above and below, in braces.

use super::maths::LONGEST;
use crate::dom::{Dom, NONE, NodeId};

/// Elements within elements that are followed; deeper formulas are left as they are.
const DEEPEST: usize = 60;

/// TeX of the formula below `top`; `None` for one that reads as well from left to right, or is not understood. `fuel` is what may be
/// looked at.
pub(super) fn tex(dom: &Dom, top: NodeId, fuel: &mut usize) -> Option<String> {
    let mut writer = Writer { dom, out: String::new(), fuel, built: false };
    writer.row(top, DEEPEST)?;
    (writer.built && !writer.out.is_empty()).then_some(writer.out)
}

struct Writer<'a> {
    dom: &'a Dom,
    out: String,
    fuel: &'a mut usize,
    /// Something stands above or below the line.
    built: bool,
}

/// Marks over a letter, as TeX calls them.
const ACCENTS: [(&str, &str); 9] = [
    ("¯", "\\overline"),
    ("‾", "\\overline"),
    ("_", "\\overline"),
    ("^", "\\hat"),
    ("ˆ", "\\hat"),
    ("~", "\\tilde"),
    ("˜", "\\tilde"),
    ("→", "\\vec"),
    ("˙", "\\dot"),
];

impl<'a> Writer<'a> {
    fn elements(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<'a> {
        let dom = self.dom;
        dom.siblings(dom.nodes[id as usize].first_child).filter(|&child| !dom.name(child).is_empty())
    }

    /// All that stands below `id`, side by side.
    fn row(&mut self, id: NodeId, depth: usize) -> Option<()> {
        self.elements(id).try_for_each(|child| self.element(child, depth))
    }

    fn element(&mut self, id: NodeId, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        *self.fuel = self.fuel.checked_sub(1)?;
        if self.out.len() > LONGEST {
            return None;
        }
        let parts: Vec<NodeId> = self.elements(id).take(4).collect();
        match (self.dom.name(id), parts.as_slice()) {
            ("mi" | "mn" | "mo" | "mtext" | "ms", _) => self.sign(id)?,
            ("mspace", _) => self.space(),
            ("annotation" | "annotation-xml" | "mphantom", _) => {}
            ("mmultiscripts", _) => return None,
            ("semantics", &[shown, ..]) => self.element(shown, depth)?,
            ("mfrac", [_, _]) => self.command("\\frac", &parts, depth)?,
            ("msqrt", _) => {
                self.built = true;
                self.out.push_str("\\sqrt{");
                self.row(id, depth)?;
                self.out.push('}');
            }
            ("mroot", &[base, degree]) => {
                self.built = true;
                self.out.push_str("\\sqrt[");
                self.element(degree, depth)?;
                self.out.push(']');
                self.braces(base, depth)?;
            }
            ("msub" | "munder", &[base, below]) => self.scripts(base, below, NONE, depth)?,
            ("msup", &[base, above]) => self.scripts(base, NONE, above, depth)?,
            ("mover", &[base, above]) => match self.accent(above) {
                Some(accent) => self.command(accent, &[base], depth)?,
                None => self.scripts(base, NONE, above, depth)?,
            },
            ("msubsup" | "munderover", &[base, below, above]) => self.scripts(base, below, above, depth)?,
            ("mfenced", _) => {
                self.out.push('(');
                for (i, child) in self.elements(id).enumerate() {
                    self.out.push_str(if i > 0 { ", " } else { "" });
                    self.element(child, depth)?;
                }
                self.out.push(')');
            }
            ("mtable", _) => self.table(id, depth)?,
            _ => self.row(id, depth)?,
        }
        Some(())
    }

    fn table(&mut self, id: NodeId, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(2)?;
        self.built = true;
        self.out.push_str("\\begin{matrix} ");
        for (i, row) in self.elements(id).enumerate() {
            self.out.push_str(if i > 0 { " \\\\ " } else { "" });
            for (j, cell) in self.elements(row).enumerate() {
                *self.fuel = self.fuel.checked_sub(1)?;
                self.out.push_str(if j > 0 { " & " } else { "" });
                self.row(cell, depth)?;
            }
        }
        self.out.push_str(" \\end{matrix}");
        Some(())
    }

    fn command(&mut self, name: &str, arguments: &[NodeId], depth: usize) -> Option<()> {
        self.built = true;
        self.out.push_str(name);
        arguments.iter().try_for_each(|&argument| self.braces(argument, depth))
    }

    fn braces(&mut self, id: NodeId, depth: usize) -> Option<()> {
        self.out.push('{');
        self.element(id, depth)?;
        self.out.push('}');
        Some(())
    }

    fn scripts(&mut self, base: NodeId, below: NodeId, above: NodeId, depth: usize) -> Option<()> {
        self.built = true;
        // What is more than a sign is held together.
        if matches!(self.dom.name(base), "mi" | "mn" | "mo" | "mtext") {
            self.element(base, depth)?
        } else {
            self.braces(base, depth)?
        }
        self.out.truncate(self.out.trim_end().len());
        for (mark, id) in [('_', below), ('^', above)] {
            if id != NONE {
                self.out.push(mark);
                self.braces(id, depth)?;
            }
        }
        Some(())
    }

    fn accent(&self, id: NodeId) -> Option<&'static str> {
        let mark = self.dom.text_within(id, 20, 10)?;
        ACCENTS.iter().find(|(sign, _)| *sign == mark.trim()).map(|&(_, name)| name)
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with([' ', '{']) {
            self.out.push(' ');
        }
    }

    fn sign(&mut self, id: NodeId) -> Option<()> {
        let text = self.dom.text_within(id, 1000, 100)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match self.dom.name(id) {
            "mtext" if !text.is_empty() => self.out.push_str(&format!("\\text{{{text}}}")),
            // A name is no product of its letters.
            "mi" if text.chars().nth(1).is_some() => {
                if self.out.ends_with(char::is_alphanumeric) {
                    self.space();
                }
                self.out.push_str(&text);
                self.out.push(' ');
            }
            _ => {
                for c in text.chars() {
                    match c {
                        '\u{2061}'..='\u{2064}' => {}
                        '−' => self.out.push('-'),
                        '{' | '}' | '%' | '#' | '&' | '$' | '_' => self.out.extend(['\\', c]),
                        c => self.out.push(c),
                    }
                }
            }
        }
        Some(())
    }
}
