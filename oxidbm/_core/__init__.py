"""The engine: every module here is compiled, all in one mypyc group, and imports only modules of a lower layer."""
