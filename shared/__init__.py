"""What more than one capability needs: each module a noun with one owner."""
