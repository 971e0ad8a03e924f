//! One-dimensional arrays as parameters: `= ANY($1)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use pgwire::api::Type;

use super::{from_binary, from_text};

pub fn decode(bytes: &Bytes, of: &Type, binary: bool) -> Option<ArrayRef> {
    let items = if binary { binary_items(bytes)? } else { text_items(std::str::from_utf8(bytes).ok()?)? };
    let item = |item: &Bytes| if binary { from_binary(item, of) } else { from_text(item, of) };
    // Nulls take the type of the rest.
    let known = items.iter().flatten().next().map(&item);
    let ty = match known {
        Some(first) => first?.data_type().clone(),
        None => DataType::Utf8,
    };
    let values: Option<Vec<ArrayRef>> =
        items.iter().map(|value| value.as_ref().map_or_else(|| Some(new_null_array(&ty, 1)), &item)).collect();
    let values = values?;
    let values = if values.is_empty() {
        new_null_array(&ty, 0)
    } else {
        concat(&values.iter().map(AsRef::as_ref).collect::<Vec<_>>()).ok()?
    };
    let field = Arc::new(Field::new("item", ty, true));
    Some(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None).ok()?))
}

/// Dimensions, whether there are nulls, the type; for each dimension length and lower bound; then each item with its
/// length, -1 for null.
fn binary_items(bytes: &Bytes) -> Option<Vec<Option<Bytes>>> {
    let word = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match word(0)? {
        0 => return Some(Vec::new()),
        1 => {}
        _ => return None,
    }
    let (mut at, mut items) = (20, Vec::new());
    for _ in 0..word(12)? {
        let length = word(at)?;
        at += 4;
        let Ok(length) = usize::try_from(length) else {
            items.push(None);
            continue;
        };
        bytes.get(at..at + length)?;
        items.push(Some(bytes.slice(at..at + length)));
        at += length;
    }
    Some(items)
}

/// `{a,"b \" c",NULL}`
fn text_items(text: &str) -> Option<Vec<Option<Bytes>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Some(items);
    }
    loop {
        let (mut item, mut quoted) = (String::new(), false);
        loop {
            match chars.peek().copied() {
                None | Some(',') => break,
                Some('"') => {
                    quoted = true;
                    chars.next();
                    loop {
                        match chars.next()? {
                            '"' => break,
                            '\\' => item.push(chars.next()?),
                            other => item.push(other),
                        }
                    }
                }
                Some('{' | '}') => return None,
                Some('\\') => {
                    chars.next();
                    item.push(chars.next()?);
                }
                Some(other) => {
                    item.push(other);
                    chars.next();
                }
            }
        }
        let plain = item.trim();
        items.push(match quoted {
            true => Some(Bytes::from(item)),
            false if plain.eq_ignore_ascii_case("null") => None,
            false => Some(Bytes::from(plain.to_owned())),
        });
        if chars.next().is_none() {
            return Some(items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<Option<String>>> {
        let text_of = |item: Option<Bytes>| item.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        text_items(text).map(|items| items.into_iter().map(text_of).collect())
    }

    #[test]
    fn items_of_a_text() {
        let some = |items: &[Option<&str>]| Some(items.iter().map(|item| item.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(texts("{}"), some(&[]));
        assert_eq!(texts("{a, b}"), some(&[Some("a"), Some("b")]));
        assert_eq!(
            texts(r#"{"a,b","c\"d",NULL,"NULL",""}"#),
            some(&[Some("a,b"), Some("c\"d"), None, Some("NULL"), Some("")])
        );
        for wrong in ["", "a", "{a", "{{a},{b}}", "{\"a}"] {
            assert_eq!(texts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn both_formats_give_one_row() {
        let text = decode(&Bytes::from_static(b"{1,NULL,3}"), &Type::INT4, false).unwrap();
        assert_eq!(text.len(), 1);
        let mut wire = Vec::new();
        for word in [1i32, 1, 23, 2, 1, 4, 7, -1] {
            wire.extend(word.to_be_bytes());
        }
        let binary = decode(&Bytes::from(wire), &Type::INT4, true).unwrap();
        assert_eq!(arrow::util::display::array_value_to_string(&binary, 0).unwrap(), "[7, ]");
        assert!(decode(&Bytes::from_static(b"\0\0\0\x01"), &Type::INT4, true).is_none());
    }
}
