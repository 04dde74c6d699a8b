"""Jobs of both queues on two instances of the app: killed workers, poisonous messages."""
