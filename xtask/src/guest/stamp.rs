//! What was made is kept until what it was made from changes: beside each product lies a file that holds its inputs.

use std::path::{Path, PathBuf};

use crate::command::{Doing, Result};

pub(crate) struct Stamp {
    file: PathBuf,
    inputs: String,
}

impl Stamp {
    /// `inputs` says, in full, what the product is made from.
    pub(crate) fn new(product: &Path, inputs: impl Into<String>) -> Self {
        Stamp { file: product.with_extension("stamp"), inputs: inputs.into() }
    }

    /// Whether each of `products` is there and was made from these inputs.
    pub(crate) fn holds(&self, products: &[&Path]) -> bool {
        products.iter().all(|product| product.exists())
            && std::fs::read_to_string(&self.file).is_ok_and(|written| written == self.inputs)
    }

    /// To be called before the making starts: a product that is half made must not look ready.
    pub(crate) fn lift(&self) -> Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn set(&self) -> Result<()> {
        std::fs::write(&self.file, &self.inputs).doing(|| format!("cannot write {}", self.file.display()))
    }
}
