//! XML as a tree with lines. A document type is refused, and with it every entity but XML's own five, so that no
//! text grows while it is read (XML 1.0, 4.1; "billion laughs").

use roxmltree::{Document, Node, ParsingOptions};

use super::report::Report;

/// Nodes of a document; a domain has a few hundred.
const NODES_MAX: u32 = 100_000;
/// Elements inside each other; libvirt and OVF need ten.
const DEPTH_MAX: usize = 64;

/// A document, and where its lines begin.
pub(super) struct Xml<'t> {
    document: Document<'t>,
    lines: Vec<usize>,
}

impl<'t> Xml<'t> {
    pub(super) fn root(&self) -> Element<'_, 't> {
        Element { node: self.document.root_element(), lines: &self.lines }
    }
}

/// The document; none where the report says why not.
pub(super) fn parse<'t>(text: &'t str, report: &mut Report) -> Option<Xml<'t>> {
    if let Some(line) = too_deep(text) {
        report.wrong(line, "", format!("nested more than {DEPTH_MAX} deep"), "no definition is");
        return None;
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    match Document::parse_with_options(text, options) {
        Ok(document) => {
            let lines = text.match_indices('\n').map(|(at, _)| at).collect();
            Some(Xml { document, lines })
        }
        Err(roxmltree::Error::DtdDetected) => {
            report.wrong(0, "", "it has a document type (<!DOCTYPE …>)", "take it out; no definition needs one");
            None
        }
        Err(error) => {
            let line = usize::try_from(error.pos().row).unwrap_or(0);
            report.wrong(line, "", format!("not XML: {error}"), "is the file whole?");
            None
        }
    }
}

/// The line where more than [`DEPTH_MAX`] tags are open, counted roughly and before anything is built: comments and
/// quoted texts may hold `<` too, but not so many.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at..];
        if let Some(skipped) =
            ["<!--", "<![CDATA["].iter().zip(["-->", "]]>"]).find(|(open, _)| tag.starts_with(**open))
        {
            let end = tag.find(skipped.1)?;
            rest = &tag[end..];
            continue;
        }
        let end = tag.find('>').unwrap_or(tag.len());
        match tag.as_bytes().get(1) {
            Some(b'/') => depth = depth.saturating_sub(1),
            Some(b'?' | b'!') => {}
            _ if tag[..end].ends_with('/') => {}
            _ => depth += 1,
        }
        if depth > DEPTH_MAX {
            return Some(text[..text.len() - rest.len() + at].matches('\n').count() + 1);
        }
        rest = &tag[end..];
    }
    None
}

/// An element, by its local names: prefixes differ from writer to writer.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 't> {
    node: Node<'a, 't>,
    lines: &'a [usize],
}

impl<'a, 't> Element<'a, 't> {
    pub(super) fn name(self) -> &'a str {
        self.node.tag_name().name()
    }
    pub(super) fn line(self) -> usize {
        self.lines.partition_point(|newline| *newline < self.node.range().start) + 1
    }
    pub(super) fn children(self) -> impl Iterator<Item = Element<'a, 't>> {
        self.node.children().filter(Node::is_element).map(move |node| Element { node, lines: self.lines })
    }
    pub(super) fn all(self, name: &str) -> impl Iterator<Item = Element<'a, 't>> {
        self.children().filter(move |child| child.name() == name)
    }
    pub(super) fn child(self, name: &str) -> Option<Element<'a, 't>> {
        self.all(name).next()
    }
    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        self.node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value())
    }
    /// Its own text, trimmed.
    pub(super) fn text(self) -> &'a str {
        self.node.text().unwrap_or_default().trim()
    }
    /// The text of a child, where there is some.
    pub(super) fn text_of(self, name: &str) -> Option<&'a str> {
        self.child(name).map(Element::text).filter(|text| !text.is_empty())
    }
    /// An attribute of a child.
    pub(super) fn attribute_of(self, child: &str, name: &str) -> Option<&'a str> {
        self.child(child)?.attribute(name)
    }
}
