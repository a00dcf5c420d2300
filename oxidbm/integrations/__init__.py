"""Stores behind the interfaces of other packages, a module for each, of the package's name.

Here is only what needs more than a module's name or a mapping: docs/integrations.md lists the others too. A module
imports its package, and nothing of oxidbm imports a module of these, so the packages need not be installed. One process
writes a store, so it is one process that uses a cache of these: its threads share it.
"""
