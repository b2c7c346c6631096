//! The program nestrig
