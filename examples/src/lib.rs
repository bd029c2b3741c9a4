//! What the example flows share.
