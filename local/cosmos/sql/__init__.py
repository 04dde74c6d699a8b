"""The query language: grammar, syntax tree, compilation to closures, evaluation."""
