//! Several pointers, looked up in one pass over a document.

use crate::fragment::Fragment;
use crate::pointer::Pointer;
use webhook_model::{JsonScanner, ReadError};

/// Several pointers, looked up in one pass over a document.
///
/// ```
/// use webhook_event::PointerSet;
///
/// let mut set = PointerSet::default();
/// let state = set.add(&"/job/state".parse()?);
/// let found = set.read(br#"{"job":{"id":7,"state":"FAILED"}}"#)?;
/// assert_eq!(found[state].and_then(|value| value.text()).as_deref(), Some("FAILED"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointerSet {
    /// The nodes of a tree of tokens; the first is the whole document.
    nodes: Vec<Node>,
    pointers: Vec<Pointer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// The next tokens, and their nodes.
    children: Vec<(String, usize)>,
    /// The index of the pointer that ends here.
    pointer: Option<usize>,
}

/// The values found, in the order of the pointers.
pub(crate) type Found<'a> = Vec<Option<Fragment<'a>>>;

impl PointerSet {
    /// Adds a pointer, if it is new, and returns its index in what [`PointerSet::read`] returns.
    pub fn add(&mut self, pointer: &Pointer) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for token in pointer.tokens() {
            let known = self.nodes[at]
                .children
                .iter()
                .find(|(name, _)| name == token);
            at = match known {
                Some((_, child)) => *child,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.push((token.clone(), child));
                    child
                }
            };
        }
        if let Some(index) = self.nodes[at].pointer {
            return index;
        }
        self.pointers.push(pointer.clone());
        self.nodes[at].pointer = Some(self.pointers.len() - 1);
        self.pointers.len() - 1
    }

    /// The pointers, in the order of their indices.
    #[must_use]
    pub fn pointers(&self) -> &[Pointer] {
        &self.pointers
    }

    /// Finds the values. Of a member that occurs twice, the last one counts.
    ///
    /// # Errors
    /// The bytes are not one JSON document in UTF-8.
    pub fn read<'a>(&self, document: &'a [u8]) -> Result<Vec<Option<Fragment<'a>>>, ReadError> {
        let mut scanner = JsonScanner::new(document)?;
        let mut found = vec![None; self.pointers.len()];
        if self.nodes.is_empty() {
            scanner.skip_value()?;
        } else {
            self.value(0, document, &mut scanner, &mut found)?;
        }
        scanner.end()?;
        Ok(found)
    }

    fn value<'a>(
        &self,
        node: usize,
        document: &'a [u8],
        scanner: &mut JsonScanner<'a>,
        found: &mut Found<'a>,
    ) -> Result<(), ReadError> {
        let Node { children, pointer } = &self.nodes[node];
        let first_byte = scanner.peek();
        let start = scanner.place();
        match first_byte {
            Some(b'{') if !children.is_empty() => {
                scanner.enter_object()?;
                let mut first = true;
                while let Some(name) = scanner.next_name(&mut first)? {
                    let child = children
                        .iter()
                        .find(|(token, _)| token.as_bytes() == &*name);
                    match child {
                        Some((_, child)) => {
                            self.forget(*child, found);
                            self.value(*child, document, scanner, found)?;
                        }
                        None => scanner.skip_value()?,
                    }
                }
            }
            Some(b'[') if !children.is_empty() => {
                scanner.enter_array()?;
                let mut first = true;
                let mut index = 0_usize;
                while scanner.next_element(&mut first)? {
                    let child = children.iter().find(|(token, _)| is_index(token, index));
                    match child {
                        Some((_, child)) => self.value(*child, document, scanner, found)?,
                        None => scanner.skip_value()?,
                    }
                    index += 1;
                }
            }
            _ => scanner.skip_value()?,
        }
        if let Some(pointer) = pointer {
            let bytes = document.get(start..scanner.place()).unwrap_or_default();
            found[*pointer] = Some(Fragment::new(bytes, start));
        }
        Ok(())
    }

    /// Forgets what was found at a node and below it.
    fn forget(&self, node: usize, found: &mut Found<'_>) {
        let Node { children, pointer } = &self.nodes[node];
        if let Some(pointer) = pointer {
            found[*pointer] = None;
        }
        for (_, child) in children {
            self.forget(*child, found);
        }
    }
}

/// Whether a token is this index of an array: digits without leading zeros.
fn is_index(token: &str, index: usize) -> bool {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = token == "0" || !token.starts_with('0');
    digits && canonical && token.parse() == Ok(index)
}
