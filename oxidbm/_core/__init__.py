"""The core: every module here is compiled, all in one mypyc group, and imports only from its own floor and below."""
