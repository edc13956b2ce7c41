//! Damaged, full, read-only, deleted, foreign and newer files.

use super::*;
