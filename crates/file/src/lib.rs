//! File source, LDIF directory and file-based state.
