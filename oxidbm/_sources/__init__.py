"""The readers of other databases' files, for oxidbm.convert: each yields the items that a file is sure to hold."""
