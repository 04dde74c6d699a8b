"""Each page of the documentation, run as its reader would."""
