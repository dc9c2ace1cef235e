//! The documentation as a site, and what stands in it: pages in a reader's order, links, code blocks.
//!
//! Pages are read where they lie in the repository, so that they are the same there and on the site. It must not know
//! what they are about.

mod blocks;
mod finish;
mod links;
mod pages;
mod site;

pub use blocks::{Block, Mark, blocks};
pub use links::broken;
pub use pages::{Page, pages, unlisted};
pub use site::build;
