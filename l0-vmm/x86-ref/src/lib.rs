//! The reference CPU
