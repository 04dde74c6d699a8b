"""The built-in functions, one module per family; `registry` knows them all."""
