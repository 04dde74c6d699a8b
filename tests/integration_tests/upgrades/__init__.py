"""The release before and this tree beside each other, as during a deployment and after a rollback."""
