"""What type checkers say of calls of oxidbm: `make types` runs mypy and, where it is installed, pyright over these.

The modules are never run. A call that has to be an error ends with `# type: ignore[...]`: both checkers complain where
a comment of these ignores nothing.
"""
