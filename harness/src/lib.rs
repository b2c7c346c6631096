//! The program nestrig

pub mod images;
