//! The code blocks of a page, and the mark above each that says how it is tested.
//!
//! A mark is a comment on the line above the block: nobody sees it on the page, everybody in the source.

use std::path::PathBuf;

use crate::Page;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub page: PathBuf,
    /// Of its first fence, from 1.
    pub line: usize,
    /// The first word behind the fence.
    pub language: String,
    pub mark: Option<Mark>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `<!-- in: NAME -->`: it is run within the frame of this name, which gives it what it takes for granted.
    In(String),
    /// `<!-- file: NAME -->`: the reader saves it under this name, for the commands that follow.
    File(String),
    /// `<!-- until: TEXT -->`: it goes on running behind the others, from when it has said this.
    Until(String),
    /// `<!-- run by: PATH WORD -->`: this test of the repository runs it as it stands; it is the one that has this word.
    RunBy(String),
    /// `<!-- Made from the code: COMMAND -->`: a test holds it against the code.
    Made,
    /// `<!-- not run: REASON -->`
    NotRun(String),
}

impl Mark {
    fn read(line: &str) -> Option<Self> {
        let (kind, rest) = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.split_once(':')?;
        let rest = rest.trim().to_owned();
        match kind.trim() {
            "in" => Some(Self::In(rest)),
            "file" => Some(Self::File(rest)),
            "until" => Some(Self::Until(rest)),
            "Made from the code" => Some(Self::Made),
            "run by" => Some(Self::RunBy(rest)),
            "not run" => Some(Self::NotRun(rest)),
            _ => None,
        }
    }
}

impl Block {
    /// For messages: where it stands.
    pub fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }
}

const FENCE: &str = "```";

pub fn blocks(page: &Page) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    let mut above = "";
    for (number, line) in page.text.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        match &mut open {
            Some(_) if text.trim_end() == FENCE => found.extend(open.take().map(|(block, _)| block)),
            Some((block, indent)) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            None => {
                if let Some(info) = text.strip_prefix(FENCE) {
                    let language = info.split_whitespace().next().unwrap_or_default().to_owned();
                    let (page, mark) = (page.path.clone(), Mark::read(above));
                    let block = Block { page, line: number + 1, language, mark, text: String::new() };
                    open = Some((block, indent));
                }
            }
        }
        if !text.is_empty() {
            above = line;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_their_place_and_their_mark() {
        let text = "Words.\n\n<!-- not run: it takes a day -->\n```sh\na\n\n  b\n```\n\n1. item\n\n   ```js more\n   c\n     d\n   ```\n";
        let page = Page { path: "docs/a.md".into(), text: text.into() };
        let [first, second] = &blocks(&page)[..] else { panic!("two blocks") };
        assert_eq!(first.place(), "docs/a.md:4");
        assert_eq!(first.mark, Some(Mark::NotRun("it takes a day".into())));
        assert_eq!((first.language.as_str(), first.text.as_str()), ("sh", "a\n\n  b\n"));
        assert_eq!(second.mark, None);
        assert_eq!((second.language.as_str(), second.text.as_str()), ("js", "c\n  d\n"));
    }
}
