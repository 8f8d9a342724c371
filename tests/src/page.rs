//! Commands of a page of the documentation, so that a test runs what people type.
//!
//! A block of them is marked by a comment in the line above it, which nobody sees who reads the page:
//! `<!-- runs: NAME -->`, `<!-- runs: NAME; must fail -->`, or `<!-- runs beside: NAME -->` for what goes on in the
//! terminal of that name.

/// How a block is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// To its end, which is well.
    Through,
    /// To its end, which is a refusal.
    Refused,
    /// In a terminal of its own, until that is told something else or all is over.
    Beside,
}

/// Commands that stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the mark calls it.
    pub name: String,
    /// How it is run.
    pub manner: Manner,
    /// The commands.
    pub script: String,
}

/// The marked blocks of `page`, a text in Markdown, in their order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut lines = page.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        let Some((name, manner)) = mark(line) else { continue };
        let fence = lines.next();
        assert_eq!(fence, Some("```sh"), "what follows the mark {line} is not a block of commands");
        let script: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        assert!(!script.is_empty(), "the block {name} is empty");
        blocks.push(Block { name: name.to_owned(), manner, script: script.join("\n") });
    }
    blocks
}

fn mark(line: &str) -> Option<(&str, Manner)> {
    let comment = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    if let Some(name) = comment.strip_prefix("runs beside: ") {
        return Some((name, Manner::Beside));
    }
    let name = comment.strip_prefix("runs: ")?;
    Some(match name.strip_suffix("; must fail") {
        Some(name) => (name, Manner::Refused),
        None => (name, Manner::Through),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_blocks_come_in_order_and_others_do_not() {
        let page = "# A\n<!-- runs: one -->\n```sh\na \\\n  b\nc\n```\ntext\n```sh\nnot this\n```\n\
                    <!-- runs: two; must fail -->\n```sh\nd\n```\n<!-- runs beside: three -->\n```sh\ne\n```\n<!-- no -->\n";
        let found: Vec<_> =
            blocks(page).into_iter().map(|block| (block.name, block.manner, block.script)).collect();
        let expected = [
            ("one", Manner::Through, "a \\\n  b\nc"),
            ("two", Manner::Refused, "d"),
            ("three", Manner::Beside, "e"),
        ];
        assert_eq!(found, expected.map(|(name, manner, script)| (name.into(), manner, script.into())));
    }

    #[test]
    #[should_panic(expected = "not a block of commands")]
    fn a_mark_of_nothing_is_a_mistake() {
        blocks("<!-- runs: one -->\ntext\n");
    }
}
