//! What is kept, for how long, and what is forgotten.

use super::*;
