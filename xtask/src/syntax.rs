//! The declarations, imports and paths of one Rust file, without its tests.
//!
//! It reads tokens: a parser of the whole language would take long to compile.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The segments of a path, without generic arguments. The first is empty for `::name`.
pub(crate) type Path = Vec<String>;

/// A module's content.
#[derive(Debug, Default)]
pub(crate) struct Syntax {
    /// The names of its functions, types, constants and macros.
    pub(crate) items: BTreeSet<String>,
    pub(crate) modules: Vec<Declared>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two segments or more, outside of imports, and `.name` for a method or field.
    pub(crate) mentions: Vec<(Path, usize)>,
    /// The types of its inherent `impl` blocks.
    pub(crate) impls: Vec<(Path, usize)>,
}

/// `mod name;` or `mod name { .. }`.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    /// The content of an inline module.
    pub(crate) inline: Option<Syntax>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Path,
    /// The name it has here; `None` for `*`.
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
}

impl Syntax {
    pub(crate) fn parse(tokens: TokenStream) -> Syntax {
        let mut syntax = Syntax::default();
        syntax.scan(tokens, true);
        syntax
    }

    /// Every path with its line, those in imports and inline modules included.
    pub(crate) fn paths(&self) -> Vec<(&Path, usize)> {
        let mentions = self.mentions.iter().map(|(path, line)| (path, *line));
        let imports = self
            .imports
            .iter()
            .map(|import| (&import.path, import.line));
        let inline = self
            .modules
            .iter()
            .filter_map(|module| module.inline.as_ref());
        mentions
            .chain(imports)
            .chain(inline.flat_map(Syntax::paths))
            .collect()
    }

    /// Reads tokens: those of a module, or those within an item.
    fn scan(&mut self, tokens: TokenStream, module: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        // Whether an item can begin here. After `->` or `:`, `impl` begins a type.
        let mut begins = true;
        while let Some(token) = tokens.get(at) {
            let rest = tokens.get(at..).unwrap_or_default();
            let (taken, ends) = match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => match attribute(rest) {
                    Some(attribute) if attribute.is_test() && attribute.inner => return,
                    Some(attribute) if attribute.is_test() => (skipped(rest), true),
                    Some(attribute) => {
                        self.strings(attribute.content.clone());
                        self.scan(attribute.content, false);
                        (attribute.taken, true)
                    }
                    None => (1, false),
                },
                TokenTree::Ident(_) => (self.word(rest, module, begins), false),
                TokenTree::Group(group) => {
                    self.scan(group.stream(), false);
                    (1, group.delimiter() == Delimiter::Brace)
                }
                TokenTree::Punct(punct) if punct.as_char() == '.' => {
                    let next = rest.get(1..).unwrap_or_default();
                    self.mentions
                        .push((vec![format!(".{}", text(next))], line(next)));
                    (1 + usize::from(!text(next).is_empty()), false)
                }
                // `::name` is of another crate, or of a type.
                TokenTree::Punct(_) if is_colons(rest) => (3, false),
                TokenTree::Punct(punct) => (1, punct.as_char() == ';'),
                TokenTree::Literal(_) => (1, false),
            };
            begins = ends || matches!(text(rest).as_str(), "unsafe" | "default");
            at += taken.max(1);
        }
    }

    /// Reads what a word begins, and returns the number of tokens read.
    fn word(&mut self, rest: &[TokenTree], module: bool, begins: bool) -> usize {
        let next = rest.get(1..).unwrap_or_default();
        match text(rest).as_str() {
            "use" if !is_punct(next, '<') => {
                let end = rest.iter().position(|token| is(token, ';'));
                let end = end.unwrap_or(rest.len());
                self.import(rest.get(1..end).unwrap_or_default(), &Vec::new());
                end
            }
            "pub" => 1 + usize::from(is_restriction(next)),
            "mod" if module && matches!(next.first(), Some(TokenTree::Ident(_))) => {
                let inline = match next.get(1) {
                    Some(TokenTree::Group(group)) => Some(Syntax::parse(group.stream())),
                    _ => None,
                };
                self.modules.push(Declared {
                    name: text(next),
                    inline,
                });
                3
            }
            "macro_rules" => {
                self.items.insert(text(next.get(1..).unwrap_or_default()));
                3
            }
            "const" | "enum" | "fn" | "static" | "struct" | "trait" | "type" | "union"
                if module =>
            {
                let mutable = usize::from(text(next) == "mut");
                self.items
                    .insert(text(next.get(mutable..).unwrap_or_default()));
                1
            }
            "impl" if module && begins => {
                self.impls.extend(inherent(rest));
                1
            }
            _ => {
                let (path, taken) = path(rest);
                if path.len() > 1 {
                    self.mentions.push((path, line(rest)));
                }
                taken
            }
        }
    }

    /// Reads one `use` tree below a prefix.
    fn import(&mut self, tree: &[TokenTree], prefix: &Path) {
        // After the last comma of a group.
        if tree.is_empty() {
            return;
        }
        let mut path = prefix.clone();
        let mut at = 0;
        if is_colons(tree) {
            path.push(String::new());
        }
        while let Some(token) = tree.get(at) {
            match token {
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|token| is(token, ',')) {
                        self.import(branch, &path);
                    }
                    return;
                }
                TokenTree::Ident(_) if text(tree.get(at..).unwrap_or_default()) == "as" => break,
                TokenTree::Ident(ident) => path.push(plain(ident)),
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    self.imports.push(Import {
                        path,
                        name: None,
                        line: line(tree),
                    });
                    return;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let renamed = tree.get(at + 1).map(std::slice::from_ref).map(text);
        if let Some(name) = renamed.or_else(|| path.last().cloned()) {
            self.imports.push(Import {
                path,
                name: Some(name),
                line: line(tree),
            });
        }
    }

    /// Reads the paths in strings of an attribute: `#[serde(with = "crate::millis")]`.
    fn strings(&mut self, attribute: TokenStream) {
        for token in attribute {
            match token {
                TokenTree::Group(group) => self.strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    let rooted = ["crate::", "self::", "super::"];
                    if rooted.iter().any(|root| text.starts_with(root)) {
                        let path = text.split("::").map(str::to_owned).collect();
                        self.mentions.push((path, literal.span().start().line));
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

struct Attribute {
    content: TokenStream,
    /// `#![..]`
    inner: bool,
    taken: usize,
}

impl Attribute {
    /// `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`.
    fn is_test(&self) -> bool {
        let mut content = self.content.clone();
        loop {
            let tokens: Vec<TokenTree> = content.into_iter().collect();
            content = match (text(&tokens).as_str(), tokens.get(1)) {
                ("test", None) => return true,
                ("cfg", Some(TokenTree::Group(group))) => group.stream(),
                ("all", Some(TokenTree::Group(group))) => {
                    return group.stream().into_iter().any(
                        |token| matches!(token, TokenTree::Ident(ident) if plain(&ident) == "test"),
                    );
                }
                _ => return false,
            };
        }
    }
}

fn attribute(tokens: &[TokenTree]) -> Option<Attribute> {
    let inner = tokens.get(1).is_some_and(|token| is(token, '!'));
    match tokens.get(1 + usize::from(inner))? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(Attribute {
            content: group.stream(),
            inner,
            taken: 2 + usize::from(inner),
        }),
        _ => None,
    }
}

/// The number of tokens of an item, field or arm, with its attributes.
fn skipped(item: &[TokenTree]) -> usize {
    let mut at = 0;
    while let Some(attribute) = item.get(at..).and_then(attribute_first) {
        at += attribute;
    }
    // A comma ends a field or an arm, but not the generics or bounds of an item.
    let (mut depth, mut bounds) = (0_u32, false);
    let ends = |token: &TokenTree| {
        match token {
            _ if is(token, '<') => depth += 1,
            _ if is(token, '>') => depth = depth.saturating_sub(1),
            TokenTree::Ident(ident) if plain(ident) == "where" => bounds = true,
            _ => {}
        }
        let comma = is(token, ',') && depth == 0 && !bounds;
        comma || is(token, ';') || is_braces(token)
    };
    let after = item.get(at..).unwrap_or_default();
    at + after.iter().position(ends).unwrap_or(after.len()) + 1
}

fn attribute_first(tokens: &[TokenTree]) -> Option<usize> {
    tokens.first().filter(|token| is(token, '#'))?;
    attribute(tokens).map(|attribute| attribute.taken)
}

/// The type of an inherent `impl` block; `None` if it implements a trait.
fn inherent(block: &[TokenTree]) -> Option<(Path, usize)> {
    let mut depth = 0_u32;
    let mut found = None;
    for (at, token) in block.iter().enumerate().skip(1) {
        let after_dash = at
            .checked_sub(1)
            .and_then(|before| block.get(before))
            .is_some_and(|before| is(before, '-'));
        match token {
            _ if is_braces(token) => break,
            _ if is(token, '<') => depth += 1,
            _ if is(token, '>') && !after_dash => depth = depth.saturating_sub(1),
            TokenTree::Ident(ident) if depth == 0 => match plain(ident).as_str() {
                "for" => return None,
                "where" => break,
                "dyn" => {}
                _ if found.is_none() => {
                    let rest = block.get(at..).unwrap_or_default();
                    found = Some((path(rest).0, line(rest)));
                }
                _ => {}
            },
            _ => {}
        }
    }
    found
}

/// The path at the start of the tokens, and its number of tokens.
fn path(tokens: &[TokenTree]) -> (Path, usize) {
    let mut path = vec![text(tokens)];
    let mut taken = 1;
    loop {
        let rest = tokens.get(taken..).unwrap_or_default();
        match rest.get(2) {
            Some(TokenTree::Ident(ident)) if is_colons(rest) => path.push(plain(ident)),
            _ => return (path, taken),
        }
        taken += 3;
    }
}

/// The group of `pub(crate)`, `pub(crate)`, `pub(in crate::queue)`.
fn is_restriction(tokens: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(group)) = tokens.first() else {
        return false;
    };
    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
    group.delimiter() == Delimiter::Parenthesis
        && match text(&inner).as_str() {
            "in" => true,
            "crate" | "self" | "super" => inner.len() == 1,
            _ => false,
        }
}

fn is(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn is_punct(tokens: &[TokenTree], char: char) -> bool {
    tokens.first().is_some_and(|token| is(token, char))
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    match tokens.first() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => {
            punct.spacing() == Spacing::Joint && is_punct(tokens.get(1..).unwrap_or_default(), ':')
        }
        _ => false,
    }
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// The first token if it is a word; otherwise empty.
fn text(tokens: &[TokenTree]) -> String {
    match tokens.first() {
        Some(TokenTree::Ident(ident)) => plain(ident),
        _ => String::new(),
    }
}

fn plain(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn line(tokens: &[TokenTree]) -> usize {
    tokens.first().map_or(0, |token| token.span().start().line)
}
