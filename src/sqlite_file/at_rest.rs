//! A database at rest: nobody writes to it, so that it needs no window and all cores may read it at once.

use std::path::Path;

use super::file::{self, File};
use super::header::{self, Header};
use super::page::{Kind, Node};
use super::payload::{Pages, Payload};
use super::reason::{OrMalformed, Reason, Result};
use super::record::{self, Value};
use super::schema::Schema;
use super::source::beside;

/// SQLite's own limit of the depth of a b-tree.
const DEPTH: usize = 20;

/// The file of a database that this very process may have open through SQLite, too.
///
/// POSIX drops all locks that a process has on a file when it closes any of its descriptors. Whoever has SQLite open
/// the file keeps this until that is over.
#[derive(Debug)]
pub struct Held(File);

/// A database that nobody writes to. The caller sees to that.
#[derive(Debug)]
pub struct AtRest<'f> {
    database: &'f File,
    header: Header,
    pages: u32,
    schema: Schema,
}

/// A leaf of a b-tree, and what stands between it and the next one: in an index that is an entry, too.
#[derive(Debug)]
pub struct Leaf {
    number: u32,
    after: Option<Vec<u8>>,
}

/// Reads pages; each thread has one of its own.
struct Reader<'a> {
    database: &'a File,
    header: Header,
    pages: u32,
}

impl Held {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When there is none, or none that can be opened.
    pub fn open(path: &Path) -> Result<Self> {
        File::open(path)?.ok_or(Reason::Missing).map(Self)
    }

    /// Whether `path` leads to this file.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.0.is_at(path)
    }
}

impl<'f> AtRest<'f> {
    /// The database in `file`, which is at `path`.
    ///
    /// # Errors
    /// [`Reason::Busy`] when a log or a journal beside it has content: the file alone is not the whole database.
    /// Else when it is none that can be read.
    pub fn of(file: &'f Held, path: &Path) -> Result<Self> {
        for suffix in ["-wal", "-journal"] {
            if file::has_content(&beside(path, suffix))? {
                return Err(Reason::Busy);
            }
        }
        let database = &file.0;
        let mut head = [0; header::LENGTH];
        let length = database.read(&mut head, 0)?;
        let header = Header::parse(&head[..length])?;
        let pages = database.stamp()?.length / header.page_size as u64;
        let mut at_rest = Self {
            database,
            header,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            schema: Schema::default(),
        };
        at_rest.schema = Schema::read(&mut at_rest.reader())?;
        Ok(at_rest)
    }

    /// The leaves of `table`, in the order of its keys; they may be read in portions.
    ///
    /// # Errors
    /// When there is no such table, or its b-tree is damaged.
    pub fn leaves(&self, table: &str) -> Result<Vec<Leaf>> {
        let root = self.schema.root(table).or_malformed("a table is missing")?;
        let mut reader = self.reader();
        let height = reader.height(root)?;
        let mut leaves = Vec::new();
        reader.descend(root, height, &mut leaves)?;
        Ok(leaves)
    }

    /// Shows each row of the leaves: its rowid (0 in a table without) and its values as they are stored.
    ///
    /// # Errors
    /// When a leaf is damaged, or `show` says so.
    pub fn read(
        &self,
        leaves: &[Leaf],
        mut show: impl FnMut(i64, &[Value<'_>]) -> Result<()>,
    ) -> Result<()> {
        let mut reader = self.reader();
        for leaf in leaves {
            reader.read_leaf(leaf, &mut |rowid, payload| {
                show(rowid, &record::decode(payload)?)
            })?;
        }
        Ok(())
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            database: self.database,
            header: self.header,
            pages: self.pages,
        }
    }
}

impl Reader<'_> {
    /// How many levels stand above the leaves: all leaves of a b-tree are equally deep.
    fn height(&mut self, root: u32) -> Result<usize> {
        let (mut number, mut page) = (root, Vec::new());
        for height in 0..DEPTH {
            self.read(number, &mut page)?;
            let node = Node::parse(number, &page, self.usable())?;
            match node.kind {
                Kind::TableLeaf | Kind::IndexLeaf => return Ok(height),
                Kind::TableInterior | Kind::IndexInterior => number = node.child(0)?,
            }
        }
        Err(Reason::Malformed("a b-tree is too deep"))
    }

    /// Appends the leaves below page `number`, which stands `height` levels above them.
    fn descend(&mut self, number: u32, height: usize, leaves: &mut Vec<Leaf>) -> Result<()> {
        if leaves.len() >= self.pages as usize {
            return Err(Reason::Malformed("a b-tree is greater than the database"));
        }
        if height == 0 {
            leaves.push(Leaf {
                number,
                after: None,
            });
            return Ok(());
        }
        let mut page = Vec::new();
        self.read(number, &mut page)?;
        let node = Node::parse(number, &page, self.usable())?;
        if !matches!(node.kind, Kind::TableInterior | Kind::IndexInterior) {
            return Err(Reason::Malformed("a b-tree of uneven depth"));
        }
        for index in 0..=node.cells {
            self.descend(node.child(index)?, height - 1, leaves)?;
            if node.kind == Kind::IndexInterior && index < node.cells {
                let entry = self.whole(node.entry(index)?)?;
                if let Some(last) = leaves.last_mut() {
                    last.after = Some(entry);
                }
            }
        }
        Ok(())
    }

    /// Shows the rowid and payload of each row of `leaf`, and of the entry after it.
    fn read_leaf(
        &mut self,
        leaf: &Leaf,
        show: &mut dyn FnMut(i64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut page = Vec::new();
        self.read(leaf.number, &mut page)?;
        let node = Node::parse(leaf.number, &page, self.usable())?;
        for index in 0..node.cells {
            let (rowid, payload) = match node.kind {
                Kind::TableLeaf => node.row(index)?,
                Kind::IndexLeaf => (0, node.entry(index)?),
                Kind::TableInterior | Kind::IndexInterior => {
                    return Err(Reason::Malformed("a b-tree of uneven depth"));
                }
            };
            match payload.whole() {
                Some(whole) => show(rowid, whole)?,
                None => show(rowid, &self.whole(payload)?)?,
            }
        }
        leaf.after.as_ref().map_or(Ok(()), |entry| show(0, entry))
    }

    /// All bytes of a payload.
    fn whole(&mut self, payload: Payload<'_>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        payload.append(self, &mut Vec::new(), &mut bytes, &mut Vec::new())?;
        Ok(bytes)
    }
}

impl Pages for Reader<'_> {
    fn usable(&self) -> usize {
        self.header.usable
    }

    fn count(&self) -> u32 {
        self.pages
    }

    fn read(&mut self, number: u32, page: &mut Vec<u8>) -> Result<()> {
        let size = self.header.page_size;
        if number == 0 || number > self.pages {
            return Err(Reason::Malformed("a reference to a page that is none"));
        }
        page.resize(size, 0);
        let length = self
            .database
            .read(page, u64::from(number - 1) * size as u64)?;
        if length < size {
            return Err(Reason::Malformed("a page is cut short"));
        }
        Ok(())
    }
}
