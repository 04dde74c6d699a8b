"""An app to run several instances of."""
