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

/// A place on the way of a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    children: Vec<Child>,
    /// A bit for the length of each child's name; the last is for 63 bytes and more.
    lengths: u64,
    /// The index of the pointer that ends here.
    pointer: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Child {
    token: String,
    /// The token as the index of an array: digits without a leading zero.
    index: Option<usize>,
    node: usize,
}

impl Node {
    /// The position among the children, and the node, of a member.
    #[inline]
    fn member(&self, name: &[u8]) -> Option<(usize, usize)> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        let mut children = self.children.iter().enumerate();
        let (position, child) = children.find(|(_, child)| child.token.as_bytes() == name)?;
        Some((position, child.node))
    }

    fn element(&self, index: usize) -> Option<usize> {
        let mut children = self.children.iter();
        let child = children.find(|child| child.index == Some(index))?;
        Some(child.node)
    }

    /// Whether a pointer ends here.
    pub(crate) fn is_end(&self) -> bool {
        self.pointer.is_some()
    }

    fn has_children(&self) -> bool {
        !self.children.is_empty()
    }
}

#[inline]
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    token.parse().ok().filter(|_| canonical)
}

impl PointerSet {
    /// Adds a pointer, if it is new, and returns its index in what [`PointerSet::read`] returns.
    pub fn add(&mut self, pointer: &Pointer) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for token in pointer.tokens() {
            at = match self.nodes[at].member(token.as_bytes()) {
                Some((_, child)) => child,
                None => {
                    let node = self.nodes.len();
                    self.nodes.push(Node::default());
                    let parent = &mut self.nodes[at];
                    parent.lengths |= length_bit(token.as_bytes());
                    parent.children.push(Child {
                        token: token.clone(),
                        index: array_index(token),
                        node,
                    });
                    node
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
        self.read_next(&mut scanner, Source::new(document), &mut found)?;
        scanner.end()?;
        Ok(found)
    }

    /// Finds the values in the next value of a scanner, for which `found` has room.
    pub(crate) fn read_next<'a>(
        &self,
        scanner: &mut JsonScanner<'a>,
        source: Source<'a>,
        found: &mut [Option<Fragment<'a>>],
    ) -> Result<(), ReadError> {
        found.fill(None);
        match self.root() {
            Some(root) => self.value(root, scanner, source, found),
            None => scanner.skip_value(),
        }
    }

    /// The node of the whole document.
    pub(crate) fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The node of a member.
    pub(crate) fn member(&self, node: &Node, name: &[u8]) -> Option<&Node> {
        node.member(name).map(|(_, child)| &self.nodes[child])
    }

    /// The node of an element.
    pub(crate) fn element(&self, node: &Node, index: usize) -> Option<&Node> {
        node.element(index).map(|child| &self.nodes[child])
    }

    fn value<'a>(
        &self,
        node: &Node,
        scanner: &mut JsonScanner<'a>,
        source: Source<'a>,
        found: &mut [Option<Fragment<'a>>],
    ) -> Result<(), ReadError> {
        let first_byte = scanner.peek();
        let start = scanner.place();
        match first_byte {
            Some(b'{') if node.has_children() => self.object(node, scanner, source, found)?,
            Some(b'[') if node.has_children() => {
                scanner.enter_array()?;
                let mut first = true;
                let mut index = 0;
                while scanner.next_element(&mut first)? {
                    match self.element(node, index) {
                        Some(child) => self.value(child, scanner, source, found)?,
                        None => scanner.skip_value()?,
                    }
                    index += 1;
                }
            }
            _ => scanner.skip_value()?,
        }
        if let Some(pointer) = node.pointer {
            found[pointer] = Some(source.fragment(start, scanner.place()));
        }
        Ok(())
    }

    /// Reads each member, also after all pointers were found: a name may occur again, and its last
    /// value counts.
    fn object<'a>(
        &self,
        node: &Node,
        scanner: &mut JsonScanner<'a>,
        source: Source<'a>,
        found: &mut [Option<Fragment<'a>>],
    ) -> Result<(), ReadError> {
        scanner.enter_object()?;
        let mut first = true;
        // A bit for each child that was read; the last is for all from the 64th on.
        let mut seen = 0_u64;
        while let Some(name) = scanner.next_name(&mut first)? {
            let Some((position, child)) = node.member(&name) else {
                scanner.skip_value()?;
                continue;
            };
            let bit = 1 << position.min(63);
            if seen & bit != 0 {
                self.forget(child, found);
            }
            seen |= bit;
            self.value(&self.nodes[child], scanner, source, found)?;
        }
        Ok(())
    }

    /// Forgets what was found at a node and below it.
    fn forget(&self, node: usize, found: &mut [Option<Fragment<'_>>]) {
        let Node {
            children, pointer, ..
        } = &self.nodes[node];
        if let Some(pointer) = pointer {
            found[*pointer] = None;
        }
        for child in children {
            self.forget(child.node, found);
        }
    }
}

/// The text that a scanner moves through, with its place in the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(document: &'a [u8]) -> Source<'a> {
        Source {
            bytes: document,
            at: 0,
        }
    }

    pub(crate) fn of(fragment: &Fragment<'a>) -> Source<'a> {
        Source {
            bytes: fragment.bytes(),
            at: fragment.at(),
        }
    }

    #[inline]
    pub(crate) fn fragment(&self, start: usize, end: usize) -> Fragment<'a> {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        Fragment::new(bytes, self.at + start)
    }
}
