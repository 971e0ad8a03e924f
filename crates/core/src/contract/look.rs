//! Getters on nodes whose shape was checked before: what did not fit was reported there and counts as absent here.

use crate::reader::Spanned;
use crate::yaml::{Node, NodeKind};

pub fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::as_text).map(str::to_owned)
}

pub fn spanned_text(node: &Node, key: &str) -> Option<Spanned<String>> {
    let value = node.get(key)?;
    Some(Spanned { value: value.as_text()?.to_owned(), span: value.span })
}

/// A text, number or boolean, as written.
pub fn written(node: &Node) -> Option<Spanned<String>> {
    let value = match &node.kind {
        NodeKind::Text(text) | NodeKind::Number(text) => text.clone(),
        NodeKind::Bool(value) => value.to_string(),
        _ => return None,
    };
    Some(Spanned { value, span: node.span })
}

pub fn flag(node: &Node, key: &str) -> bool {
    node.get(key).and_then(Node::as_bool).unwrap_or(false)
}

pub fn spanned_flag(node: &Node, key: &str) -> Option<Spanned<bool>> {
    let value = node.get(key)?;
    Some(Spanned { value: value.as_bool()?, span: value.span })
}

pub fn whole(node: &Node, key: &str) -> Option<Spanned<u64>> {
    let value = node.get(key)?;
    Some(Spanned { value: u64::try_from(value.as_i64()?).ok()?, span: value.span })
}

pub fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

/// A text or a list of texts.
pub fn texts(node: &Node, key: &str) -> Vec<Spanned<String>> {
    let Some(value) = node.get(key) else { return Vec::new() };
    let nodes = value.as_list().unwrap_or(std::slice::from_ref(value));
    nodes.iter().filter_map(|n| Some(Spanned { value: n.as_text()?.to_owned(), span: n.span })).collect()
}

pub fn strings(node: &Node, key: &str) -> Vec<String> {
    texts(node, key).into_iter().map(|text| text.value).collect()
}
